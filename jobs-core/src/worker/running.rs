//! The jobs that are running in this worker, and how to break them off.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::handler::JobContext;
use crate::job::{ClaimId, JobId};
use crate::storage::ClaimedJob;

/// Why a running job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// An operator deleted it, or it is another worker's by now.
    Revoked,
    /// This worker is shutting down.
    Shutdown,
    /// This worker lost touch with its storage: the job may be another worker's by now.
    LostTouch,
}

/// What must be known of a running job to settle it, with its runner or without.
#[derive(Debug)]
pub(super) struct Run {
    /// The job, without its arguments: those are the handler's.
    pub(super) job: ClaimedJob,
    pub(super) claim: ClaimId,
    pub(super) started: Instant,
    pub(super) cancelled: Option<Cancelled>,
    pub(super) context: JobContext,
}

/// A lock for each of so many parts: jobs start and end at job rate on all threads.
const PARTS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Running {
    parts: [Mutex<HashMap<JobId, Run>>; PARTS],
}

impl Running {
    fn part(&self, job: JobId) -> MutexGuard<'_, HashMap<JobId, Run>> {
        let part = job.as_uuid().as_u64_pair().1 as usize % PARTS;
        self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self, mut f: impl FnMut(&mut HashMap<JobId, Run>)) {
        self.parts
            .iter()
            .for_each(|part| f(&mut part.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Notes that a job starts. Gives it back if an earlier run of this very job goes on in this
    /// worker: it was given to somebody else, and came back.
    pub(super) fn start(&self, run: Run) -> Result<(), Box<Run>> {
        match self.part(run.job.id).entry(run.job.id) {
            Entry::Occupied(_) => Err(Box::new(run)),
            Entry::Vacant(place) => {
                place.insert(run);
                Ok(())
            }
        }
    }

    /// Notes that a job has ended.
    pub(super) fn end(&self, job: JobId) -> Option<Run> {
        self.part(job).remove(&job)
    }

    pub(super) fn cancel(&self, job: JobId, why: Cancelled) {
        if let Some(run) = self.part(job).get_mut(&job) {
            run.cancel(why);
        }
    }

    pub(super) fn cancel_claims(&self, claims: &[ClaimId], why: Cancelled) {
        let gone = |run: &&mut Run| claims.contains(&run.claim);
        self.each(|part| {
            part.values_mut()
                .filter(gone)
                .for_each(|run| run.cancel(why))
        });
    }

    pub(super) fn cancel_all(&self, why: Cancelled) {
        self.each(|part| part.values_mut().for_each(|run| run.cancel(why)));
    }

    /// All jobs that run, with the ownership under which they do.
    pub(super) fn runs(&self) -> Vec<(JobId, i32)> {
        let mut runs = Vec::new();
        self.each(|part| runs.extend(part.iter().map(|(id, run)| (*id, run.job.run))));
        runs
    }

    /// Takes out everything: the runners are gone.
    pub(super) fn drain(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        self.each(|part| runs.extend(part.drain().map(|(_, run)| run)));
        runs
    }
}

impl Run {
    fn cancel(&mut self, why: Cancelled) {
        self.cancelled.get_or_insert(why);
        match why {
            Cancelled::Revoked => self.context.revoke(),
            Cancelled::Shutdown | Cancelled::LostTouch => self.context.cancellation().cancel(),
        }
    }
}
