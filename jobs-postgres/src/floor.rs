//! From where on a claim looks at a lane. Pure logic: no database and no clock in here.
//!
//! While somebody keeps an old snapshot, taken tickets stay in the index as dead entries, and a
//! scan from the left end steps over all of them. So each worker remembers, for each lane, what it
//! has seen empty, and looks only beyond.
//!
//! What it has seen empty may fill up again: a ticket is due no earlier than its insert began, but
//! that insert may commit later. Each claim answers with its snapshot: `xmax`, the first
//! transaction number that did not exist yet, and `xmin`, the first that had not ended. All that
//! was written before a claim at time t is decided once a later claim's `xmin` has reached that
//! claim's `xmax`; t is then *settled*. So each lane has two marks: `hot`, up to where it was seen
//! empty, and `clean`, up to where that was looked at when it was settled. Between them is looked
//! at again, and if a transaction that stays open for long makes that stretch long, only now and
//! then.
//!
//! A look from the very beginning, within the same budget, covers what no rule does: claims of
//! others that were rolled back, rows written by hand. Of a job that was due already when it was
//! replaced we are told (`Store::put_below`).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::lanes::Lane;

/// A transaction gets its number a moment after the due time of its first ticket was computed.
const MARGIN: TimeDelta = TimeDelta::milliseconds(10);

/// A stretch between `clean` and `hot` that is looked at each time.
const SHORT: TimeDelta = TimeDelta::milliseconds(250);

/// Of a longer one, what is looked at each time: most transactions are short.
const RECENT: TimeDelta = TimeDelta::milliseconds(20);

/// A scan that is done for completeness may take this part of all time.
const BUDGET: u32 = 100;

/// The shortest time between two looks from the very beginning.
const SWEEP: Duration = Duration::from_secs(1);

/// More claims than this are not remembered while nothing settles; every second one is then
/// forgotten.
const MOST_PAIRS: usize = 512;

/// A place in a lane: tickets are ordered by due time and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) DateTime<Utc>, pub(crate) Uuid);

impl Key {
    /// Before all tickets.
    pub(crate) const START: Self = Self(DateTime::<Utc>::MIN_UTC, Uuid::nil());

    fn at(at: DateTime<Utc>) -> Self {
        Self(at, Uuid::nil())
    }

    fn earlier(self, by: TimeDelta) -> Self {
        self.0.checked_sub_signed(by).map_or(Self::START, Self::at)
    }
}

/// What a claim saw of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing: the claim was full before, or the queue is paused.
    Nothing,
    /// All that was due.
    All,
    /// All up to here; then the claim was full.
    UpTo(Key),
}

/// The snapshot that a claim was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: DateTime<Utc>,
    pub(crate) xmin: i64,
    pub(crate) xmax: i64,
}

/// Where to start, for each lane of a claim.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) starts: Vec<Key>,
    effort: Effort,
    generation: u64,
    /// The latest answer that was known when this was made.
    after: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// From what was seen empty.
    Usual,
    /// Some lane from where it is clean, over a long stretch.
    CatchUp,
    /// From the very beginning.
    Sweep,
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    hot: Key,
    clean: Key,
}

/// What one worker remembers of all lanes.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    lanes: HashMap<Lane, Marks>,
    /// Claims whose time is not settled: time and `xmax`, ascending.
    pairs: VecDeque<(DateTime<Utc>, i64)>,
    settled: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    next_catch_up: Option<Instant>,
    next_sweep: Option<Instant>,
    generation: u64,
}

impl Floors {
    /// Forgets everything: another server may be answering, or the claims leave other kinds alone
    /// than before.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            generation: self.generation + 1,
            ..Self::default()
        };
    }

    pub(crate) fn plan(&self, lanes: &[Lane], now: Instant) -> Plan {
        let due = |at: Option<Instant>| at.is_none_or(|at| now >= at);
        let mut plan = Plan {
            starts: Vec::with_capacity(lanes.len()),
            effort: Effort::Usual,
            generation: self.generation,
            after: self.last,
        };
        if due(self.next_sweep) {
            plan.effort = Effort::Sweep;
            plan.starts.resize(lanes.len(), Key::START);
            return plan;
        }
        for lane in lanes {
            let start = match self.lanes.get(lane) {
                None => Key::START,
                Some(marks) if marks.stretch() <= SHORT => marks.clean,
                Some(marks) if due(self.next_catch_up) => {
                    plan.effort = Effort::CatchUp;
                    marks.clean
                }
                Some(marks) => marks.clean.max(marks.hot.earlier(RECENT)),
            };
            plan.starts.push(start);
        }
        plan
    }

    /// Takes in what a claim that followed `plan` saw, and what it cost.
    pub(crate) fn learn(
        &mut self,
        plan: &Plan,
        lanes: &[Lane],
        seen: &[Seen],
        snapshot: Snapshot,
        cost: Duration,
        now: Instant,
    ) {
        if plan.generation != self.generation {
            return;
        }
        if plan.after.is_some_and(|after| snapshot.at < after - MARGIN) {
            // The server's clock was put back, or this is another server.
            self.reset();
            return;
        }
        let pause = cost * BUDGET;
        match plan.effort {
            Effort::Usual => {}
            Effort::CatchUp => self.next_catch_up = Some(now + pause),
            Effort::Sweep => self.next_sweep = Some(now + pause.max(SWEEP)),
        }
        if self.last.is_some_and(|last| snapshot.at < last) {
            // Another claim began later and was answered earlier: it saw what this one saw, and
            // what it had to leave this one took.
            return;
        }
        self.last = Some(snapshot.at);
        self.settle(snapshot);
        let settled = self
            .settled
            .map_or(Key::START, |at| Key::at(at).earlier(MARGIN));
        for ((lane, start), seen) in lanes.iter().zip(&plan.starts).zip(seen) {
            let hot = match *seen {
                Seen::Nothing => continue,
                Seen::All => Key::at(snapshot.at),
                Seen::UpTo(key) => key,
            };
            let clean = self.lanes.get(lane).map_or(Key::START, |marks| marks.clean);
            // Who did not start where it was clean has not seen all, and leaves that mark where it
            // is.
            let clean = if *start <= clean {
                hot.min(settled)
            } else {
                clean.min(hot)
            };
            self.lanes.insert(lane.clone(), Marks { hot, clean });
        }
    }

    fn settle(&mut self, snapshot: Snapshot) {
        while let Some(&(at, xmax)) = self.pairs.front() {
            if snapshot.xmin < xmax {
                break;
            }
            self.settled = self.settled.max(Some(at));
            self.pairs.pop_front();
        }
        self.pairs.push_back((snapshot.at, snapshot.xmax));
        if self.pairs.len() > MOST_PAIRS {
            let mut keep = false;
            self.pairs.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

impl Marks {
    fn stretch(&self) -> TimeDelta {
        self.hot.0 - self.clean.0
    }
}

#[cfg(test)]
mod tests;
