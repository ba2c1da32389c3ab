//! Recurring jobs, as a storage sees them: records that it compares and sets, and looks up by the time
//! at which somebody has to look at them. What they mean is none of its business.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::warn;
use uuid::Uuid;

use super::{Inserted, StorageHandle};
use crate::error::{Error, Result};
use crate::job::{JobId, NewJob, RecurringRecord};
use crate::lifecycle::RecurringChange;

/// Asks for the recurring jobs that a scheduler has to look at.
#[derive(Clone, Debug)]
pub struct RecurringRequest {
    /// The kinds that it knows: others are left alone.
    pub kinds: Arc<[String]>,
    /// Only those after this one, in the order of the answer: where the last page ended.
    pub after: Option<(DateTime<Utc>, String)>,
    /// How many at most.
    pub limit: usize,
}

/// The recurring jobs that a scheduler has to look at.
#[derive(Clone, Debug)]
pub struct RecurringDue {
    /// What the storage's clock shows.
    pub now: DateTime<Utc>,
    /// Those whose [time](RecurringRecord::look_at) has come, by that time, then by id.
    pub records: Vec<RecurringRecord>,
    /// The first time that has not come yet, of the kinds asked for.
    pub next: Option<DateTime<Utc>>,
}

/// What became of a [`RecurringChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// It was made, now or by an earlier request with the same change.
    Done,
    /// An earlier run has not finished: what the change holds for that was made, and no job was stored.
    Held,
    /// The record is not of the version that the change was made from, or somebody else is changing it
    /// right now. Nothing was done.
    Stale,
}

/// What a storage does about one change.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Judgement<'c> {
    /// The answer.
    pub answer: Changed,
    /// What is written in the record's place, if anything is: a record, or none, if it is removed.
    pub write: Option<Option<&'c RecurringRecord>>,
    /// The jobs that are stored.
    pub jobs: &'c [NewJob],
}

impl Judgement<'_> {
    /// Nothing, because somebody else is changing the record.
    pub const fn stale() -> Self {
        Self {
            answer: Changed::Stale,
            write: None,
            jobs: &[],
        }
    }
}

/// Says what a storage does about a change, where it has found a record of this version under its id, or
/// none, and where it knows which jobs are stored and not final.
pub fn judge(
    change: &RecurringChange,
    found: Option<Uuid>,
    is_unfinished: impl FnOnce(JobId) -> bool,
) -> Judgement<'_> {
    let leave = |answer| Judgement {
        answer,
        write: None,
        jobs: &[],
    };
    let hold = change.hold.as_deref();
    if found == change.to.as_ref().map(|record| record.version) {
        return leave(Changed::Done);
    }
    if found.is_some() && found == hold.map(|hold| hold.to.version) {
        return leave(Changed::Held);
    }
    if found != change.from {
        return leave(Changed::Stale);
    }
    match hold.filter(|hold| is_unfinished(hold.job)) {
        Some(hold) => Judgement {
            answer: Changed::Held,
            write: Some(Some(&hold.to)),
            jobs: &[],
        },
        None => Judgement {
            answer: Changed::Done,
            write: Some(change.to.as_ref()),
            jobs: &change.jobs,
        },
    }
}

/// For which of these jobs others stand, by the answers to their insert: those hold their unique keys.
pub fn stand_ins(jobs: &[NewJob], answers: &[Inserted]) -> HashMap<JobId, JobId> {
    let both = jobs.iter().zip(answers);
    both.filter(|(job, answer)| job.id != answer.id)
        .map(|(job, answer)| (job.id, answer.id))
        .collect()
}

impl Judgement<'_> {
    /// What is written in place of the changed record when others [stand for](stand_ins) some of its jobs.
    pub fn rewrite(
        &self,
        change: &RecurringChange,
        others: &HashMap<JobId, JobId>,
    ) -> Option<RecurringRecord> {
        if others.is_empty() || self.jobs.is_empty() {
            return None;
        }
        change.without(|job| others.get(&job).copied())
    }
}

/// The record that is stored as this text; `None`, with a warning, if a newer version has written what
/// this one cannot read. Storages leave such a record alone.
pub fn read_recurring(id: &str, stored: &str) -> Option<RecurringRecord> {
    match serde_json::from_str(stored) {
        Ok(record) => Some(record),
        Err(error) => {
            warn!(recurring = id, %error, "left alone: this version cannot read it");
            None
        }
    }
}

impl StorageHandle {
    /// Changes recurring jobs. After a lost connection, too, this is tried again: a change that was made
    /// is answered as made. A run that is to wait for one that was removed meanwhile does not wait: what
    /// is removed was final.
    pub async fn change_recurring(
        &self,
        mut changes: Vec<RecurringChange>,
    ) -> Result<Vec<Changed>> {
        loop {
            let gone = match self.change_recurring_once(&changes).await {
                Err(Error::UnknownJob(gone)) => gone,
                answer => return answer,
            };
            let found = changes
                .iter_mut()
                .fold(false, |found, change| change.forget_parent(gone) | found);
            if !found {
                return Err(Error::UnknownJob(gone));
            }
        }
    }
}
