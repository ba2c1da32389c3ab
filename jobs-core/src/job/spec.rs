//! A job that is about to be stored.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{JobId, Priority, Rules, StoredOptions};
use crate::error::{Error, Result};

/// When a job may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// This long after the storage has taken it, by the storage's clock.
    In(Duration),
    /// At this instant, by the storage's clock; at once if it is past.
    At(DateTime<Utc>),
}

/// What every storage can keep.
const LONGEST_WAIT: Duration = Duration::from_secs(100_000 * 365 * 86_400);

impl Due {
    /// Fails if it is further away than storages can keep.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::In(wait) if wait > LONGEST_WAIT => Err(Error::Invalid(format!(
                "{wait:?} is longer than 100,000 years, which is the longest that can be waited for"
            ))),
            _ => Ok(()),
        }
    }

    /// The instant, seen from `now`. Never earlier than `now`.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Now => now,
            Self::In(wait) => chrono::TimeDelta::from_std(wait)
                .ok()
                .and_then(|wait| now.checked_add_signed(wait))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            Self::At(at) => at.max(now),
        }
    }
}

/// A job that is about to be stored: checked, its arguments encoded, its id made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewJob {
    /// Made by the client, so that a repeated insert cannot store the job twice.
    pub id: JobId,
    /// Which handler runs it.
    pub kind: Cow<'static, str>,
    /// The arguments: the text of one JSON object with a field for each.
    pub args: String,
    /// Where it waits. Defaults to `default`.
    pub queue: Cow<'static, str>,
    /// Its order within the queue.
    pub priority: Priority,
    /// When it may run. Defaults to at once.
    pub due: Due,
    /// What it was given beyond its kind's own settings.
    pub options: StoredOptions,
    /// When and whether it runs, beyond `due`; `None` for most jobs.
    pub rules: Option<Box<Rules>>,
}

impl NewJob {
    /// The queue of jobs that name none.
    pub const DEFAULT_QUEUE: &'static str = "default";

    /// A job for the default queue, due at once. `args` is the text of a JSON object; the caller has
    /// checked it, the kind and what it sets later (the `check_` functions of this module do).
    pub fn new(id: JobId, kind: impl Into<Cow<'static, str>>, args: impl Into<String>) -> Self {
        Self {
            id,
            kind: kind.into(),
            args: args.into(),
            queue: Cow::Borrowed(Self::DEFAULT_QUEUE),
            priority: Priority::NORMAL,
            due: Due::Now,
            options: StoredOptions::default(),
            rules: None,
        }
    }
}
