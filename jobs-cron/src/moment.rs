//! Dates and times of day in attributes: when a schedule starts and ends.

use crate::calendar::{YEARS, days_in_month};
use crate::error::{ParseError, cut};

/// A day, or a moment of one, as written: `2026-12-31`, `2026-12-31 09:00`, `2026-12-31T09:00:00+01:00`.
///
/// Without an offset it is wall-clock time in the schedule's zone. Needs no dependency, so that macros can check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    /// Hour, minute and second; `None` is the whole day.
    pub(crate) time: Option<(u8, u8, u8)>,
    /// Seconds ahead of UTC.
    pub(crate) offset: Option<i32>,
}

const WANTED: &str =
    "write a date such as `2026-12-31`, or a date and time such as `2026-12-31 09:00`";

impl Moment {
    /// Reads a date, or a date and a time, from 1970 to 2100.
    ///
    /// # Errors
    /// [`ParseError`] when it is something else, or a day or time that does not exist.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let error = |message: String| {
            let shown = cut(text, 64);
            ParseError::new(&shown, 0, shown.len(), message)
        };
        let parsed = split(text)
            .ok_or_else(|| error(format!("`{}` is not a date: {WANTED}", cut(text, 64))))?;
        let Self {
            year,
            month,
            day,
            time,
            offset,
        } = parsed;
        if !YEARS.contains(&year) {
            return Err(error(format!(
                "the year must be from {} to {}, not {year}",
                YEARS.start(),
                YEARS.end()
            )));
        }
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return Err(error(format!(
                "there is no {year}-{month:02}-{day:02}: {WANTED}"
            )));
        }
        if time.is_some_and(|(h, m, s)| h > 23 || m > 59 || s > 59)
            || offset.is_some_and(|o| o.abs() > 18 * 3600)
        {
            return Err(error(format!("there is no such time of day: {WANTED}")));
        }
        Ok(parsed)
    }
}

impl Moment {
    /// Whether a schedule that ends now would end before one that starts then, as far as that can be said without
    /// knowing the zone: of moments with different offsets it cannot.
    pub fn is_before(self, starts: Self) -> bool {
        let ends = (
            self.year,
            self.month,
            self.day,
            self.time.unwrap_or((23, 59, 59)),
        );
        let begins = (
            starts.year,
            starts.month,
            starts.day,
            starts.time.unwrap_or_default(),
        );
        self.offset == starts.offset && ends < begins
    }
}

/// The parts, when the text has the right shape.
fn split(text: &str) -> Option<Moment> {
    let text = text.trim_ascii();
    let text = text
        .is_ascii()
        .then_some(text)
        .filter(|text| text.len() <= 32)?;
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (time, offset) = match rest.strip_prefix(['T', 't', ' ']) {
        None if rest.is_empty() => (None, None),
        None => return None,
        Some(rest) => {
            let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
            (Some(time_of_day(&rest[..end])?), zone_offset(&rest[end..])?)
        }
    };
    Some(Moment {
        year: digits(year, 4)?,
        month: digits(month, 2)? as u8,
        day: digits(day, 2)? as u8,
        time,
        offset,
    })
}

fn time_of_day(text: &str) -> Option<(u8, u8, u8)> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [h, m] => Some((digits(h, 2)? as u8, digits(m, 2)? as u8, 0)),
        [h, m, s] => Some((
            digits(h, 2)? as u8,
            digits(m, 2)? as u8,
            digits(s, 2)? as u8,
        )),
        _ => None,
    }
}

/// The outer `None` is a mistake, the inner one no offset at all.
fn zone_offset(text: &str) -> Option<Option<i32>> {
    if text.is_empty() {
        return Some(None);
    }
    if text.eq_ignore_ascii_case("Z") {
        return Some(Some(0));
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let seconds = i32::from(digits(hours, 2)?) * 3600
        + i32::from(digits(minutes, 2).filter(|m| *m < 60)?) * 60;
    Some(Some(if sign == "-" { -seconds } else { seconds }))
}

fn digits(text: &str, len: usize) -> Option<u16> {
    let plain = text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}
