//! How many jobs to hold beyond the free slots.
//!
//! A claim costs a round trip and a commit. Jobs that end within microseconds would leave every slot
//! waiting for it, so that a worker holds as many as it has lately ended in [`HORIZON`]; for slow
//! jobs that is none, and they stay where any worker can take them.

use std::time::{Duration, Instant};

/// How much work to hold, in time. Longer than a claim takes, short enough that a job in one
/// process's hands is no worse off than in the queue.
const HORIZON: Duration = Duration::from_millis(40);

/// Jobs that take longer than this on average are not held at all.
const SLOW: Duration = Duration::from_millis(100);

/// The most jobs to hold.
pub(super) const MOST: usize = 4_096;

/// The most argument bytes to hold.
const MOST_BYTES: usize = 16 << 20;

/// Rates over less than this are noise.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Prefetch {
    looked: Instant,
    slots: usize,
    /// Jobs that have ended since the start, and how long they ran, all together.
    ended: u64,
    ran: Duration,
    /// Jobs that ended per second.
    rate: f64,
    /// How long a job runs, in seconds.
    duration: f64,
    /// Average size of arguments, in bytes.
    size: f64,
}

impl Prefetch {
    pub(super) fn new(now: Instant, slots: usize) -> Self {
        Self {
            looked: now,
            slots,
            ended: 0,
            ran: Duration::ZERO,
            rate: 0.0,
            duration: 0.0,
            size: 0.0,
        }
    }

    /// Learns how many jobs have ended since the start, and how long they ran all together. A rising
    /// rate is believed at once, so that a backlog is met within a few claims; a falling one slowly.
    pub(super) fn look(&mut self, now: Instant, ended: u64, ran: Duration) {
        let elapsed = now.saturating_duration_since(self.looked);
        if elapsed < SHORTEST_LOOK {
            return;
        }
        let jobs = (ended - self.ended) as f64;
        if jobs > 0.0 {
            // Many slow jobs that end at the same moment are still slow.
            self.duration = ran.saturating_sub(self.ran).as_secs_f64() / jobs;
        }
        let rate = jobs / elapsed.as_secs_f64();
        self.rate = if rate > self.rate {
            rate
        } else {
            0.7 * self.rate + 0.3 * rate
        };
        (self.looked, self.ended, self.ran) = (now, ended, ran);
    }

    /// Learns the size of claimed arguments.
    pub(super) fn weigh(&mut self, jobs: usize, bytes: usize) {
        if jobs > 0 {
            self.size = 0.5 * self.size + 0.5 * (bytes as f64 / jobs as f64);
        }
    }

    /// How many jobs to hold now.
    pub(super) fn target(&self) -> usize {
        if self.duration > SLOW.as_secs_f64() {
            return 0;
        }
        let horizon = HORIZON.as_secs_f64();
        let by_rate = (self.rate * horizon) as usize;
        let by_duration = (self.slots as f64 * horizon / self.duration.max(1e-7)) as usize;
        let by_size = (MOST_BYTES as f64 / self.size.max(1.0)) as usize;
        by_rate.min(by_duration).min(by_size).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target after a second of so many jobs that each ran so long.
    fn after(rate: u64, each: Duration) -> usize {
        let start = Instant::now();
        let mut prefetch = Prefetch::new(start, 64);
        for tick in 1..=100u32 {
            let ended = rate * u64::from(tick) / 100;
            let now = start + tick * Duration::from_millis(10);
            prefetch.look(now, ended, each * ended as u32);
        }
        prefetch.target()
    }

    #[test]
    fn slow_jobs_are_not_held() {
        assert_eq!(after(20, Duration::from_secs(3)), 0);
        assert_eq!(after(64_000, Duration::from_millis(200)), 0);
    }

    #[test]
    fn jobs_are_held_for_the_time_that_they_take() {
        assert!(after(10_000, Duration::from_millis(50)) <= 64 * 40 / 50 + 1);
    }

    #[test]
    fn fast_jobs_are_held_within_bounds() {
        let target = after(10_000, Duration::from_micros(5));
        assert!((390..=440).contains(&target), "{target}");
        assert_eq!(after(10_000_000, Duration::ZERO), MOST);
    }

    #[test]
    fn large_arguments_are_held_sparingly() {
        let start = Instant::now();
        let mut prefetch = Prefetch::new(start, 64);
        prefetch.look(start + Duration::from_millis(10), 100_000, Duration::ZERO);
        (0..20).for_each(|_| prefetch.weigh(1, 1 << 20));
        assert!(prefetch.target() <= 17, "{}", prefetch.target());
    }
}
