//! Batches: their members, their ends, and the batches around them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::tables::Tables;
use crate::clock::later;
use crate::error::{Error, Result};
use crate::job::{BatchId, JobId, NewJob, ParentId, Rules, State};
use crate::storage::{BatchRecord, Inserted, NewBatch, Retention};

pub(super) type Batches = BTreeMap<BatchId, Batch>;

/// One batch. Its counts are exact at any time: there is one writer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) record: BatchRecord,
    keep_for: Option<Duration>,
    /// Members that have not been removed.
    pub(super) jobs: BTreeSet<JobId>,
    pub(super) batches: BTreeSet<BatchId>,
}

impl Batch {
    fn of(&mut self, end: State) -> &mut u64 {
        match end {
            State::Failed => &mut self.record.failed,
            State::Deleted => &mut self.record.deleted,
            _ => &mut self.record.succeeded,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.record.finished_at.is_some()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.has_ended() && self.record.cancelled_at.is_none()
    }

    /// Whether its members wait for it to be complete. Those in it are not complete then either.
    pub(super) fn is_unsealed(&self) -> bool {
        self.record.sealed_at.is_none() && self.record.cancelled_at.is_none()
    }
}

impl Tables {
    pub(super) fn create_batch(
        &mut self,
        new: &NewBatch,
        jobs: &[NewJob],
        now: DateTime<Utc>,
    ) -> Result<Vec<Inserted>> {
        if self.batches.contains_key(&new.id) {
            return self.insert(jobs, now);
        }
        if new.parent == Some(new.id) {
            let id = new.id;
            return Err(Error::Invalid(format!("batch {id} is a member of itself")));
        }
        if let Some(parent) = new.parent {
            self.batch_is_open(parent)?;
        }
        let sealed = new.sealed && !self.is_in_unsealed(new.parent);
        let batch = Batch {
            record: BatchRecord {
                name: new.name.clone(),
                parent: new.parent,
                created_at: now,
                sealed_at: sealed.then_some(now),
                ..BatchRecord::new(new.id)
            },
            keep_for: new.keep_for,
            jobs: BTreeSet::new(),
            batches: BTreeSet::new(),
        };
        self.batches.insert(new.id, batch);
        let answers = self.insert(jobs, now);
        if answers.is_err() {
            // The insert has written nothing; now this has not either.
            self.batches.remove(&new.id);
            return answers;
        }
        if let Some(parent) = new.parent.and_then(|parent| self.batches.get_mut(&parent)) {
            parent.record.total += 1;
            parent.batches.insert(new.id);
        }
        self.batch_may_end(new.id);
        answers
    }

    /// A batch takes members: it is known, has not ended, and is not cancelled.
    fn batch_is_open(&self, id: BatchId) -> Result<()> {
        let batch = self.batches.get(&id).ok_or(Error::UnknownBatch(id))?;
        if batch.is_open() {
            return Ok(());
        }
        Err(Error::Invalid(if batch.has_ended() {
            format!("batch {id} has ended: reopen it to add to it")
        } else {
            format!("batch {id} was cancelled: reopen it to add to it")
        }))
    }

    /// What the rules of a new job say of batches holds: its own is open, those that it waits for are known.
    pub(super) fn batches_hold(&self, rules: &Rules) -> Result<()> {
        if let Some(batch) = rules.batch {
            self.batch_is_open(batch)?;
        }
        for parent in &rules.parents {
            match parent.of {
                ParentId::Batch(id) if !self.batches.contains_key(&id) => {
                    return Err(Error::UnknownBatch(id));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A job that has just been stored joins its batch.
    pub(super) fn join_batch(&mut self, id: JobId) {
        if let Some(batch) = self.batch_of(id).and_then(|it| self.batches.get_mut(&it)) {
            batch.record.total += 1;
            batch.jobs.insert(id);
        }
    }

    pub(super) fn batch_of(&self, id: JobId) -> Option<BatchId> {
        self.jobs.get(&id)?.rules.as_ref()?.batch
    }

    /// Whether a job's batch is not complete, so that it must not run.
    pub(super) fn is_in_unsealed_batch(&self, id: JobId) -> bool {
        let batch = self.batch_of(id).and_then(|it| self.batches.get(&it));
        batch.is_some_and(Batch::is_unsealed)
    }

    /// A job has become final, which may end its batch.
    pub(super) fn member_at_end(&mut self, id: JobId, end: State) {
        if let Some(batch) = self.batch_of(id) {
            self.count(batch, end);
        }
    }

    /// A member of a batch has ended, which may end the batch, and those around it, however many.
    fn count(&mut self, mut id: BatchId, mut end: State) {
        while let Some(batch) = self.batches.get_mut(&id) {
            *batch.of(end) += 1;
            let Some((around, outcome)) = self.end_if_over(id) else {
                return;
            };
            (id, end) = (around, outcome);
        }
    }

    /// A job that had ended so is to run again.
    pub(super) fn member_runs_again(&mut self, id: JobId, end: State) {
        if let Some(batch) = self.batch_of(id) {
            self.count_back(batch, end);
        }
    }

    fn count_back(&mut self, mut id: BatchId, mut end: State) {
        while let Some(batch) = self.batches.get_mut(&id) {
            *batch.of(end) -= 1;
            // With one less the outcome may be another: what was counted further up is what it was.
            let Some((around, before)) = self.open_batch(id, Some(end)) else {
                return;
            };
            (id, end) = (around, before);
        }
    }

    /// Opens a batch that has ended; answers the one around it, and how it had ended there. `less` is the
    /// end of a member that no longer counts in it.
    fn open_batch(&mut self, id: BatchId, less: Option<State>) -> Option<(BatchId, State)> {
        let batch = self.batches.get_mut(&id)?;
        batch.record.finished_at.take()?;
        let mut before = batch.record.clone();
        if less == Some(State::Failed) {
            before.failed += 1;
        }
        Some((before.parent?, before.outcome()))
    }

    /// Ends a batch that is complete and whose members are all final.
    pub(super) fn batch_may_end(&mut self, id: BatchId) {
        if let Some((around, outcome)) = self.end_if_over(id) {
            self.count(around, outcome);
        }
    }

    /// The same, but answers the batch around it, and how it has ended there.
    fn end_if_over(&mut self, id: BatchId) -> Option<(BatchId, State)> {
        let now = self.latest;
        let batch = self.batches.get_mut(&id)?;
        if batch.has_ended() || batch.is_unsealed() || batch.record.pending() > 0 {
            return None;
        }
        batch.record.finished_at = Some(now);
        let (outcome, parent) = (batch.record.outcome(), batch.record.parent);
        self.dependencies.ended(ParentId::Batch(id), outcome);
        Some((parent?, outcome))
    }

    /// How a batch has ended, if it has.
    pub(super) fn end_of_batch(&self, id: BatchId) -> Option<State> {
        let batch = self.batches.get(&id)?;
        batch.has_ended().then(|| batch.record.outcome())
    }

    pub(super) fn reopen_batch(&mut self, id: BatchId, now: DateTime<Utc>) -> Result<()> {
        let batch = self.batches.get(&id).ok_or(Error::UnknownBatch(id))?;
        if batch.is_open() {
            return Ok(());
        }
        let held = self.is_in_unsealed(batch.record.parent);
        if let Some((around, before)) = self.open_batch(id, None) {
            self.count_back(around, before);
        }
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.record.cancelled_at = None;
            let sealed_at = batch.record.sealed_at.unwrap_or(now);
            batch.record.sealed_at = (!held).then_some(sealed_at);
        }
        Ok(())
    }

    pub(super) fn batch(&self, id: BatchId) -> Option<BatchRecord> {
        self.batches.get(&id).map(|batch| batch.record.clone())
    }

    /// A member is removed, with the time that it was to be kept.
    pub(super) fn forget_member(&mut self, id: JobId) {
        if let Some(batch) = self.batch_of(id).and_then(|it| self.batches.get_mut(&it)) {
            batch.jobs.remove(&id);
        }
    }

    /// Removes batches that have been kept long enough since they ended.
    pub(super) fn remove_ended(&mut self, retention: &Retention, now: DateTime<Utc>) {
        let over = |batch: &Batch| {
            let keep = batch.keep_for.unwrap_or(match batch.record.outcome() {
                State::Failed => retention.failed,
                State::Deleted => retention.deleted,
                _ => retention.succeeded,
            });
            let end = batch.record.finished_at;
            end.is_some_and(|end| later(end, keep) <= now)
        };
        let over: Vec<_> = self
            .batches
            .iter()
            .filter(|(_, batch)| over(batch))
            .map(|(&id, _)| id)
            .collect();
        for id in over {
            self.batch_is_gone(id, "failed and was removed", now);
            let around = self.batches.remove(&id).and_then(|it| it.record.parent);
            if let Some(around) = around.and_then(|around| self.batches.get_mut(&around)) {
                around.batches.remove(&id);
            }
        }
    }

    /// Those that still wait for a batch that is removed wait in vain.
    pub(super) fn batch_is_gone(&mut self, id: BatchId, how: &str, now: DateTime<Utc>) {
        let reason = format!("its batch {id} {how}");
        self.parent_is_gone(ParentId::Batch(id), &reason, now);
    }
}
