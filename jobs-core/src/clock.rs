//! What time it is. Storages with a clock of their own ask it; the memory storage asks one of these.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Longer than any program runs: whoever says `Duration::MAX` means this, and no sum with it overflows.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A duration that differs by up to a fifth from the given one, so that workers do not march in step.
pub(crate) fn jittered(time: Duration) -> Duration {
    time.min(FOR_EVER).mul_f64(0.8 + 0.4 * fastrand::f64())
}

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present. It may go back: nothing may rely on the order of two answers.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands still until it is moved, for tests. Clones show the same time.
///
/// ```
/// # use jobs_core::clock::{Clock, ManualClock};
/// # use std::time::Duration;
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!((clock.now() - before).num_minutes(), 60);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl Default for ManualClock {
    /// Shows the time of its making.
    fn default() -> Self {
        Self::new(Utc::now())
    }
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Shows another time, which may be an earlier one.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the time on; at the end of all time it stops there.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = later(*now, by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that goes with tokio's, for tests: where that is paused, hours pass in no time.
///
/// ```
/// # use jobs_core::clock::{Clock, TokioClock};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = TokioClock::default(); // in a `#[tokio::test(start_paused = true)]`
/// let before = clock.now();
/// tokio::time::sleep(Duration::from_secs(3600)).await;
/// assert_eq!((clock.now() - before).num_minutes(), 60);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: DateTime<Utc>,
    since: tokio::time::Instant,
}

impl Default for TokioClock {
    /// Starts at the time of its making. Make it where tokio's clock is paused already.
    fn default() -> Self {
        Self {
            start: Utc::now(),
            since: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        later(self.start, self.since.elapsed())
    }
}

/// `by` after `at`, at most the end of all time.
pub(crate) fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| at.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `by` before `at`, at least the beginning of all time.
pub(crate) fn earlier(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| at.checked_sub_signed(by))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}
