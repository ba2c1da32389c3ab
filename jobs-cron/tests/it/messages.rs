//! Every mistake: where it stands, and what is said about it. (Longer than 400 lines: it is the whole list.)

use jobs_cron::{Days, Expression, ParseError};

fn error(text: &str) -> ParseError {
    Expression::parse(text).expect_err(text)
}

/// The text under the carets, and the sentence.
#[track_caller]
fn says(text: &str, place: &str, message: &str) {
    let error = error(text);
    let found = &error.text()[error.offset()..error.offset() + error.len()];
    assert_eq!((found, error.message()), (place, message), "{text}");
}

#[test]
fn a_mistake_is_drawn_under_the_text() {
    assert_eq!(
        error("0 25 * * *").render(),
        "hour must be `*` or 0..=23, not `25`\n\n    0 25 * * *\n      ^^"
    );
    assert_eq!(
        error("  0\t25 * * *").render(),
        "hour must be `*` or 0..=23, not `25`\n\n      0 25 * * *\n        ^^"
    );
    assert_eq!(
        error("0 9 * * 1,").render(),
        "a weekday is missing here: remove the comma or write a value\n\n    0 9 * * 1,\n              ^"
    );
}

#[test]
fn a_value_out_of_range() {
    says("60 * * * *", "60", "minute must be `*` or 0..=59, not `60`");
    says(
        "61 * * * * *",
        "61",
        "second must be `*` or 0..=59, not `61`",
    );
    says("* 24 * * *", "24", "hour must be `*` or 0..=23, not `24`");
    says(
        "0 0 0 * *",
        "0",
        "day of the month must be `*`, 1..=31 or `L`, not `0`",
    );
    says(
        "0 0 32 * *",
        "32",
        "day of the month must be `*`, 1..=31 or `L`, not `32`",
    );
    says(
        "0 0 * 13 *",
        "13",
        "month must be `*`, 1..=12 or a name like `JAN`, not `13`",
    );
    says(
        "0 0 * * 8",
        "8",
        "weekday must be `*`, 0..=7 or a name like `MON`, not `8`",
    );
    says(
        "0 0 0 * * * 1969",
        "1969",
        "year must be `*` or 1970..=2100, not `1969`",
    );
    says(
        "0 0 0 * * * 2101",
        "2101",
        "year must be `*` or 1970..=2100, not `2101`",
    );
    says("0 9-25 * * *", "25", "hour must be `*` or 0..=23, not `25`");
    says(
        "1,2,x * * * *",
        "x",
        "minute must be `*` or 0..=59, not `x`",
    );
    says(
        "-5 * * * *",
        "-5",
        "a range needs a value on both sides, such as `1-5`",
    );
    says(
        "5- * * * *",
        "5-",
        "a range needs a value on both sides, such as `1-5`",
    );
    says("+5 * * * *", "+5", "minute must be `*` or 0..=59, not `+5`");
    says(
        "99999999999999999999 * * * *",
        "99999999999999999999",
        "minute must be `*` or 0..=59, not `99999999999999999999`",
    );
    says(
        "0 9 * * 1 2026",
        "2026",
        "weekday must be `*`, 0..=7 or a name like `MON`, not `2026`; a year is the last of 7 fields: second minute \
         hour day month weekday year",
    );
}

#[test]
fn a_name_nearly_right() {
    says(
        "0 0 * * Mondey",
        "Mondey",
        "weekday must be `*`, 0..=7 or a name like `MON`, not `Mondey`; did you mean `MON`?",
    );
    says(
        "0 0 * sept *",
        "sept",
        "month must be `*`, 1..=12 or a name like `JAN`, not `sept`; did you mean `SEP`?",
    );
    says(
        "0 0 * * MON-Thurs",
        "Thurs",
        "weekday must be `*`, 0..=7 or a name like `MON`, not `Thurs`; did you mean `THU`?",
    );
}

#[test]
fn a_value_with_a_step() {
    says(
        "5/15 * * * *",
        "5/15",
        "`5/15` means different things to different cron programs: write `5-59/15` for every 15 from 5 on, or `5` for \
         that value alone",
    );
    says(
        "0 0 * * MON/2",
        "MON/2",
        "`MON/2` means different things to different cron programs: write `MON-6/2` for every 2 from MON on, or `MON` \
         for that value alone",
    );
    says(
        "50/15 * * * *",
        "50/15",
        "`50/15` means different things to different cron programs: write `50`, since no further value is 15 away",
    );
}

#[test]
fn a_step_that_is_none() {
    says(
        "*/90 * * * *",
        "*/90",
        "a step of 90 goes past the range 0..=59 and would match 0 alone: write `0`, or `@every 90m` if that is meant",
    );
    says(
        "0 */24 * * *",
        "*/24",
        "a step of 24 goes past the range 0..=23 and would match 0 alone: write `0`, or `@every 24h` if that is meant",
    );
    says(
        "0 0 10-20/11 * *",
        "10-20/11",
        "a step of 11 goes past the range 10-20 and would match 10 alone: write `10`",
    );
    says("*/0 * * * *", "0", "a step must be at least 1");
    says(
        "*/ * * * *",
        "",
        "a step is missing after the `/`, as in `*/5`",
    );
    says("*/x * * * *", "x", "a step must be a number, not `x`");
    says("*/5/5 * * * *", "5/5", "a step must be a number, not `5/5`");
    says("/5 * * * *", "", "a minute is missing here: `*` or 0..=59");
}

#[test]
fn days_and_weekdays_that_depend_on_the_month() {
    says(
        "0 0 L-31 * *",
        "L-31",
        "`L-` takes 1..=30 days before the last one, not `31`",
    );
    says(
        "0 0 L-3W * *",
        "L-3W",
        "`L-` takes 1..=30 days before the last one, not `3W`",
    );
    says(
        "0 0 LAST * *",
        "LAST",
        "day of the month must be `*`, 1..=31 or `L`, not `LAST`",
    );
    says(
        "0 0 W * *",
        "W",
        "`W` needs a day before it: `15W` is the Monday to Friday nearest to the 15th",
    );
    says(
        "0 0 32W * *",
        "32",
        "day of the month must be `*`, 1..=31 or `L`, not `32`",
    );
    says(
        "0 0 15W-20 * *",
        "15W-20",
        "`L` and `W` cannot be part of a range: list the days, separated by commas",
    );
    says(
        "0 0 25-L * *",
        "25-L",
        "`L` and `W` cannot be part of a range: list the days, separated by commas",
    );
    says(
        "0 0 L/2 * *",
        "L/2",
        "`L` is one day of a month and takes no step",
    );
    says(
        "0 0 * * L",
        "L",
        "`L` needs a weekday before it: `5L` is the last Friday of the month; Saturday is `SAT`",
    );
    says(
        "0 0 * * 8L",
        "8",
        "weekday must be `*`, 0..=7 or a name like `MON`, not `8`",
    );
    says(
        "0 0 * * 5#6",
        "5#6",
        "`#` takes 1..=5, as in `5#2`, the second Friday, not `6`",
    );
    says(
        "0 0 * * 5#",
        "5#",
        "`#` takes 1..=5, as in `5#2`, the second Friday, not ``",
    );
    says(
        "0 0 * * #2",
        "",
        "a weekday is missing here: `*`, 0..=7 or a name like `MON`",
    );
    says("0 L * * *", "L", "hour must be `*` or 0..=23, not `L`");
}

#[test]
fn a_question_mark_out_of_place() {
    let message = "`?` stands alone, as day of the month or as weekday: write `*`";
    says("? * * * *", "?", message);
    says("0 0 1,? * *", "?", message);
    says("0 0 ?/2 * *", "?/2", message);
}

#[test]
fn what_other_programs_know() {
    says(
        "H 3 * * *",
        "H",
        "minute must be `*` or 0..=59, not `H`; to spread the load, write a fixed value and give the recurring job a jitter",
    );
    says(
        "0~30 3 * * *",
        "0~30",
        "minute must be `*` or 0..=59, not `0~30`; to spread the load, write a fixed value and give the recurring job a \
         jitter",
    );
    let zone = "the time zone is not part of the schedule: give it as `tz = \"Europe/Berlin\"`";
    says("TZ=UTC 0 3 * * *", "TZ=UTC 0 3 * * *", zone);
    says("CRON_TZ=UTC 0 3 * * *", "CRON_TZ=UTC 0 3 * * *", zone);
    says(
        "@reboot",
        "@reboot",
        "there is no `@reboot`: enqueue the job where the program starts",
    );
}

#[test]
fn an_unknown_macro() {
    says(
        "@dayly",
        "@dayly",
        "unknown `@dayly`, did you mean `@daily`?",
    );
    says(
        "@sometimes",
        "@sometimes",
        "unknown `@sometimes`: there are `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, \
         `@hourly` and `@every`",
    );
    says(
        " @daily 5",
        "@daily",
        "`@daily` stands alone: remove what follows it",
    );
}

#[test]
fn a_distance_that_is_none() {
    says(
        "@every",
        "",
        "`@every` needs a distance: `@every 90s`, `@every 5m`, `@every 1h30m`",
    );
    says(
        "@every 0s",
        "0s",
        "`@every` needs a distance of at least one second",
    );
    let shape = "is not a distance: write whole numbers with `d`, `h`, `m` or `s`, as in `90s`, `5m` or `1h30m`";
    for text in ["5", "m", "5x", "-5m", "5 m", "5m 30", "1w", "30s5"] {
        says(
            &format!("@every {text}"),
            text,
            &format!("`{text}` {shape}"),
        );
    }
    let whole = "is not a distance in whole seconds: a schedule has no fractions of a second";
    for text in ["500ms", "1.5h"] {
        says(
            &format!("@every {text}"),
            text,
            &format!("`{text}` {whole}"),
        );
    }
    let order = "is not a distance: write the larger unit first and each once, as in `1h30m`";
    for text in ["30m1h", "5m5m"] {
        says(
            &format!("@every {text}"),
            text,
            &format!("`{text}` {order}"),
        );
    }
    says(
        "@every 3651d",
        "3651d",
        "`@every 3651d` is longer than ten years",
    );
    says(
        "@every 99999999999999999999999s",
        "99999999999999999999999s",
        "`@every 99999999999999999999999s` is longer than ten years",
    );
    says(
        "@every 18446744073709551615h",
        "18446744073709551615h",
        "`@every 18446744073709551615h` is longer than ten years",
    );
}

#[test]
fn a_wrong_number_of_fields() {
    let message = |count| {
        format!(
            "a schedule has 5 fields (minute hour day month weekday), 6 with seconds before them, or 7 with a year \
             after them; this has {count}"
        )
    };
    says("daily", "daily", &message("1 field"));
    says(" * * * * ", "* * * *", &message("4 fields"));
    says("* * * * * * * *", "* * * * * * * *", &message("8 fields"));
    says(
        "",
        "",
        "a schedule is missing: `0 3 * * *` is every day at 03:00",
    );
    says(
        " \t ",
        "",
        "a schedule is missing: `0 3 * * *` is every day at 03:00",
    );
}

#[test]
fn a_list_with_a_hole() {
    let message = "a minute is missing here: remove the comma or write a value";
    for text in ["5, * * * *", ",5 * * * *", "1,,5 * * * *", ", * * * *"] {
        says(text, "", message);
    }
}

#[test]
fn a_range_of_years_cannot_start_again() {
    says(
        "0 0 0 * * * 2030-2026",
        "2030-2026",
        "years do not start again: write `2026-2030`",
    );
}

#[test]
fn a_day_and_a_weekday_without_a_word_on_how_they_are_joined() {
    let message = |day, weekday| {
        format!(
            "both a day of the month (`{day}`) and a weekday (`{weekday}`) are given, which some cron programs join by \
             \"or\" and some by \"and\": add `days = \"either\"` to run on days that match one of them, `days = \
             \"both\"` to run on days that match both, or write `*` for one of them"
        )
    };
    says("0 0 13 * 5", "13 * 5", &message("13", "5"));
    // Cron programs disagree about these as well.
    says("0 0 */2 * MON", "*/2 * MON", &message("*/2", "MON"));
    says("0 0 1-31 * MON", "1-31 * MON", &message("1-31", "MON"));
    says("0 0 L * 5L", "L * 5L", &message("L", "5L"));
    assert!(Expression::parse("0 0 */1 * MON").is_ok());
    assert!(Expression::parse_with("0 0 13 * 5", Some(Days::Both)).is_ok());
    assert!(Expression::parse_with("0 0 13 * 5", Some(Days::Either)).is_ok());
}

#[test]
fn a_schedule_that_never_happens() {
    says(
        "0 0 31 2 *",
        "31 2 *",
        "this never happens: February has at most 29 days",
    );
    says(
        "0 0 30,31 FEB *",
        "30,31 FEB *",
        "this never happens: February has at most 29 days",
    );
    says(
        "0 0 31 4,6 *",
        "31 4,6 *",
        "this never happens: June has at most 30 days",
    );
    let message =
        "this never happens: no date from 1970 to 2100 matches these days, months and years";
    says("0 0 0 29 2 * 2026", "29 2 * 2026", message);
    says("0 0 31W 4 *", "31W 4 *", message);
    says("0 0 L-29 2 *", "L-29 2 *", message);
    says("0 0 0 * 2 MON#5 2026", "* 2 MON#5 2026", message);
    let both = Expression::parse_with("0 0 31 * 5#1", Some(Days::Both)).unwrap_err();
    assert_eq!((both.message(), both.offset(), both.len()), (message, 4, 8));
}

#[test]
fn a_character_that_cannot_be_part_of_it() {
    says(
        "0 9 * * 1–5",
        "–",
        "`–` (U+2013) is not a hyphen: write `-`",
    );
    says(
        "0 9 ∗ * 1",
        "∗",
        "`∗` (U+2217) is not an asterisk: write `*`",
    );
    says(
        "0\u{a0}9 * * 1",
        "\u{a0}",
        "U+00A0 is not a plain space: write ` `",
    );
    says(
        "0 9 * * 1\0",
        "\0",
        "U+0000 cannot be part of a schedule: remove it",
    );
    says(
        "0 9 * * é",
        "é",
        "`é` (U+00E9) cannot be part of a schedule: remove it",
    );
    assert_eq!(
        error("0 9 * * é\0").render(),
        "`é` (U+00E9) cannot be part of a schedule: remove it\n\n    0 9 * * é \n            ^"
    );
}

#[test]
fn a_text_that_is_too_long() {
    let text = "5,".repeat(200);
    let error = error(&text);
    assert_eq!(
        error.message(),
        "a schedule has at most 256 bytes, this has 400"
    );
    assert!(error.text().len() < 70 && error.text().ends_with('…'));
    // Cut at a character.
    let wide = "é".repeat(200);
    assert!(
        Expression::parse(&wide)
            .unwrap_err()
            .render()
            .contains("at most 256 bytes")
    );
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let alphabet: Vec<char> = "0159*/-,?LW#@ every\tSUNjanx\0é".chars().collect();
    fastrand::seed(7);
    let mut refused = 0;
    for _ in 0..20_000 {
        let text: String = (0..fastrand::usize(..24))
            .map(|_| fastrand::choice(&alphabet).unwrap())
            .collect();
        for days in [None, Some(Days::Both)] {
            if let Err(error) = Expression::parse_with(&text, days) {
                refused += 1;
                let end = error.offset() + error.len();
                assert!(
                    error.text().is_char_boundary(error.offset())
                        && error.text().is_char_boundary(end)
                );
                assert!(!error.render().is_empty());
            }
        }
    }
    assert!(refused > 10_000);
}

#[test]
fn hostile_text_is_refused_fast() {
    // The longest that is read at all, many times: what is slow here is slow by a factor of hundreds.
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let worst = "*,".repeat(123) + "* * 31 2 *";
        assert_eq!(worst.len(), 256);
        assert!(Expression::parse(&worst).is_err());
        assert!(Expression::parse_with("0 0 30 2 1#1,2#1,3#1,4#1,5#1", Some(Days::Both)).is_err());
        assert!(Expression::parse(&"@".repeat(256)).is_err());
    }
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
