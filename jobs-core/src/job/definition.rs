//! What a kind of job declares of itself.

use std::time::Duration;

use serde::Serialize;

use super::{Backoff, LimitRule, OnConflict, Priority, UniqueUntil};

/// A job that can be enqueued: its arguments as a value, and what is declared of its kind. `#[job]`
/// implements it for the struct that it derives from a function's parameters.
///
/// How the job is run is another matter: a program that only enqueues need not link the handler.
pub trait Job: Serialize + Send + Sync + 'static {
    /// Which handler runs it. Stored with every job; never a module path, so that code can move.
    const KIND: &'static str;

    /// What it returns when it succeeds.
    type Output: Send + 'static;

    /// What is declared of the kind.
    const DEFAULTS: JobDefaults = JobDefaults::NONE;
}

/// What is declared of a kind of job, in `#[job(..)]`. Everything may be absent.
#[derive(Clone, Debug)]
pub struct JobDefaults {
    /// Where its jobs wait. Defaults to `default`.
    pub queue: Option<&'static str>,
    /// Their order within the queue. Defaults to [`Priority::NORMAL`].
    pub priority: Option<Priority>,
    /// How often a failed attempt is repeated. Defaults to the worker's, and there to 10.
    pub retries: Option<u32>,
    /// How long to wait before a retry. Defaults to the worker's, and there to
    /// [`Backoff::Polynomial`].
    pub backoff: Option<Backoff>,
    /// How long one attempt may take. Defaults to the worker's, and there to no limit.
    pub timeout: Option<Duration>,
    /// Labels that every job of the kind gets.
    pub tags: &'static [&'static str],
    /// What it does, for people.
    pub description: Option<&'static str>,
    /// A job that has not been started this long after it was stored is Deleted. Defaults to never.
    pub expires_in: Option<Duration>,
    /// The key that only one of its jobs holds at a time. Defaults to none.
    pub unique: Option<UniqueDefaults>,
    /// The limits that its jobs count against.
    pub limits: &'static [LimitDefaults],
}

impl JobDefaults {
    /// Nothing declared.
    pub const NONE: Self = Self {
        queue: None,
        priority: None,
        retries: None,
        backoff: None,
        timeout: None,
        tags: &[],
        description: None,
        expires_in: None,
        unique: None,
        limits: &[],
    };
}

/// How the unique key of a kind is made of a job's arguments.
#[derive(Clone, Debug)]
pub struct UniqueDefaults {
    /// The arguments by which two jobs are told apart; with none given, all of them.
    pub args: &'static [&'static str],
    /// How long the key is held.
    pub until: UniqueUntil,
    /// What becomes of a job whose key another holds.
    pub on_conflict: OnConflict,
}

/// A limit that all jobs of a kind count against.
#[derive(Clone, Debug)]
pub struct LimitDefaults {
    /// The limit.
    pub rule: LimitRule,
    /// What a job is counted by, with arguments in braces: `{tenant}`. Empty where all share one count.
    pub key: &'static str,
    /// How much a job counts.
    pub weight: Weight,
}

/// How much a job counts against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// So much; at least 1.
    Number(u32),
    /// As much as this argument says, a whole number of at least 1.
    Argument(&'static str),
}
