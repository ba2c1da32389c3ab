//! How a run ended.

use std::time::Duration;

use crate::job::{AttemptOutcome, ErrorReport};

/// How a run ended, as the worker saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned, and not with an error.
    Succeeded(Success),
    /// The attempt failed.
    Failed(Failure),
    /// The handler asked to be run again later; no attempt is used.
    Snoozed {
        /// How much later.
        delay: Duration,
    },
    /// The run did not take place, and must not any more.
    Expired {
        /// Why, in plain words.
        reason: String,
    },
    /// The run did not take place, or was broken off by us; no attempt is used.
    Released {
        /// Why, in plain words.
        reason: String,
    },
}

/// What a handler returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// The result as JSON text; absent for `()`, or if it could not be stored.
    pub result: Option<String>,
    /// Why there is no result although there should be one.
    pub note: Option<String>,
}

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong.
    pub report: ErrorReport,
    /// In which way.
    pub how: AttemptOutcome,
    /// What the error itself, or the policy that looked at it, says should happen.
    pub advice: Advice,
}

/// What should happen after a failure, if not what the retry policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// As the retry policy says.
    #[default]
    Policy,
    /// Try again after this time, whatever the backoff says.
    RetryAfter(Duration),
    /// Do not try again: a reason in plain words.
    GiveUp(String),
}
