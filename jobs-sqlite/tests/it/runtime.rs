//! Used outside of a tokio runtime, where pools and timers panic.

use std::sync::Arc;
use std::thread;

use chrono::Utc;
use jobs_core::job::{BatchId, JobId, QueuePattern};
use jobs_core::storage::{
    ClaimRequest, Inspect, JobFilter, QueueShare, RecurringRequest, Retention, Storage,
};
use jobs_core::testing::{assert_needs_runtime, without_runtime};
use jobs_sqlite::SqliteStorage;

use crate::stage::{Folder, new_job, worker};

macro_rules! all_told {
    ($storage:ident: $($verb:ident($($argument:expr),*))*) => {
        $(assert_needs_runtime(stringify!($verb), $storage.$verb($($argument),*));)*
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
        assert_needs_runtime("connect", opening.connect());
        without_runtime(theirs.insert(&[job])).expect("a job is stored");
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
