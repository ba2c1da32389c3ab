//! Takes jobs straight from those who store them in this process.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::crew::Crew;
use super::held::Taken;
use crate::job::{ClaimId, NewJob, WorkerId};
use crate::storage::{ClaimedJob, Taker};

/// A crew, as those see it who store jobs.
pub(super) struct Offer(Weak<Crew>);

impl Offer {
    /// Offers for as long as the crew is there. The caller keeps what is answered for as long.
    pub(super) fn make(crew: &Arc<Crew>) -> Arc<dyn Taker> {
        let offer: Arc<dyn Taker> = Arc::new(Self(Arc::downgrade(crew)));
        crew.storage.offer(Arc::downgrade(&offer));
        offer
    }
}

impl Crew {
    /// Whether this worker has nothing better to do: its queues were empty when it last looked, so that
    /// nobody is overtaken but those who store jobs at this very moment.
    fn would_take(&self, jobs: &[NewJob]) -> bool {
        // What only some may run of at once waits its turn.
        let caps = self.held.caps();
        let takes = |job: &NewJob| {
            let known = self.registry.find(&job.kind).is_some();
            known && self.serves(&job.queue) && caps.of(&job.queue).is_none()
        };
        self.appetite.dry.load(Ordering::Acquire)
            && !self.is_lost()
            && !self.serving.is_quiet()
            && !self.settler.is_full()
            && jobs.iter().all(takes)
            && self.held.reserve(jobs.len())
    }
}

impl Taker for Offer {
    fn reserve(&self, jobs: &[NewJob]) -> Option<(WorkerId, ClaimId)> {
        let crew = self.0.upgrade()?;
        crew.would_take(jobs).then(|| (crew.id, crew.ledger.ask()))
    }

    fn deliver(&self, claim: ClaimId, reserved: usize, jobs: Vec<ClaimedJob>) {
        let Some(crew) = self.0.upgrade() else {
            return;
        };
        crew.ledger.got(claim, jobs.len());
        let taken = Instant::now();
        let jobs = jobs.into_iter().map(|job| (0, Taken { job, claim, taken }));
        crew.held.end_reservation(reserved);
        // If the worker is stopping by now they stay where they are, and go back with its goodbye.
        crew.start_runners(crew.held.put(jobs));
    }

    fn doubt(&self, claim: ClaimId, reserved: usize) {
        if let Some(crew) = self.0.upgrade() {
            crew.ledger.doubt(claim);
            crew.held.end_reservation(reserved);
        }
    }
}
