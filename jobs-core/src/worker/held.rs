//! The jobs a worker holds and has not started, and the runners that take them.
//!
//! A runner is a task that runs one job after the other and ends when there is none. Whether one is
//! left is decided under the same lock under which jobs arrive, so that no job can be put down
//! beside a runner that has just decided to end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::caps::{Cap, Caps};
use crate::job::{ClaimId, JobId};
use crate::lifecycle::{LOST_LIMIT, is_last_chance};
use crate::storage::ClaimedJob;

/// How many jobs wait apart before no more are claimed: they are held in memory.
const MOST_APART: usize = 1_000;

/// A job in this worker's hands.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) job: ClaimedJob,
    pub(super) claim: ClaimId,
    pub(super) taken: Instant,
}

impl Taken {
    /// Whether it is Failed if one more worker dies with it.
    pub(super) fn is_on_its_last_chance(&self) -> bool {
        is_last_chance(self.job.lost, LOST_LIMIT)
    }
}

#[derive(Debug)]
struct Ranked {
    rank: usize,
    priority: i16,
    seq: u64,
    /// Which cap its queue counts to.
    cap: Option<usize>,
    taken: Taken,
}

impl Ranked {
    fn key(&self) -> (usize, i16, u64) {
        (self.rank, self.priority, self.seq)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    /// Reversed: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[derive(Debug, Default)]
struct State {
    jobs: BinaryHeap<Ranked>,
    runners: usize,
    /// Slots that are kept free for jobs on their way here.
    reserved: usize,
    seq: u64,
    /// No runner may take anything: the worker has lost touch with its storage, or is shutting down.
    closed: bool,
    /// A job runs that is on its last chance.
    at_risk: bool,
    /// Others like it: they wait here for its end, and not in a slot, where they would keep others out.
    apart: Vec<Ranked>,
    /// For each cap, how many of its jobs run, and those that wait for them: here, not in a slot.
    capped: Vec<Capped>,
}

#[derive(Debug, Default)]
struct Capped {
    running: usize,
    waiting: BinaryHeap<Ranked>,
}

impl State {
    fn pop(&mut self, caps: &Caps) -> Option<Ranked> {
        while let Some(ranked) = self.jobs.pop() {
            if let Some(cap) = ranked.cap
                && self.capped[cap].running >= caps.get(cap)
            {
                self.capped[cap].waiting.push(ranked);
                continue;
            }
            let risk = ranked.taken.is_on_its_last_chance();
            if risk && std::mem::replace(&mut self.at_risk, true) {
                self.apart.push(ranked);
                continue;
            }
            if let Some(cap) = ranked.cap {
                self.capped[cap].running += 1;
            }
            return Some(ranked);
        }
        None
    }
}

/// What is held, and how many runners work on it.
#[derive(Debug)]
pub(super) struct Held {
    slots: usize,
    caps: Caps,
    state: Mutex<State>,
}

/// What a runner is told.
pub(super) enum Next {
    /// Run this; so many are left.
    Run(Box<Taken>, usize),
    /// Nothing to do: end. The runner is not counted any more.
    End,
}

impl Held {
    pub(super) fn new(slots: usize, caps: Caps) -> Self {
        let mut state = State::default();
        state.capped.resize_with(caps.iter().len(), Capped::default);
        Self {
            slots,
            caps,
            state: Mutex::new(state),
        }
    }

    pub(super) fn caps(&self) -> &Caps {
        &self.caps
    }

    /// How many more jobs of the queues of each cap to take, if `spare` are held beyond the slots of all.
    pub(super) fn rooms(&self, spare: usize) -> Vec<usize> {
        if self.caps.iter().len() == 0 {
            return Vec::new();
        }
        let state = self.lock();
        let mut taken: Vec<_> = state
            .capped
            .iter()
            .map(|capped| capped.running + capped.waiting.len())
            .collect();
        let elsewhere = state.jobs.iter().chain(&state.apart);
        elsewhere
            .filter_map(|ranked| ranked.cap)
            .for_each(|cap| taken[cap] += 1);
        let room = |(cap, taken): (&Cap, usize)| {
            let spare = spare.saturating_mul(cap.jobs) / self.slots.max(1);
            cap.jobs.saturating_add(spare).saturating_sub(taken)
        };
        self.caps.iter().zip(taken).map(room).collect()
    }

    /// A job has ended that counted to this cap: another may run, which the caller, a runner, takes next.
    pub(super) fn cap_has_room(&self, cap: usize) {
        let mut state = self.lock();
        state.capped[cap].running -= 1;
        if let Some(next) = state.capped[cap].waiting.pop() {
            state.jobs.push(next);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps slots free for jobs on their way here, if they could start at once.
    pub(super) fn reserve(&self, jobs: usize) -> bool {
        let mut state = self.lock();
        let busy = state.runners + state.reserved + jobs > self.slots;
        let ready = !state.closed && state.jobs.is_empty() && !busy;
        if ready {
            state.reserved += jobs;
        }
        ready
    }

    /// The jobs are here, or will not come.
    pub(super) fn end_reservation(&self, jobs: usize) {
        self.lock().reserved -= jobs;
    }

    /// Puts jobs down, each with its rank; answers how many runners to start.
    pub(super) fn put(&self, jobs: impl IntoIterator<Item = (usize, Taken)>) -> usize {
        let mut state = self.lock();
        for (rank, taken) in jobs {
            let (priority, seq) = (taken.job.priority.get(), state.seq);
            let cap = self.caps.of(&taken.job.queue);
            state.seq += 1;
            state.jobs.push(Ranked {
                rank,
                priority,
                seq,
                cap,
                taken,
            });
        }
        self.runners_wanted(&mut state)
    }

    fn runners_wanted(&self, state: &mut State) -> usize {
        if state.closed {
            return 0;
        }
        let more = state
            .jobs
            .len()
            .min(self.slots - state.runners.min(self.slots));
        state.runners += more;
        more
    }

    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        let next = if state.closed {
            None
        } else {
            state.pop(&self.caps)
        };
        match next {
            Some(ranked) => Next::Run(Box::new(ranked.taken), state.jobs.len()),
            None => {
                state.runners -= 1;
                Next::End
            }
        }
    }

    /// The job has ended that was on its last chance: now it is the turn of another one, which the
    /// caller, a runner, takes next.
    pub(super) fn risk_is_over(&self) {
        let mut state = self.lock();
        state.at_risk = false;
        let apart = std::mem::take(&mut state.apart);
        state.jobs.extend(apart);
    }

    /// A runner was dropped in the middle of a job.
    pub(super) fn runner_dropped(&self) {
        self.lock().runners -= 1;
    }

    /// Stops runners from taking more, or lets them again; answers how many to start.
    pub(super) fn set_closed(&self, closed: bool) -> usize {
        let mut state = self.lock();
        state.closed = closed;
        self.runners_wanted(&mut state)
    }

    /// Whether no runner may take anything.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Jobs held, and slots that are free. Those that wait apart or for room under their cap take no part in
    /// this, unless they are so many that no more should be claimed.
    pub(super) fn len_and_free(&self) -> (usize, usize) {
        let state = self.lock();
        let too_many = state.apart.len().saturating_sub(MOST_APART);
        (
            state.jobs.len() + too_many,
            self.slots.saturating_sub(state.runners + state.reserved),
        )
    }

    /// Whether nothing is held, runs, or is on its way here.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        let waits = |capped: &Capped| !capped.waiting.is_empty();
        let waiting = !state.jobs.is_empty() || !state.apart.is_empty();
        let coming = state.runners + state.reserved > 0;
        !coming && !waiting && !state.capped.iter().any(waits)
    }

    /// How many runners there are.
    pub(super) fn runners(&self) -> usize {
        self.lock().runners
    }

    /// All jobs that are held, with the ownership under which they are.
    pub(super) fn runs(&self) -> Vec<(JobId, i32)> {
        let state = self.lock();
        let capped = state.capped.iter().flat_map(|capped| &capped.waiting);
        let all = state.jobs.iter().chain(&state.apart).chain(capped);
        all.map(|ranked| (ranked.taken.job.id, ranked.taken.job.run))
            .collect()
    }

    /// Takes out the jobs that `unwanted` names.
    pub(super) fn take_if(&self, mut unwanted: impl FnMut(&Taken) -> bool) -> Vec<Taken> {
        let mut state = self.lock();
        let apart = state.apart.extract_if(.., |ranked| unwanted(&ranked.taken));
        let mut out: Vec<_> = apart.collect();
        for capped in &mut state.capped {
            take_from(&mut capped.waiting, &mut unwanted, &mut out);
        }
        take_from(&mut state.jobs, &mut unwanted, &mut out);
        out.into_iter().map(|ranked| ranked.taken).collect()
    }

    /// Takes out what has been held for longer than `patience` while every slot is busy, or every one that
    /// its queue may have: another worker may have a free one.
    pub(super) fn take_stale(&self, now: Instant, patience: Duration) -> Vec<Taken> {
        let is_stale = |taken: &Taken| now.saturating_duration_since(taken.taken) > patience;
        if self.len_and_free().1 == 0 {
            return self.take_if(is_stale);
        }
        let mut out = Vec::new();
        for capped in &mut self.lock().capped {
            take_from(&mut capped.waiting, &mut { is_stale }, &mut out);
        }
        out.into_iter().map(|ranked| ranked.taken).collect()
    }
}

fn take_from(
    jobs: &mut BinaryHeap<Ranked>,
    unwanted: &mut impl FnMut(&Taken) -> bool,
    out: &mut Vec<Ranked>,
) {
    if jobs.iter().any(|ranked| unwanted(&ranked.taken)) {
        let mut all = std::mem::take(jobs).into_vec();
        out.extend(all.extract_if(.., |ranked| unwanted(&ranked.taken)));
        *jobs = all.into();
    }
}

#[cfg(test)]
mod tests;
