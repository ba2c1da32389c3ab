//! Hints that something has happened.
//!
//! What is done through this storage is hinted at after its commit, without the file. Whether somebody else
//! has written is looked at every few milliseconds while somebody listens: see [`Lookout`] and [`Watch`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::broadcast;
use tokio::time::Instant;

use jobs_core::job::JobId;
use jobs_core::storage::Wake;

use crate::SqliteStorage;
use crate::watch::{Told, Watch};

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

/// How often to look closely, whatever the file system says.
const LOOK_CLOSELY: Duration = Duration::from_millis(500);

/// Sees that another connection has committed. `pragma data_version` says so, but takes the way through
/// the driver's thread; so it is asked only when the log was written to since, as a [`Watch`] tells, and now
/// and then in case the file system does not tell.
pub(crate) struct Lookout {
    watch: Watch,
    /// When to look whatever the watch says.
    pub(crate) closely: Instant,
    /// What `data_version` said last: it stays the same while only this connection commits.
    version: Option<i64>,
}

impl Lookout {
    pub(crate) fn new(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self {
            watch: Watch::start(log.into()),
            closely: Instant::now(),
            version: None,
        }
    }

    /// What is told when the log was written to; nothing is while nobody listens.
    pub(crate) fn told(&self, listening: bool) -> Arc<Told> {
        self.watch.listen(listening);
        Arc::clone(&self.watch.told)
    }

    /// What happens from now on is not looked at; so the next look finds that anything may have happened.
    pub(crate) fn rest(&mut self) {
        self.version = None;
        self.closely = Instant::now();
    }

    /// Whether another connection may have committed since the last look. Not before there is a reason to
    /// look.
    pub(crate) async fn has_changed(&mut self, connection: &mut SqliteConnection) -> bool {
        let now = Instant::now();
        let written = self.watch.told.written.swap(false, Ordering::Relaxed);
        if now < self.closely && !written {
            return false;
        }
        self.closely = now + LOOK_CLOSELY;
        let query = sqlx::query_scalar("pragma data_version");
        let version = query.fetch_one(connection).await.ok();
        let changed = version.is_none() || version != self.version;
        self.version = version;
        changed
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
