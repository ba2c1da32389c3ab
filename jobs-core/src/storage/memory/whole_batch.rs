//! What is done to a batch and those in it as a whole: they are completed, cancelled, removed.

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::Batch;
use super::tables::{Place, Tables};
use crate::error::{Error, Result};
use crate::job::{BatchId, EventRecord, JobId, State};
use crate::storage::Verb;

/// One that is not complete after this time never will be: who made it has died.
const UNSEALED: TimeDelta = TimeDelta::hours(1);

impl Tables {
    /// Whether this batch, or one around it, is not complete.
    pub(super) fn is_in_unsealed(&self, mut id: Option<BatchId>) -> bool {
        while let Some(batch) = id.and_then(|id| self.batches.get(&id)) {
            if batch.is_unsealed() {
                return true;
            }
            id = batch.record.parent;
        }
        false
    }

    /// A batch and all that are in it, each after the one around it.
    fn tree(&self, id: BatchId) -> Vec<BatchId> {
        let mut tree = vec![id];
        let mut at = 0;
        while let Some(batch) = tree.get(at) {
            let inner = self.batches.get(batch).map(|batch| batch.batches.clone());
            tree.extend(inner.into_iter().flatten());
            at += 1;
        }
        tree
    }

    /// Completes a batch with all that are in it. One in a batch that is not complete is completed with that.
    pub(super) fn seal_batch(&mut self, id: BatchId, now: DateTime<Utc>) -> Result<()> {
        let batch = self.batches.get(&id).ok_or(Error::UnknownBatch(id))?;
        if !batch.is_unsealed() || self.is_in_unsealed(batch.record.parent) {
            return Ok(());
        }
        let mut tree = self.tree(id);
        tree.retain(|id| self.batches[id].is_unsealed());
        // All of them before any of their members: whether one may run is asked of its own batch only.
        for id in &tree {
            if let Some(batch) = self.batches.get_mut(id) {
                batch.record.sealed_at = Some(now);
            }
        }
        for id in tree.into_iter().rev() {
            for job in self.batches[&id].jobs.clone() {
                self.runs_if_ready(job, now);
            }
            self.batch_may_end(id);
        }
        Ok(())
    }

    pub(super) fn cancel_batch(
        &mut self,
        id: BatchId,
        actor: &str,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let batch = self.batches.get(&id).ok_or(Error::UnknownBatch(id))?;
        if !batch.is_open() {
            return Ok(0);
        }
        let mut tree = self.tree(id);
        tree.retain(|id| !self.batches[id].has_ended());
        for id in &tree {
            if let Some(batch) = self.batches.get_mut(id) {
                batch.record.cancelled_at.get_or_insert(now);
            }
        }
        let mut deleted = 0;
        for id in tree.into_iter().rev() {
            for job in self.batches[&id].jobs.clone() {
                deleted += u64::from(self.cancel_member(job, actor, reason, now));
            }
            self.batch_may_end(id);
        }
        Ok(deleted)
    }

    fn cancel_member(
        &mut self,
        id: JobId,
        actor: &str,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(from) = self.jobs.get(&id).map(|job| job.state(now)) else {
            return false;
        };
        if from.is_final() {
            return false;
        }
        let why = match reason {
            Some(reason) => format!("its batch was cancelled by {actor}: {reason}"),
            None => format!("its batch was cancelled by {actor}"),
        };
        self.delete(id, why, now);
        if from == State::Processing {
            self.cancel(id);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            let verb = Verb::Delete.as_str();
            let mut event = EventRecord::new(id, now, verb, actor, (from, State::Deleted));
            event.reason = reason.map(Into::into);
            job.history.get_or_insert_default().events.push(event);
        }
        true
    }

    /// Removes batches that were not complete in time, with all that is in them.
    pub(super) fn remove_unsealed(&mut self, now: DateTime<Utc>) {
        let late = |batch: &Batch| {
            batch.is_unsealed()
                && batch.record.created_at.checked_add_signed(UNSEALED) <= Some(now)
                && !self.is_in_unsealed(batch.record.parent)
        };
        let late: Vec<_> = self
            .batches
            .iter()
            .filter(|(_, batch)| late(batch))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            let around = self.batches[&id].record.parent;
            for one in self.tree(id) {
                self.remove_batch(one, now);
            }
            let Some(around) = around else {
                continue;
            };
            if let Some(parent) = self.batches.get_mut(&around) {
                parent.record.total -= 1;
                parent.batches.remove(&id);
                self.batch_may_end(around);
            }
        }
    }

    /// Removes a batch with its members; not those in it.
    fn remove_batch(&mut self, id: BatchId, now: DateTime<Utc>) {
        self.batch_is_gone(id, "was not complete within 1 h and was removed", now);
        let Some(batch) = self.batches.remove(&id) else {
            return;
        };
        for job in batch.jobs {
            self.remove_member(job, now);
        }
    }

    fn remove_member(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if !matches!(job.place, Place::Final(_)) {
            self.lift(id);
            self.finish(id, State::Deleted, now);
        }
        self.lift(id);
        self.jobs.remove(&id);
    }
}
