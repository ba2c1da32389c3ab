//! The five to seven fields of a schedule together, and what only shows when they are seen together.

use crate::calendar::{YEARS, days_in_month};
use crate::days::{DayField, DayRule, Days};
use crate::error::ParseError;
use crate::field::{Field, Word};
use crate::unit::{MONTHS, Unit};
use crate::values::Values;

/// The fields as they were read.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    whole: Word<'a>,
    pub(crate) second: Option<Field<'a>>,
    pub(crate) minute: Field<'a>,
    pub(crate) hour: Field<'a>,
    pub(crate) day: Field<'a>,
    pub(crate) month: Field<'a>,
    pub(crate) weekday: Field<'a>,
    pub(crate) year: Option<Field<'a>>,
}

/// The sets of a schedule made of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) seconds: Values,
    pub(crate) minutes: Values,
    pub(crate) hours: Values,
    pub(crate) days: DayRule,
    pub(crate) months: Values,
    /// Ascending; `None` is every year.
    pub(crate) years: Option<Vec<u16>>,
    /// A `*`, a range or a step stands in seconds, minutes or hours.
    pub(crate) interval: bool,
    /// Where the fields from seconds to hours stand in the text: offset and length.
    pub(crate) time_place: (usize, usize),
}

impl<'a> Fields<'a> {
    /// Reads the fields, which their number tells apart.
    pub(crate) fn split(whole: Word<'a>) -> Result<Self, ParseError> {
        if whole.text.starts_with("TZ=") || whole.text.starts_with("CRON_TZ=") {
            return Err(whole.error(
                "the time zone is not part of the schedule: give it as `tz = \"Europe/Berlin\"`",
            ));
        }
        let words: Vec<Word<'a>> = words(whole);
        let (second, rest, year) = match words[..] {
            [a, b, c, d, e] => (None, [a, b, c, d, e], None),
            [s, a, b, c, d, e] => (Some(s), [a, b, c, d, e], None),
            [s, a, b, c, d, e, y] => (Some(s), [a, b, c, d, e], Some(y)),
            _ => return Err(wrong_count(whole, words.len())),
        };
        let [minute, hour, day, month, weekday] = rest;
        Ok(Self {
            whole,
            second: second
                .map(|word| Field::parse(Unit::Second, word))
                .transpose()?,
            minute: Field::parse(Unit::Minute, minute)?,
            hour: Field::parse(Unit::Hour, hour)?,
            day: Field::parse(Unit::Day, day)?,
            month: Field::parse(Unit::Month, month)?,
            weekday: Field::parse(Unit::Weekday, weekday)?,
            year: year
                .map(|word| Field::parse(Unit::Year, word))
                .transpose()?,
        })
    }

    /// The sets, once the fields are known to make sense together.
    pub(crate) fn calendar(&self, days: Option<Days>) -> Result<Calendar, ParseError> {
        let day_rule = self.day_rule(days)?;
        let first = self.second.as_ref().unwrap_or(&self.minute).word;
        let calendar = Calendar {
            seconds: self
                .second
                .as_ref()
                .map_or_else(|| Values::from_iter([0]), Field::set),
            minutes: self.minute.set(),
            hours: self.hour.set(),
            days: day_rule,
            months: self.month.set(),
            years: self
                .year
                .as_ref()
                .filter(|year| !year.is_open())
                .map(ascending),
            interval: self.time().any(Field::is_interval),
            time_place: (
                first.at,
                self.hour.word.at + self.hour.word.text.len() - first.at,
            ),
        };
        if calendar.ever_matches() {
            Ok(calendar)
        } else {
            Err(self.never(&calendar))
        }
    }

    /// The fields from seconds to hours, as far as they were written.
    pub(crate) fn time(&self) -> impl Iterator<Item = &Field<'a>> {
        [self.second.as_ref(), Some(&self.minute), Some(&self.hour)]
            .into_iter()
            .flatten()
    }

    fn day_rule(&self, days: Option<Days>) -> Result<DayRule, ParseError> {
        let (day, weekday) = (&self.day, &self.weekday);
        let both_restricted = !day.is_open() && !weekday.is_open();
        let join = match days {
            Some(days) => days,
            None if both_restricted => return Err(self.ambiguous()),
            None => Days::Both,
        };
        Ok(DayRule {
            month_days: (!day.is_open()).then(|| DayField {
                values: day.set(),
                special: day.month_days.clone(),
            }),
            weekdays: (!weekday.is_open()).then(|| DayField {
                values: weekday.set(),
                special: weekday.weekdays.clone(),
            }),
            join,
        })
    }

    fn ambiguous(&self) -> ParseError {
        let message = format!(
            "both a day of the month (`{}`) and a weekday (`{}`) are given, which some cron programs join by \"or\" \
             and some by \"and\": add `days = \"either\"` to run on days that match one of them, `days = \"both\"` \
             to run on days that match both, or write `*` for one of them",
            self.day.word.text, self.weekday.word.text
        );
        self.error_over_days(message)
    }

    fn never(&self, calendar: &Calendar) -> ParseError {
        let months = calendar.months;
        let message = match (
            &calendar.days.weekdays,
            calendar.days.month_days.as_ref(),
            &calendar.years,
        ) {
            (None, Some(field), None) if months.len() < 12 && field.special.is_empty() => {
                let month = months
                    .iter()
                    .max_by_key(|month| days_in_month(2024, *month))
                    .unwrap_or(1);
                format!(
                    "this never happens: {} has at most {} days",
                    MONTHS[usize::from(month) - 1],
                    days_in_month(2024, month)
                )
            }
            _ => {
                "this never happens: no date from 1970 to 2100 matches these days, months and years"
                    .to_owned()
            }
        };
        self.error_over_days(message)
    }

    /// An error over everything from the day of the month on.
    fn error_over_days(&self, message: String) -> ParseError {
        let (at, end) = (self.day.word.at, self.whole.at + self.whole.text.len());
        ParseError::new(self.whole.source, at, end - at, message)
    }
}

impl Calendar {
    /// Whether any date matches: a time of day always does.
    fn ever_matches(&self) -> bool {
        YEARS.filter(|year| self.has_year(*year)).any(|year| {
            self.months.iter().any(|month| {
                (1..=days_in_month(year, month)).any(|day| self.days.matches(year, month, day))
            })
        })
    }

    pub(crate) fn has_year(&self, year: u16) -> bool {
        self.years
            .as_ref()
            .is_none_or(|years| years.binary_search(&year).is_ok())
    }
}

fn ascending(field: &Field<'_>) -> Vec<u16> {
    let mut years = field.values.clone();
    years.sort_unstable();
    years.dedup();
    years
}

fn words(whole: Word<'_>) -> Vec<Word<'_>> {
    let start = whole.text.as_ptr().addr();
    let place = |text: &str| whole.at + text.as_ptr().addr() - start;
    whole
        .text
        .split_ascii_whitespace()
        .map(|text| Word {
            text,
            at: place(text),
            ..whole
        })
        .collect()
}

fn wrong_count(whole: Word<'_>, count: usize) -> ParseError {
    let fields = if count == 1 { "field" } else { "fields" };
    whole.error(format!(
        "a schedule has 5 fields (minute hour day month weekday), 6 with seconds before them, or 7 with a year \
         after them; this has {count} {fields}"
    ))
}
