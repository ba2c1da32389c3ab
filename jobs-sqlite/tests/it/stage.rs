//! A file of its own for each test, and the few steps that many tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    ClaimRequest, Claimed, ClaimedJob, Flush, QueueShare, Settlement, Storage, WorkerInfo,
};
use jobs_sqlite::SqliteStorage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// How long to wait for what must come at once on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("jobs-sqlite-{}", JobId::new());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("jobs.db")
    }

    /// The storage in this folder's file.
    pub(crate) async fn open(&self) -> SqliteStorage {
        let storage = SqliteStorage::builder().path(self.file()).connect().await;
        storage.expect("the file opens")
    }
}

impl Folder {
    /// Waits until nobody has the file open any more. The last one takes the log along, unless two left
    /// at the same moment; so somebody else comes and goes.
    pub(crate) async fn settled(&self) {
        let log = self.0.join("jobs.db-wal");
        let patience = Instant::now();
        while log.exists() {
            let waited = patience.elapsed();
            assert!(waited < PATIENCE, "somebody keeps the file open");
            let options = SqliteConnectOptions::new().filename(self.file());
            let mut visitor = options.connect().await.expect("the file opens");
            let look = sqlx::query("select count(*) from sqlite_schema");
            look.execute(&mut visitor).await.expect("it can be read");
            visitor.close().await.expect("it can be left");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn new_job() -> NewJob {
    NewJob::new(JobId::new(), "noop", r#"{"n":1}"#)
}

pub(crate) async fn worker(storage: &SqliteStorage) -> WorkerId {
    let worker = WorkerId::new();
    let registered = storage.register(&WorkerInfo::new(worker)).await;
    registered.expect("the worker is registered");
    worker
}

pub(crate) fn request(worker: WorkerId, limit: usize) -> ClaimRequest {
    ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit,
        }],
        limit,
        unknown_kinds: Arc::from([]),
    }
}

pub(crate) async fn claim(
    storage: &SqliteStorage,
    worker: WorkerId,
    limit: usize,
) -> (ClaimId, Claimed) {
    let request = request(worker, limit);
    let claimed = storage.claim(&request).await.expect("a claim is answered");
    (request.claim, claimed)
}

pub(crate) fn succeeded(job: &ClaimedJob, claim: ClaimId) -> Settlement {
    Settlement {
        job: job.id,
        run: job.run,
        claim,
        kind: Arc::clone(&job.kind),
        queue: Arc::clone(&job.queue),
        attempt: job.attempt,
        ran_for: Some(Duration::from_millis(5)),
        ended_ago: Duration::ZERO,
        transition: Transition::Succeed {
            result: Some("7".into()),
            note: None,
        },
    }
}

pub(crate) fn flush(worker: WorkerId, claim: ClaimId, jobs: &[ClaimedJob]) -> Flush {
    Flush {
        worker,
        settlements: jobs.iter().map(|job| succeeded(job, claim)).collect(),
        closed: vec![claim],
    }
}
