//! What operators tell all workers at once: what to leave alone, and what to serve first.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::job::{Due, LimitRule, QueueOrder, QueuePattern, check_kind};

/// What can be paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All queues that this matches, also those that come into being later.
    Queues(QueuePattern),
    /// All jobs that were stored under this kind, in whatever queue.
    Kind(String),
}

impl Scope {
    /// The queues of this name or pattern (`mail.*`).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if no queue can have this name.
    pub fn queues(pattern: impl Into<String>) -> Result<Self> {
        Ok(Self::Queues(QueuePattern::new(pattern)?))
    }

    /// The jobs of this kind.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if no kind can have this name.
    pub fn kind(kind: impl Into<String>) -> Result<Self> {
        let kind = kind.into();
        check_kind(&kind)?;
        Ok(Self::Kind(kind))
    }

    /// The word in the place of a scope for events of recurring jobs, whose id is the name.
    pub const RECURRING: &'static str = "recurring";

    /// The word in the place of a scope for events of limits.
    pub const LIMIT: &'static str = "limit";

    /// As storages write it: `queue` or `kind`, and the name or pattern.
    pub fn as_parts(&self) -> (&'static str, &str) {
        match self {
            Self::Queues(pattern) => ("queue", pattern.as_str()),
            Self::Kind(kind) => ("kind", kind),
        }
    }

    /// From what storages have written.
    pub fn from_parts(scope: &str, name: &str) -> Option<Self> {
        match scope {
            "queue" => Self::queues(name).ok(),
            "kind" => Self::kind(name).ok(),
            _ => None,
        }
    }

    /// Whether this has all that `other` has: to resume this resumes the other.
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Queues(this), Self::Queues(other)) => this.includes(other),
            _ => self == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, name) = self.as_parts();
        write!(f, "{scope} `{name}`")
    }
}

/// What is told to all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlVerb {
    /// Nothing of it is started until it is resumed, or this time is over (`None`: it has no end). What
    /// runs is not touched. Pausing it again replaces who, why, since when and until when.
    Pause(Scope, Option<Due>),
    /// Ends the pause of this scope and of all scopes that [it includes](Scope::includes).
    Resume(Scope),
    /// Serve queues in this order ([`QueueOrder::led_by`]), or, with `None`, each worker in its own.
    Order(Option<QueueOrder>),
}

impl ControlVerb {
    /// The verb as it is written into events: `pause`, `resume`, `order`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pause(..) => "pause",
            Self::Resume(_) => "resume",
            Self::Order(_) => "order",
        }
    }

    /// What is paused or resumed.
    pub const fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Pause(scope, _) | Self::Resume(scope) => Some(scope),
            Self::Order(_) => None,
        }
    }
}

/// What is told to all workers, by whom and why.
#[derive(Clone, Debug)]
pub struct Control {
    /// What.
    pub verb: ControlVerb,
    /// Who says so.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// Why a queue or kind stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pause {
    /// Who paused it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when, by the storage's clock.
    pub since: DateTime<Utc>,
    /// When it ends by itself, if it does.
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// A pause without reason and end.
    pub fn new(actor: impl Into<String>, since: DateTime<Utc>) -> Self {
        Self {
            actor: actor.into(),
            reason: None,
            since,
            until: None,
        }
    }
}

/// A pause, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PauseRecord {
    /// What stands still.
    pub scope: Scope,
    /// Who said so, why, since when, until when.
    pub pause: Pause,
}

/// In which order all workers are to serve queues, and who said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderRecord {
    /// In which order.
    pub order: QueueOrder,
    /// Who said so.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What all workers are told now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Controls {
    /// What stands still, kinds and queues, by name.
    pub pauses: Vec<PauseRecord>,
    /// In which order queues are served, if an operator has set one.
    pub order: Option<OrderRecord>,
}

/// Something that all workers were told, or that was done to a recurring job or a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What was done: `pause`, `resume`, `order`; to a recurring job, the word of a
    /// [`RecurringVerb`](crate::lifecycle::RecurringVerb); to a limit, `set` or `reset`.
    pub verb: String,
    /// The queues or the kind that was paused or resumed.
    pub scope: Option<Scope>,
    /// The recurring job to which it was done.
    pub recurring: Option<String>,
    /// The limit to which it was done.
    pub limit: Option<String>,
    /// What the limit was set to; `None` if it was reset.
    pub rule: Option<LimitRule>,
    /// Until when it was paused, if an end was given.
    pub until: Option<DateTime<Utc>>,
    /// The order that was set; `None` for a pause or resume, and if it was taken back.
    pub order: Option<QueueOrder>,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_back_and_include_each_other() {
        let queues = |name: &str| Scope::queues(name).unwrap();
        let kind = Scope::kind("Mail").unwrap();
        for scope in [queues("mail"), queues("mail.*"), queues("*"), kind.clone()] {
            let (what, name) = scope.as_parts();
            assert_eq!(Scope::from_parts(what, name).as_ref(), Some(&scope));
            assert!(scope.includes(&scope));
        }
        assert!(queues("mail.*").includes(&queues("mail.bulk")));
        assert!(!queues("mail.bulk").includes(&queues("mail.*")));
        assert!(!queues("*").includes(&kind) && !kind.includes(&queues("*")));
        assert_eq!(Scope::from_parts("order", ""), None);
        assert_eq!(kind.to_string(), "kind `Mail`");
    }
}
