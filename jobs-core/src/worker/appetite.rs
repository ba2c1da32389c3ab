//! What runners tell the dispatcher.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// What runners tell the dispatcher, without waking it more than is useful.
#[derive(Debug, Default)]
pub(super) struct Appetite {
    /// Woken when the dispatcher said it wants to know and little is left.
    pub(super) notify: Notify,
    /// There is more to be had, and nothing to put it in.
    pub(super) hungry: AtomicBool,
    /// The queues were empty when last looked at: jobs that are stored now may come straight here.
    pub(super) dry: AtomicBool,
    /// There may be more to be had of a queue that had no room under its cap.
    pub(super) cap_hungry: AtomicBool,
    /// "Little" is this many.
    pub(super) low_water: AtomicUsize,
    /// Jobs that have ended since the start.
    pub(super) ended: AtomicU64,
    /// How long they ran, all together, in nanoseconds: 584 years are enough.
    pub(super) ran: AtomicU64,
}

impl Appetite {
    /// A job ended after running for so long.
    pub(super) fn job_ended(&self, ran: Duration) {
        self.ran.fetch_add(ran.as_nanos() as u64, Ordering::Relaxed);
        // With what was done before: who sees this number sees what was put down to be recorded until then.
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// A runner took a job, and so many are left.
    pub(super) fn left(&self, jobs: usize) {
        if jobs <= self.low_water.load(Ordering::Relaxed)
            && self.hungry.swap(false, Ordering::AcqRel)
        {
            self.notify.notify_one();
        }
    }

    /// A job has ended of a queue of which only some may run at once.
    pub(super) fn cap_has_room(&self) {
        if self.cap_hungry.swap(false, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// A slot became free.
    pub(super) fn slot_free(&self) {
        if self.hungry.swap(false, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}
