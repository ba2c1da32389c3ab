//! Valid schedules that surprise, and what is said about them.

use jobs_cron::{Days, Expression};

fn warnings(text: &str, zone: Option<&str>) -> Vec<(String, String)> {
    let expression = Expression::parse_with(text, None)
        .or_else(|_| Expression::parse_with(text, Some(Days::Both)))
        .unwrap();
    let place = |w: &jobs_cron::Warning| w.text()[w.offset()..w.offset() + w.len()].to_owned();
    expression
        .warnings(zone)
        .iter()
        .map(|w| (place(w), w.message().to_owned()))
        .collect()
}

#[track_caller]
fn says(text: &str, place: &str, message: &str) {
    assert_eq!(
        warnings(text, None),
        [(place.to_owned(), message.to_owned())],
        "{text}"
    );
}

#[track_caller]
fn says_nothing(text: &str) {
    assert_eq!(warnings(text, None), [], "{text}");
}

#[test]
fn what_is_plain_is_not_remarked_on() {
    for text in [
        "0 3 * * *",
        "*/5 * * * *",
        "*/15 9-17 * * MON-FRI",
        "0 */2 * * *",
        "* * * * *",
        "@daily",
        "@every 7m",
        "0 0 L * *",
        "0 0 28 * *",
        "0 0 1 */3 *",
        "0 0 * * 5#4",
        "*/20 * * * * *",
        "0 22-2 * * *",
        "* 9-17 * * *",
        "0 0 31 1 *",
        "0 0 0 1 1 * */3",
        "5-59/10 * * * *",
        "0 0 31W 1,3 *",
    ] {
        says_nothing(text);
    }
}

#[test]
fn a_step_that_does_not_divide_its_unit() {
    says(
        "*/7 * * * *",
        "*/7",
        "`*/7` starts again with each hour: minute 56 is followed by minute 0 after 4 minutes; an even distance is `@every 7m`",
    );
    says(
        "*/59 * * * *",
        "*/59",
        "`*/59` starts again with each hour: minute 59 is followed by minute 0 after 1 minute; an even distance is `@every 59m`",
    );
    says(
        "0 */5 * * *",
        "*/5",
        "`*/5` starts again with each day: hour 20 is followed by hour 0 after 4 hours; an even distance is `@every 5h`",
    );
    says(
        "*/25 * * * * *",
        "*/25",
        "`*/25` starts again with each minute: second 50 is followed by second 0 after 10 seconds; an even distance is \
         `@every 25s`",
    );
    says(
        "0 0 */2 * *",
        "*/2",
        "`*/2` starts again on the 1st of each month, whatever the last day was",
    );
    says(
        "0 0 1 */5 *",
        "*/5",
        "`*/5` starts again each January: November is followed by January",
    );
    says(
        "0 0 * * */2",
        "*/2",
        "`*/2` starts again on Sunday: Saturday is followed by Sunday",
    );
    says(
        "0 0 * * */4",
        "*/4",
        "`*/4` starts again on Sunday: Thursday is followed by Sunday",
    );
}

#[test]
fn days_that_not_every_month_has() {
    says(
        "0 0 31 * *",
        "31",
        "passes over the months with fewer than 31 days: `L` is the last day of every month",
    );
    says(
        "0 0 1,30 * *",
        "1,30",
        "passes over February when it has fewer than 30 days: `L` is the last day of every month",
    );
    says(
        "0 0 29 * *",
        "29",
        "passes over February when it has fewer than 29 days: `L` is the last day of every month",
    );
    says(
        "0 0 29 2 *",
        "29",
        "runs in leap years alone: the other years have no 29 February",
    );
    says(
        "0 0 31W * *",
        "31W",
        "passes over the months with fewer than 31 days: `L` is the last day of every month",
    );
    says(
        "0 0 L-30 * *",
        "L-30",
        "passes over the months with fewer than 31 days: `L` is the last day of every month",
    );
    says(
        "0 0 * * 5#5",
        "5#5",
        "passes over months without a fifth Friday, which is most of them: `5L` is the last Friday",
    );
}

#[test]
fn every_minute_of_an_hour_where_once_may_be_meant() {
    says(
        "* 3 * * *",
        "*",
        "runs in every minute of hour 3, 60 times: write `0` for once",
    );
    says(
        "* 30 3 * * *",
        "*",
        "runs in every second of minute 30, 60 times: write `0` for once",
    );
    says(
        "* 9,17 * * *",
        "*",
        "runs in every minute of hour 9,17, 60 times: write `0` for once",
    );
}

#[test]
fn hours_over_midnight_on_certain_days() {
    says(
        "0 22-2 * * FRI",
        "22-2",
        "`22-2` means the early and the late hours of the same day, not a night that goes on into the next day",
    );
}

#[test]
fn what_has_no_effect() {
    says(
        "*,5 * * * *",
        "*,5",
        "the `*` in this list matches every minute: the rest has no effect",
    );
    let with_days = Expression::parse_with("0 0 * * FRI", Some(Days::Either)).unwrap();
    assert_eq!(
        with_days.warnings(None)[0].render(),
        "`days = \"either\"` has no effect: it joins a day of the month and a weekday, and one of them is `*`\n\n    \
         0 0 * * FRI\n        ^"
    );
    let every = warnings("@every 1d", Some("Europe/Berlin"));
    assert_eq!(
        every[0].1,
        "`@every` counts elapsed time: the time zone `Europe/Berlin` has no effect"
    );
    assert_eq!(warnings("@every 1d", Some("UTC")), []);
}

#[test]
fn a_time_that_clocks_skip() {
    let gap = |zone: &str, time: &str, to: &str| {
        format!(
            "{time} does not exist in {zone} on the day clocks go forward: it then runs at {to}, the first moment after \
             the gap"
        )
    };
    let berlin = Some("Europe/Berlin");
    assert_eq!(
        warnings("30 2 * * *", berlin),
        [("30 2".into(), gap("Europe/Berlin", "02:30", "03:00"))]
    );
    assert_eq!(
        warnings("0 2 * * *", berlin)[0].1,
        gap("Europe/Berlin", "02:00", "03:00")
    );
    assert_eq!(
        warnings("15 30 1,2 * * *", berlin)[0],
        ("15 30 1,2".into(), gap("Europe/Berlin", "02:30", "03:00"))
    );
    assert_eq!(
        warnings("@daily", Some("Africa/Cairo"))[0],
        ("@daily".into(), gap("Africa/Cairo", "00:00", "01:00"))
    );
    assert_eq!(
        warnings("15 2 * * *", Some("Australia/Lord_Howe"))[0].1,
        gap("Australia/Lord_Howe", "02:15", "02:30")
    );
    for (text, zone) in [
        ("0 3 * * *", "Europe/Berlin"),
        ("30 2 * * *", "UTC"),
        ("30 2 * * *", "America/Sao_Paulo"),
        // An interval goes on after the gap.
        ("*/30 * * * *", "Europe/Berlin"),
    ] {
        assert_eq!(warnings(text, Some(zone)), [], "{text} in {zone}");
    }
    assert_eq!(warnings("30 2 * * *", None), []);
}

#[test]
fn a_zone_whose_sign_is_inverted() {
    let found = warnings("0 3 * * *", Some("Etc/GMT+5"));
    assert_eq!(
        found,
        [(
            "Etc/GMT+5".into(),
            "`Etc/GMT+5` is 5 hours behind UTC, which is written -05:00 elsewhere".into()
        )]
    );
    let found = warnings("0 3 * * *", Some("Etc/GMT-14"));
    assert_eq!(
        found[0].1,
        "`Etc/GMT-14` is 14 hours ahead of UTC, which is written +14:00 elsewhere"
    );
    assert_eq!(warnings("0 3 * * *", Some("Etc/GMT0")), []);
    assert_eq!(warnings("0 3 * * *", Some("Etc/GMT")), []);
}
