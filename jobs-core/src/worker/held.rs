//! The jobs a worker holds and has not started, and the runners that take them.
//!
//! A runner is a task that runs one job after the other and ends when there is none. Whether one is
//! left is decided under the same lock under which jobs arrive, so that no job can be put down
//! beside a runner that has just decided to end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::job::ClaimId;
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
}

impl State {
    fn pop(&mut self) -> Option<Ranked> {
        while let Some(ranked) = self.jobs.pop() {
            if !ranked.taken.is_on_its_last_chance() {
                return Some(ranked);
            }
            if !std::mem::replace(&mut self.at_risk, true) {
                return Some(ranked);
            }
            self.apart.push(ranked);
        }
        None
    }
}

/// What is held, and how many runners work on it.
#[derive(Debug)]
pub(super) struct Held {
    slots: usize,
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
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            state: Mutex::default(),
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
            state.seq += 1;
            state.jobs.push(Ranked {
                rank,
                priority,
                seq,
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
        let next = if state.closed { None } else { state.pop() };
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

    /// Jobs held, and slots that are free. Those that wait apart take no part in this, unless they are
    /// so many that no more should be claimed.
    pub(super) fn len_and_free(&self) -> (usize, usize) {
        let state = self.lock();
        let too_many = state.apart.len().saturating_sub(MOST_APART);
        (
            state.jobs.len() + too_many,
            self.slots.saturating_sub(state.runners + state.reserved),
        )
    }

    /// How many runners there are.
    pub(super) fn runners(&self) -> usize {
        self.lock().runners
    }

    /// Takes out the jobs that `unwanted` names.
    pub(super) fn take_if(&self, mut unwanted: impl FnMut(&Taken) -> bool) -> Vec<Taken> {
        let mut state = self.lock();
        let apart = state.apart.extract_if(.., |ranked| unwanted(&ranked.taken));
        let mut out: Vec<_> = apart.collect();
        if state.jobs.iter().any(|ranked| unwanted(&ranked.taken)) {
            let mut all = std::mem::take(&mut state.jobs).into_vec();
            out.extend(all.extract_if(.., |ranked| unwanted(&ranked.taken)));
            state.jobs = all.into();
        }
        out.into_iter().map(|ranked| ranked.taken).collect()
    }

    /// Takes out what has been held for longer than `patience` while every slot is busy: another
    /// worker may have a free one.
    pub(super) fn take_stale(&self, now: Instant, patience: Duration) -> Vec<Taken> {
        if self.len_and_free().1 > 0 {
            return Vec::new();
        }
        self.take_if(|taken| now.saturating_duration_since(taken.taken) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, Priority};

    fn taken(priority: i16, queue: &str) -> Taken {
        let job = ClaimedJob {
            id: JobId::new(),
            kind: "k".into(),
            args: String::new(),
            queue: queue.into(),
            priority: Priority::new(priority),
            options: None,
            rules: None,
            attempt: 0,
            lost: 0,
            run: 0,
            due_at: chrono::Utc::now(),
        };
        Taken {
            job,
            claim: ClaimId::new(),
            taken: Instant::now(),
        }
    }

    fn order(held: &Held) -> Vec<i16> {
        std::iter::from_fn(|| match held.next() {
            Next::Run(taken, _) => Some(taken.job.priority.get()),
            Next::End => None,
        })
        .collect()
    }

    #[test]
    fn earlier_queues_and_smaller_priorities_come_first() {
        let held = Held::new(1);
        let started = held.put([(1, taken(-9, "b")), (0, taken(5, "a")), (0, taken(1, "a"))]);
        assert_eq!(started, 1);
        assert_eq!(order(&held), [1, 5, -9]);
    }

    #[test]
    fn equal_ones_stay_in_order() {
        let held = Held::new(1);
        let jobs: Vec<_> = (0..50).map(|_| taken(0, "a")).collect();
        let ids: Vec<_> = jobs.iter().map(|taken| taken.job.id).collect();
        held.put(jobs.into_iter().map(|taken| (0, taken)));
        let mut got = Vec::new();
        while let Next::Run(taken, _) = held.next() {
            got.push(taken.job.id);
        }
        assert_eq!(got, ids);
    }

    #[test]
    fn there_are_never_more_runners_than_slots() {
        let held = Held::new(2);
        assert_eq!(held.put((0..5).map(|_| (0, taken(0, "a")))), 2);
        assert_eq!(held.put([(0, taken(0, "a"))]), 0);
        assert_eq!(held.len_and_free(), (6, 0));
        assert_eq!(order(&held).len(), 6);
        assert_eq!(held.len_and_free(), (0, 1));
    }

    #[test]
    fn closed_means_nothing_starts_until_reopened() {
        let held = Held::new(2);
        held.set_closed(true);
        assert_eq!(held.put([(0, taken(0, "a"))]), 0);
        assert_eq!(held.set_closed(false), 1);
        assert_eq!(order(&held).len(), 1);
    }

    fn lost(times: u32) -> Taken {
        let mut lost = taken(0, "a");
        lost.job.lost = times;
        lost
    }

    #[test]
    fn of_those_on_their_last_chance_one_runs_and_keeps_nobody_else_waiting() {
        let held = Held::new(3);
        let jobs = [lost(2), lost(2), lost(2), lost(1), lost(0)];
        let ids = jobs.each_ref().map(|taken| taken.job.id);
        assert_eq!(held.put(jobs.map(|taken| (0, taken))), 3);
        let take = || match held.next() {
            Next::Run(taken, _) => Some(taken.job.id),
            Next::End => None,
        };
        assert_eq!([take(), take(), take()], [0, 3, 4].map(|n| Some(ids[n])));
        assert_eq!(held.len_and_free(), (0, 0));
        // The runners of the other two find nothing, and their slots are free.
        assert_eq!([take(), take()], [None, None]);
        assert_eq!(held.len_and_free(), (0, 2));
        held.risk_is_over();
        assert_eq!(take(), Some(ids[1]));
        // What waits apart can be taken out like everything else.
        held.put([(0, lost(2))]);
        assert_eq!(take(), None);
        assert_eq!(held.take_if(|_| true).len(), 2);
        held.risk_is_over();
        assert_eq!(take(), None);
    }

    #[test]
    fn so_many_may_wait_apart() {
        let held = Held::new(2);
        held.put((0..MOST_APART + 3).map(|_| (0, lost(2))));
        assert!(matches!(held.next(), Next::Run(..)));
        assert!(matches!(held.next(), Next::End));
        assert_eq!(held.len_and_free(), (2, 1));
    }

    #[test]
    fn unwanted_jobs_can_be_taken_out() {
        let held = Held::new(1);
        held.put([(0, taken(0, "a")), (0, taken(0, "b"))]);
        let out = held.take_if(|taken| &*taken.job.queue == "a");
        assert_eq!(out.len(), 1);
        assert_eq!(held.len_and_free().0, 1);
    }
}
