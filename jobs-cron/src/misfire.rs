//! What to do with occurrences that nobody was there to run.

use std::time::Duration;

/// What happens to occurrences that were missed because no scheduler was running, or the database was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Misfire {
    /// However many were missed, the latest of them runs, and the others do not.
    #[default]
    RunOnce,
    /// Each runs, under its own occurrence, up to a cap.
    All,
    /// None runs that is older than the grace period.
    Skip,
}

impl Misfire {
    /// The word in attributes and in storage: `run_once`, `all` or `skip`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunOnce => "run_once",
            Self::All => "all",
            Self::Skip => "skip",
        }
    }

    /// The reverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::RunOnce, Self::All, Self::Skip]
            .into_iter()
            .find(|known| known.as_str() == name)
    }
}

/// A [`Misfire`] with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MisfireRule {
    /// Defaults to [`Misfire::RunOnce`].
    pub misfire: Misfire,
    /// How late an occurrence may be found and still count as on time. It must be longer than the distance between two
    /// looks of a scheduler, or a schedule of one second would lose runs. Defaults to 10 seconds.
    pub grace: Duration,
    /// How many occurrences run at most; of more, the latest. 0 counts as 1. Defaults to 100.
    pub cap: usize,
}

impl Default for MisfireRule {
    fn default() -> Self {
        Self {
            misfire: Misfire::RunOnce,
            grace: Duration::from_secs(10),
            cap: 100,
        }
    }
}
