//! Who in this process waits for which job to end. Only a hint: it may come too often, and a job that
//! ends in another process gives none here, so those who wait also look from time to time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::job::JobId;

/// The jobs that somebody in this process waits for.
#[derive(Default)]
pub(super) struct Finished {
    /// How many jobs are watched: mostly none, and then nothing is locked for a settlement.
    watched: AtomicUsize,
    jobs: Mutex<HashMap<JobId, Watched>>,
}

struct Watched {
    watchers: usize,
    ended: Arc<Notify>,
}

impl Finished {
    /// Starts to watch a job. Look at its state after this, not before: then nothing is missed.
    pub(super) fn watch(&self, job: JobId) -> Watch<'_> {
        let mut jobs = self.jobs();
        let watched = jobs.entry(job).or_insert_with(|| Watched {
            watchers: 0,
            ended: Arc::default(),
        });
        watched.watchers += 1;
        let ended = Arc::clone(&watched.ended);
        self.watched.store(jobs.len(), Ordering::SeqCst);
        Watch {
            finished: self,
            job,
            ended,
        }
    }

    /// Says that these jobs may have ended.
    pub(super) fn announce(&self, ended: impl IntoIterator<Item = JobId>) {
        if self.watched.load(Ordering::SeqCst) == 0 {
            return;
        }
        let jobs = self.jobs();
        for watched in ended.into_iter().filter_map(|job| jobs.get(&job)) {
            watched.ended.notify_waiters();
        }
    }

    /// How many jobs are watched.
    pub(super) fn watched(&self) -> u32 {
        let watched = self.watched.load(Ordering::SeqCst);
        u32::try_from(watched).unwrap_or(u32::MAX)
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Watched>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for one job. Dropping it ends that.
pub(crate) struct Watch<'f> {
    finished: &'f Finished,
    job: JobId,
    /// Notifies all that wait at that moment: get a `notified()` future and enable it, look at the
    /// job's state, then await the future.
    pub(crate) ended: Arc<Notify>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut jobs = self.finished.jobs();
        if let Some(watched) = jobs.get_mut(&self.job) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                jobs.remove(&self.job);
            }
        }
        self.finished.watched.store(jobs.len(), Ordering::SeqCst);
    }
}
