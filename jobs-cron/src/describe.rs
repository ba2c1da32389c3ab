//! A schedule in plain words: "at 03:00 on weekdays".

use crate::days::{DayField, DayRule, Days, MonthDay, MonthWeekday};
use crate::every;
use crate::expression::{Expression, Kind};
use crate::fields::Calendar;
use crate::unit::{MONTHS, WEEKDAYS};
use crate::values::Values;

/// As many times of day are listed one by one; more are described by their hours and minutes.
const LISTED: usize = 6;

impl Expression {
    /// What the schedule means, in plain English: `at 03:00 on weekdays`, `every 5 minutes`,
    /// `at 09:00 on the last day of the month`.
    #[must_use]
    pub fn describe(&self) -> String {
        let calendar = match self.kind() {
            Kind::Every(seconds) => return format!("every {}", every::words(*seconds)),
            Kind::Calendar(calendar) => calendar,
        };
        let time = time(calendar);
        let at_times = time.starts_with("at ") && !time.contains(" of every ");
        let mut words = format!("{time}{}", date(&calendar.days, calendar.months, at_times));
        if let Some(years) = &calendar.years {
            words.push_str(&format!(
                " in {}",
                list(&runs(years, |year| year.to_string()))
            ));
        }
        words
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(parts: &[String]) -> String {
    joined(parts, "and")
}

fn joined(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} {word} {last}", init.join(", ")),
    }
}

/// Ascending values as words, three or more in a row as `a to b`.
fn runs(values: &[u16], word: impl Fn(u16) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    for run in values.chunk_by(|a, b| a + 1 == *b) {
        match run {
            [first, _, .., last] => parts.push(format!("{} to {}", word(*first), word(*last))),
            few => parts.extend(few.iter().map(|value| word(*value))),
        }
    }
    parts
}

fn set_runs(values: Values, word: impl Fn(u16) -> String) -> Vec<String> {
    runs(&values.iter().map(u16::from).collect::<Vec<_>>(), word)
}

/// What a set of seconds, minutes or hours looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One(u8),
    All,
    /// Every so many, from 0 to the end.
    Step(u8),
    /// Without a hole.
    Run(u8, u8),
    Some,
}

fn shape(values: Values, count: u8) -> Shape {
    if let Some(value) = values.single() {
        return Shape::One(value);
    }
    if values.len() == usize::from(count) {
        return Shape::All;
    }
    let (first, last) = (
        values.iter().next().unwrap_or(0),
        values.iter().next_back().unwrap_or(0),
    );
    if usize::from(last - first) + 1 == values.len() {
        return Shape::Run(first, last);
    }
    let step = values.iter().nth(1).unwrap_or(1);
    let stepped = || (0..count).step_by(usize::from(step)).collect::<Values>();
    if first == 0 && values.len() > 2 && stepped() == values {
        Shape::Step(step)
    } else {
        Shape::Some
    }
}

/// `at 03:00`, `every 5 minutes`, `every 15 minutes from 09:00 to 17:45`, `every 10 seconds`.
fn time(calendar: &Calendar) -> String {
    let Calendar {
        seconds,
        minutes,
        hours,
        ..
    } = calendar;
    if seconds.len() * minutes.len() * hours.len() <= LISTED {
        return format!("at {}", list(&clock_times(calendar)));
    }
    let every_hour = shape(*hours, 24) == Shape::All;
    let words = match shape(*seconds, 60) {
        Shape::One(0) => return minutes_of_hours(*minutes, *hours),
        Shape::One(second) => {
            return format!("{} at second {second}", minutes_of_hours(*minutes, *hours));
        }
        Shape::All => "every second".to_owned(),
        Shape::Step(step) => stepped(step, "second", 60, "minute"),
        _ => format!("at {}", numbers("second", *seconds)),
    };
    match shape(*minutes, 60) {
        Shape::All if every_hour && words.starts_with("at ") => format!("{words} of every minute"),
        Shape::All => format!("{words}{}", hours_between(*hours, 0, 59)),
        _ if every_hour => format!("{words} in {} of every hour", numbers("minute", *minutes)),
        _ => format!(
            "{words} in {} of {}",
            numbers("minute", *minutes),
            numbers("hour", *hours)
        ),
    }
}

/// The time of a schedule that names one second.
fn minutes_of_hours(minutes: Values, hours: Values) -> String {
    let last = minutes.iter().next_back().unwrap_or(0);
    match (shape(minutes, 60), shape(hours, 24)) {
        (Shape::One(0), Shape::All) => "every hour".to_owned(),
        (Shape::One(minute), Shape::All) => format!("every hour at minute {minute}"),
        (Shape::One(0), Shape::Step(step)) => stepped(step, "hour", 24, "day"),
        (Shape::One(minute), Shape::Step(step)) => {
            format!("{} at minute {minute}", stepped(step, "hour", 24, "day"))
        }
        (Shape::One(minute), Shape::Run(..)) => {
            format!("every hour{}", hours_between(hours, minute, minute))
        }
        (Shape::All, _) => format!("every minute{}", hours_between(hours, 0, 59)),
        (Shape::Step(step), _) => {
            format!(
                "{}{}",
                stepped(step, "minute", 60, "hour"),
                hours_between(hours, 0, last)
            )
        }
        (_, Shape::All) => format!("at {} of every hour", numbers("minute", minutes)),
        _ => format!(
            "at {} of {}",
            numbers("minute", minutes),
            numbers("hour", hours)
        ),
    }
}

/// `every 5 minutes`, and for what does not divide the unit above, where it starts again.
fn stepped(step: u8, word: &str, count: u8, above: &str) -> String {
    if count.is_multiple_of(step) {
        return format!("every {step} {word}s");
    }
    format!("every {step} {word}s from {word} 0 of each {above}")
}

/// The hours a finer unit runs in, from its first minute in the first of them to its last in the last.
fn hours_between(hours: Values, first: u8, last: u8) -> String {
    match shape(hours, 24) {
        Shape::All => String::new(),
        Shape::One(hour) => format!(" from {hour:02}:{first:02} to {hour:02}:{last:02}"),
        Shape::Run(from, to) => format!(" from {from:02}:{first:02} to {to:02}:{last:02}"),
        _ => format!(" of {}", numbers("hour", hours)),
    }
}

fn clock_times(calendar: &Calendar) -> Vec<String> {
    let with_seconds = calendar.seconds.single() != Some(0);
    let mut times = Vec::new();
    for hour in calendar.hours.iter() {
        for minute in calendar.minutes.iter() {
            for second in calendar.seconds.iter() {
                let time = format!("{hour:02}:{minute:02}");
                times.push(if with_seconds {
                    format!("{time}:{second:02}")
                } else {
                    time
                });
            }
        }
    }
    times
}

/// `minute 5`, `minutes 0, 10 and 20 to 25`.
fn numbers(word: &str, values: Values) -> String {
    let plural = if values.len() == 1 { "" } else { "s" };
    format!(
        "{word}{plural} {}",
        list(&set_runs(values, |value| value.to_string()))
    )
}

/// The days and months, with a blank before them; nothing when every day is meant and the time already says so.
fn date(days: &DayRule, months: Values, at_times: bool) -> String {
    let all_months = months.len() == 12;
    let of = if all_months {
        "the month".to_owned()
    } else {
        month_names(months)
    };
    let in_months = if all_months {
        String::new()
    } else {
        format!(" in {of}")
    };
    let either = days.join == Days::Either;
    let month_days_field = days
        .month_days
        .as_ref()
        .filter(|field| field.values.len() < 31);
    let weekdays_field = days
        .weekdays
        .as_ref()
        .filter(|field| field.values.len() < 7);
    match (month_days_field, weekdays_field) {
        // One of two joined by "or" is every day.
        _ if either && days.month_days.is_some() != month_days_field.is_some() => {
            daily(at_times, &in_months)
        }
        _ if either && days.weekdays.is_some() != weekdays_field.is_some() => {
            daily(at_times, &in_months)
        }
        (None, None) => daily(at_times, &in_months),
        (Some(day), None) => format!(" {}", month_days(day, &of)),
        (None, Some(weekday)) if weekday.values.is_empty() => {
            format!(" {}", weekdays(weekday, &of, "and"))
        }
        (None, Some(weekday)) => format!(" {}{in_months}", weekdays(weekday, &of, "and")),
        (Some(day), Some(weekday)) if either => {
            format!(
                " {}, and {}{in_months}",
                month_days(day, &of),
                weekdays(weekday, &of, "and")
            )
        }
        (Some(day), Some(weekday)) => {
            format!(
                " {} if it falls {}",
                month_days(day, &of),
                weekdays(weekday, &of, "or")
            )
        }
    }
}

fn daily(at_times: bool, in_months: &str) -> String {
    format!("{}{in_months}", if at_times { " every day" } else { "" })
}

fn month_names(months: Values) -> String {
    list(&set_runs(months, |month| {
        MONTHS[usize::from(month) - 1].to_owned()
    }))
}

/// `on the 1st and 15th of the month`, `on the last day of January`.
fn month_days(field: &DayField<MonthDay>, of: &str) -> String {
    let mut parts: Vec<String> = set_runs(field.values, |day| ordinal(day as u8));
    if let Some(first) = parts.first_mut() {
        *first = format!("the {first}");
    }
    parts.extend(field.special.iter().map(|rule| match rule {
        MonthDay::FromLast(0) => "the last day".to_owned(),
        MonthDay::FromLast(1) => "the day before the last".to_owned(),
        MonthDay::FromLast(before) => format!("the {} day before the last", ordinal(*before)),
        MonthDay::Nearest(day) => format!("the weekday nearest to the {}", ordinal(*day)),
        MonthDay::LastWorkday => "the last weekday".to_owned(),
    }));
    format!("on {} of {of}", list(&parts))
}

/// `on weekdays`, `on Monday and Friday`, `on the second Friday of the month`.
fn weekdays(field: &DayField<MonthWeekday>, of: &str, join: &str) -> String {
    // A week is read from Monday to Sunday.
    let monday_first: Vec<u16> = (1..=7)
        .filter(|day| field.values.contains((day % 7) as u8))
        .collect();
    let name = |day: u8| WEEKDAYS[usize::from(day % 7)];
    let mut parts = match monday_first[..] {
        [1, 2, 3, 4, 5] if join == "or" => vec!["a weekday".to_owned()],
        [1, 2, 3, 4, 5] => vec!["weekdays".to_owned()],
        [6, 7] if join == "and" => vec!["weekends".to_owned()],
        _ => runs(&monday_first, |day| name(day as u8).to_owned()),
    };
    let special: Vec<String> = field
        .special
        .iter()
        .map(|rule| match rule {
            MonthWeekday::Last(day) => format!("the last {}", name(*day)),
            MonthWeekday::Nth(day, nth) => {
                let nth = ["first", "second", "third", "fourth", "fifth"][usize::from(*nth) - 1];
                format!("the {nth} {}", name(*day))
            }
        })
        .collect();
    if !special.is_empty() {
        parts.push(format!("{} of {of}", joined(&special, join)));
    }
    format!("on {}", joined(&parts, join))
}

fn ordinal(day: u8) -> String {
    let suffix = match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    format!("{day}{suffix}")
}
