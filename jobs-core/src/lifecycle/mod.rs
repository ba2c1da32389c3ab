//! The whole policy: what follows from how an attempt ended. Pure, not async, without a clock.
//!
//! A worker turns what a handler did into an [`Outcome`], [`decide`] turns that into a
//! [`Transition`], and a storage writes the transition down. Nobody else chooses a next state, save
//! operators and the death of a worker ([`LOST_LIMIT`]).

mod decide;
mod outcome;
mod recurring;
mod transition;

pub use decide::{RetryPolicy, Standing, decide, in_words};
pub use outcome::{Advice, Failure, Outcome, Success};
pub use recurring::{Hold, RecurringChange, RecurringEvent, RecurringVerb};
pub use transition::Transition;

/// A job whose worker died this often while running it is Failed: it may be what kills them.
pub const LOST_LIMIT: u32 = 3;

/// Whether one more death would make a job Failed that was lost so often before. Such a job is noted
/// as the suspect of its worker before it is started, one at a time, so that none is Failed that merely
/// ran beside the one that kills. Jobs that were lost less often run as any other: when a worker dies
/// with a hundred long jobs, they must not queue up behind each other.
pub const fn is_last_chance(lost: u32, limit: u32) -> bool {
    lost > 0 && lost.saturating_add(1) >= limit
}

/// The reason given to a job that reached [`LOST_LIMIT`].
pub const LOST_REASON: &str = "its worker died 3 times while running it";
