//! Hints that something has happened.
//!
//! What is done through this storage is hinted at after its commit, without the file. That somebody else
//! has written is seen by `pragma data_version`, a look at one number in shared memory, which the task that
//! writes takes every few milliseconds while somebody listens.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::broadcast;

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

    /// Tells those who listen; if nobody does, nobody needs to know.
    pub(crate) fn send(&self, wakes: &broadcast::Sender<Wake>) {
        let cancelled = self.cancelled.iter().copied().map(Wake::Cancelled);
        let jobs = self.queues.iter().map(Arc::clone).map(Wake::Jobs);
        for hint in cancelled.chain(jobs) {
            let _ = wakes.send(hint);
        }
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
