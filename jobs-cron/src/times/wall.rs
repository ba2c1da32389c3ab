//! Wall-clock times of a schedule, in a time without clock changes.
//!
//! The `cron` crate iterates them, in UTC, where it is sound. What it does not know is kept from it: it is given plain
//! ascending lists, weekdays by name, and no day rules. `tests/cron_crate.rs` names the faults this avoids.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::calendar::YEARS;
use crate::days::{DayRule, Days};
use crate::fields::Calendar;
use crate::unit::WEEKDAYS;
use crate::values::Values;

/// The wall-clock times a calendar matches, in either direction.
#[derive(Debug, Clone)]
pub(crate) struct Wall {
    cron: cron::Schedule,
    years: Option<Vec<u16>>,
    /// Days that `cron` cannot express; it then gives the times of every day.
    days: Option<DayRule>,
}

impl Wall {
    pub(crate) fn new(calendar: &Calendar) -> Self {
        let plain = is_plain(&calendar.days);
        let days = calendar.days.month_days.as_ref().filter(|_| plain);
        let weekdays = calendar.days.weekdays.as_ref().filter(|_| plain);
        let text = format!(
            "{} {} {} {} {} {} {}",
            numbers(calendar.seconds, 60),
            numbers(calendar.minutes, 60),
            numbers(calendar.hours, 24),
            days.map_or("*".to_owned(), |field| numbers(field.values, 31)),
            numbers(calendar.months, 12),
            weekdays.map_or("*".to_owned(), |field| names(field.values)),
            calendar
                .years
                .as_ref()
                .map_or("*".to_owned(), |years| joined(years.iter())),
        );
        let cron = text.parse().unwrap_or_else(|error| {
            unreachable!(
                "lists of checked numbers are refused by the cron crate: `{text}`: {error}"
            )
        });
        Self {
            cron,
            years: calendar.years.clone(),
            days: (!plain).then(|| calendar.days.clone()),
        }
    }

    /// The first matching time after another one.
    pub(crate) fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let first = first_of(*YEARS.start())? - TimeDelta::seconds(1);
        let mut after = after.max(first);
        loop {
            if after.year() > i32::from(*YEARS.end()) {
                return None;
            }
            let time = self.cron.after(&after.and_utc()).next()?.naive_utc();
            if self.runs_on(time.date()) {
                return Some(time);
            }
            after = time.date().and_time(LAST_SECOND);
        }
    }

    /// The last matching time before another one.
    pub(crate) fn previous(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut before = before.min(first_of(YEARS.end() + 1)?);
        loop {
            before = self.within_years(before)?;
            let time = self
                .cron
                .after(&before.and_utc())
                .next_back()
                .map(|time: DateTime<Utc>| time.naive_utc())?;
            if self.runs_on(time.date()) {
                return Some(time);
            }
            before = time.date().and_time(NaiveTime::MIN);
        }
    }

    fn runs_on(&self, date: NaiveDate) -> bool {
        self.days.as_ref().is_none_or(|days| {
            days.matches(date.year() as u16, date.month() as u8, date.day() as u8)
        })
    }

    /// Going back, `cron` 0.17 searches an earlier year only up to the month, day and time it came from, so it must
    /// start at the end of a year that matches.
    fn within_years(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let latest = before.checked_sub_signed(TimeDelta::nanoseconds(1))?.year();
        let latest = u16::try_from(latest)
            .ok()
            .filter(|year| year >= YEARS.start())?;
        let year = match &self.years {
            None => latest,
            Some(years) => *years.iter().rev().find(|year| **year <= latest)?,
        };
        if year == latest {
            Some(before)
        } else {
            first_of(year + 1)
        }
    }
}

const LAST_SECOND: NaiveTime = NaiveTime::from_hms_opt(23, 59, 59).expect("it is a time of day");

/// Whether `cron` can express the days: values alone, and joined by "and".
fn is_plain(days: &DayRule) -> bool {
    let either = days.join == Days::Either && days.month_days.is_some() && days.weekdays.is_some();
    let special = days
        .month_days
        .as_ref()
        .is_some_and(|field| !field.special.is_empty())
        || days
            .weekdays
            .as_ref()
            .is_some_and(|field| !field.special.is_empty());
    !either && !special
}

fn first_of(year: u16) -> Option<NaiveDateTime> {
    Some(NaiveDate::from_ymd_opt(i32::from(year), 1, 1)?.and_time(NaiveTime::MIN))
}

fn numbers(values: Values, count: usize) -> String {
    if values.len() == count {
        "*".to_owned()
    } else {
        joined(values.iter())
    }
}

fn names(values: Values) -> String {
    joined(values.iter().map(|day| &WEEKDAYS[usize::from(day)][..3]))
}

fn joined<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(",")
}
