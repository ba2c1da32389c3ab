//! Writes down how runs ended, many at once.
//!
//! Outcomes are put down by runners and sent off by two hands. All outcomes of one claim go through
//! one hand, so that no claim is ever locked by two flushes. A hand sends at once when it has rested
//! for [`PACE`], and otherwise gathers until then or until [`BATCH`] are there. A database that is
//! away is waited for: outcomes stay here (their number is bounded, because the dispatcher claims
//! nothing while [`Settler::is_full`]), and their times stay right, because a settlement says how long
//! ago it ended.
//!
//! kill -9 anywhere here: the outcomes not yet sent are lost, their jobs are still this worker's in
//! the storage, and they run again once it is found dead. A lost answer: the flush is sent again, and
//! the storage answers that those runs are settled already.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{debug, warn};

use super::ledger::Ledger;
use crate::error::{Error, Result};
use crate::job::{ErrorReport, WorkerId};
use crate::lifecycle::Transition;
use crate::storage::{Flush, Refusal, Refused, Settlement, StorageHandle};

/// How long outcomes are gathered when they come fast.
const PACE: Duration = Duration::from_millis(5);

/// How many are sent off without waiting for the pace.
const BATCH: usize = 1_000;

/// How many go into one flush at most.
const MOST: usize = 2_000;

/// From how many on the dispatcher claims no more.
const FULL: usize = 20_000;

/// How many hands there are.
const HANDS: usize = 2;

/// The longest pause between two tries to reach a database that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An outcome, and when the run ended.
#[derive(Debug)]
struct Ended {
    settlement: Settlement,
    at: Instant,
    /// Whether everything that the storage might refuse to keep was taken out already.
    stripped: bool,
}

#[derive(Debug, Default)]
struct Hand {
    waiting: Mutex<Vec<Ended>>,
    filled: Notify,
}

impl Hand {
    fn put(&self, ended: Ended) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(ended);
        // The first one wakes a resting hand, the last one of a batch an impatient one.
        if waiting.len() == 1 || waiting.len() == BATCH {
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Vec<Ended> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() <= MOST {
            return std::mem::take(&mut *waiting);
        }
        let rest = waiting.split_off(MOST);
        std::mem::replace(&mut *waiting, rest)
    }

    fn len(&self) -> usize {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// The settler of one worker.
#[derive(Debug)]
pub(super) struct Settler {
    storage: StorageHandle,
    worker: WorkerId,
    ledger: Arc<Ledger>,
    hands: [Hand; HANDS],
    unsettled: AtomicUsize,
    stopping: AtomicBool,
}

impl Settler {
    pub(super) fn new(storage: StorageHandle, worker: WorkerId, ledger: Arc<Ledger>) -> Self {
        Self {
            storage,
            worker,
            ledger,
            hands: Default::default(),
            unsettled: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Puts down how a run ended just now.
    pub(super) fn put(&self, settlement: Settlement) {
        let hand = settlement.claim.as_uuid().as_u64_pair().1 as usize % HANDS;
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.hands[hand].put(Ended {
            settlement,
            at: Instant::now(),
            stripped: false,
        });
    }

    /// Whether so much is waiting to be written down that nothing more should be started.
    pub(super) fn is_full(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) >= FULL
    }

    /// Whether everything is written down.
    pub(super) fn is_empty(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) == 0
    }

    /// Runs the hands until [`Self::stop`] was called and everything is written down.
    pub(super) async fn run(self: Arc<Self>) {
        let hands = (0..HANDS).map(|hand| {
            let settler = Arc::clone(&self);
            tokio::spawn(async move { settler.work(hand).await })
        });
        for hand in hands.collect::<Vec<_>>() {
            // A hand that panicked is a bug; what it held runs again after this worker is gone.
            if let Err(error) = hand.await {
                tracing::error!(%error, "a part of the settler ended early");
            }
        }
    }

    /// Lets [`Self::run`] end when nothing is left.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.hands.iter().for_each(|hand| hand.filled.notify_one());
    }

    async fn work(&self, hand: usize) {
        let hand = &self.hands[hand];
        let mut rested: Option<Instant> = None;
        loop {
            if hand.len() == 0 {
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                hand.filled.notified().await;
                continue;
            }
            if let Some(last) = rested
                && hand.len() < BATCH
                && !self.stopping.load(Ordering::Acquire)
                && let Some(rest) = PACE.checked_sub(last.elapsed())
            {
                let _ = tokio::time::timeout(rest, hand.filled.notified()).await;
                if hand.len() < BATCH && last.elapsed() < PACE {
                    continue;
                }
            }
            rested = Some(Instant::now());
            let batch = hand.take();
            self.flush(hand, batch).await;
        }
    }

    /// Sends a batch until it is answered.
    async fn flush(&self, hand: &Hand, batch: Vec<Ended>) {
        let closed = self
            .ledger
            .closing(batch.iter().map(|ended| ended.settlement.claim));
        let mut parts = vec![batch];
        // What the storage refuses whole is cut in halves until the culprit is alone; claims are closed
        // with the last part, when all others are answered for.
        while let Some(mut part) = parts.pop() {
            let closing = if parts.is_empty() {
                closed.as_slice()
            } else {
                &[]
            };
            match self.send(&part, closing).await {
                Ok(refused) => self.answered(hand, part, &refused),
                Err(error) if part.len() > 1 => {
                    debug!(%error, jobs = part.len(), "a flush was refused: halving it");
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                }
                Err(error) => parts.extend(self.strip(part, &error)),
            }
        }
        self.ledger.close(&closed);
    }

    /// Prepares a lone outcome that was refused for another try.
    fn strip(&self, mut part: Vec<Ended>, error: &Error) -> Option<Vec<Ended>> {
        for ended in &mut part {
            if ended.stripped {
                // Nothing more can be taken out. The job stays this worker's, and runs again once the
                // worker is gone: wrong twice is better than lost.
                tracing::error!(job = %ended.settlement.job, %error, "an outcome cannot be stored");
                self.ledger.reopen(ended.settlement.claim);
                self.unsettled.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            ended.stripped = true;
            make_storable(&mut ended.settlement, error);
        }
        Some(part)
    }

    /// Sends a flush until the storage has answered; fails only if it refuses this very content.
    async fn send(&self, part: &[Ended], closing: &[crate::job::ClaimId]) -> Result<Vec<Refused>> {
        let mut pause = Duration::from_millis(20);
        loop {
            let settlements = part.iter().map(|ended| {
                let ended_ago = ended.at.elapsed();
                Settlement {
                    ended_ago,
                    ..ended.settlement.clone()
                }
            });
            let flush = Flush {
                worker: self.worker,
                settlements: settlements.collect(),
                closed: closing.to_vec(),
            };
            match self.storage.settle(&flush).await {
                Ok(refused) => return Ok(refused),
                Err(error @ Error::Rejected { .. }) => return Err(error),
                Err(error) => {
                    // Nothing is lost meanwhile: the outcomes are here, the jobs are still ours.
                    warn!(%error, jobs = part.len(), "outcomes wait for the storage");
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn answered(&self, hand: &Hand, part: Vec<Ended>, refused: &[Refused]) {
        self.unsettled.fetch_sub(part.len(), Ordering::Relaxed);
        if refused.is_empty() {
            return;
        }
        let busy = |ended: &Ended| {
            let Settlement { job, run, .. } = ended.settlement;
            refused.contains(&Refused {
                job,
                run,
                why: Refusal::Busy,
            })
        };
        for ended in part.into_iter().filter(busy) {
            self.ledger.reopen(ended.settlement.claim);
            self.unsettled.fetch_add(1, Ordering::Relaxed);
            hand.put(ended);
        }
        let superseded = refused
            .iter()
            .filter(|refused| refused.why == Refusal::Superseded);
        let superseded = superseded.count();
        if superseded > 0 {
            debug!(
                jobs = superseded,
                "outcomes refused: the jobs are not this worker's any more"
            );
        }
    }
}

/// Takes out of an outcome what the storage refuses to keep: a result, or an error's words.
fn make_storable(settlement: &mut Settlement, error: &Error) {
    warn!(job = %settlement.job, %error, "an outcome could not be stored as it is");
    match &mut settlement.transition {
        Transition::Succeed { result, note } => {
            *result = None;
            *note = Some("its result could not be stored".into());
        }
        Transition::Retry { report, reason, .. } | Transition::Fail { report, reason, .. } => {
            *report = ErrorReport::new("the error could not be stored");
            *reason = "its error could not be stored".into();
        }
        Transition::Delete { reason }
        | Transition::Snooze { reason, .. }
        | Transition::Release { reason } => reason.clear(),
    }
}
