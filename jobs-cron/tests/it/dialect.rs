//! What expressions mean, by the times they give. (Longer than 400 lines: each word of the dialect has its test.)

use chrono::{DateTime, Utc};
use jobs_cron::{Days, Schedule};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The next occurrences after Sunday 2026-11-22 10:07:30 UTC, as `year-month-day hour:minute:second`.
fn next(schedule: &Schedule, count: usize) -> Vec<String> {
    let upcoming = schedule.upcoming(utc("2026-11-22T10:07:30Z"));
    upcoming
        .take(count)
        .map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string())
        .collect()
}

#[track_caller]
fn gives(text: &str, expected: &[&str]) {
    let schedule = Schedule::parse(text).unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!(next(&schedule, expected.len()), expected, "{text}");
}

/// The days alone, of a schedule at midnight.
#[track_caller]
fn gives_days(text: &str, expected: &[&str]) {
    gives(
        text,
        &expected
            .iter()
            .map(|day| format!("{day} 00:00:00"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
}

#[track_caller]
fn same(texts: &[&str]) {
    let all: Vec<Vec<String>> = texts
        .iter()
        .map(|text| next(&Schedule::parse(text).unwrap(), 20))
        .collect();
    for (text, times) in texts.iter().zip(&all) {
        assert_eq!(times, &all[0], "{text} and {}", texts[0]);
        assert_eq!(times.len(), 20, "{text}");
    }
}

#[test]
fn five_fields() {
    gives(
        "*/5 * * * *",
        &[
            "2026-11-22 10:10:00",
            "2026-11-22 10:15:00",
            "2026-11-22 10:20:00",
        ],
    );
    gives(
        "30 * * * *",
        &["2026-11-22 10:30:00", "2026-11-22 11:30:00"],
    );
    gives(
        "0,30 9-10 * * *",
        &[
            "2026-11-22 10:30:00",
            "2026-11-23 09:00:00",
            "2026-11-23 09:30:00",
        ],
    );
    gives_days(
        "0 0 31 * *",
        &[
            "2026-12-31",
            "2027-01-31",
            "2027-03-31",
            "2027-05-31",
            "2027-07-31",
        ],
    );
    gives_days(
        "0 0 29 2 *",
        &[
            "2028-02-29",
            "2032-02-29",
            "2036-02-29",
            "2040-02-29",
            "2044-02-29",
        ],
    );
}

#[test]
fn six_fields_begin_with_seconds_and_seven_end_with_a_year() {
    gives(
        "*/20 * * * * *",
        &[
            "2026-11-22 10:07:40",
            "2026-11-22 10:08:00",
            "2026-11-22 10:08:20",
        ],
    );
    gives(
        "15 0 9 * * 1-5",
        &["2026-11-23 09:00:15", "2026-11-24 09:00:15"],
    );
    gives("0 0 0 1 1 * 2030", &["2030-01-01 00:00:00"]);
    gives(
        "0 0 0 1 1 * 2028-2032/2",
        &[
            "2028-01-01 00:00:00",
            "2030-01-01 00:00:00",
            "2032-01-01 00:00:00",
        ],
    );
    gives(
        "30,0 59 23 31 12 ? 2027,2026",
        &[
            "2026-12-31 23:59:00",
            "2026-12-31 23:59:30",
            "2027-12-31 23:59:00",
        ],
    );
    // A year that is over is no mistake: the schedule has run.
    gives("0 0 0 1 1 * 2020", &[]);
    assert_eq!(
        next(&Schedule::parse("0 0 0 1 1 * 2020").unwrap(), 1),
        Vec::<String>::new()
    );
}

#[test]
fn one_to_five_is_monday_to_friday_with_any_number_of_fields() {
    let week = [
        "2026-11-23",
        "2026-11-24",
        "2026-11-25",
        "2026-11-26",
        "2026-11-27",
        "2026-11-30",
    ];
    let at_nine: Vec<String> = week.iter().map(|day| format!("{day} 09:00:00")).collect();
    let at_nine: Vec<&str> = at_nine.iter().map(String::as_str).collect();
    for text in [
        "0 9 * * 1-5",
        "0 0 9 * * 1-5",
        "0 0 9 * * 1-5 *",
        "0 9 * * MON-FRI",
        "0 9 ? * monday-Friday",
    ] {
        gives(text, &at_nine);
    }
}

#[test]
fn zero_and_seven_are_sunday() {
    gives_days("0 0 * * 0", &["2026-11-29", "2026-12-06"]);
    same(&[
        "0 0 * * 0",
        "0 0 * * 7",
        "0 0 * * SUN",
        "0 0 * * sunday",
        "0 0 * * 0,7",
        "0 0 0 * * 7",
        "0 0 0 * * 0 *",
        "0 0 * * 7-7",
    ]);
    same(&[
        "0 0 * * 5-7",
        "0 0 * * FRI-SUN",
        "0 0 * * 5-0",
        "0 0 * * 0,5,6",
    ]);
    same(&["0 0 * * 7-2", "0 0 * * 0-2", "0 0 * * SUN-TUE"]);
    same(&[
        "0 0 * * 0-7",
        "0 0 * * 1-7",
        "0 0 * * 0-6",
        "0 0 * * *",
        "0 0 * * */1",
    ]);
    same(&["0 0 * * 1-7/2", "0 0 * * MON,WED,FRI,SUN"]);
    same(&["0 0 * * 7L", "0 0 * * 0L", "0 0 * * SUNL"]);
    same(&["0 0 * * 7#2", "0 0 * * 0#2", "0 0 * * sun#2"]);
}

#[test]
fn names_in_three_letters_or_whole_in_any_case() {
    same(&["0 0 1 JAN,jul *", "0 0 1 1,7 *", "0 0 1 January,JULY *"]);
    same(&["0 0 * MAY MON", "0 0 * may Monday", "0 0 * 5 1"]);
}

#[test]
fn ranges_may_go_past_the_end() {
    same(&["0 22-2 * * *", "0 22,23,0,1,2 * * *"]);
    same(&["0 22-4/2 * * *", "0 22,0,2,4 * * *"]);
    same(&["50-10/5 * * * *", "50,55,0,5,10 * * * *"]);
    same(&["0 0 * * FRI-MON", "0 0 * * 5,6,0,1"]);
    same(&["0 0 1 NOV-FEB *", "0 0 1 11,12,1,2 *"]);
    same(&["0 0 30-2 * *", "0 0 30,31,1,2 * *"]);
}

#[test]
fn steps_count_from_the_start_of_their_range() {
    same(&["5-59/15 * * * *", "5,20,35,50 * * * *"]);
    same(&["*/7 * * * *", "0,7,14,21,28,35,42,49,56 * * * *"]);
    same(&["0 0 */10 * *", "0 0 1,11,21,31 * *"]);
    same(&["0 0 1 */5 *", "0 0 1 1,6,11 *"]);
    same(&["10-20/10 * * * *", "10,20 * * * *"]);
}

#[test]
fn last_days() {
    gives_days(
        "0 0 L * *",
        &["2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28"],
    );
    gives_days(
        "0 0 l-3 * *",
        &["2026-11-27", "2026-12-28", "2027-01-28", "2027-02-25"],
    );
    gives_days("0 0 L,15 * *", &["2026-11-30", "2026-12-15", "2026-12-31"]);
    gives_days("0 0 * * 5L", &["2026-11-27", "2026-12-25", "2027-01-29"]);
    gives_days(
        "0 0 * * FRIL,1#1",
        &["2026-11-27", "2026-12-07", "2026-12-25", "2027-01-04"],
    );
    gives_days("0 0 L 2 ?", &["2027-02-28", "2028-02-29"]);
}

#[test]
fn nearest_weekdays() {
    gives_days(
        "0 0 15W * *",
        &[
            "2026-12-15",
            "2027-01-15",
            "2027-02-15",
            "2027-03-15",
            "2027-04-15",
            "2027-05-14",
        ],
    );
    gives_days(
        "0 0 1w * *",
        &[
            "2026-12-01",
            "2027-01-01",
            "2027-02-01",
            "2027-03-01",
            "2027-04-01",
            "2027-05-03",
        ],
    );
    gives_days(
        "0 0 LW * *",
        &["2026-11-30", "2026-12-31", "2027-01-29", "2027-02-26"],
    );
}

#[test]
fn nth_weekdays() {
    gives_days("0 0 * * 5#2", &["2026-12-11", "2027-01-08", "2027-02-12"]);
    gives_days("0 0 * * MON#5", &["2026-11-30", "2027-03-29", "2027-05-31"]);
    // The fifth Sunday of a February: once in 28 years, and not in 2100.
    gives_days("0 0 * 2 SUN#5", &["2032-02-29", "2060-02-29", "2088-02-29"]);
}

#[test]
fn a_day_and_a_weekday_are_joined_as_said() {
    let with = |days| Schedule::builder("0 0 13 * 5").days(days).build().unwrap();
    assert_eq!(
        next(&with(Days::Both), 4),
        [
            "2027-08-13 00:00:00",
            "2028-10-13 00:00:00",
            "2029-04-13 00:00:00",
            "2029-07-13 00:00:00"
        ]
    );
    assert_eq!(
        next(&with(Days::Either), 5),
        [
            "2026-11-27 00:00:00",
            "2026-12-04 00:00:00",
            "2026-12-11 00:00:00",
            "2026-12-13 00:00:00",
            "2026-12-18 00:00:00"
        ]
    );
    let last = Schedule::builder("0 0 L * 5")
        .days(Days::Both)
        .build()
        .unwrap();
    assert_eq!(
        next(&last, 2),
        ["2027-04-30 00:00:00", "2027-12-31 00:00:00"]
    );
    // A word that is not needed changes nothing.
    let weekdays = Schedule::builder("0 0 * * 5")
        .days(Days::Either)
        .build()
        .unwrap();
    assert_eq!(
        next(&weekdays, 2),
        ["2026-11-27 00:00:00", "2026-12-04 00:00:00"]
    );
}

#[test]
fn macros_in_any_case() {
    same(&["@yearly", "@annually", "@Annually", "0 0 1 1 *"]);
    same(&["@monthly", "0 0 1 * *", " @MONTHLY "]);
    same(&["@weekly", "0 0 * * 0"]);
    same(&["@daily", "@midnight", "@Midnight", "0 0 * * *"]);
    same(&["@hourly", "0 * * * *"]);
}

#[test]
fn blanks_do_not_matter() {
    same(&["0 3 * * *", "  0  3\t*\n* *\r\n"]);
}

#[test]
fn times_end_with_the_year_2100() {
    let schedule = Schedule::parse("0 0 * * *").unwrap();
    assert_eq!(schedule.next_after(utc("2100-12-31T00:00:00Z")), None);
    assert_eq!(
        schedule.next_after(utc("2100-12-30T12:00:00Z")),
        Some(utc("2100-12-31T00:00:00Z"))
    );
    assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(
        schedule.next_after(DateTime::<Utc>::MIN_UTC),
        Some(utc("1970-01-01T00:00:00Z"))
    );
    assert_eq!(
        schedule.previous_before(DateTime::<Utc>::MAX_UTC),
        Some(utc("2100-12-31T00:00:00Z"))
    );
    assert_eq!(schedule.previous_before(utc("1970-01-01T00:00:00Z")), None);
    assert_eq!(schedule.previous_before(DateTime::<Utc>::MIN_UTC), None);
}

#[test]
fn a_start_and_an_end_hold() {
    let (start, end) = (utc("2026-11-23T09:00:00Z"), utc("2026-11-23T11:00:00Z"));
    let schedule = Schedule::builder("0 * * * *")
        .starts(start)
        .ends(end)
        .build()
        .unwrap();
    let all: Vec<_> = schedule.upcoming(utc("2020-01-01T00:00:00Z")).collect();
    assert_eq!(
        all,
        [start, utc("2026-11-23T10:00:00Z"), end],
        "both ends are part of it"
    );
    assert_eq!(schedule.previous_before(start), None);
    assert_eq!(
        schedule.previous_before(utc("2030-01-01T00:00:00Z")),
        Some(end)
    );
    let error = Schedule::builder("0 * * * *")
        .starts(end)
        .ends(start)
        .build()
        .unwrap_err();
    assert_eq!(
        error.message(),
        "it ends at 2026-11-23 09:00:00 UTC, before it starts at 2026-11-23 11:00:00 UTC: nothing would ever run"
    );
}

#[test]
fn between_takes_the_first_instant_and_leaves_the_last() {
    let schedule = Schedule::parse("0 * * * *").unwrap();
    let (from, until) = (utc("2026-11-22T10:00:00Z"), utc("2026-11-22T12:00:00Z"));
    let times: Vec<_> = schedule.occurrences_between(from, until).collect();
    assert_eq!(times, [from, utc("2026-11-22T11:00:00Z")]);
    assert_eq!(schedule.occurrences_between(until, from).count(), 0);
    let last = schedule
        .occurrences_between(utc("2100-12-31T22:00:00Z"), DateTime::<Utc>::MAX_UTC)
        .count();
    assert_eq!(last, 2);
}

#[test]
fn fractions_of_a_second_do_not_matter() {
    let schedule = Schedule::parse("* * * * * *").unwrap();
    let half = utc("2026-11-22T10:00:00.5Z");
    assert_eq!(schedule.next_after(half), Some(utc("2026-11-22T10:00:01Z")));
    assert_eq!(
        schedule.previous_before(half),
        Some(utc("2026-11-22T10:00:00Z"))
    );
    assert_eq!(
        schedule.next_after(utc("2026-11-22T10:00:00Z")),
        Some(utc("2026-11-22T10:00:01Z"))
    );
    assert_eq!(
        schedule.previous_before(utc("2026-11-22T10:00:00Z")),
        Some(utc("2026-11-22T09:59:59Z"))
    );
}
