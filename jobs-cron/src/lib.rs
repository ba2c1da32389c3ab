#![cfg_attr(feature = "times", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "times"),
    doc = "Schedules for `jobs`: the parser alone, without their times (feature `times`)."
)]

mod calendar;
mod days;
mod describe;
mod error;
mod every;
mod expression;
mod field;
mod fields;
mod misfire;
mod moment;
#[cfg(feature = "times")]
mod times;
mod unit;
mod values;
mod warning;
mod zone;
mod zone_names;

#[cfg(feature = "times")]
pub use chrono_tz::Tz;
pub use days::Days;
pub use error::{ParseError, Warning};
pub use expression::Expression;
pub use misfire::{Misfire, MisfireRule};
pub use moment::Moment;
#[cfg(feature = "times")]
pub use times::{Due, Occurrences, Schedule, ScheduleBuilder, jitter};
pub use zone::{check_zone, zone_names};
