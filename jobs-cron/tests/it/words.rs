//! Schedules in plain words.

use jobs_cron::{Days, Expression};

#[track_caller]
fn means(text: &str, words: &str) {
    assert_eq!(
        Expression::parse(text)
            .unwrap_or_else(|e| panic!("{}", e.render()))
            .describe(),
        words,
        "{text}"
    );
}

#[test]
fn times_of_day() {
    means("0 3 * * *", "at 03:00 every day");
    means("0 3 * * 1-5", "at 03:00 on weekdays");
    means(
        "0,30 9,17 * * *",
        "at 09:00, 09:30, 17:00 and 17:30 every day",
    );
    means("15 30 2 * * *", "at 02:30:15 every day");
    means("0,30 0 3 * * *", "at 03:00:00 and 03:00:30 every day");
    means(
        "0 0,6,12,18 * * *",
        "at 00:00, 06:00, 12:00 and 18:00 every day",
    );
    means(
        "0 22-2 * * *",
        "at 00:00, 01:00, 02:00, 22:00 and 23:00 every day",
    );
}

#[test]
fn intervals() {
    means("* * * * *", "every minute");
    means("* * * * * *", "every second");
    means("*/5 * * * *", "every 5 minutes");
    means("*/7 * * * *", "every 7 minutes from minute 0 of each hour");
    means("*/10 * * * * *", "every 10 seconds");
    means("0 * * * *", "every hour");
    means("30 * * * *", "every hour at minute 30");
    means("0 */2 * * *", "every 2 hours");
    means("30 */2 * * *", "every 2 hours at minute 30");
    means(
        "0 */5 * * *",
        "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day",
    );
    means(
        "0 9-17 * * MON-FRI",
        "every hour from 09:00 to 17:00 on weekdays",
    );
    means("30 9-17 * * *", "every hour from 09:30 to 17:30");
    means(
        "*/15 9-17 * * 1-5",
        "every 15 minutes from 09:00 to 17:45 on weekdays",
    );
    means("* 3 * * *", "every minute from 03:00 to 03:59");
    means(
        "* 9,12,15,18 * * *",
        "every minute of hours 9, 12, 15 and 18",
    );
    means("0,10,25 * * * *", "at minutes 0, 10 and 25 of every hour");
    means(
        "5-59/10 * * * *",
        "at minutes 5, 15, 25, 35, 45 and 55 of every hour",
    );
    means(
        "0,10,25 1,5,9 * * *",
        "at minutes 0, 10 and 25 of hours 1, 5 and 9 every day",
    );
    means("15 */5 * * * *", "every 5 minutes at second 15");
    means("0,10 * * * * *", "at seconds 0 and 10 of every minute");
    means("*/10 * 9-17 * * *", "every 10 seconds from 09:00 to 17:59");
    means(
        "*/10 5 * * * *",
        "every 10 seconds in minute 5 of every hour",
    );
    means(
        "* 5,10 1-9 * * *",
        "every second in minutes 5 and 10 of hours 1 to 9",
    );
    means("@every 90s", "every 1 minute and 30 seconds");
    means("@every 5m", "every 5 minutes");
    means("@every 1h", "every hour");
    means(
        "@every 1d2h3m4s",
        "every 1 day, 2 hours, 3 minutes and 4 seconds",
    );
}

#[test]
fn days_and_months() {
    means("@weekly", "at 00:00 on Sunday");
    means("@monthly", "at 00:00 on the 1st of the month");
    means("@yearly", "at 00:00 on the 1st of January");
    means("0 9 * * SAT,SUN", "at 09:00 on weekends");
    means(
        "0 9 * * MON,WED,FRI",
        "at 09:00 on Monday, Wednesday and Friday",
    );
    means("0 9 * * FRI-MON", "at 09:00 on Monday and Friday to Sunday");
    means("0 9 * * MON-THU", "at 09:00 on Monday to Thursday");
    means("0 9 * * 0-6", "at 09:00 every day");
    means("0 9 1,15 * *", "at 09:00 on the 1st and 15th of the month");
    means("0 9 1-7 * *", "at 09:00 on the 1st to 7th of the month");
    means(
        "0 9 22,23,31 * *",
        "at 09:00 on the 22nd, 23rd and 31st of the month",
    );
    means("0 9 L * *", "at 09:00 on the last day of the month");
    means(
        "0 9 L-1 * *",
        "at 09:00 on the day before the last of the month",
    );
    means(
        "0 9 L-3 * *",
        "at 09:00 on the 3rd day before the last of the month",
    );
    means(
        "0 9 15W * *",
        "at 09:00 on the weekday nearest to the 15th of the month",
    );
    means("0 9 LW * *", "at 09:00 on the last weekday of the month");
    means(
        "0 9 1,L * *",
        "at 09:00 on the 1st and the last day of the month",
    );
    means("0 9 * * 5L", "at 09:00 on the last Friday of the month");
    means("0 9 * * 5#2", "at 09:00 on the second Friday of the month");
    means(
        "0 9 * * 1,5#2",
        "at 09:00 on Monday and the second Friday of the month",
    );
    means("0 9 * 6-8 *", "at 09:00 every day in June to August");
    means("*/5 * * 1 *", "every 5 minutes in January");
    means("0 9 1 1,7 *", "at 09:00 on the 1st of January and July");
    means("0 9 * 1 1", "at 09:00 on Monday in January");
    means("0 9 * 1 5L", "at 09:00 on the last Friday of January");
    means("0 0 9 1 1 * 2030", "at 09:00 on the 1st of January in 2030");
    means(
        "0 0 9 * * * 2026-2030",
        "at 09:00 every day in 2026 to 2030",
    );
}

#[test]
fn a_day_and_a_weekday() {
    let words = |text, days| Expression::parse_with(text, Some(days)).unwrap().describe();
    let friday = "0 0 13 * 5";
    assert_eq!(
        words(friday, Days::Both),
        "at 00:00 on the 13th of the month if it falls on Friday"
    );
    assert_eq!(
        words(friday, Days::Either),
        "at 00:00 on the 13th of the month, and on Friday"
    );
    let january = "0 0 1-7 1 MON,TUE";
    assert_eq!(
        words(january, Days::Both),
        "at 00:00 on the 1st to 7th of January if it falls on Monday or Tuesday"
    );
    assert_eq!(
        words(january, Days::Either),
        "at 00:00 on the 1st to 7th of January, and on Monday and Tuesday in January"
    );
    assert_eq!(
        words("0 0 L * 1-5", Days::Both),
        "at 00:00 on the last day of the month if it falls on a weekday"
    );
    // A field that holds every day.
    assert_eq!(words("0 0 1-31 * MON", Days::Both), "at 00:00 on Monday");
    assert_eq!(words("0 0 1-31 * MON", Days::Either), "at 00:00 every day");
    assert_eq!(
        words("0 0 13 5 0-6", Days::Either),
        "at 00:00 every day in May"
    );
}

#[cfg(feature = "times")]
#[test]
fn with_zone_start_and_end() {
    use jobs_cron::{Moment, Schedule, Tz};

    let last = Schedule::builder("0 9 L * *")
        .zone("Europe/Berlin")
        .build()
        .unwrap();
    assert_eq!(
        last.describe(),
        "at 09:00 on the last day of the month, Europe/Berlin"
    );
    assert_eq!(
        Schedule::parse("0 3 * * 1-5").unwrap().describe(),
        "at 03:00 on weekdays"
    );
    let tz = Tz::Europe__Berlin;
    let bounded = Schedule::builder("*/5 * * * *")
        .tz(tz)
        .starts(Moment::parse("2026-01-01").unwrap().starts_at(tz))
        .ends(Moment::parse("2026-12-31").unwrap().ends_at(tz))
        .build()
        .unwrap();
    assert_eq!(
        bounded.describe(),
        "every 5 minutes, Europe/Berlin, from 2026-01-01 00:00:00, until 2026-12-31 23:59:59"
    );
}
