//! How much of a limit is used under one key.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::earlier;
use crate::job::Bound;

/// What counts under one key.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// By jobs that have been let in and whose run has not ended.
    held: u64,
    /// By those of them that have not been started: they may start at any moment, in any window.
    unstarted: u64,
    /// Starts that may still count, earliest first.
    starts: VecDeque<(DateTime<Utc>, u32)>,
    /// How much they count together.
    started: u64,
    bucket: Option<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

impl Bucket {
    fn tokens(self, max: u32, per: Duration, burst: u32, now: DateTime<Utc>) -> f64 {
        let passed = (now - self.at).to_std().unwrap_or_default();
        let back = passed.as_secs_f64() / per.as_secs_f64() * f64::from(max);
        (self.tokens + back).min(f64::from(burst))
    }
}

impl Meter {
    pub(super) fn has_room(&mut self, bound: &Bound, weight: u32, now: DateTime<Utc>) -> bool {
        let (used, most) = match *bound {
            Bound::TokenBucket { max, per, burst } => {
                let tokens = self.tokens(max, per, burst, now);
                // What a clock in nanoseconds and a binary fraction disagree about is no token.
                return self.unstarted as f64 + f64::from(weight) <= tokens + 1e-6;
            }
            _ => (self.used(bound, now), bound.capacity()),
        };
        used + u64::from(weight) <= u64::from(most)
    }

    pub(super) fn used(&mut self, bound: &Bound, now: DateTime<Utc>) -> u64 {
        match *bound {
            Bound::Concurrency { .. } => self.held,
            Bound::FixedWindow { per, .. } => {
                let first = window_of(now, per);
                self.unstarted + self.since(|at| at >= first)
            }
            Bound::SlidingWindow { per, .. } => {
                let last = earlier(now, per);
                self.unstarted + self.since(|at| at > last)
            }
            Bound::TokenBucket { max, per, burst } => {
                let tokens = self.tokens(max, per, burst, now);
                self.unstarted + (f64::from(burst) - tokens).ceil() as u64
            }
        }
    }

    /// The starts that count; the others never will again.
    fn since(&mut self, counts: impl Fn(DateTime<Utc>) -> bool) -> u64 {
        // They are in order: behind the first that counts all do.
        while let Some((_, weight)) = self.starts.pop_front_if(|(at, _)| !counts(*at)) {
            self.started -= u64::from(weight);
        }
        self.started
    }

    fn tokens(&self, max: u32, per: Duration, burst: u32, now: DateTime<Utc>) -> f64 {
        let bucket = self.bucket;
        bucket.map_or(f64::from(burst), |it| it.tokens(max, per, burst, now))
    }

    pub(super) fn take(&mut self, weight: u32) {
        self.held += u64::from(weight);
        self.unstarted += u64::from(weight);
    }

    pub(super) fn give_back(&mut self, weight: u32, started: bool) {
        self.held -= u64::from(weight);
        if !started {
            self.unstarted -= u64::from(weight);
        }
    }

    pub(super) fn start(&mut self, bound: &Bound, weight: u32, at: DateTime<Utc>) {
        self.unstarted -= u64::from(weight);
        if let Bound::TokenBucket { max, per, burst } = *bound {
            let tokens = self.tokens(max, per, burst, at) - f64::from(weight);
            let at = self.bucket.map_or(at, |bucket| bucket.at.max(at));
            self.bucket = Some(Bucket { tokens, at });
        } else {
            let behind = self.starts.iter().rev().take_while(|(it, _)| *it > at);
            let place = self.starts.len() - behind.count();
            self.starts.insert(place, (at, weight));
            self.started += u64::from(weight);
        }
    }

    pub(super) fn is_idle(&mut self, bound: &Bound, now: DateTime<Utc>) -> bool {
        self.held == 0 && self.used(bound, now) == 0
    }
}

/// The start of the window that an instant lies in: a multiple of `per` since 1970.
fn window_of(at: DateTime<Utc>, per: Duration) -> DateTime<Utc> {
    let per = i64::try_from(per.as_millis()).unwrap_or(i64::MAX).max(1);
    let millis = at.timestamp_millis();
    DateTime::from_timestamp_millis(millis - millis.rem_euclid(per)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each job that is let in asks how many starts there were: that must not take longer the more there were.
    #[test]
    fn very_many_starts_are_counted_very_often() {
        let mut meter = Meter::default();
        let per = Duration::from_secs(60);
        let bound = Bound::SlidingWindow { max: 400_000, per };
        let now: DateTime<Utc> = "2026-03-01T12:00:30Z".parse().expect("a time");
        for _ in 0..200_000 {
            meter.take(2);
            meter.start(&bound, 2, now);
        }
        for _ in 0..200_000 {
            assert!(!meter.has_room(&bound, 1, now));
        }
        assert!(meter.has_room(&bound, 400_000, now + per));
    }
}
