//! Valid schedules that do not do what most readers would expect.

use crate::calendar::days_in_month;
use crate::days::{Days, MonthDay, MonthWeekday};
use crate::error::Warning;
use crate::expression::Kind;
use crate::field::{Field, Word};
use crate::fields::{Calendar, Fields};
use crate::unit::{MONTHS, Unit, WEEKDAYS};
use crate::zone;

/// What the fields show without a time zone.
pub(crate) fn in_fields(
    fields: &Fields<'_>,
    calendar: &Calendar,
    days: Option<Days>,
) -> Vec<Warning> {
    let mut found = Vec::new();
    let dated = [&fields.day, &fields.month, &fields.weekday];
    for field in fields.time().chain(dated).chain(fields.year.as_ref()) {
        superfluous(field, &mut found);
        uneven(field, &mut found);
    }
    if let Some(second) = &fields.second {
        repeated(second, &fields.minute, &mut found);
    }
    repeated(&fields.minute, &fields.hour, &mut found);
    over_midnight(fields, &mut found);
    short_months(fields, calendar, &mut found);
    fifth_weekday(fields, &mut found);
    if let Some(days) = days.filter(|_| fields.day.is_open() || fields.weekday.is_open()) {
        let open = if fields.day.is_open() {
            &fields.day
        } else {
            &fields.weekday
        };
        found.push(warn(open.word, format!(
            "`days = \"{}\"` has no effect: it joins a day of the month and a weekday, and one of them is `{}`",
            days.as_str(),
            open.word.text
        )));
    }
    found
}

/// What shows once the time zone is known.
pub(crate) fn in_zone(text: &str, kind: &Kind, zone: Option<&str>) -> Vec<Warning> {
    let Some(name) = zone else { return Vec::new() };
    let mut found: Vec<Warning> = zone::inverted(name).into_iter().collect();
    match kind {
        Kind::Every(_) if name != "UTC" => {
            let message =
                format!("`@every` counts elapsed time: the time zone `{name}` has no effect");
            found.push(Warning::new(text, 0, text.len(), message));
        }
        Kind::Every(_) => {}
        Kind::Calendar(calendar) => found.extend(in_gap(text, calendar, name)),
    }
    found
}

/// A fixed time that the clocks of the zone skip in spring.
fn in_gap(text: &str, calendar: &Calendar, zone: &str) -> Option<Warning> {
    let (from, to) = zone::gap(zone).filter(|_| !calendar.interval)?;
    let mut times = calendar.hours.iter().flat_map(|hour| {
        calendar
            .minutes
            .iter()
            .map(move |minute| u16::from(hour) * 60 + u16::from(minute))
    });
    let time = times.find(|time| (from..to).contains(time))?;
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let (offset, len) = calendar.time_place;
    Some(Warning::new(
        text,
        offset,
        len,
        format!(
            "{} does not exist in {zone} on the day clocks go forward: it then runs at {}, the first moment after the gap",
            clock(time),
            clock(to)
        ),
    ))
}

fn warn(word: Word<'_>, message: impl Into<String>) -> Warning {
    Warning::new(word.source, word.at, word.text.len(), message)
}

/// `*,5`: the list says no more than its `*`.
fn superfluous(field: &Field<'_>, found: &mut Vec<Warning>) {
    if field.word.text.contains(',') && field.word.text.split(',').any(|item| item == "*") {
        found.push(warn(
            field.word,
            format!(
                "the `*` in this list matches every {}: the rest has no effect",
                field.unit.word()
            ),
        ));
    }
}

/// `*/7`: the distance is not kept where the unit above changes.
fn uneven(field: &Field<'_>, found: &mut Vec<Warning>) {
    for (step, item) in field
        .steps
        .iter()
        .filter(|(_, item)| item.text.starts_with('*'))
    {
        let (min, count) = (field.unit.min(), field.unit.max() - field.unit.min() + 1);
        let left = (count - 1) % step + 1;
        let last = min + (count - 1) / step * step;
        let message = match field.unit {
            Unit::Year => continue,
            Unit::Day => format!(
                "`{}` starts again on the 1st of each month, whatever the last day was",
                item.text
            ),
            _ if left == *step => continue,
            Unit::Weekday => format!(
                "`{}` starts again on Sunday: {} is followed by Sunday",
                item.text,
                WEEKDAYS[usize::from(last)]
            ),
            Unit::Month => format!(
                "`{}` starts again each January: {} is followed by January",
                item.text,
                MONTHS[usize::from(last) - 1]
            ),
            Unit::Second | Unit::Minute | Unit::Hour => {
                let word = field.unit.word();
                let above = match field.unit {
                    Unit::Second => "minute",
                    Unit::Minute => "hour",
                    _ => "day",
                };
                let letter = field.unit.letter().unwrap_or_default();
                let plural = if left == 1 { "" } else { "s" };
                format!(
                    "`{}` starts again with each {above}: {word} {last} is followed by {word} 0 after {left} \
                     {word}{plural}; an even distance is `@every {step}{letter}`",
                    item.text
                )
            }
        };
        found.push(warn(*item, message));
    }
}

/// `* 3 * * *`: every minute of an hour, where once is usually meant.
fn repeated(fine: &Field<'_>, coarse: &Field<'_>, found: &mut Vec<Warning>) {
    if fine.word.text == "*" && !coarse.is_interval() {
        let (fine_word, coarse_word, coarse_text) =
            (fine.unit.word(), coarse.unit.word(), coarse.word.text);
        found.push(warn(fine.word, format!(
            "runs in every {fine_word} of {coarse_word} {coarse_text}, 60 times: write `0` for once"
        )));
    }
}

/// `0 22-2 * * FRI`: the hours after midnight belong to the named day, not to the night that began on it.
fn over_midnight(fields: &Fields<'_>, found: &mut Vec<Warning>) {
    let restricted = !fields.day.is_open() || !fields.weekday.is_open();
    for item in fields.hour.reversed.iter().filter(|_| restricted) {
        found.push(warn(*item, format!(
            "`{}` means the early and the late hours of the same day, not a night that goes on into the next day",
            item.text
        )));
    }
}

/// Days that not every month has.
fn short_months(fields: &Fields<'_>, calendar: &Calendar, found: &mut Vec<Warning>) {
    let field = &fields.day;
    if field.is_interval() {
        return;
    }
    let plain = field.values.iter().map(|day| *day as u8);
    let nearest = field.month_days.iter().filter_map(|rule| match rule {
        MonthDay::Nearest(day) => Some(*day),
        // The n-th day before the last one needs n + 1 days.
        MonthDay::FromLast(before) => Some(before + 1),
        MonthDay::LastWorkday => None,
    });
    let Some(day) = plain.chain(nearest).max() else {
        return;
    };
    let missing: Vec<u8> = calendar
        .months
        .iter()
        .filter(|month| days_in_month(2026, *month) < day)
        .collect();
    if missing.is_empty() {
        return;
    }
    let only_leap_years = calendar.months.single() == Some(2);
    let message = if only_leap_years {
        "runs in leap years alone: the other years have no 29 February".to_owned()
    } else if missing == [2] {
        format!(
            "passes over February when it has fewer than {day} days: `L` is the last day of every month"
        )
    } else {
        format!(
            "passes over the months with fewer than {day} days: `L` is the last day of every month"
        )
    };
    found.push(warn(field.word, message));
}

/// `5#5`: most months have no fifth one.
fn fifth_weekday(fields: &Fields<'_>, found: &mut Vec<Warning>) {
    for rule in &fields.weekday.weekdays {
        if let MonthWeekday::Nth(day, 5) = rule {
            let name = WEEKDAYS[usize::from(*day)];
            found.push(warn(fields.weekday.word, format!(
                "passes over months without a fifth {name}, which is most of them: `{day}L` is the last {name}"
            )));
        }
    }
}
