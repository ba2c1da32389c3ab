//! Durations that read well: `send.enqueue(42).delay(minutes(10))`.

use std::time::Duration;

/// So many seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// So many minutes.
pub const fn minutes(n: u64) -> Duration {
    seconds(60 * n)
}

/// So many hours.
pub const fn hours(n: u64) -> Duration {
    minutes(60 * n)
}

/// So many days of 24 hours.
pub const fn days(n: u64) -> Duration {
    hours(24 * n)
}
