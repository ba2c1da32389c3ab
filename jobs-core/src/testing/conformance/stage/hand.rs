//! Workers that are led by hand.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Patience;
use crate::job::{ClaimId, QueuePattern, WorkerId};
use crate::lifecycle::{LOST_LIMIT, LOST_REASON, Transition};
use crate::storage::{
    Beat, ClaimRequest, Claimed, ClaimedJob, Flush, Orders, QueueShare, Refusal, Refused,
    RescueRequest, Rescued, Settlement, StorageHandle, WorkerInfo,
};

/// How long what must not happen is waited for.
const CAUTION: Duration = Duration::from_millis(30);

/// A job in the hands of a worker.
#[derive(Clone, Debug)]
pub(in super::super) struct Run {
    pub(in super::super) claim: ClaimId,
    /// How many jobs were taken under that claim.
    size: usize,
    pub(in super::super) job: ClaimedJob,
}

impl Deref for Run {
    type Target = ClaimedJob;

    fn deref(&self) -> &ClaimedJob {
        &self.job
    }
}

impl Run {
    /// This run, ended just now after 40 ms.
    pub(in super::super) fn ended(&self, transition: Transition) -> Settlement {
        Settlement {
            job: self.id,
            run: self.run,
            claim: self.claim,
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            attempt: self.attempt,
            ran_for: Some(Duration::from_millis(40)),
            ended_ago: Duration::ZERO,
            transition,
        }
    }
}

/// A worker that does what it is told.
#[derive(Clone)]
pub(in super::super) struct Hand {
    pub(in super::super) storage: StorageHandle,
    pub(in super::super) id: WorkerId,
}

impl Hand {
    /// A worker that is registered.
    pub(in super::super) async fn hire(storage: &StorageHandle) -> Self {
        let hand = Self::stranger(storage);
        let info = WorkerInfo::new(hand.id);
        storage.register(&info).await.expect("register");
        hand
    }

    /// A worker that the storage has not heard of.
    pub(in super::super) fn stranger(storage: &StorageHandle) -> Self {
        let (storage, id) = (storage.clone(), WorkerId::new());
        Self { storage, id }
    }

    pub(in super::super) fn request(&self, shares: &[(&str, usize)], limit: usize) -> ClaimRequest {
        let share = |&(queues, limit): &(&str, usize)| QueueShare {
            queues: QueuePattern::new(queues).expect("a pattern"),
            limit,
        };
        ClaimRequest {
            worker: self.id,
            claim: ClaimId::new(),
            queues: shares.iter().map(share).collect(),
            limit,
            unknown_kinds: Arc::from([]),
        }
    }

    pub(in super::super) async fn claim(&self, request: &ClaimRequest) -> Claimed {
        self.storage.claim(request).await.expect("claim")
    }

    /// One request, whatever it gets.
    pub(in super::super) async fn ask(&self, shares: &[(&str, usize)], limit: usize) -> Vec<Run> {
        let request = self.request(shares, limit);
        let claimed = self.claim(&request).await;
        runs(&request, claimed)
    }

    /// Takes `n` jobs, which are there.
    pub(in super::super) async fn take(&self, queue: &str, n: usize) -> Vec<Run> {
        let what = format!("{n} jobs are to be had in {queue}");
        let patience = Patience::new(&what);
        let mut taken = Vec::new();
        loop {
            let missing = n - taken.len();
            taken.extend(self.ask(&[(queue, missing)], missing).await);
            if taken.len() == n {
                return taken;
            }
            patience.wait().await;
        }
    }

    /// Takes `n` jobs, which limits let in by and by, and finds that there are no more.
    pub(in super::super) async fn gets(&self, queue: &str, n: usize) -> Vec<Run> {
        let what = format!("{n} jobs are let in in {queue}");
        let patience = Patience::new(&what);
        let mut taken = Vec::new();
        while taken.len() < n {
            self.storage.tick().await.expect("tick");
            let some = self.ask(&[(queue, 1_000)], 1_000).await;
            taken.extend(some);
            patience.wait().await;
        }
        assert_eq!(taken.len(), n, "no more are let in");
        self.gets_nothing(queue).await;
        taken
    }

    /// Finds that limits let nothing in.
    pub(in super::super) async fn gets_nothing(&self, queue: &str) {
        self.storage.tick().await.expect("tick");
        self.finds_nothing(queue).await;
    }

    pub(in super::super) async fn take_one(&self, queue: &str) -> Run {
        self.take(queue, 1).await.remove(0)
    }

    /// Finds that there is nothing to be had.
    pub(in super::super) async fn finds_nothing(&self, queue: &str) {
        for _ in 0..3 {
            let found = self.ask(&[(queue, 10)], 10).await;
            assert!(found.is_empty(), "this was not to be had: {found:?}");
            sleep(CAUTION / 3).await;
        }
    }

    /// Sends outcomes, again where the storage was busy, and closes these claims.
    pub(in super::super) async fn send(
        &self,
        settlements: Vec<Settlement>,
        closed: Vec<ClaimId>,
    ) -> Vec<Refused> {
        let mut flush = Flush {
            worker: self.id,
            settlements,
            closed,
        };
        let mut refused = Vec::new();
        let patience = Patience::new("the storage has time for outcomes");
        loop {
            let answer = self.storage.settle(&flush).await.expect("settle");
            let (busy, others): (Vec<_>, Vec<_>) =
                answer.into_iter().partition(|no| no.why == Refusal::Busy);
            refused.extend(others);
            let is_busy = |run: &Settlement| {
                let mut busy = busy.iter();
                busy.any(|no| (no.job, no.run) == (run.job, run.run))
            };
            flush.settlements.retain(is_busy);
            if flush.settlements.is_empty() {
                return refused;
            }
            patience.wait().await;
        }
    }

    /// Sends the same outcome for these runs and closes the claims of which these are all.
    pub(in super::super) async fn report(
        &self,
        runs: &[Run],
        transition: &Transition,
    ) -> Vec<Refused> {
        let settlements = runs.iter().map(|run| run.ended(transition.clone()));
        self.send(settlements.collect(), claims(runs)).await
    }

    /// The same for one run, which must be applied.
    pub(in super::super) async fn end(&self, run: &Run, transition: Transition) {
        let refused = self.report(std::slice::from_ref(run), &transition).await;
        assert_eq!(refused, [], "a run of one's own can be ended");
    }

    /// The same for one run, which must be refused.
    pub(in super::super) async fn is_refused(
        &self,
        run: &Run,
        transition: Transition,
        why: Refusal,
    ) {
        let refused = self.report(std::slice::from_ref(run), &transition).await;
        let (job, run) = (run.id, run.run);
        assert_eq!(refused, [Refused { job, run, why }]);
    }

    /// Beats, naming these claims and knowing of all made so far.
    pub(in super::super) async fn beat(&self, claims: &[ClaimId]) -> Orders {
        self.beat_up_to(claims, Some(ClaimId::new())).await
    }

    pub(in super::super) async fn beat_up_to(
        &self,
        claims: &[ClaimId],
        newest: Option<ClaimId>,
    ) -> Orders {
        let beat = Beat {
            worker: self.id,
            claims: claims.to_vec(),
            newest,
        };
        self.storage.beat(&beat).await.expect("beat")
    }

    /// The number of the last beat, if the worker is listed.
    pub(in super::super) async fn last_beat(&self) -> Option<i64> {
        let presences = self.storage.presences().await.expect("presences");
        let own = presences.iter().find(|one| one.worker == self.id);
        own.map(|one| one.beat)
    }

    pub(in super::super) fn rescue_request(&self, beat: i64) -> RescueRequest {
        RescueRequest {
            worker: self.id,
            beat,
            lost_limit: LOST_LIMIT,
            lost_reason: LOST_REASON,
            limit: 1_000,
        }
    }

    /// Dies, and is found dead.
    pub(in super::super) async fn dies(&self) -> Rescued {
        let beat = self.last_beat().await.expect("the worker is listed");
        self.is_rescued(&self.rescue_request(beat)).await
    }

    /// Is rescued, in as many calls as it takes.
    pub(in super::super) async fn is_rescued(&self, request: &RescueRequest) -> Rescued {
        let patience = Patience::new("a dead worker's jobs are taken back");
        let mut total = Rescued::default();
        loop {
            let rescued = self.storage.rescue(request).await.expect("rescue");
            assert!(rescued.released + rescued.failed <= request.limit as u64);
            total.released += rescued.released;
            total.failed += rescued.failed;
            if !rescued.more {
                return total;
            }
            patience.wait().await;
        }
    }
}

/// The claims of which these runs are all.
pub(in super::super) fn claims(runs: &[Run]) -> Vec<ClaimId> {
    let same = runs.chunk_by(|one, other| one.claim == other.claim);
    let whole = same.filter(|runs| runs.len() == runs[0].size);
    whole.map(|runs| runs[0].claim).collect()
}

pub(in super::super) fn runs(request: &ClaimRequest, claimed: Claimed) -> Vec<Run> {
    let (claim, size) = (request.claim, claimed.jobs.len());
    let run = |job| Run { claim, size, job };
    claimed.jobs.into_iter().map(run).collect()
}
