//! The units of time a schedule has fields for: their ranges, names and words.

use crate::calendar::YEARS;

/// One of the seven fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
    Year,
}

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday, as weekdays are numbered.
pub(crate) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Unit {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of the month",
            Self::Month => "month",
            Self::Weekday => "weekday",
            Self::Year => "year",
        }
    }

    pub(crate) fn min(self) -> u16 {
        match self {
            Self::Day | Self::Month => 1,
            Self::Year => *YEARS.start(),
            _ => 0,
        }
    }

    /// The largest value; weekdays have 7 as a second number of Sunday, which `*` does not count.
    pub(crate) fn max(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => 6,
            Self::Year => *YEARS.end(),
        }
    }

    /// What a value may be, for messages.
    pub(crate) fn allowed(self) -> String {
        let (min, max) = (self.min(), self.max());
        match self {
            Self::Day => "`*`, 1..=31 or `L`".into(),
            Self::Month => "`*`, 1..=12 or a name like `JAN`".into(),
            Self::Weekday => "`*`, 0..=7 or a name like `MON`".into(),
            _ => format!("`*` or {min}..={max}"),
        }
    }

    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The value of a name, in three letters or whole, in any case.
    pub(crate) fn named(self, name: &str) -> Option<u16> {
        let matches = |known: &&'static str| {
            known.eq_ignore_ascii_case(name) || known[..3].eq_ignore_ascii_case(name)
        };
        let index = self.names().iter().position(matches)?;
        Some(index as u16 + if self == Self::Month { 1 } else { 0 })
    }

    /// The letter of the unit in a duration, when it has one.
    pub(crate) fn letter(self) -> Option<char> {
        match self {
            Self::Second => Some('s'),
            Self::Minute => Some('m'),
            Self::Hour => Some('h'),
            _ => None,
        }
    }
}
