//! Limits: how many jobs may run at once, or start within a time.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check_limit;
use super::key::KEY_LIMIT;
use crate::error::{Error, Result};

/// How many jobs may run at once, or start within a time, across all workers, for each key apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRule {
    /// Its name. `kind:NAME` is the limit of a kind, `queue:NAME` that of a queue; all others are shared
    /// by whatever names them.
    pub name: Cow<'static, str>,
    /// How much.
    pub bound: Bound,
    /// What becomes of a job when the limit is reached.
    pub excess: Excess,
}

/// ```
/// # use jobs_core::job::LimitRule;
/// # use std::time::Duration;
/// const API: LimitRule = LimitRule::sliding("api", 10, Duration::from_secs(1)).or_delete();
/// const DISK: LimitRule = LimitRule::concurrency("disk", 2);
/// let one = DISK.by("/home").weight(2);
/// assert_eq!((&*one.key, one.weight), ("/home", 2));
/// ```
impl LimitRule {
    /// A limit of this name that holds for all jobs that name it. What does not fit waits.
    pub const fn new(name: &'static str, bound: Bound) -> Self {
        Self {
            name: Cow::Borrowed(name),
            bound,
            excess: Excess::Wait,
        }
    }

    /// At most `max` at once.
    pub const fn concurrency(name: &'static str, max: u32) -> Self {
        Self::new(name, Bound::Concurrency { max })
    }

    /// At most `max` starts in each window of this length, counted from 1970: two windows that touch may
    /// see twice as many within one such time.
    pub const fn fixed(name: &'static str, max: u32, per: Duration) -> Self {
        Self::new(name, Bound::FixedWindow { max, per })
    }

    /// At most `max` starts within any time of this length.
    pub const fn sliding(name: &'static str, max: u32, per: Duration) -> Self {
        Self::new(name, Bound::SlidingWindow { max, per })
    }

    /// `max` starts in each `per` on average, and up to `burst` at once after a quiet time.
    pub const fn bucket(name: &'static str, max: u32, per: Duration, burst: u32) -> Self {
        Self::new(name, Bound::TokenBucket { max, per, burst })
    }

    /// Jobs for which there is no room are Scheduled this much later. Defaults to waiting in line.
    #[must_use]
    pub const fn or_reschedule(mut self, after: Duration) -> Self {
        self.excess = Excess::Reschedule(after);
        self
    }

    /// Jobs for which there is no room are Deleted. Defaults to waiting in line.
    #[must_use]
    pub const fn or_delete(mut self) -> Self {
        self.excess = Excess::Delete;
        self
    }

    /// One job's use of this limit, counted by a key.
    pub fn by(&self, key: impl Into<String>) -> LimitUse {
        LimitUse {
            key: key.into(),
            ..LimitUse::from(self)
        }
    }

    /// Whether the rule can hold at all: names, and that nothing is 0.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], which says what is wrong with which limit.
    pub fn check(&self) -> Result<()> {
        check_limit(&self.name)?;
        let wrong = |why: &str| Error::Invalid(format!("the limit `{}` {why}", self.name));
        match self.bound {
            bound if bound.capacity() == 0 => Err(wrong(
                "is 0, so that no job could ever run: give at least 1, or pause the queue",
            )),
            Bound::FixedWindow { per, .. }
            | Bound::SlidingWindow { per, .. }
            | Bound::TokenBucket { per, .. }
                if per < Duration::from_millis(1) =>
            {
                Err(wrong("has a window of less than a millisecond"))
            }
            Bound::TokenBucket { max: 0, .. } => Err(wrong(
                "gives back 0 tokens, so that no job could run once its burst is used up: give at least 1",
            )),
            _ if self.excess == Excess::Reschedule(Duration::ZERO) => Err(wrong(
                "reschedules by no time: leave it out, and jobs wait for their turn",
            )),
            _ => Ok(()),
        }
    }
}

/// How much a limit allows, for each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bound {
    /// So many at once (by weight). A job counts from when it is let into its queue until its run ends.
    Concurrency {
        /// At least 1.
        max: u32,
    },
    /// So many starts (by weight) in each window: from one multiple of `per` since 1970 to the next.
    FixedWindow {
        /// At least 1.
        max: u32,
        /// At least a millisecond.
        per: Duration,
    },
    /// So many starts (by weight) within any time of this length.
    SlidingWindow {
        /// At least 1.
        max: u32,
        /// At least a millisecond.
        per: Duration,
    },
    /// A bucket of `burst` tokens, of which `max` come back in each `per`; a start takes as many as its
    /// weight.
    TokenBucket {
        /// At least 1.
        max: u32,
        /// At least a millisecond.
        per: Duration,
        /// At least 1.
        burst: u32,
    },
}

impl Bound {
    /// Whether starts are counted: a worker then reports each start before it makes it.
    pub const fn is_rate(&self) -> bool {
        !matches!(self, Self::Concurrency { .. })
    }

    /// The most that it ever lets through at once: a heavier job can never run.
    pub const fn capacity(&self) -> u32 {
        match *self {
            Self::Concurrency { max }
            | Self::FixedWindow { max, .. }
            | Self::SlidingWindow { max, .. } => max,
            Self::TokenBucket { burst, .. } => burst,
        }
    }
}

/// What becomes of a job when its limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// It waits for its turn.
    #[default]
    Wait,
    /// It is Scheduled this much later.
    Reschedule(Duration),
    /// It is Deleted.
    Delete,
}

/// One job's use of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    /// The limit, as the program that stores the job declares it. A storage that does not know it yet
    /// takes it; one whose operators have set another bound at run time keeps that one.
    pub rule: LimitRule,
    /// What it is counted by; empty where all share one count. At most 256 bytes.
    pub key: String,
    /// How much it counts; at least 1.
    pub weight: u32,
}

impl LimitUse {
    /// How much the job counts; at least 1 and at most what the limit allows. Defaults to 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Whether a job can ever have it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a rule that [cannot hold](LimitRule::check), a weight that is 0 or more
    /// than the limit allows, and a key that is too long.
    pub fn check(&self) -> Result<()> {
        self.rule.check()?;
        let (name, weight) = (&self.rule.name, self.weight);
        let most = self.rule.bound.capacity();
        let why = if weight == 0 {
            "a weight of 0 would not count: give at least 1".into()
        } else if weight > most {
            format!("a weight of {weight} never fits: it allows {most} at most")
        } else if self.key.len() > KEY_LIMIT {
            format!(
                "its key is {} bytes long: {KEY_LIMIT} at most",
                self.key.len()
            )
        } else if self.key.contains('\0') {
            "its key contains a NUL character, which databases do not store as text".into()
        } else {
            return Ok(());
        };
        Err(Error::Invalid(format!("limit `{name}`: {why}")))
    }
}

impl From<LimitRule> for LimitUse {
    fn from(rule: LimitRule) -> Self {
        Self {
            rule,
            key: String::new(),
            weight: 1,
        }
    }
}

impl From<&LimitRule> for LimitUse {
    fn from(rule: &LimitRule) -> Self {
        rule.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_could_never_run_is_refused() {
        for (limit, says) in [
            (LimitRule::concurrency("a", 0).into(), "is 0"),
            (
                LimitRule::sliding("a", 1, Duration::ZERO).into(),
                "millisecond",
            ),
            (LimitRule::bucket("a", 1, SECOND, 0).into(), "is 0"),
            (LimitRule::bucket("a", 0, SECOND, 1).into(), "0 tokens"),
            (LimitRule::concurrency("a b", 1).into(), "name of a limit"),
            (
                LimitRule::fixed("a", 1, SECOND)
                    .or_reschedule(Duration::ZERO)
                    .into(),
                "no time",
            ),
            (
                LimitUse::from(LimitRule::concurrency("a", 2)).weight(3),
                "never fits",
            ),
            (
                LimitUse::from(LimitRule::concurrency("a", 2)).weight(0),
                "weight of 0",
            ),
            (
                LimitRule::concurrency("a", 2).by("x".repeat(257)),
                "257 bytes",
            ),
            (LimitRule::concurrency("a", 2).by("\0"), "NUL"),
        ] {
            let limit: LimitUse = limit;
            let error = limit.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error} should say {says}");
        }
        LimitRule::bucket("a", 1, SECOND, 9)
            .by("x")
            .weight(9)
            .check()
            .unwrap();
    }
}
