//! What is due, what was missed, and what of it runs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs_cron::{Due, Misfire, MisfireRule, Schedule};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn rule(misfire: Misfire) -> MisfireRule {
    MisfireRule {
        misfire,
        ..MisfireRule::default()
    }
}

fn hourly() -> Schedule {
    Schedule::parse("0 * * * *").unwrap()
}

const RULES: [Misfire; 3] = [Misfire::RunOnce, Misfire::All, Misfire::Skip];

#[test]
fn nothing_is_due_before_its_time() {
    for misfire in RULES {
        let last = utc("2026-11-22T10:00:00Z");
        let due = hourly().due(last, utc("2026-11-22T10:59:59Z"), &rule(misfire));
        assert_eq!(
            due,
            Due {
                run: vec![],
                skipped_from: None,
                last,
                next: Some(utc("2026-11-22T11:00:00Z"))
            }
        );
    }
}

#[test]
fn an_occurrence_on_time_runs_whatever_the_rule() {
    for misfire in RULES {
        let at = utc("2026-11-22T11:00:00Z");
        for late in [TimeDelta::zero(), TimeDelta::seconds(10)] {
            let due = hourly().due(utc("2026-11-22T10:00:00Z"), at + late, &rule(misfire));
            let next = Some(utc("2026-11-22T12:00:00Z"));
            assert_eq!(
                due,
                Due {
                    run: vec![at],
                    skipped_from: None,
                    last: at,
                    next
                },
                "{misfire:?}"
            );
        }
    }
}

#[test]
fn three_hours_down() {
    let (last, now) = (utc("2026-11-22T10:00:00Z"), utc("2026-11-22T13:20:00Z"));
    let missed = [
        "2026-11-22T11:00:00Z",
        "2026-11-22T12:00:00Z",
        "2026-11-22T13:00:00Z",
    ]
    .map(utc);
    let due = |misfire| hourly().due(last, now, &rule(misfire));
    assert_eq!(due(Misfire::RunOnce).run, [missed[2]]);
    assert_eq!(due(Misfire::RunOnce).skipped_from, Some(missed[0]));
    assert_eq!(due(Misfire::All).run, missed);
    assert_eq!(due(Misfire::All).skipped_from, None);
    assert!(due(Misfire::Skip).run.is_empty());
    assert_eq!(due(Misfire::Skip).skipped_from, Some(missed[0]));
    for misfire in RULES {
        let then = due(misfire);
        assert_eq!(
            (then.last, then.next),
            (missed[2], Some(utc("2026-11-22T14:00:00Z"))),
            "then on schedule"
        );
        assert!(
            hourly().due(then.last, now, &rule(misfire)).run.is_empty(),
            "never twice"
        );
    }
}

#[test]
fn run_once_is_one_run_even_when_the_latest_is_on_time() {
    let due = hourly().due(
        utc("2026-11-22T10:00:00Z"),
        utc("2026-11-22T13:00:05Z"),
        &rule(Misfire::RunOnce),
    );
    assert_eq!(due.run, [utc("2026-11-22T13:00:00Z")]);
}

#[test]
fn skip_runs_what_is_within_the_grace_period() {
    let rule = MisfireRule {
        misfire: Misfire::Skip,
        grace: Duration::from_secs(90 * 60),
        cap: 100,
    };
    let due = hourly().due(
        utc("2026-11-22T08:00:00Z"),
        utc("2026-11-22T13:20:00Z"),
        &rule,
    );
    assert_eq!(
        due.run,
        ["2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"].map(utc)
    );
    assert_eq!(due.skipped_from, Some(utc("2026-11-22T09:00:00Z")));
}

#[test]
fn a_cap_keeps_the_latest() {
    let (last, now) = (utc("2026-11-22T00:00:00Z"), utc("2026-11-22T10:30:00Z"));
    let with = |cap| {
        hourly().due(
            last,
            now,
            &MisfireRule {
                misfire: Misfire::All,
                cap,
                ..MisfireRule::default()
            },
        )
    };
    assert_eq!(
        with(2).run,
        ["2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z"].map(utc)
    );
    assert_eq!(with(2).skipped_from, Some(utc("2026-11-22T01:00:00Z")));
    assert_eq!(with(0).run, [utc("2026-11-22T10:00:00Z")], "0 counts as 1");
    assert_eq!((with(10).run.len(), with(10).skipped_from), (10, None));
}

#[test]
fn a_schedule_of_one_second_loses_no_run_to_a_late_look() {
    let schedule = Schedule::parse("* * * * * *").unwrap();
    fastrand::seed(1);
    let start = utc("2026-11-22T10:00:00Z");
    let (mut last, mut now, mut ran) = (start, start, Vec::new());
    while now < start + TimeDelta::hours(1) {
        now += TimeDelta::milliseconds(fastrand::i64(1..4_000));
        let due = schedule.due(last, now, &rule(Misfire::RunOnce));
        ran.extend(due.run);
        last = due.last;
    }
    let expected: Vec<_> = schedule
        .upcoming(start)
        .take_while(|at| *at <= now)
        .collect();
    assert_eq!(ran, expected);
}

#[test]
fn a_year_of_schedulers_that_come_and_go_runs_each_occurrence_once() {
    fastrand::seed(2);
    let all = MisfireRule {
        misfire: Misfire::All,
        cap: 1_000,
        ..MisfireRule::default()
    };
    for text in [
        "*/30 * * * *",
        "15,45 2 * * *",
        "0 9 L * *",
        "30 1 * * SUN",
        "@every 7h",
    ] {
        let schedule = Schedule::builder(text)
            .zone("Europe/Berlin")
            .build()
            .unwrap();
        let start = utc("2026-01-01T00:00:00Z");
        let (mut stored, mut now, mut ran) = (start, start, std::collections::BTreeMap::new());
        while now < start + TimeDelta::days(366) {
            now += TimeDelta::seconds(fastrand::i64(1..40_000));
            // Some of them look at what another one has just stored, some at what it was before.
            let before = stored;
            for _ in 0..3 {
                let last = if fastrand::bool() { before } else { stored };
                let due = schedule.due(last, now - TimeDelta::seconds(fastrand::i64(0..5)), &all);
                assert_eq!(due.skipped_from, None);
                for occurrence in due.run {
                    *ran.entry(occurrence).or_insert(0) += 1;
                }
                stored = stored.max(due.last);
            }
        }
        let expected: Vec<_> = schedule
            .upcoming(start)
            .take_while(|at| *at <= stored)
            .collect();
        assert!(ran.keys().eq(expected.iter()), "{text}");
        assert!(
            ran.values().any(|times| *times > 1),
            "{text}: nothing was tried twice"
        );
    }
}

#[test]
fn a_year_down_costs_no_more_than_what_runs() {
    let schedule = Schedule::parse("* * * * * *").unwrap();
    let (last, now) = (utc("2025-11-22T10:00:00Z"), utc("2026-11-22T10:00:00.5Z"));
    let begun = std::time::Instant::now();
    for misfire in RULES {
        let due = schedule.due(last, now, &rule(misfire));
        assert_eq!(due.last, utc("2026-11-22T10:00:00Z"));
    }
    // 31,536,000 occurrences, one by one, would take minutes.
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_clock_set_back_runs_nothing_again() {
    for misfire in RULES {
        let due = hourly().due(
            utc("2026-11-22T10:00:00Z"),
            utc("2026-11-22T08:30:00Z"),
            &rule(misfire),
        );
        assert_eq!((due.run, due.last), (vec![], utc("2026-11-22T10:00:00Z")));
    }
}

#[test]
fn a_schedule_that_has_ended_has_no_next() {
    let schedule = Schedule::builder("0 * * * *")
        .ends(utc("2026-11-22T11:30:00Z"))
        .build()
        .unwrap();
    let due = schedule.due(
        utc("2026-11-22T10:00:00Z"),
        utc("2026-11-23T00:00:00Z"),
        &rule(Misfire::RunOnce),
    );
    assert_eq!(
        (due.run, due.next),
        (vec![utc("2026-11-22T11:00:00Z")], None)
    );
    let over = schedule.due(
        due.last,
        utc("2026-11-24T00:00:00Z"),
        &rule(Misfire::RunOnce),
    );
    assert_eq!((over.run, over.next, over.last), (vec![], None, due.last));
}

#[test]
fn the_words_are_read_as_they_are_written() {
    for misfire in RULES {
        assert_eq!(Misfire::from_name(misfire.as_str()), Some(misfire));
    }
    assert_eq!(Misfire::from_name("Once"), None);
}
