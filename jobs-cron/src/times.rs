//! The times of a schedule. Each floor knows only the one below: `schedule` joins zone, start and end; `instants` maps
//! wall-clock times to instants over clock changes; `wall` iterates wall-clock times, where there are no clock changes.

mod due;
mod instants;
mod jitter;
mod moments;
mod schedule;
mod wall;

pub use due::Due;
pub use jitter::jitter;
pub use schedule::{Occurrences, Schedule, ScheduleBuilder};
