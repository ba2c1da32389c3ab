//! Durations that read well: `send.enqueue(42).delay(minutes(10))`.

use std::time::Duration;

/// So many seconds.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(jobs::seconds(90), Duration::from_secs(90));
/// ```
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// So many minutes of 60 seconds; the longest duration there is if that is too long for one.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(jobs::minutes(10), Duration::from_secs(600));
/// ```
pub const fn minutes(n: u64) -> Duration {
    times(n, 60)
}

/// So many hours of 60 minutes; the longest duration there is if that is too long for one.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(jobs::hours(2), jobs::minutes(120));
/// ```
pub const fn hours(n: u64) -> Duration {
    times(n, 3_600)
}

/// So many days of 24 hours, whatever the clocks do; the longest duration there is if that is too long
/// for one.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(jobs::days(1), jobs::hours(24));
/// ```
pub const fn days(n: u64) -> Duration {
    times(n, 86_400)
}

const fn times(n: u64, seconds: u64) -> Duration {
    match n.checked_mul(seconds) {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::MAX,
    }
}
