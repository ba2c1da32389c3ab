//! A schedule with its zone, start and end.

use std::fmt;
use std::iter::FusedIterator;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::instants::Instants;
use super::wall::Wall;
use crate::days::Days;
use crate::error::{ParseError, Warning};
use crate::expression::{Expression, Kind};
use crate::zone::check_zone;

/// When something recurs: an expression, the time zone it is read in, and from when to when it holds.
///
/// Occurrences are whole seconds from 1970 to 2100. Each is a `DateTime<Utc>`; for wall-clock time say
/// `occurrence.with_timezone(&schedule.tz())`.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use jobs_cron::Schedule;
///
/// let schedule = Schedule::builder("0 3 * * MON-FRI").zone("Europe/Berlin").build()?;
/// assert_eq!(schedule.describe(), "at 03:00 on weekdays, Europe/Berlin");
///
/// let friday: DateTime<Utc> = "2026-11-20T12:00:00Z".parse()?;
/// let monday = schedule.next_after(friday).map(|next| next.to_rfc3339());
/// assert_eq!(monday.as_deref(), Some("2026-11-23T02:00:00+00:00"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: Expression,
    tz: Tz,
    starts: Option<DateTime<Utc>>,
    ends: Option<DateTime<Utc>>,
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    /// Multiples of a distance from an anchor on, in seconds since 1970.
    Every {
        distance: i64,
        anchor: i64,
    },
    Calendar(Box<Instants>),
}

impl Schedule {
    /// A schedule in UTC, without start or end.
    ///
    /// # Errors
    /// As [`Expression::parse`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::builder(text).build()
    }

    /// A schedule with a time zone, a start, an end, or a word on [`Days`].
    pub fn builder(text: &str) -> ScheduleBuilder {
        ScheduleBuilder {
            text: text.to_owned(),
            zone: Zone::Known(Tz::UTC),
            days: None,
            starts: None,
            ends: None,
        }
    }

    /// The first occurrence after an instant; always later than it.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let just_before = |start: DateTime<Utc>| start - TimeDelta::nanoseconds(1);
        let from = after
            .max(self.starts.map_or(far_past(), just_before))
            .max(far_past());
        if from >= far_future() {
            return None;
        }
        let next = match &self.times {
            Times::Every { distance, anchor } => {
                let passed = (from.timestamp() - anchor).div_euclid(*distance) + 1;
                instant(anchor + passed.max(0) * distance)
            }
            Times::Calendar(instants) => instants.next(from),
        }?;
        assert!(next > after, "{self} gave {next} as the next after {after}");
        Some(next).filter(|next| self.ends.is_none_or(|end| *next <= end))
    }

    /// The last occurrence before an instant; always earlier than it.
    #[must_use]
    pub fn previous_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let just_after = |end: DateTime<Utc>| end + TimeDelta::nanoseconds(1);
        let from = before
            .min(self.ends.map_or(far_future(), just_after))
            .min(far_future());
        if from <= far_past() {
            return None;
        }
        let previous = match &self.times {
            Times::Every { distance, anchor } => {
                // The last whole second before.
                let last = (from - TimeDelta::nanoseconds(1)).timestamp();
                let passed = (last - anchor).div_euclid(*distance);
                if passed < 0 {
                    None
                } else {
                    instant(anchor + passed * distance)
                }
            }
            Times::Calendar(instants) => instants.previous(from),
        }?;
        assert!(
            previous < before,
            "{self} gave {previous} as the previous before {before}"
        );
        Some(previous).filter(|previous| self.starts.is_none_or(|start| *previous >= start))
    }

    /// The occurrences after an instant, ascending.
    #[must_use]
    pub fn upcoming(&self, from: DateTime<Utc>) -> Occurrences<'_> {
        Occurrences {
            schedule: self,
            last: Some(from),
            until: None,
        }
    }

    /// The occurrences from one instant (inclusive) to another (exclusive), ascending.
    #[must_use]
    pub fn occurrences_between(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Occurrences<'_> {
        // Nothing lies before the earliest instant there is, so it needs no predecessor.
        let last = from
            .checked_sub_signed(TimeDelta::nanoseconds(1))
            .unwrap_or(from);
        Occurrences {
            schedule: self,
            last: Some(last),
            until: Some(until),
        }
    }

    /// What the schedule means, in plain English, with its zone unless that is UTC, and with its start and end.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut words = self.expression.describe();
        if self.tz != Tz::UTC && matches!(self.times, Times::Calendar(_)) {
            words.push_str(&format!(", {}", self.tz.name()));
        }
        let local = |at: DateTime<Utc>| at.with_timezone(&self.tz).format("%Y-%m-%d %H:%M:%S");
        if let Some(start) = self.starts {
            words.push_str(&format!(", from {}", local(start)));
        }
        if let Some(end) = self.ends {
            words.push_str(&format!(", until {}", local(end)));
        }
        words
    }

    /// What is surprising about the schedule in its zone.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.expression.warnings(Some(self.tz.name()))
    }

    /// The expression it was made from.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The time zone it is read in.
    #[must_use]
    pub fn tz(&self) -> Tz {
        self.tz
    }

    /// The instant before which nothing occurs.
    #[must_use]
    pub fn starts(&self) -> Option<DateTime<Utc>> {
        self.starts
    }

    /// The instant after which nothing occurs.
    #[must_use]
    pub fn ends(&self) -> Option<DateTime<Utc>> {
        self.ends
    }
}

/// The text of the expression, as it was given.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expression.as_str())
    }
}

impl FromStr for Schedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// Makes a [`Schedule`]; see [`Schedule::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ScheduleBuilder {
    text: String,
    zone: Zone,
    days: Option<Days>,
    starts: Option<DateTime<Utc>>,
    ends: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
enum Zone {
    Known(Tz),
    Named(String),
}

impl ScheduleBuilder {
    /// The time zone the expression is read in. Defaults to UTC.
    pub fn tz(mut self, tz: Tz) -> Self {
        self.zone = Zone::Known(tz);
        self
    }

    /// The time zone by its name, such as `Europe/Berlin`, checked by [`build`](Self::build). Defaults to UTC.
    pub fn zone(mut self, name: &str) -> Self {
        self.zone = Zone::Named(name.to_owned());
        self
    }

    /// How a day of the month and a weekday are joined. No default: a schedule that restricts both is refused.
    pub fn days(mut self, days: Days) -> Self {
        self.days = Some(days);
        self
    }

    /// Nothing occurs before this instant; `@every` counts from it (from the next whole second). Defaults to no start,
    /// and `@every` counts from 1970-01-01 00:00:00 UTC.
    pub fn starts(mut self, starts: DateTime<Utc>) -> Self {
        self.starts = Some(starts);
        self
    }

    /// Nothing occurs after this instant; it may itself be an occurrence. Defaults to no end.
    pub fn ends(mut self, ends: DateTime<Utc>) -> Self {
        self.ends = Some(ends);
        self
    }

    /// The schedule.
    ///
    /// # Errors
    /// [`ParseError`] for a mistake in the expression or in the zone's name, or when it ends before it starts.
    pub fn build(self) -> Result<Schedule, ParseError> {
        let expression = Expression::parse_with(&self.text, self.days)?;
        let tz = match self.zone {
            Zone::Known(tz) => tz,
            Zone::Named(name) => {
                check_zone(&name)?;
                let unknown = |_| {
                    ParseError::new(
                        &name,
                        0,
                        name.len(),
                        "this time zone has no data in this program",
                    )
                };
                name.parse().map_err(unknown)?
            }
        };
        if let (Some(start), Some(end)) = (self.starts, self.ends)
            && end < start
        {
            let message =
                format!("it ends at {end}, before it starts at {start}: nothing would ever run");
            return Err(ParseError::new(&self.text, 0, self.text.len(), message));
        }
        let times = match expression.kind() {
            Kind::Every(seconds) => {
                let distance = i64::try_from(*seconds).unwrap_or(i64::MAX);
                Times::Every {
                    distance,
                    anchor: self.starts.map_or(0, next_whole_second),
                }
            }
            Kind::Calendar(calendar) => Times::Calendar(Box::new(Instants::new(
                Wall::new(calendar),
                tz,
                calendar.interval,
            ))),
        };
        Ok(Schedule {
            expression,
            tz,
            starts: self.starts,
            ends: self.ends,
            times,
        })
    }
}

/// The occurrences of a schedule, strictly ascending.
#[derive(Debug, Clone)]
pub struct Occurrences<'a> {
    schedule: &'a Schedule,
    last: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl Iterator for Occurrences<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        let next = self.schedule.next_after(self.last?);
        self.last = next.filter(|next| self.until.is_none_or(|until| *next < until));
        self.last
    }
}

impl FusedIterator for Occurrences<'_> {}

/// Before the first occurrence any zone can have.
fn far_past() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH - TimeDelta::days(2)
}

/// After the last occurrence any zone can have: 3 January 2101.
fn far_future() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(365 * 131 + 32 + 2)
}

fn instant(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).filter(|at| *at < far_future())
}

fn next_whole_second(at: DateTime<Utc>) -> i64 {
    at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0)
}
