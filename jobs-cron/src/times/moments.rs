//! The instants at which the dates in attributes begin and end.

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use super::instants::end_of_gap;
use crate::moment::Moment;

impl Moment {
    /// The first instant of it, as the start of a schedule in this zone.
    #[must_use]
    pub fn starts_at(self, tz: Tz) -> DateTime<Utc> {
        let wall = self
            .date()
            .and_time(self.time_of_day().unwrap_or(NaiveTime::MIN));
        self.instant(wall, tz)
    }

    /// The last second of it, as the end of a schedule in this zone: a day ends with its last second.
    #[must_use]
    pub fn ends_at(self, tz: Tz) -> DateTime<Utc> {
        match self.time_of_day() {
            Some(time) => self.instant(self.date().and_time(time), tz),
            None => {
                let tomorrow = (self.date() + TimeDelta::days(1)).and_time(NaiveTime::MIN);
                self.instant(tomorrow, tz) - TimeDelta::seconds(1)
            }
        }
    }

    fn date(self) -> NaiveDate {
        let date =
            NaiveDate::from_ymd_opt(i32::from(self.year), self.month.into(), self.day.into());
        date.expect("a moment is a checked date")
    }

    fn time_of_day(self) -> Option<NaiveTime> {
        self.time
            .and_then(|(h, m, s)| NaiveTime::from_hms_opt(h.into(), m.into(), s.into()))
    }

    /// The first instant at which clocks show this time or, where they skip it, a later one.
    fn instant(self, wall: NaiveDateTime, tz: Tz) -> DateTime<Utc> {
        if let Some(offset) = self.offset {
            return (wall - TimeDelta::seconds(offset.into())).and_utc();
        }
        match tz.from_local_datetime(&wall) {
            MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => {
                instant.to_utc()
            }
            MappedLocalTime::None => end_of_gap(wall, tz),
        }
    }
}
