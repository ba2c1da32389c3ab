//! Jobs written out by hand, so that these tests need no macro, and a worker that runs them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use jobs_core::Worker;
use jobs_core::handler::{BoxFuture, JobContext, JobEntry};
use jobs_core::job::{JobDefaults, JobId, JobRecord, NewJob, State};
use jobs_core::lifecycle::Outcome;
use jobs_core::storage::{MemoryStorage, StorageHandle};
use jobs_core::worker::WorkerBuilder;

/// What a test's job does, given its context. Tests share one process, so each has its own kind.
pub(crate) type Body = Arc<dyn Fn(JobContext) -> BoxFuture<'static, Outcome> + Send + Sync>;

static BODIES: LazyLock<Mutex<HashMap<String, Body>>> = LazyLock::new(Mutex::default);

fn perform(context: JobContext) -> BoxFuture<'static, Outcome> {
    let body = BODIES.lock().unwrap().get(context.kind()).cloned();
    body.expect("every kind of a test has a body")(context)
}

/// Declares a kind whose jobs do this.
pub(crate) fn kind<F>(name: &'static str, defaults: JobDefaults, body: F) -> &'static JobEntry
where
    F: Fn(JobContext) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
{
    BODIES.lock().unwrap().insert(name.into(), Arc::new(body));
    Box::leak(Box::new(JobEntry {
        kind: name,
        aliases: &[],
        file: file!(),
        line: line!(),
        module: module_path!(),
        defaults,
        blocking: false,
        arguments: &[],
        requires: Vec::new,
        retry_if: None,
        recurring: &[],
        perform,
    }))
}

/// Succeeded, without a result.
pub(crate) fn done() -> Outcome {
    Outcome::Succeeded(Default::default())
}

/// A storage of the test's own.
pub(crate) fn storage() -> StorageHandle {
    StorageHandle::new(MemoryStorage::new())
}

/// A worker that looks often and gives up soon.
pub(crate) fn worker(storage: &StorageHandle, jobs: Vec<&'static JobEntry>) -> WorkerBuilder {
    Worker::builder(storage.clone())
        .jobs(jobs)
        .poll_interval(Duration::from_millis(20))
        .grace(Duration::from_secs(5))
}

/// Stores one job of a kind.
pub(crate) async fn enqueue(storage: &StorageHandle, kind: &'static str) -> JobId {
    enqueue_with(storage, kind, |_| {}).await
}

/// Stores one job of a kind, changed by the caller.
pub(crate) async fn enqueue_with(
    storage: &StorageHandle,
    kind: &'static str,
    change: impl FnOnce(&mut NewJob),
) -> JobId {
    let mut job = NewJob::new(JobId::new(), kind, "{}");
    change(&mut job);
    storage.insert(&[job]).await.unwrap()[0].id
}

/// How long to wait for what must come at once on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a job is as wanted.
pub(crate) async fn until(
    storage: &StorageHandle,
    id: JobId,
    wanted: impl Fn(&JobRecord) -> bool,
) -> JobRecord {
    let end = Instant::now() + PATIENCE;
    loop {
        let record = storage.job(id).await.unwrap().expect("the job is stored");
        if wanted(&record) {
            return record;
        }
        assert!(Instant::now() < end, "it never came to that: {record:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a job stands here.
pub(crate) async fn until_state(storage: &StorageHandle, id: JobId, state: State) -> JobRecord {
    until(storage, id, |record| record.state == state).await
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Counts, for jobs that run in any order.
#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
