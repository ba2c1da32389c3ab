//! From where on a claim looks at a lane. Pure logic: no database and no clock in here.
//!
//! While somebody keeps an old snapshot, taken tickets stay in the index as dead entries, and a scan from the left end
//! steps over all of them. So each worker remembers, for each lane, what it has seen empty, and looks only beyond.
//!
//! What it has seen empty may fill up again: a ticket is due no earlier than its insert began, but that insert may
//! commit later. Each claim answers with its snapshot: `xmax`, the first transaction number that did not exist yet, and
//! `xmin`, the first that had not ended. All that was written before a claim at time t is decided once a later claim's
//! `xmin` has reached that claim's `xmax`; t is then *settled*. So each lane has two marks: `hot`, up to where it
//! was seen empty, and `clean`, up to where that was looked at when it was settled. Between them is looked at again, and if
//! a transaction that stays open for long makes that stretch long, only now and then.
//!
//! A look from the very beginning, within the same budget, covers what no rule does: claims of others that were rolled
//! back, rows written by hand.

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

/// More claims than this are not remembered while nothing settles; every second one is then forgotten.
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
    /// Forgets everything: another server may be answering, or the claims leave other kinds alone than before.
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
            // Another claim began later and was answered earlier: it saw what this one saw, and what it had to leave this one took.
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
            // Who did not start where it was clean has not seen all, and leaves that mark where it is.
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
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_000_000_000_000 + millis).unwrap()
    }

    fn key(millis: i64) -> Key {
        Key::at(at(millis))
    }

    /// One worker, one lane, and a clock.
    struct Bench {
        floors: Floors,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                floors: Floors::default(),
                start: Instant::now(),
            }
        }

        fn plan(&self, millis: i64) -> Key {
            let now = self.start + Duration::from_millis(millis as u64);
            self.floors.plan(&lanes(), now).starts[0]
        }

        /// A claim at a time, in a snapshot.
        fn claim(&mut self, millis: i64, xmin: i64, xmax: i64, seen: Seen) -> Key {
            let now = self.start + Duration::from_millis(millis as u64);
            let plan = self.floors.plan(&lanes(), now);
            let snapshot = Snapshot {
                at: at(millis),
                xmin,
                xmax,
            };
            let cost = Duration::from_millis(1);
            self.floors
                .learn(&plan, &lanes(), &[seen], snapshot, cost, now);
            plan.starts[0]
        }
    }

    fn lanes() -> [Lane; 1] {
        [("default".into(), 0)]
    }

    #[test]
    fn the_first_claim_starts_at_the_beginning() {
        assert_eq!(Bench::new().plan(0), Key::START);
    }

    #[test]
    fn what_was_seen_and_is_settled_is_not_looked_at_again() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 10, Seen::All);
        // The first claim's time is settled by the second's snapshot.
        assert_eq!(bench.plan(40), key(-10));
    }

    #[test]
    fn what_an_open_transaction_may_still_fill_is_looked_at_again() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 10, Seen::All);
        // Number 10 is open from here on: nothing more settles.
        bench.claim(40, 10, 11, Seen::All);
        bench.claim(60, 10, 12, Seen::All);
        assert_eq!(bench.plan(80), key(10));
        bench.claim(80, 10, 12, Seen::All);
        assert_eq!(bench.plan(100), key(10));
        // It has ended.
        bench.claim(100, 12, 12, Seen::All);
        assert_eq!(bench.plan(120), key(70));
    }

    #[test]
    fn a_long_stretch_is_looked_at_within_the_budget_only() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 11, Seen::All);
        for millis in (40..400).step_by(20) {
            bench.claim(millis, 10, 11, Seen::All);
        }
        // The first look over more than 250 ms is a catch-up; it cost 1 ms, so the next comes 100 ms later.
        let starts: Vec<_> = (400..600)
            .step_by(20)
            .map(|millis| bench.claim(millis, 10, 11, Seen::All))
            .collect();
        let caught_up = starts.iter().filter(|&&start| start == key(-10)).count();
        assert!((1..=3).contains(&caught_up), "{starts:?}");
        let recent = starts.iter().filter(|&&start| start > key(300)).count();
        assert_eq!(recent + caught_up, starts.len(), "{starts:?}");
    }

    #[test]
    fn a_full_claim_goes_on_where_it_stopped() {
        let mut bench = Bench::new();
        let last = Key(at(-5_000), Uuid::from_u128(7));
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(10, 10, 10, Seen::UpTo(last));
        assert_eq!(bench.plan(20), last);
    }

    #[test]
    fn a_full_catch_up_takes_the_floor_back() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 11, Seen::All);
        bench.claim(200, 10, 11, Seen::All);
        bench.claim(240, 11, 11, Seen::UpTo(key(15)));
        assert_eq!(bench.plan(260), key(15));
    }

    #[test]
    fn the_beginning_is_looked_at_once_a_second() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        let sweeps = (10..5_000)
            .step_by(10)
            .filter(|&millis| bench.claim(millis, 10, 10, Seen::All) == Key::START)
            .count();
        assert_eq!(sweeps, 4 + 1, "one more before anything has settled");
    }

    #[test]
    fn a_queue_that_was_not_looked_at_keeps_its_marks() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 10, Seen::All);
        let before = bench.plan(30);
        bench.claim(30, 10, 10, Seen::Nothing);
        assert_eq!(bench.plan(40), before);
    }

    #[test]
    fn a_clock_that_goes_back_brings_everything_back() {
        let mut bench = Bench::new();
        bench.claim(5_000, 10, 10, Seen::All);
        bench.claim(5_010, 10, 10, Seen::All);
        bench.claim(4_000, 10, 10, Seen::All);
        assert_eq!(bench.plan(5_020), Key::START);
    }

    #[test]
    fn of_two_claims_at_once_the_later_one_counts() {
        let mut bench = Bench::new();
        bench.claim(0, 10, 10, Seen::All);
        bench.claim(20, 10, 10, Seen::All);
        let plan = bench.floors.plan(&lanes(), bench.start);
        bench.claim(60, 10, 10, Seen::All);
        let before = bench.plan(70);
        let snapshot = Snapshot {
            at: at(40),
            xmin: 10,
            xmax: 10,
        };
        let (cost, now) = (Duration::ZERO, bench.start);
        let seen = [Seen::UpTo(key(-1_000))];
        bench
            .floors
            .learn(&plan, &lanes(), &seen, snapshot, cost, now);
        assert_eq!(bench.plan(70), before);
    }

    #[test]
    fn an_answer_from_before_a_reset_counts_for_nothing() {
        let mut bench = Bench::new();
        let plan = bench.floors.plan(&lanes(), bench.start);
        bench.floors.reset();
        let snapshot = Snapshot {
            at: at(0),
            xmin: 10,
            xmax: 10,
        };
        let now = bench.start;
        bench
            .floors
            .learn(&plan, &lanes(), &[Seen::All], snapshot, Duration::ZERO, now);
        assert_eq!(bench.plan(1), Key::START);
    }

    #[test]
    fn memory_is_bounded_while_nothing_settles() {
        let mut bench = Bench::new();
        for millis in 0..10_000 {
            bench.claim(millis, 1, 2 + millis, Seen::All);
        }
        assert!(bench.floors.pairs.len() <= MOST_PAIRS);
    }
}
