//! What an operator did to a recurring job: each change of his leaves one such event.

use chrono::{DateTime, Utc};

use crate::job::Deed;

/// What an operator does to a recurring job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecurringVerb {
    /// Makes it.
    Create,
    /// Changes what is said of it.
    Change,
    /// Makes it again what code declares.
    Revert,
    /// Runs it once now.
    Trigger,
    /// Stops it from running by its schedule.
    Pause,
    /// Lets it run by its schedule again.
    Resume,
    /// Removes it.
    Remove,
}

impl RecurringVerb {
    /// The verb as it is written into events: `create`, `change`, `revert`, `trigger`, `pause`, `resume`,
    /// `remove`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Revert => "revert",
            Self::Trigger => "trigger",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remove => "remove",
        }
    }
}

/// What an operator did to a recurring job, and why. A storage writes it down in the step in which it makes
/// the change, so that there is one for each change that was made and none for others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecurringEvent {
    /// What.
    pub verb: RecurringVerb,
    /// Until when it is paused, if an end was given.
    pub until: Option<DateTime<Utc>>,
    /// Who did it, and why.
    pub by: Deed,
}

impl RecurringEvent {
    pub(super) fn of(verb: RecurringVerb, by: Deed) -> Option<Box<Self>> {
        let until = None;
        Some(Box::new(Self { verb, until, by }))
    }
}
