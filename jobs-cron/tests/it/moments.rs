//! The dates at which schedules start and end.

use jobs_cron::Moment;

#[test]
fn what_is_no_date_is_refused_in_words() {
    let wanted = "write a date such as `2026-12-31`, or a date and time such as `2026-12-31 09:00`";
    for text in [
        "",
        "tomorrow",
        "2026-1-1",
        "31.12.2026",
        "2026-12-31x",
        "2026-12-31 9:00",
        "2026-12-31T09",
        "2026-12-31 09:00+1",
        "é2026-12-31",
    ] {
        let error = Moment::parse(text).unwrap_err();
        assert_eq!(error.message(), format!("`{text}` is not a date: {wanted}"));
    }
    for (text, date) in [
        ("2026-02-29", "2026-02-29"),
        ("2026-13-01 09:00", "2026-13-01"),
        ("2026-04-31", "2026-04-31"),
        ("2026-00-10", "2026-00-10"),
        ("2026-01-00", "2026-01-00"),
    ] {
        assert_eq!(
            Moment::parse(text).unwrap_err().message(),
            format!("there is no {date}: {wanted}")
        );
    }
    assert_eq!(
        Moment::parse("1969-12-31").unwrap_err().message(),
        "the year must be from 1970 to 2100, not 1969"
    );
    for text in [
        "2026-01-01 24:00",
        "2026-01-01 23:60",
        "2026-01-01 00:00:60",
        "2026-01-01 00:00+19:00",
    ] {
        assert_eq!(
            Moment::parse(text).unwrap_err().message(),
            format!("there is no such time of day: {wanted}")
        );
    }
    let long = Moment::parse(&"2".repeat(10_000)).unwrap_err();
    assert!(long.message().len() < 200);
}

#[cfg(feature = "times")]
#[test]
fn a_day_begins_at_its_first_instant_and_ends_with_its_last_second() {
    use jobs_cron::Tz;

    let both = |text: &str, tz: Tz| {
        let moment = Moment::parse(text).unwrap();
        [moment.starts_at(tz), moment.ends_at(tz)]
            .map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    assert_eq!(
        both("2026-12-31", Tz::UTC),
        ["2026-12-31 00:00:00", "2026-12-31 23:59:59"]
    );
    assert_eq!(
        both("2026-12-31", Tz::Europe__Berlin),
        ["2026-12-30 23:00:00", "2026-12-31 22:59:59"]
    );
    assert_eq!(
        both("2026-12-31 09:30", Tz::Europe__Berlin),
        ["2026-12-31 08:30:00"; 2]
    );
    assert_eq!(
        both("2026-12-31T09:30:15+02:00", Tz::Europe__Berlin),
        ["2026-12-31 07:30:15"; 2]
    );
    assert_eq!(
        both(" 2026-12-31 09:30Z ", Tz::Europe__Berlin),
        ["2026-12-31 09:30:00"; 2]
    );
    // Clocks skip the first hour of this day, and the day before ends where it begins.
    assert_eq!(
        both("2018-11-04", Tz::America__Sao_Paulo)[0],
        "2018-11-04 03:00:00"
    );
    assert_eq!(
        both("2018-11-03", Tz::America__Sao_Paulo)[1],
        "2018-11-04 02:59:59"
    );
    assert_eq!(both("2100-12-31", Tz::UTC)[1], "2100-12-31 23:59:59");
}
