//! The hours that clocks skip and repeat, by example. `oracle` checks them by brute force.

use jobs_cron::{Schedule, Tz};

/// The occurrences after an instant, in local time with the offset.
#[track_caller]
fn gives(tz: Tz, text: &str, after: &str, expected: &[&str]) {
    let schedule = Schedule::builder(text).tz(tz).build().unwrap();
    let times = schedule
        .upcoming(after.parse().unwrap())
        .take(expected.len());
    let times: Vec<String> = times.map(|at| at.with_timezone(&tz).to_rfc3339()).collect();
    assert_eq!(times, expected, "{text} in {tz} after {after}");
    // Backwards from the last of them, the same.
    let last = schedule
        .upcoming(after.parse().unwrap())
        .nth(expected.len() - 1);
    let back = std::iter::successors(last, |at| schedule.previous_before(*at)).take(expected.len());
    let mut back: Vec<String> = back.map(|at| at.with_timezone(&tz).to_rfc3339()).collect();
    back.reverse();
    assert_eq!(back, expected, "{text} in {tz} back to {after}");
}

#[test]
fn new_york_in_spring_runs_the_skipped_time_once_after_the_gap() {
    gives(
        Tz::America__New_York,
        "30 2 * * *",
        "2026-03-08T01:59:00-05:00",
        &["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"],
    );
}

#[test]
fn new_york_in_autumn_runs_an_interval_in_both_passes() {
    gives(
        Tz::America__New_York,
        "*/30 * * * *",
        "2026-11-01T01:30:00-04:00",
        &[
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:00:00-05:00",
        ],
    );
}

#[test]
fn new_york_in_autumn_runs_fixed_times_in_the_first_pass_alone() {
    gives(
        Tz::America__New_York,
        "0,30 1 * * *",
        "2026-11-01T01:30:00-04:00",
        &["2026-11-02T01:00:00-05:00"],
    );
    gives(
        Tz::America__New_York,
        "0,30 1 * * *",
        "2026-11-01T00:30:00-04:00",
        &[
            "2026-11-01T01:00:00-04:00",
            "2026-11-01T01:30:00-04:00",
            "2026-11-02T01:00:00-05:00",
        ],
    );
    // From inside the second pass.
    gives(
        Tz::America__New_York,
        "0,30 1 * * *",
        "2026-11-01T01:15:00-05:00",
        &["2026-11-02T01:00:00-05:00"],
    );
}

#[test]
fn several_times_in_one_gap_run_once() {
    gives(
        Tz::Europe__Berlin,
        "15,45 2 * * *",
        "2027-03-27T12:00:00Z",
        &["2027-03-28T03:00:00+02:00", "2027-03-29T02:15:00+02:00"],
    );
    // Together with a time of its own right after the gap.
    gives(
        Tz::Europe__Berlin,
        "30 2,3 * * *",
        "2027-03-28T00:00:00Z",
        &["2027-03-28T03:00:00+02:00", "2027-03-28T03:30:00+02:00"],
    );
    gives(
        Tz::Europe__Berlin,
        "0 2,3 * * *",
        "2027-03-28T00:00:00Z",
        &["2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00"],
    );
}

#[test]
fn an_interval_runs_through_the_gap() {
    gives(
        Tz::Europe__Berlin,
        "*/20 * * * *",
        "2027-03-28T00:30:00Z",
        &[
            "2027-03-28T01:40:00+01:00",
            "2027-03-28T03:00:00+02:00",
            "2027-03-28T03:20:00+02:00",
        ],
    );
    // Every run of that day falls into the gap: it is not lost.
    gives(
        Tz::Europe__Berlin,
        "*/20 2 * * *",
        "2027-03-27T12:00:00Z",
        &["2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00"],
    );
}

#[test]
fn an_hourly_run_at_half_past_is_made_up_for_after_the_gap() {
    gives(
        Tz::Europe__Berlin,
        "30 * * * *",
        "2027-03-28T00:00:00Z",
        &[
            "2027-03-28T01:30:00+01:00",
            "2027-03-28T03:00:00+02:00",
            "2027-03-28T03:30:00+02:00",
        ],
    );
}

#[test]
fn a_day_without_midnight_begins_at_one() {
    gives(
        Tz::America__Sao_Paulo,
        "@daily",
        "2018-11-03T12:00:00Z",
        &["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
    );
}

#[test]
fn a_day_with_two_midnights_in_a_row_runs_once() {
    // At midnight clocks went back to 23:00 of the day before.
    gives(
        Tz::America__Sao_Paulo,
        "30 23 * * *",
        "2018-02-17T12:00:00Z",
        &["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"],
    );
    gives(
        Tz::America__Sao_Paulo,
        "30 * * * *",
        "2018-02-18T01:00:00Z",
        &[
            "2018-02-17T23:30:00-02:00",
            "2018-02-17T23:30:00-03:00",
            "2018-02-18T00:30:00-03:00",
        ],
    );
}

#[test]
fn clocks_may_change_by_half_an_hour() {
    gives(
        Tz::Australia__Lord_Howe,
        "15 2 * * *",
        "2026-10-03T00:00:00Z",
        &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    );
    gives(
        Tz::Australia__Lord_Howe,
        "*/15 * * * *",
        "2026-04-04T14:30:00Z",
        &[
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
}

#[test]
fn a_day_that_did_not_exist_runs_at_the_start_of_the_next() {
    // Samoa moved to the other side of the date line and had no 30 December 2011.
    gives(
        Tz::Pacific__Apia,
        "0 9 * * *",
        "2011-12-29T20:00:00Z",
        &["2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"],
    );
}

#[test]
fn a_scheduler_that_asks_again_and_again_never_fires_twice() {
    // Once in ten seconds, through the whole repeated hour: each occurrence is found once.
    let schedule = Schedule::builder("*/20 * * * *")
        .tz(Tz::Europe__Berlin)
        .build()
        .unwrap();
    let mut now: chrono::DateTime<chrono::Utc> = "2027-10-30T23:55:00Z".parse().unwrap();
    let end = now + chrono::TimeDelta::hours(3);
    let mut next = schedule.next_after(now).unwrap();
    let mut fired = Vec::new();
    while now < end {
        if next <= now {
            fired.push(next);
            next = schedule.next_after(now).unwrap();
        }
        now += chrono::TimeDelta::seconds(10);
    }
    assert_eq!(fired.len(), 9, "{fired:?}");
    assert!(
        fired
            .windows(2)
            .all(|pair| pair[1] - pair[0] == chrono::TimeDelta::minutes(20)),
        "{fired:?}"
    );
}
