//! Which days a schedule runs on: days of the month, weekdays, and how the two are joined.

use crate::calendar::{days_in_month, weekday};
use crate::values::Values;

/// What it means when a day of the month *and* a weekday are given. Cron daemons and libraries disagree about it,
/// so a schedule that restricts both must say which it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Days {
    /// Runs on days that match one or the other, as cron daemons do it: `0 0 13 * FRI` is every Friday and every 13th.
    Either,
    /// Runs on days that match both, as Hangfire and Quartz do it: `0 0 13 * FRI` is Friday the 13th.
    Both,
}

impl Days {
    /// The word in attributes and in storage: `either` or `both`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Either => "either",
            Self::Both => "both",
        }
    }

    /// The reverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Either, Self::Both]
            .into_iter()
            .find(|known| known.as_str() == name)
    }
}

/// A day of the month that depends on the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MonthDay {
    /// `L`, `L-3`: so many days before the last one.
    FromLast(u8),
    /// `15W`: the Monday to Friday nearest to a day, in the same month.
    Nearest(u8),
    /// `LW`: the last Monday to Friday.
    LastWorkday,
}

/// A weekday that depends on the month. Weekdays are numbered from 0 = Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MonthWeekday {
    /// `5L`: the last Friday.
    Last(u8),
    /// `5#2`: the second Friday.
    Nth(u8, u8),
}

/// The restriction one of the two day fields makes: plain values, and those that depend on the month.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DayField<S> {
    pub(crate) values: Values,
    pub(crate) special: Vec<S>,
}

/// The days of a schedule. A field that is not restricted is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DayRule {
    pub(crate) month_days: Option<DayField<MonthDay>>,
    pub(crate) weekdays: Option<DayField<MonthWeekday>>,
    pub(crate) join: Days,
}

impl DayRule {
    /// Whether the schedule runs on this date.
    pub(crate) fn matches(&self, year: u16, month: u8, day: u8) -> bool {
        let by_day = self.month_days.as_ref().map(|field| {
            field.values.contains(day)
                || field
                    .special
                    .iter()
                    .any(|rule| rule.day(year, month) == Some(day))
        });
        let by_weekday = self.weekdays.as_ref().map(|field| {
            field.values.contains(weekday(year, month, day))
                || field
                    .special
                    .iter()
                    .any(|rule| rule.matches(year, month, day))
        });
        match (by_day, by_weekday) {
            (None, None) => true,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(a), Some(b)) if self.join == Days::Either => a || b,
            (Some(a), Some(b)) => a && b,
        }
    }
}

impl MonthDay {
    /// The day it is in this month, if there is one.
    fn day(self, year: u16, month: u8) -> Option<u8> {
        let last = days_in_month(year, month);
        match self {
            Self::FromLast(before) => last.checked_sub(before).filter(|day| *day > 0),
            Self::Nearest(day) if day > last => None,
            Self::Nearest(day) => Some(match weekday(year, month, day) {
                6 if day == 1 => 3,
                6 => day - 1,
                0 if day == last => day - 2,
                0 => day + 1,
                _ => day,
            }),
            Self::LastWorkday => Some(match weekday(year, month, last) {
                6 => last - 1,
                0 => last - 2,
                _ => last,
            }),
        }
    }
}

impl MonthWeekday {
    fn matches(self, year: u16, month: u8, day: u8) -> bool {
        match self {
            Self::Last(wanted) => {
                weekday(year, month, day) == wanted && day + 7 > days_in_month(year, month)
            }
            Self::Nth(wanted, nth) => {
                weekday(year, month, day) == wanted && (day - 1) / 7 + 1 == nth
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_workday_stays_in_its_month() {
        let days = |day, year, month| MonthDay::Nearest(day).day(year, month);
        assert_eq!(days(15, 2026, 8), Some(14), "15 August 2026 is a Saturday");
        assert_eq!(days(15, 2026, 11), Some(16), "15 November 2026 is a Sunday");
        assert_eq!(days(15, 2026, 7), Some(15), "15 July 2026 is a Wednesday");
        assert_eq!(
            days(1, 2026, 8),
            Some(3),
            "1 August 2026 is a Saturday, July is another month"
        );
        assert_eq!(
            days(31, 2026, 5),
            Some(29),
            "31 May 2026 is a Sunday, June is another month"
        );
        assert_eq!(days(31, 2026, 4), None, "April has no 31st");
    }

    #[test]
    fn days_are_counted_from_the_last_one() {
        let days = |before, year, month| MonthDay::FromLast(before).day(year, month);
        assert_eq!(days(0, 2024, 2), Some(29));
        assert_eq!(days(3, 2026, 2), Some(25));
        assert_eq!(days(30, 2026, 1), Some(1));
        assert_eq!(days(28, 2026, 2), None);
        assert_eq!(MonthDay::LastWorkday.day(2026, 5), Some(29));
        assert_eq!(MonthDay::LastWorkday.day(2026, 2), Some(27));
        assert_eq!(MonthDay::LastWorkday.day(2026, 9), Some(30));
    }

    #[test]
    fn the_nth_and_the_last_weekday_are_each_one_day_of_a_month() {
        let days = |rule: MonthWeekday, month| -> Vec<u8> {
            (1..=days_in_month(2026, month))
                .filter(|d| rule.matches(2026, month, *d))
                .collect()
        };
        assert_eq!(days(MonthWeekday::Nth(5, 2), 11), [13]);
        assert_eq!(days(MonthWeekday::Nth(0, 5), 11), [29]);
        assert!(days(MonthWeekday::Nth(5, 5), 11).is_empty());
        assert_eq!(days(MonthWeekday::Last(5), 11), [27]);
        assert_eq!(days(MonthWeekday::Last(1), 11), [30]);
    }
}
