//! When and whether a job runs, beyond its due time.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limit::LimitUse;
use super::{BatchId, JobId, State};

/// What must hold before a job may run, and what may keep it from being stored or started. Most jobs
/// have none of it, and pay nothing for it. It is stored with the job, to the letter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Rules {
    /// What it waits for: all of them. Each job or batch at most once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// The parent whose result becomes the first argument when the job is started, and the name of that
    /// argument. It is among `parents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// The batch that it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Its name among the members of that batch; given to the nodes of a flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A key that only one job holds at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// The limits that it counts against; it runs when all of them let it. No name appears twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitUse>,
    /// If it has not been started this long after it was stored, it is Deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Duration>,
}

impl Rules {
    /// Whether nothing is asked for, as with most jobs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lets it wait for other jobs in the place of some (the keys), and take its input from them. Where one job
    /// stands for two parents then, it is waited for once, as the stricter condition says: any end is an
    /// end as it was wanted. Of two that can never both come about the first counts.
    pub fn follow(&mut self, instead: &HashMap<JobId, JobId>) {
        let stands = |id: JobId| instead.get(&id).copied().unwrap_or(id);
        let mut merged: Vec<Parent> = Vec::with_capacity(self.parents.len());
        for Parent { of, on } in std::mem::take(&mut self.parents) {
            let of = match of {
                ParentId::Job(id) => ParentId::Job(stands(id)),
                batch => batch,
            };
            match merged.iter_mut().find(|known| known.of == of) {
                Some(known) if known.on == Condition::Any => known.on = on,
                Some(_) => {}
                None => merged.push(Parent { of, on }),
            }
        }
        self.parents = merged;
        if let Some(input) = &mut self.input {
            input.parent = stands(input.parent);
        }
    }
}

/// A job or a batch that another job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// What is waited for.
    #[serde(flatten)]
    pub of: ParentId,
    /// How it must end.
    pub on: Condition,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentId {
    /// A job.
    Job(JobId),
    /// All members of a batch.
    Batch(BatchId),
}

impl ParentId {
    /// Why a child is Deleted whose condition cannot be met any more, now that this has ended so: `its
    /// parent JOB was deleted`, `its batch BATCH was cancelled`.
    pub fn reason(self, end: State) -> String {
        let how = match (self, end) {
            (_, State::Succeeded) => "succeeded",
            (_, State::Failed) => "failed",
            (Self::Job(_), _) => "was deleted",
            (Self::Batch(_), _) => "was cancelled",
        };
        match self {
            Self::Job(id) => format!("its parent {id} {how}"),
            Self::Batch(id) => format!("its batch {id} {how}"),
        }
    }
}

impl fmt::Display for ParentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(f, "job {id}"),
            Self::Batch(id) => write!(f, "batch {id}"),
        }
    }
}

/// How a parent must end for its child to run. A batch ends when all its members are final: Deleted if
/// it was cancelled, else Failed if a member is Failed, else Succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Succeeded. While the parent is Failed the child stays Awaiting, because the parent may be run
    /// again; when the parent is Deleted, or removed, the child is Deleted.
    #[default]
    Success,
    /// Failed. When the parent ends otherwise the child is Deleted.
    Failure,
    /// Deleted. When the parent ends otherwise the child is Deleted.
    Deletion,
    /// Final, in whatever way.
    Any,
}

impl Condition {
    /// The condition as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Deletion => "deletion",
            Self::Any => "any",
        }
    }

    /// What follows for a child whose parent has ended in this final state: `Some(true)`, it waits for
    /// this parent no more; `Some(false)`, it can never run; `None`, it goes on waiting, because the
    /// parent may be run again (on success of one that is Failed).
    pub const fn met_by(self, end: State) -> Option<bool> {
        match (self, end) {
            (Self::Any, State::Succeeded | State::Failed | State::Deleted)
            | (Self::Success, State::Succeeded)
            | (Self::Failure, State::Failed)
            | (Self::Deletion, State::Deleted) => Some(true),
            (Self::Success, State::Failed) => None,
            (_, State::Succeeded | State::Failed | State::Deleted) => Some(false),
            _ => None,
        }
    }
}

/// Where the first argument of a job comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The job whose result it is.
    pub parent: JobId,
    /// The name of the argument.
    pub field: String,
}

/// A key that only one job holds at a time, within its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The key; 1 to 256 bytes. Storages keep it together with the kind.
    pub key: String,
    /// How long it is held.
    pub until: UniqueUntil,
    /// What becomes of a job whose key another holds.
    pub on_conflict: OnConflict,
}

/// How long a unique key is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueUntil {
    /// Until a worker takes the job for the first time.
    Started,
    /// Until the job is final.
    #[default]
    Done,
    /// For this long after the job was stored, whatever becomes of it.
    Period(Duration),
    /// As [`Started`](Self::Started), but at the longest for this long after the job was stored.
    StartedWithin(Duration),
    /// As [`Done`](Self::Done), but at the longest for this long after the job was stored: then it is free,
    /// although the job may still wait or run.
    DoneWithin(Duration),
}

impl UniqueUntil {
    /// The time after which the key is free in any case. It begins when the job is stored, and anew when it
    /// takes its key again.
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::Started | Self::Done => None,
            Self::Period(time) | Self::StartedWithin(time) | Self::DoneWithin(time) => Some(time),
        }
    }

    /// Whether the key is free when a worker takes the job.
    pub const fn ends_at_start(self) -> bool {
        matches!(self, Self::Started | Self::StartedWithin(_))
    }

    /// Whether the key is free when the job is final, and taken again when that is requeued.
    pub const fn ends_with_job(self) -> bool {
        !matches!(self, Self::Period(_))
    }
}

/// What becomes of a job whose unique key another job holds. The holder's id is the answer in any case
/// but the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It is not stored.
    #[default]
    Skip,
    /// It is not stored, and the holder, if it waits (in its queue, for its time, for parents or before a
    /// limit), takes its queue, priority, arguments, options and limits, under a new run. When it is due,
    /// and what else its rules say, stays. A holder that runs, or has ended, is left as it is.
    Replace,
    /// As `Replace`, and the holder becomes due when the new job would have been.
    Debounce,
    /// The whole insert is refused with [`Error::Duplicate`](crate::Error::Duplicate).
    Error,
}
