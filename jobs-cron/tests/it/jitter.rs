//! Delays that every scheduler computes alike.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs_cron::jitter;

fn at() -> DateTime<Utc> {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

#[test]
fn never_changes_between_versions() {
    let minute = Duration::from_secs(60);
    let delays = ["report", "mail", ""].map(|id| jitter(id, at(), minute).as_millis());
    assert_eq!(delays, [51_988, 30_218, 55_482]);
}

#[test]
fn differs_by_id_and_by_occurrence() {
    let hour = Duration::from_secs(3600);
    let by_id: BTreeSet<_> = (0..1_000)
        .map(|n| jitter(&n.to_string(), at(), hour))
        .collect();
    let by_time: BTreeSet<_> = (0..1_000)
        .map(|n| jitter("report", at() + TimeDelta::seconds(n), hour))
        .collect();
    assert!(
        by_id.len() > 990 && by_time.len() > 990,
        "{} {}",
        by_id.len(),
        by_time.len()
    );
}

#[test]
fn spreads_evenly_from_zero_to_the_limit() {
    let limit = Duration::from_millis(9);
    let mut counts = [0_u32; 10];
    for n in 0..10_000 {
        let delay = jitter("report", at() + TimeDelta::minutes(n), limit);
        counts[usize::try_from(delay.as_millis()).unwrap()] += 1;
    }
    assert!(
        counts.iter().all(|count| (900..1_100).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_limit_of_zero_is_no_delay_and_of_any_length_no_overflow() {
    assert_eq!(jitter("report", at(), Duration::ZERO), Duration::ZERO);
    assert!(jitter("report", at(), Duration::MAX) > Duration::ZERO);
}
