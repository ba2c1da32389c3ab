//! `@every`: distances counted from an anchor.

use chrono::{DateTime, TimeDelta, Utc};
use jobs_cron::{Schedule, Tz};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn counts_from_1970_unless_a_start_is_given() {
    let schedule = Schedule::parse("@every 90s").unwrap();
    let next: Vec<_> = schedule
        .upcoming(utc("2026-11-22T10:00:00Z"))
        .take(2)
        .collect();
    assert_eq!(
        next,
        [utc("2026-11-22T10:01:30Z"), utc("2026-11-22T10:03:00Z")]
    );
    assert_eq!(next[0].timestamp() % 90, 0);
    assert_eq!(
        schedule.next_after(DateTime::<Utc>::MIN_UTC),
        Some(DateTime::UNIX_EPOCH)
    );
    assert_eq!(schedule.previous_before(DateTime::UNIX_EPOCH), None);
    assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
}

#[test]
fn a_start_is_its_first_occurrence() {
    let schedule = Schedule::builder("@every 1h30m")
        .starts(utc("2026-11-22T10:10:10.5Z"))
        .build()
        .unwrap();
    let all: Vec<_> = schedule
        .upcoming(utc("2020-01-01T00:00:00Z"))
        .take(2)
        .collect();
    assert_eq!(
        all,
        [utc("2026-11-22T10:10:11Z"), utc("2026-11-22T11:40:11Z")]
    );
    assert_eq!(schedule.previous_before(all[0]), None);
    assert_eq!(schedule.previous_before(all[1]), Some(all[0]));
}

#[test]
fn clock_changes_do_not_matter() {
    let schedule = Schedule::builder("@every 30m")
        .tz(Tz::Europe__Berlin)
        .build()
        .unwrap();
    let times: Vec<_> = schedule
        .upcoming(utc("2027-10-30T23:00:00Z"))
        .take(10)
        .collect();
    assert!(
        times
            .windows(2)
            .all(|pair| pair[1] - pair[0] == TimeDelta::minutes(30))
    );
}

#[test]
fn distances_are_read_in_all_units() {
    for (text, seconds) in [
        ("@every 5m", 300),
        ("@EVERY\t1H30M", 5_400),
        ("@every 1d", 86_400),
        ("@every 1d2h3m4s", 93_784),
    ] {
        let schedule = Schedule::parse(text).unwrap();
        assert_eq!(
            schedule.expression().every_seconds(),
            Some(seconds),
            "{text}"
        );
        let [a, b] = schedule
            .upcoming(utc("2026-11-22T10:00:00Z"))
            .take(2)
            .collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        assert_eq!((b - a).num_seconds(), i64::try_from(seconds).unwrap());
    }
}
