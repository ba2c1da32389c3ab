//! What becomes of a job: a value, which any storage can write down.

use std::time::Duration;

use crate::job::{AttemptOutcome, ErrorReport};

/// What becomes of a job whose run has ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transition {
    /// Final: Succeeded.
    Succeed {
        /// The result as JSON text.
        result: Option<String>,
        /// Kept as the job's reason: why there is no result although there should be one.
        note: Option<String>,
    },
    /// Waits again: Scheduled, or Enqueued after no delay. Uses an attempt.
    Retry {
        /// How long from now, by the storage's clock.
        delay: Duration,
        /// In plain words.
        reason: String,
        /// For the attempt's row.
        how: AttemptOutcome,
        /// For the attempt's row.
        report: ErrorReport,
    },
    /// Final: Failed. Uses an attempt.
    Fail {
        /// In plain words.
        reason: String,
        /// For the attempt's row.
        how: AttemptOutcome,
        /// For the attempt's row.
        report: ErrorReport,
    },
    /// Final: Deleted, because it was not to be started any more. Uses no attempt.
    Delete {
        /// In plain words.
        reason: String,
    },
    /// Waits again, because the handler asked for it. Uses no attempt.
    Snooze {
        /// How long from now, by the storage's clock.
        delay: Duration,
        /// In plain words.
        reason: String,
    },
    /// Back into its queue as if it had never been taken. Uses no attempt.
    Release {
        /// In plain words; not kept on the job, which stands where it stood before.
        reason: String,
    },
}
