//! Schedules by themselves, without jobs: read, asked for their times, and put into words.
//!
//! ```
//! use jobs::Schedule;
//!
//! let schedule = Schedule::builder("0 3 * * MON-FRI").zone("Europe/Berlin").build()?;
//! assert_eq!(schedule.describe(), "at 03:00 on weekdays, Europe/Berlin");
//! let next = schedule.next_after("2026-11-20T12:00:00Z".parse()?);
//! assert_eq!(next, Some("2026-11-23T02:00:00Z".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use jobs_cron::{
    Days, Due, Expression, Misfire, MisfireRule, Moment, Occurrences, ParseError, Schedule,
    ScheduleBuilder, Tz, Warning, check_zone, jitter, zone_names,
};
