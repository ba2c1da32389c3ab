//! The whole policy: what follows from how an attempt ended. Pure, not async, without a clock.
//!
//! A worker turns what a handler did into an [`Outcome`], [`decide`] turns that into a
//! [`Transition`], and a storage writes the transition down. Nobody else chooses a next state, save
//! operators and the death of a worker ([`LOST_LIMIT`]).

mod decide;
mod outcome;
mod transition;

pub(crate) use decide::in_words;
pub use decide::{RetryPolicy, Standing, decide};
pub use outcome::{Advice, Failure, Outcome, Success};
pub use transition::Transition;

/// A job whose worker died this often while running it is Failed: it may be what kills them.
pub const LOST_LIMIT: u32 = 3;

/// The reason given to a job that reached [`LOST_LIMIT`].
pub const LOST_REASON: &str = "its worker died 3 times while running it";
