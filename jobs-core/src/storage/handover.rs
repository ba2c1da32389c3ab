//! Jobs handed straight to a worker of the process that stores them.
//!
//! A worker that found its queues empty and has slots free *offers* to take jobs. Who stores a few then
//! stores them together with a claim of that worker, in one step, and the jobs start when the answer
//! is there: no second request, and nobody is woken.
//!
//! It is a claim like any other. If the answer is lost, or nobody waits for it any more, the claim is in
//! doubt, and the next beat of the worker gives its jobs back to their queues.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{ClaimedJob, HandedOver, StorageHandle};
use crate::error::Result;
use crate::job::{ClaimId, Due, NewJob, WorkerId};
use crate::storage::Inserted;

/// More jobs than this are not worth a shortcut.
const FEW: usize = 64;

/// A worker of this process, as those see it who store jobs.
pub(crate) trait Taker: Send + Sync {
    /// Keeps slots free for these jobs, if all of them could start at once.
    fn reserve(&self, jobs: &[NewJob]) -> Option<(WorkerId, ClaimId)>;

    /// Ends the reservation. The jobs are this worker's under the claim.
    fn deliver(&self, claim: ClaimId, reserved: usize, jobs: Vec<ClaimedJob>);

    /// Ends the reservation. Nobody knows whether the claim was carried out.
    fn doubt(&self, claim: ClaimId, reserved: usize);
}

/// The workers of this process.
#[derive(Default)]
pub(super) struct Takers(Mutex<Vec<Weak<dyn Taker>>>);

impl Takers {
    fn add(&self, taker: Weak<dyn Taker>) {
        let mut takers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        takers.retain(|taker| taker.strong_count() > 0);
        takers.push(taker);
    }

    fn reserve(&self, jobs: &[NewJob]) -> Option<Reservation> {
        let plain = |job: &NewJob| job.due == Due::Now && job.rules.is_none();
        if jobs.len() > FEW || !jobs.iter().all(plain) {
            return None;
        }
        let takers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        takers.iter().filter_map(Weak::upgrade).find_map(|taker| {
            let (worker, claim) = taker.reserve(jobs)?;
            Some(Reservation {
                taker: Some(taker),
                worker,
                claim,
                jobs: jobs.len(),
            })
        })
    }
}

/// Slots kept free, until the answer is there or cannot be expected any more.
struct Reservation {
    taker: Option<Arc<dyn Taker>>,
    worker: WorkerId,
    claim: ClaimId,
    jobs: usize,
}

impl Reservation {
    fn deliver(mut self, jobs: Vec<ClaimedJob>) {
        if let Some(taker) = self.taker.take() {
            taker.deliver(self.claim, self.jobs, jobs);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.doubt(self.claim, self.jobs);
        }
    }
}

impl StorageHandle {
    /// Makes a worker known that may offer to take jobs.
    pub(crate) fn offer(&self, taker: Weak<dyn Taker>) {
        self.takers().add(taker);
    }

    /// Stores jobs and hands them to a worker that offers to take them. `None`: nothing was done, or
    /// nobody knows whether it was; insert them.
    pub(super) async fn hand_over(&self, jobs: &[NewJob]) -> Result<Option<Vec<Inserted>>> {
        let Some(reservation) = self.takers().reserve(jobs) else {
            return Ok(None);
        };
        let (worker, claim) = (reservation.worker, reservation.claim);
        // From here on the reservation is dropped, and the claim in doubt, if this is broken off.
        let Some(HandedOver { taken, due_at }) = self.insert_taken(jobs, worker, claim).await?
        else {
            return Ok(None);
        };
        let mut taken = taken.into_iter().peekable();
        let mut claimed = Vec::with_capacity(jobs.len());
        for job in jobs {
            if taken.next_if_eq(&job.id).is_some() {
                claimed.push(ClaimedJob::fresh(job, due_at));
            }
        }
        reservation.deliver(claimed);
        let inserted = jobs.iter().map(|job| Inserted::new(job.id)).collect();
        Ok(Some(inserted))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::{JobId, Rules};
    use crate::storage::{MemoryStorage, WorkerInfo};

    /// Takes everything, and notes what it is told.
    #[derive(Default)]
    struct Greedy {
        worker: Mutex<Option<WorkerId>>,
        delivered: Mutex<Vec<JobId>>,
        doubted: Mutex<usize>,
    }

    impl Taker for Greedy {
        fn reserve(&self, _: &[NewJob]) -> Option<(WorkerId, ClaimId)> {
            let worker = *self.worker.lock().unwrap();
            worker.map(|worker| (worker, ClaimId::new()))
        }
        fn deliver(&self, _: ClaimId, _: usize, jobs: Vec<ClaimedJob>) {
            let ids = jobs.iter().map(|job| job.id);
            self.delivered.lock().unwrap().extend(ids);
        }
        fn doubt(&self, _: ClaimId, reserved: usize) {
            *self.doubted.lock().unwrap() += reserved;
        }
    }

    async fn greedy() -> (StorageHandle, Arc<Greedy>) {
        let storage = StorageHandle::new(MemoryStorage::new());
        let info = WorkerInfo::new(WorkerId::new());
        storage.register(&info).await.unwrap();
        let taker = Arc::new(Greedy::default());
        *taker.worker.lock().unwrap() = Some(info.id);
        let weak: Weak<Greedy> = Arc::downgrade(&taker);
        storage.offer(weak);
        (storage, taker)
    }

    fn job() -> NewJob {
        NewJob::new(JobId::new(), "work", "{}")
    }

    #[tokio::test]
    async fn jobs_go_straight_to_who_offers() {
        let (storage, taker) = greedy().await;
        let jobs = [job(), job()];
        storage.insert(&jobs).await.unwrap();
        assert_eq!(*taker.delivered.lock().unwrap(), [jobs[0].id, jobs[1].id]);
        assert_eq!(*taker.doubted.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_not_plain_or_not_few_goes_its_usual_way() {
        let (storage, taker) = greedy().await;
        let (mut later, mut ruled) = (job(), job());
        later.due = Due::In(Duration::from_secs(1));
        ruled.rules = Some(Box::new(Rules::default()));
        let many: Vec<_> = (0..=FEW).map(|_| job()).collect();
        storage.insert(&[job(), later]).await.unwrap();
        storage.insert(&[ruled]).await.unwrap();
        storage.insert(&many).await.unwrap();
        assert!(taker.delivered.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_job_that_is_there_already_is_inserted_again_and_the_claim_in_doubt() {
        let (storage, taker) = greedy().await;
        let job = [job()];
        storage.insert(&job).await.unwrap();
        assert!(storage.insert(&job).await.unwrap()[0].existing);
        assert_eq!(taker.delivered.lock().unwrap().len(), 1);
        assert_eq!(*taker.doubted.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_the_claim_in_doubt() {
        let (storage, taker) = greedy().await;
        drop(storage.takers().reserve(&[job(), job()]));
        assert_eq!(*taker.doubted.lock().unwrap(), 2);
        // Who is gone is not asked.
        drop(taker);
        assert!(storage.takers().reserve(&[job()]).is_none());
    }
}
