//! Identifiers, all of them UUIDv7: made before anything is sent, so that a request whose answer was
//! lost can be sent again (or asked about) under the same name, and ordered by time.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError(String);

impl IdError {
    fn of(text: &str) -> Self {
        // As much as an id has, and a little more: enough to know it again.
        Self(text.chars().take(48).collect())
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(
            f,
            "{text:?} is no id: ids are UUIDs, such as 0198c5a0-9d3e-7b64-8c5d-2f6f3f0b9a11"
        )
    }
}

impl std::error::Error for IdError {}

/// Milliseconds and a 12-bit counter of the last identifier made in this process: of a job, and of
/// anything else. A worker relies on its claims' ids to ascend; a job's id must above all tell the day.
///
/// Jobs have several: a process may have storages whose clocks are far apart (of a test, of a server that is
/// set wrongly), and each must find its jobs in the order in which they were made.
static LAST_JOB: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
static LAST_OTHER: AtomicU64 = AtomicU64::new(0);

/// The last identifier by this clock: one that is near; else a free place for it, and when all are taken the newest before it,
/// which is of a clock that went on without making any; else the nearest.
fn last_job(now: Duration) -> &'static AtomicU64 {
    last_of(&LAST_JOB, now.as_millis() as u64)
}

fn last_of(places: &[AtomicU64], now: u64) -> &AtomicU64 {
    let distance = |last: &&AtomicU64| {
        let last = last.load(Ordering::Relaxed) >> 12;
        let far = last.abs_diff(now);
        match last {
            0 => (1, 0),
            // Farther ahead it would be put back, and its own clock's next might be no later than its last.
            _ if far <= LONGEST_LEAD => (0, far),
            last if last < now => (2, far),
            _ => (3, far),
        }
    };
    places.iter().min_by_key(distance).expect("there are some")
}

fn last_other(_: Duration) -> &'static AtomicU64 {
    &LAST_OTHER
}

/// How far the ids of jobs may run ahead of the clock, in milliseconds, before they follow it back. A
/// clock that was wrong for a moment must not put the jobs of the next days under a later date.
const LONGEST_LEAD: u64 = 10_000;

thread_local! {
    /// Seeded from the system's randomness once per thread: two processes must never agree.
    static RANDOM: RefCell<fastrand::Rng> =
        RefCell::new(fastrand::Rng::with_seed(Uuid::new_v4().as_u64_pair().0));
}

/// A UUIDv7 later than every one of its sort that this process made before, so that jobs created in a
/// row stay in that order. More than 4,096 in one millisecond run ahead of the clock by as much.
fn next_uuid(now: Duration, last: &AtomicU64, lead: u64) -> Uuid {
    let wanted = (now.as_millis() as u64) << 12;
    let after = |last: u64| {
        if (last >> 12).saturating_sub(wanted >> 12) > lead {
            wanted
        } else {
            wanted.max(last + 1)
        }
    };
    let last = last
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(after(last))
        })
        .expect("the closure always answers");
    let tick = after(last);
    let (millis, counter) = (tick >> 12, tick & 0xfff);
    let random = RANDOM.with_borrow_mut(|random| random.u64(..));
    let high = (millis << 16) | 0x7000 | counter;
    let low = (random >> 2) | (1 << 63);
    Uuid::from_u64_pair(high, low)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $last:path, $lead:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier, later than all that this process made before.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                let now = since_epoch();
                Self(next_uuid(now, $last(now), $lead))
            }

            /// The UUID itself.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| IdError::of(text))
            }
        }
    };
}

identifier! {
    /// Names a job, for ever and everywhere: made by the client before the job is stored.
    JobId, last_job, LONGEST_LEAD
}
identifier! {
    /// Names a batch, for ever and everywhere: made by the client before anything of it is stored.
    BatchId, last_job, LONGEST_LEAD
}
identifier! {
    /// Names what a worker took at once.
    ClaimId, last_other, u64::MAX
}
identifier! {
    /// Names one start of one worker process. Never a host name: those come back.
    WorkerId, last_other, u64::MAX
}

impl JobId {
    /// A new identifier whose time is taken from `now`, the storage's clock: a job belongs to the day
    /// its id says.
    pub fn at(now: DateTime<Utc>) -> Self {
        let now = Duration::from_millis(now.timestamp_millis().max(0) as u64);
        Self(next_uuid(now, last_job(now), LONGEST_LEAD))
    }

    /// When the job was created, to the millisecond; the epoch for an id that is no UUIDv7.
    pub fn created_at(&self) -> DateTime<Utc> {
        let millis = match self.0.get_version_num() {
            7 => (self.0.as_u64_pair().0 >> 16) as i64,
            _ => 0,
        };
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// The smallest id of this millisecond: with it a range of time is a range of ids.
    pub fn floor(at: DateTime<Utc>) -> Self {
        let millis = at.timestamp_millis().max(0) as u64;
        Self(Uuid::from_u64_pair((millis << 16) | 0x7000, 1 << 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_ascend_within_a_process() {
        let ids: Vec<_> = (0..10_000).map(|_| JobId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 7));
    }

    #[test]
    fn what_is_no_id_is_refused_in_words() {
        let id = JobId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "42", "0198c5a0-9d3e-7b64-8c5d-2f6f3f0b9a1g", "é"] {
            let error = wrong.parse::<JobId>().unwrap_err().to_string();
            assert!(
                error.contains("is no id") && error.contains(wrong),
                "{error}"
            );
        }
        let long = "x".repeat(1_000).parse::<WorkerId>().unwrap_err();
        assert!(long.to_string().len() < 200);
    }

    #[test]
    fn ids_ascend_by_each_of_two_clocks() {
        let (now, next_year) = (Utc::now(), Utc::now() + chrono::TimeDelta::days(365));
        let pairs: Vec<_> = (0..1_000)
            .map(|_| (JobId::at(now), JobId::at(next_year)))
            .collect();
        assert!(pairs.is_sorted_by(|one, other| one.0 < other.0 && one.1 < other.1));
    }

    #[test]
    fn clocks_that_are_near_do_not_disturb_each_other() {
        let places = [const { AtomicU64::new(0) }; 8];
        let noon = Duration::from_secs(20_000 * 86_400);
        let clocks = [0, 11, 60, 1_800, 7_200].map(Duration::from_secs);
        let mut made: [Vec<Uuid>; 5] = Default::default();
        // All of it within one millisecond of each clock, and then a second later.
        for passed in [0, 1_000] {
            for _ in 0..100 {
                for (ahead, ids) in clocks.iter().zip(&mut made) {
                    let now = noon + *ahead + Duration::from_millis(passed);
                    let last = last_of(&places, now.as_millis() as u64);
                    ids.push(next_uuid(now, last, LONGEST_LEAD));
                }
            }
        }
        for (ahead, ids) in clocks.iter().zip(made) {
            assert!(ids.is_sorted_by(|one, other| one < other), "{ahead:?}");
        }
    }

    #[test]
    fn a_clock_that_pauses_and_goes_on_needs_no_more_places() {
        let places = [const { AtomicU64::new(0) }; 2];
        let mut ids = Vec::new();
        for minute in 0..10 {
            let now = Duration::from_secs(minute * 60 + 86_400);
            for _ in 0..3 {
                let last = last_of(&places, now.as_millis() as u64);
                ids.push(next_uuid(now, last, LONGEST_LEAD));
            }
        }
        assert!(ids.is_sorted_by(|one, other| one < other));
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_moment_is_forgotten() {
        let last = AtomicU64::new(0);
        let day = |n: u64| Duration::from_secs(n * 86_400);
        let of = |uuid: Uuid| JobId(uuid).created_at().timestamp() as u64 / 86_400;
        assert_eq!(of(next_uuid(day(20_003), &last, LONGEST_LEAD)), 20_003);
        assert_eq!(of(next_uuid(day(20_000), &last, LONGEST_LEAD)), 20_000);
        let (one, two) = (
            next_uuid(day(20_000), &last, u64::MAX),
            next_uuid(day(9), &last, u64::MAX),
        );
        assert!(one < two);
    }

    #[test]
    fn the_time_of_an_id_is_the_clocks() {
        let now = Utc::now();
        let id = JobId::at(now);
        assert!((id.created_at() - now).num_milliseconds().abs() < 5_000);
        assert!(JobId::floor(id.created_at()) <= id);
    }
}
