//! What a worker remembers, claim by claim.

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
    // The first look over more than 250 ms is a catch-up; it cost 1 ms, so the next comes 100 ms
    // later.
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
