//! Where a job stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands, in the words that the dashboard uses.
///
/// `Scheduled`, `Enqueued` and `Processing` are never written into a job: they follow from where its
/// ticket is (later, due, taken).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// Is due and waits for a worker.
    Enqueued,
    /// Has been taken by a worker.
    Processing,
    /// Waits for other jobs.
    Awaiting,
    /// Ended well.
    Succeeded,
    /// Used up its attempts, or was discarded.
    Failed,
    /// Was cancelled.
    Deleted,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Enqueued,
        Self::Processing,
        Self::Awaiting,
        Self::Succeeded,
        Self::Failed,
        Self::Deleted,
    ];

    /// Whether nothing happens to the job any more unless an operator acts.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Deleted)
    }

    /// The state in lower case, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Enqueued => "enqueued",
            Self::Processing => "processing",
            Self::Awaiting => "awaiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "Scheduled",
            Self::Enqueued => "Enqueued",
            Self::Processing => "Processing",
            Self::Awaiting => "Awaiting",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Deleted => "Deleted",
        })
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = |state: &&Self| state.as_str().eq_ignore_ascii_case(text);
        Self::ALL
            .iter()
            .find(wanted)
            .copied()
            .ok_or_else(|| UnknownState(text.into()))
    }
}

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownState(String);

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = State::ALL.map(State::as_str).join(", ");
        write!(f, "{:?} is not a state; the states are {known}", self.0)
    }
}

impl std::error::Error for UnknownState {}
