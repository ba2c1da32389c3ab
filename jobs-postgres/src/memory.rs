//! What a storage remembers for one worker from one call to the next: where its claims begin, and
//! which of them are open.
//!
//! Nothing here is needed for correctness: a storage that has forgotten it looks from the
//! beginning, and looks before it closes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobs_core::job::ClaimId;
use jobs_core::storage::ClaimRequest;
use uuid::Uuid;

use crate::floor::{Floors, Plan};
use crate::lanes::Lane;
use crate::store::Store;

/// How many open claims are kept count of.
const MOST_OPEN: usize = 100_000;

/// What a storage remembers for one worker from one call to the next.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) floors: Floors,
    unknown_kinds: Arc<[String]>,
    paused_kinds: Vec<Arc<str>>,
    losses: u64,
    below: u64,
    turn: usize,
    used: Option<Instant>,
    /// Claims below this were looked at by an earlier beat; and from when on that holds for
    /// another.
    pub(crate) beaten: Option<ClaimId>,
    pub(crate) next_beaten: Option<(Instant, Option<ClaimId>)>,
    pub(crate) full_beat: Option<Instant>,
    /// Of claims that are open, how many jobs they took and how many of these were settled.
    open: HashMap<ClaimId, (usize, usize)>,
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_recent(&self) -> bool {
        let used = self.state().used;
        used.is_some_and(|used| used.elapsed() < Duration::from_secs(60))
    }

    /// Where the claim starts. Forgets the floors first if what was seen before says nothing about
    /// now.
    pub(crate) fn plan(&self, store: &Store, request: &ClaimRequest, lanes: &[Lane]) -> Plan {
        let mut state = self.state();
        let (losses, below) = (store.pool.losses(), store.times_put_below());
        if (state.losses, state.below) != (losses, below)
            || state.unknown_kinds != request.unknown_kinds
        {
            state.floors.reset();
            state.losses = losses;
            state.below = below;
            state.unknown_kinds = request.unknown_kinds.clone();
        }
        state.used = Some(Instant::now());
        state.floors.plan(lanes, Instant::now())
    }

    /// Of the claims that are to be closed, those of which every job is settled once each of
    /// `answered` is; and the others.
    pub(crate) fn closing(
        &self,
        closed: &[ClaimId],
        answered: impl Iterator<Item = ClaimId>,
    ) -> (Vec<Uuid>, Vec<Uuid>) {
        if closed.is_empty() {
            return Default::default();
        }
        let counts = count(answered);
        let state = self.state();
        let is_done = |claim: &&ClaimId| {
            let now = counts.get(claim).copied().unwrap_or_default();
            let open = state.open.get(claim);
            open.is_some_and(|(taken, settled)| settled + now == *taken)
        };
        let (sure, unsure): (Vec<&ClaimId>, Vec<&ClaimId>) = closed.iter().partition(is_done);
        let uuids = |claims: Vec<&ClaimId>| claims.iter().map(|claim| claim.as_uuid()).collect();
        (uuids(sure), uuids(unsure))
    }

    /// All of these were settled, and these claims closed.
    pub(crate) fn settled(&self, answered: impl Iterator<Item = ClaimId>, closed: &[ClaimId]) {
        let counts = count(answered);
        let mut state = self.state();
        for (claim, settled) in counts {
            if let Some(open) = state.open.get_mut(&claim) {
                open.1 += settled;
            }
        }
        for claim in closed {
            state.open.remove(claim);
        }
    }

    /// Whose turn it is among the queues of a pattern.
    pub(crate) fn turn(&self) -> usize {
        let mut state = self.state();
        state.turn = state.turn.wrapping_add(1);
        state.turn
    }
}

impl State {
    /// Takes in which kinds a claim left alone because they are paused, by name. If these are others than
    /// before, more than was thought may lie where nothing was seen: the floors are forgotten. Answers
    /// whether one may be started again.
    pub(crate) fn heed(&mut self, paused_kinds: &[Arc<str>]) -> bool {
        if self.paused_kinds == paused_kinds {
            return false;
        }
        let before = std::mem::replace(&mut self.paused_kinds, paused_kinds.to_vec());
        self.floors.reset();
        before.iter().any(|kind| !paused_kinds.contains(kind))
    }

    /// A claim took so many jobs.
    pub(crate) fn opened(&mut self, claim: ClaimId, jobs: usize) {
        // Those that nobody closes are forgotten some time: they are then looked at when they are
        // closed after all.
        if self.open.len() >= MOST_OPEN {
            self.open.clear();
        }
        self.open.insert(claim, (jobs, 0));
    }
}

fn count(claims: impl Iterator<Item = ClaimId>) -> HashMap<ClaimId, usize> {
    let mut counts = HashMap::new();
    for claim in claims {
        *counts.entry(claim).or_default() += 1;
    }
    counts
}
