//! Wall-clock times mapped to instants, over the hours that clocks skip or repeat.
//!
//! What falls into a gap runs once, at the first instant after it. In a repeated hour, an interval runs in both passes
//! and a fixed time in the first alone. Wall-clock order and instant order differ only inside a repeated hour, which
//! is therefore searched pass by pass.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use super::wall::Wall;

/// The instants of wall-clock times in a zone.
#[derive(Debug, Clone)]
pub(crate) struct Instants {
    wall: Wall,
    tz: Tz,
    interval: bool,
}

/// What a wall-clock time is in a zone.
enum Local {
    Once(DateTime<Utc>),
    /// It does not exist.
    Skipped(Gap),
    /// It exists twice.
    Twice(DateTime<Utc>, DateTime<Utc>),
}

/// Wall-clock times that do not exist.
struct Gap {
    /// The first of them.
    start: NaiveDateTime,
    /// The first instant after them.
    end: DateTime<Utc>,
}

/// Wall-clock times that exist twice: from `start` to before `end`.
struct Fold {
    start: NaiveDateTime,
    end: NaiveDateTime,
}

impl Instants {
    pub(crate) fn new(wall: Wall, tz: Tz, interval: bool) -> Self {
        Self { wall, tz, interval }
    }

    /// The first instant after another one.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let now = self.tz.from_utc_datetime(&after.naive_utc()).naive_local();
        if let Local::Twice(first, second) = self.local(now) {
            if !self.interval && after >= second {
                // Fixed times ran in the first pass.
                return self.next_first(
                    self.fold(first, second).end - TimeDelta::nanoseconds(1),
                    after,
                );
            }
            if self.interval {
                return self.next_in_fold(after, now, first, second);
            }
        }
        self.next_first(now, after)
    }

    /// The instant of the first time after `now`, by its first pass if it has two.
    fn next_first(&self, now: NaiveDateTime, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut now = now;
        loop {
            let time = self.wall.next(now)?;
            let instant = match self.local(time) {
                Local::Once(instant) | Local::Twice(instant, _) => instant,
                Local::Skipped(gap) => gap.end,
            };
            if instant > after {
                return Some(instant);
            }
            now = time;
        }
    }

    /// The next instant of an interval, from inside a repeated hour.
    fn next_in_fold(
        &self,
        after: DateTime<Utc>,
        now: NaiveDateTime,
        first: DateTime<Utc>,
        second: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let fold = self.fold(first, second);
        let in_first_pass = after < second;
        let in_fold = |time: &NaiveDateTime| *time < fold.end;
        if let Some(time) = self.wall.next(now).filter(in_fold) {
            return self.pass(time, in_first_pass);
        }
        if in_first_pass {
            let from_start = self.wall.next(fold.start - TimeDelta::nanoseconds(1));
            if let Some(time) = from_start.filter(in_fold) {
                return self.pass(time, false);
            }
        }
        self.next_first(fold.end - TimeDelta::nanoseconds(1), after)
    }

    /// The last instant before another one.
    pub(crate) fn previous(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let now = self.tz.from_utc_datetime(&before.naive_utc()).naive_local();
        let mut from = now;
        if let Local::Twice(first, second) = self.local(now)
            && before >= second
        {
            let fold = self.fold(first, second);
            let in_fold = |time: &NaiveDateTime| *time >= fold.start;
            if self.interval
                && let Some(time) = self.wall.previous(now).filter(in_fold)
            {
                return self.pass(time, false);
            }
            // The whole first pass lies before the second one.
            if let Some(time) = self.wall.previous(fold.end).filter(in_fold) {
                return self.pass(time, true);
            }
            from = fold.start;
        }
        loop {
            let time = self.wall.previous(from)?;
            match self.local(time) {
                Local::Once(instant) => return Some(instant),
                Local::Twice(first, second) => {
                    // Both passes may lie before, or the first alone.
                    return Some(if self.interval && second < before {
                        second
                    } else {
                        first
                    });
                }
                Local::Skipped(gap) if gap.end < before => return Some(gap.end),
                Local::Skipped(gap) => from = gap.start,
            }
        }
    }

    /// The instant of a repeated time in one of its passes.
    fn pass(&self, time: NaiveDateTime, first_pass: bool) -> Option<DateTime<Utc>> {
        match self.local(time) {
            Local::Once(instant) => Some(instant),
            Local::Twice(first, second) => Some(if first_pass { first } else { second }),
            Local::Skipped(gap) => Some(gap.end),
        }
    }

    fn local(&self, time: NaiveDateTime) -> Local {
        match self.tz.from_local_datetime(&time) {
            MappedLocalTime::Single(instant) => Local::Once(instant.to_utc()),
            MappedLocalTime::Ambiguous(first, second) => {
                Local::Twice(first.to_utc(), second.to_utc())
            }
            MappedLocalTime::None => Local::Skipped(gap(time, self.tz)),
        }
    }

    /// The repeated hour around a time that exists at two instants: the change lies between them.
    fn fold(&self, first: DateTime<Utc>, second: DateTime<Utc>) -> Fold {
        let offset = |seconds: i64| {
            let time = DateTime::from_timestamp(seconds, 0)
                .unwrap_or(first)
                .naive_utc();
            self.tz.offset_from_utc_datetime(&time).fix()
        };
        let (mut low, mut high) = (first.timestamp(), second.timestamp());
        let (before, after) = (offset(low), offset(high));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if offset(middle) == after {
                high = middle
            } else {
                low = middle
            }
        }
        let change = DateTime::from_timestamp(high, 0)
            .unwrap_or(second)
            .naive_utc();
        Fold {
            start: change + after,
            end: change + before,
        }
    }
}

/// The gap a time that does not exist is in.
fn gap(time: NaiveDateTime, tz: Tz) -> Gap {
    match GapInfo::new(&time, &tz).and_then(|gap| gap.begin) {
        Some((start, offset)) => Gap {
            start,
            end: (start - offset.fix()).and_utc(),
        },
        // Only before the first known change of a zone, which is long before 1970.
        None => Gap {
            start: time,
            end: time.and_utc(),
        },
    }
}

/// The first instant after the gap a time that does not exist is in.
pub(super) fn end_of_gap(time: NaiveDateTime, tz: Tz) -> DateTime<Utc> {
    gap(time, tz).end
}
