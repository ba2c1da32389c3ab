//! A worker that does all that a worker should not, and that happens to workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::stage::{Hand, Run, at_once, fail, release, retry, runs, snooze, succeed};
use super::actors::{Actor, KINDS};
use crate::job::ClaimId;
use crate::lifecycle::Transition;
use crate::storage::{Flush, Refusal, Start};

pub(super) struct Worker {
    actor: Actor,
    hand: Hand,
    /// The claims it knows to hold, and what is open in them.
    open: BTreeMap<ClaimId, Vec<Run>>,
    /// Flushes that are sent again when their time has come: somebody thinks that the answer was lost.
    again: Vec<(Instant, Flush)>,
}

impl Worker {
    pub(super) async fn new(actor: Actor) -> Self {
        let hand = Hand::hire(&actor.storage).await;
        Self {
            actor,
            hand,
            open: BTreeMap::new(),
            again: Vec::new(),
        }
    }

    pub(super) async fn work(mut self) {
        while self.actor.on() {
            match self.actor.luck.u8(..100) {
                0..3 => self.stop_for_a_while().await,
                3..5 => self.retire().await,
                5..10 => self.lose_interest_in_a_claim().await,
                10..13 => self.is_killed().await,
                13..40 => self.note_a_suspect().await,
                _ => {}
            }
            self.claim().await;
            self.settle().await;
            self.settle_again().await;
            self.beat().await;
            self.actor.pause(0..4).await;
        }
        // What it holds now is left to the rescuers, as if it had been killed.
    }

    async fn claim(&mut self) {
        let limit = self.actor.luck.usize(1..40);
        let queues: &[(&str, usize)] = match self.actor.luck.u8(..3) {
            0 => &[("*", 40)],
            1 => &[("r.a", 5), ("r.*", 30)],
            _ => &[("r.c", 40), ("r.b", 40), ("r.a", 40)],
        };
        let mut request = self.hand.request(queues, limit);
        if self.actor.chance(30) {
            request.unknown_kinds = Arc::from([KINDS[0].to_owned()]);
        }
        let claimed = self.hand.claim(&request).await;
        assert!(claimed.jobs.len() <= limit);
        for job in &claimed.jobs {
            let unknown = request.unknown_kinds.iter().any(|kind| **kind == *job.kind);
            assert!(!unknown, "a job of an unknown kind was handed out: {job:?}");
        }
        let taken = runs(&request, claimed);
        self.actor.ledger.claimed(&taken);
        // At times the answer is lost; a beat gives the jobs back.
        self.start(&taken).await;
        if !taken.is_empty() && !self.actor.chance(7) {
            self.open.insert(request.claim, taken);
        }
    }

    /// Reports the starts of jobs with limits; at times it forgets to.
    async fn start(&mut self, runs: &[Run]) {
        for run in runs {
            let limited = run.rules.as_ref().is_some_and(|it| !it.limits.is_empty());
            if !limited || self.actor.chance(20) {
                continue;
            }
            let start = Start {
                worker: self.hand.id,
                claim: run.claim,
                job: run.id,
                run: run.run,
            };
            self.actor.storage.start(&start).await.expect("start");
        }
    }

    /// Asks, and goes away before there is an answer.
    async fn lose_interest_in_a_claim(&mut self) {
        let request = self.hand.request(&[("*", 5)], 5);
        let wait = Duration::from_micros(self.actor.luck.u64(..3_000));
        let answer = timeout(wait, self.hand.claim(&request)).await;
        if let Ok(claimed) = answer {
            self.actor.ledger.claimed(&runs(&request, claimed));
        }
    }

    /// Ends some of what is open, and sends the outcomes once, twice at once, or again later.
    async fn settle(&mut self) {
        let mut settlements = Vec::new();
        let mut closed = Vec::new();
        for (claim, open) in &mut self.open {
            let n = self.actor.luck.usize(..=open.len());
            for run in open.iter().take(n) {
                settlements.push(run.ended(end(&mut self.actor.luck)));
            }
            if n == open.len() {
                closed.push(*claim);
            }
        }
        let flush = Flush {
            worker: self.hand.id,
            settlements,
            closed,
        };
        if self.actor.chance(20) {
            let when = Duration::from_millis(self.actor.luck.u64(..400));
            self.again.push((Instant::now() + when, flush.clone()));
        }
        let copies = if self.actor.chance(20) { 2 } else { 1 };
        let send = |_| {
            let (storage, flush) = (self.actor.storage.clone(), flush.clone());
            let ledger = Arc::clone(&self.actor.ledger);
            async move {
                let refused = storage.settle(&flush).await.expect("settle");
                ledger.settled(flush.worker, &flush.settlements, &refused);
                refused
            }
        };
        let answers = at_once((0..copies).map(send)).await;
        for run in &flush.settlements {
            let busy = answers.iter().all(|refused| {
                let this = |no: &&crate::storage::Refused| (no.job, no.run) == (run.job, run.run);
                let answer = refused.iter().find(this);
                answer.is_some_and(|no| no.why == Refusal::Busy)
            });
            if !busy && let Some(open) = self.open.get_mut(&run.claim) {
                open.retain(|held| (held.id, held.run) != (run.job, run.run));
            }
        }
        self.open.retain(|claim, open| {
            let closed = flush.closed.contains(claim);
            !(closed && open.is_empty())
        });
    }

    async fn settle_again(&mut self) {
        let now = Instant::now();
        let due = self.again.extract_if(.., |(when, _)| *when <= now);
        for (_, flush) in due.collect::<Vec<_>>() {
            let refused = self.actor.storage.settle(&flush).await.expect("settle");
            let sent = &flush.settlements;
            self.actor.ledger.settled(flush.worker, sent, &refused);
        }
    }

    async fn beat(&mut self) {
        let claims: Vec<_> = self.open.keys().copied().collect();
        let orders = self.hand.beat(&claims).await;
        if !orders.alive {
            self.come_back_as_another().await;
        }
    }

    /// Hangs, wakes, and goes on as if nothing had been: only later does it hear that it is dead.
    async fn stop_for_a_while(&mut self) {
        self.actor.pause(100..400).await;
        self.settle().await;
    }

    /// Notes a job that was lost before, or that there is none.
    async fn note_a_suspect(&mut self) {
        let mut open = self.open.values().flatten();
        let suspect = open.find(|run| run.lost > 0).map(|run| run.id);
        let noted = self.actor.storage.suspect(self.hand.id, suspect).await;
        noted.expect("suspect");
    }

    /// Is gone with all it holds, and another takes its place.
    async fn is_killed(&mut self) {
        self.open.clear();
        self.hand = Hand::hire(&self.actor.storage).await;
    }

    /// Goes home, with outcomes still under way.
    async fn retire(&mut self) {
        let done = self.actor.storage.retire(self.hand.id).await;
        done.expect("retire");
        self.come_back_as_another().await;
    }

    /// What it held as the one it was is reported all the same.
    async fn come_back_as_another(&mut self) {
        let left = std::mem::take(&mut self.open).into_values().flatten();
        let settlements = left.map(|run| run.ended(end(&mut self.actor.luck)));
        let flush = Flush {
            worker: self.hand.id,
            settlements: settlements.collect(),
            closed: Vec::new(),
        };
        let when = Duration::from_millis(self.actor.luck.u64(..200));
        self.again.push((Instant::now() + when, flush));
        self.hand = Hand::hire(&self.actor.storage).await;
    }
}

fn end(luck: &mut fastrand::Rng) -> Transition {
    let wait = Duration::from_millis(luck.u64(..60));
    match luck.u8(..100) {
        0..60 => succeed(),
        60..75 => retry(wait),
        75..80 => retry(Duration::ZERO),
        80..87 => fail(),
        87..94 => snooze(wait),
        _ => release(),
    }
}
