//! Used outside of a tokio runtime, where pools and timers panic.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use chrono::Utc;
use jobs_core::job::{BatchId, JobId, QueuePattern};
use jobs_core::storage::{
    ClaimRequest, Inspect, JobFilter, QueueShare, RecurringRequest, Retention, Storage,
};
use jobs_core::{Error, Result};
use jobs_sqlite::SqliteStorage;

use crate::stage::{Folder, new_job, worker};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As an executor does that knows nothing of tokio.
fn plainly<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

fn is_told<T>(what: &str, call: impl Future<Output = Result<T>>) {
    let error = plainly(call).err();
    let error = error.unwrap_or_else(|| panic!("{what} went well"));
    assert!(matches!(error, Error::Setup(_)), "{what}: {error:?}");
    let said = error.to_string();
    assert!(
        said.contains("outside of a tokio runtime"),
        "{what}: {said}"
    );
}

macro_rules! all_told {
    ($storage:ident: $($verb:ident($($argument:expr),*))*) => {
        $(is_told(stringify!($verb), $storage.$verb($($argument),*));)*
    };
}

/// What only writes is done by the storage's own task, wherever it is asked for.
#[tokio::test]
async fn what_reads_says_that_there_is_no_runtime_and_writing_goes_on() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let me = worker(&storage).await;
    let (job, batch, now) = (new_job(), BatchId::new(), Utc::now());
    let id = job.id;
    let claim = ClaimRequest {
        worker: me,
        claim: jobs_core::job::ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::new("*").unwrap(),
            limit: 1,
        }],
        limit: 1,
        unknown_kinds: Arc::default(),
    };
    let due = RecurringRequest {
        kinds: Arc::new(["noop".into()]),
        after: None,
        limit: 1,
    };
    let opening = SqliteStorage::builder().path(folder.file());
    let theirs = storage.clone();
    let outside = thread::spawn(move || {
        is_told("connect", opening.connect());
        plainly(theirs.insert(&[job])).expect("a job is stored");
        all_told! { theirs:
            claim(&claim)
            next_due(&claim)
            presences()
            revoked(&[(id, 0)])
            due_recurring(&due)
            tick()
            retain(&Retention::default())
            migrate()
            check_schema()
            job(id)
            jobs(&JobFilter::default())
            attempts(id)
            events(id)
            counts()
            queues()
            controls()
            control_events(1)
            workers()
            batch(batch)
            limits()
            awaited(id)
            recurring("daily")
            recurring_page(None, 1)
            stats(now, now)
        }
    });
    let ended = tokio::task::spawn_blocking(|| outside.join());
    ended.await.unwrap().unwrap();
    assert!(storage.job(id).await.unwrap().is_some());
    let unknown = storage.job(JobId::new()).await.unwrap();
    assert!(unknown.is_none());
}
