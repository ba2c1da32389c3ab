//! Hints that something has happened.
//!
//! What is done through this storage is hinted at after its commit, without the file. Whether somebody else
//! has written, the task that writes looks every few milliseconds while somebody listens: see [`Lookout`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::SqliteConnection;
use tokio::sync::broadcast;
use tokio::time::Instant;

use jobs_core::job::JobId;
use jobs_core::storage::Wake;

use crate::SqliteStorage;

/// How many hints a slow listener may be behind before it is told to look at everything.
pub(crate) const HINTS: usize = 1_024;

/// What a transaction is worth telling, once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    queues: BTreeSet<Arc<str>>,
    cancelled: Vec<JobId>,
}

impl Hints {
    /// Jobs were put into this queue.
    pub(crate) fn jobs(&mut self, queue: &str) {
        if !self.queues.contains(queue) {
            self.queues.insert(queue.into());
        }
    }

    /// A job was deleted while it ran.
    pub(crate) fn cancelled(&mut self, job: JobId) {
        self.cancelled.push(job);
    }

    /// These too.
    pub(crate) fn add(&mut self, mut others: Self) {
        self.queues.append(&mut others.queues);
        self.cancelled.append(&mut others.cancelled);
    }

    /// Tells those who listen; if nobody does, nobody needs to know.
    pub(crate) fn send(&self, wakes: &broadcast::Sender<Wake>) {
        let cancelled = self.cancelled.iter().copied().map(Wake::Cancelled);
        let jobs = self.queues.iter().map(Arc::clone).map(Wake::Jobs);
        for hint in cancelled.chain(jobs) {
            let _ = wakes.send(hint);
        }
    }
}

/// How often to look whether another process has written, while somebody listens.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// File systems may be late by a tick of their clock with the time at which a file was changed.
const TICK: Duration = Duration::from_millis(20);

/// How often to look closely, whatever the file system says.
const LOOK_CLOSELY: Duration = Duration::from_millis(500);

/// Sees that another connection has committed. `pragma data_version` says so, but takes the way through
/// the driver's thread; so it is asked only when the log was written to since, which costs no more than a
/// glance at the directory, and now and then in case the file system does not tell.
pub(crate) struct Lookout {
    log: PathBuf,
    /// When to look next.
    pub(crate) next: Instant,
    closely: Instant,
    /// When the log was last written to, as far as that has been looked into.
    written: Option<SystemTime>,
    /// What `data_version` said last: it stays the same while only this connection commits.
    version: Option<i64>,
}

impl Lookout {
    pub(crate) fn new(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self {
            log: log.into(),
            next: Instant::now(),
            closely: Instant::now(),
            written: None,
            version: None,
        }
    }

    /// What happens from now on is not looked at; so the next look finds that anything may have happened.
    pub(crate) fn rest(&mut self) {
        self.version = None;
        self.closely = Instant::now();
    }

    /// Whether another connection may have committed since the last look. Not before it is time to look.
    pub(crate) async fn has_changed(&mut self, connection: &mut SqliteConnection) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + LOOK_EVERY;
        if now < self.closely && !self.log_was_written() {
            return false;
        }
        self.closely = now + LOOK_CLOSELY;
        let query = sqlx::query_scalar("pragma data_version");
        let version = query.fetch_one(connection).await.ok();
        let changed = version.is_none() || version != self.version;
        self.version = version;
        changed
    }

    fn log_was_written(&mut self) -> bool {
        let written = self.log.metadata().and_then(|log| log.modified()).ok();
        // Within a tick of its time the log may have been written to once more without showing it.
        let ripe = |at: SystemTime| at.elapsed().is_ok_and(|age| age > TICK);
        if written == self.written && written.is_some_and(ripe) {
            return false;
        }
        self.written = written.filter(|at| ripe(*at));
        true
    }
}

impl SqliteStorage {
    pub(crate) fn listen(&self) -> broadcast::Receiver<Wake> {
        let receiver = self.0.wakes.subscribe();
        // The task that writes may be asleep without a timer.
        self.0.listeners.notify_one();
        receiver
    }
}
