//! The faults of the `cron` crate 0.17 that this crate keeps from its users, each named by a test that shows it.
//!
//! A test that fails after an upgrade of `cron` says that a fence is no longer needed.

use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Europe::Berlin;
use jobs_cron::Schedule;

fn theirs(text: &str) -> cron::Schedule {
    cron::Schedule::from_str(text).unwrap()
}

fn ours(text: &str) -> Schedule {
    Schedule::builder(text)
        .zone("Europe/Berlin")
        .build()
        .unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn refuses_five_fields() {
    assert!(cron::Schedule::from_str("0 9 * * *").is_err());
    assert!(Schedule::parse("0 9 * * *").is_ok());
}

#[test]
fn numbers_weekdays_from_one_as_sunday() {
    let sunday = utc("2026-11-22T10:07:30Z");
    let next = theirs("0 0 9 * * 1").after(&sunday).next();
    assert_eq!(next, Some(utc("2026-11-29T09:00:00Z")), "a Sunday");
    assert!(cron::Schedule::from_str("0 0 9 * * 0").is_err());
    assert_eq!(
        Schedule::parse("0 0 9 * * 1").unwrap().next_after(sunday),
        Some(utc("2026-11-23T09:00:00Z"))
    );
}

#[test]
fn skips_the_day_when_its_time_falls_into_the_spring_gap() {
    let saturday = utc("2027-03-27T12:00:00Z");
    let next = theirs("0 30 2 * * *")
        .after(&saturday.with_timezone(&Berlin))
        .next()
        .unwrap();
    assert_eq!(next.to_rfc3339(), "2027-03-29T02:30:00+02:00");
    assert_eq!(
        ours("30 2 * * *").next_after(saturday),
        Some(utc("2027-03-28T01:00:00Z"))
    );
}

#[test]
fn fires_a_fixed_time_twice_in_the_autumn_hour() {
    let before = utc("2027-10-30T12:00:00Z");
    let twice: Vec<_> = theirs("0 30 2 * * *")
        .after(&before.with_timezone(&Berlin))
        .take(2)
        .collect();
    assert_eq!(twice[0].naive_local(), twice[1].naive_local());
    let once: Vec<_> = ours("30 2 * * *").upcoming(before).take(2).collect();
    assert_eq!(
        once,
        [utc("2027-10-31T00:30:00Z"), utc("2027-11-01T01:30:00Z")]
    );
}

#[test]
fn gives_a_next_in_the_past_in_the_second_pass_of_the_autumn_hour() {
    let now = Berlin.from_utc_datetime(&utc("2027-10-31T01:10:00Z").naive_utc());
    let next = theirs("0 */20 * * * *").after(&now).next().unwrap();
    assert!(next < now, "{next} comes before {now}");
    assert_eq!(
        ours("*/20 * * * *").next_after(now.to_utc()),
        Some(utc("2027-10-31T01:20:00Z"))
    );
}

#[test]
fn iterates_the_autumn_hour_out_of_order() {
    let before = Berlin.from_utc_datetime(&utc("2027-10-30T23:20:00Z").naive_utc());
    let theirs: Vec<_> = theirs("0 */30 * * * *").after(&before).take(6).collect();
    assert!(!theirs.is_sorted());
    let ours: Vec<_> = ours("*/30 * * * *")
        .upcoming(before.to_utc())
        .take(6)
        .collect();
    assert!(ours.is_sorted());
}

#[test]
fn loses_the_end_of_an_earlier_year_when_it_goes_back() {
    let march = utc("2026-03-15T12:00:00Z");
    let previous = theirs("0 0 0 * * * 2020").after(&march).next_back();
    assert_eq!(
        previous,
        Some(utc("2020-03-15T00:00:00Z")),
        "the last one is in December"
    );
    let ours = Schedule::parse("0 0 0 * * * 2020").unwrap();
    assert_eq!(
        ours.previous_before(march),
        Some(utc("2020-12-31T00:00:00Z"))
    );
}

#[test]
fn knows_no_ranges_past_the_end_and_no_days_that_depend_on_the_month() {
    for text in [
        "0 0 22-2 * * *",
        "0 0 0 * * FRI-MON",
        "0 0 0 L * *",
        "0 0 0 15W * *",
        "0 0 0 * * 5L",
        "0 0 0 * * 5#2",
    ] {
        assert!(cron::Schedule::from_str(text).is_err(), "{text}");
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn knows_few_macros_and_in_lower_case_alone() {
    for text in ["@annually", "@midnight", "@Daily", "@every 5m"] {
        assert!(cron::Schedule::from_str(text).is_err(), "{text}");
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn takes_a_value_with_a_step_for_an_open_range() {
    assert!(cron::Schedule::from_str("0 5/15 * * * *").is_ok());
    assert!(Schedule::parse("0 5/15 * * * *").is_err());
}

#[test]
fn accepts_what_never_happens() {
    assert_eq!(theirs("0 0 0 31 2 *").upcoming(Utc).next(), None);
    assert!(Schedule::parse("0 0 31 2 *").is_err());
}
