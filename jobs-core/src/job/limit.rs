//! Limits: how many jobs may run at once, or start within a time.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
