//! What is known of a job: the read side.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ErrorReport, JobId, Priority, Rules, State, StoredOptions, WorkerId};

/// Everything a storage knows of one job but its history.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// Its identity.
    pub id: JobId,
    /// Which handler runs it.
    pub kind: String,
    /// The arguments, as the text of a JSON object, to the letter as they were stored.
    pub args: String,
    /// Where it waits.
    pub queue: String,
    /// Its order within the queue.
    pub priority: Priority,
    /// Where it stands.
    pub state: State,
    /// Why it stands there, in plain words, unless it is where a job without trouble would be.
    pub reason: Option<String>,
    /// How many of its runs ended in an outcome; retries are counted by it.
    pub attempt: u32,
    /// How many of its runs ended with the death of their worker.
    pub lost: u32,
    /// The number of the current ownership: raised whenever one ends.
    pub run: i32,
    /// What it was given beyond its kind's settings.
    pub options: StoredOptions,
    /// When and whether it runs, as it was stored; `None` for most jobs.
    pub rules: Option<Box<Rules>>,
    /// The limit before which it waits, although it is due.
    pub limited_by: Option<String>,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// Since when it was allowed to run, or from when on it will be.
    pub due_at: DateTime<Utc>,
    /// When its last attempt started, once that has ended.
    pub started_at: Option<DateTime<Utc>>,
    /// When it reached its final state.
    pub finished_at: Option<DateTime<Utc>>,
    /// Who runs it, or ran it last.
    pub worker: Option<WorkerId>,
    /// What it returned, as JSON text. Absent for `()`, and where `reason` says why.
    pub result: Option<String>,
}

impl JobRecord {
    /// A record with these essentials; storages fill in the rest.
    pub fn new(id: JobId, kind: impl Into<String>, state: State) -> Self {
        let created_at = id.created_at();
        Self {
            id,
            kind: kind.into(),
            args: String::new(),
            queue: String::new(),
            priority: Priority::NORMAL,
            state,
            reason: None,
            attempt: 0,
            lost: 0,
            run: 0,
            options: StoredOptions::default(),
            rules: None,
            limited_by: None,
            created_at,
            due_at: created_at,
            started_at: None,
            finished_at: None,
            worker: None,
            result: None,
        }
    }
}

/// How an attempt that did not succeed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The attempt took longer than it may.
    TimedOut,
    /// The handler said that it makes no sense to try again, or its arguments did not decode.
    Discarded,
    /// The handler asked to be run later.
    Snoozed,
    /// Its worker died.
    Lost,
}

impl AttemptOutcome {
    /// The outcome as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Discarded => "discarded",
            Self::Snoozed => "snoozed",
            Self::Lost => "lost",
        }
    }

    /// The outcome of this name.
    pub fn parse(text: &str) -> Option<Self> {
        use AttemptOutcome::{Discarded, Failed, Lost, Panicked, Snoozed, TimedOut};
        [Failed, Panicked, TimedOut, Discarded, Snoozed, Lost]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}

/// One attempt that did not succeed. The one that did is on the job itself.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// The job.
    pub job: JobId,
    /// Which ownership it was.
    pub run: i32,
    /// Its number, counted from 1; a snooze or a loss has the number of the attempt it interrupted.
    pub number: u32,
    /// Who ran it.
    pub worker: Option<WorkerId>,
    /// When it started, if that is known.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, or was found lost.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// What followed from it, in plain words.
    pub reason: String,
    /// What went wrong.
    pub error: Option<ErrorReport>,
}

impl AttemptRecord {
    /// A record with these essentials; storages fill in the rest.
    pub fn new(job: JobId, run: i32, outcome: AttemptOutcome, finished_at: DateTime<Utc>) -> Self {
        Self {
            job,
            run,
            number: 0,
            worker: None,
            started_at: None,
            finished_at,
            outcome,
            reason: String::new(),
            error: None,
        }
    }
}

/// One operator action, or an unusual transition, on one job.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventRecord {
    /// The job.
    pub job: JobId,
    /// When.
    pub at: DateTime<Utc>,
    /// What was done: `delete`, `requeue`, `run_now`, `reschedule`; by the storage itself: `recover`, for a
    /// waiting job that was in no place.
    pub verb: String,
    /// Who did it.
    pub actor: String,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// Where the job stood before.
    pub from: State,
    /// Where it stood after.
    pub to: State,
}

impl EventRecord {
    /// A record with these essentials.
    pub fn new(
        job: JobId,
        at: DateTime<Utc>,
        verb: &str,
        actor: &str,
        moved: (State, State),
    ) -> Self {
        let (from, to) = moved;
        Self {
            job,
            at,
            verb: verb.into(),
            actor: actor.into(),
            reason: None,
            from,
            to,
        }
    }
}
