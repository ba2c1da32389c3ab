//! Batches, as a storage sees them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::job::{BatchId, State};

/// A batch that is about to be stored.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NewBatch {
    /// Made by the client, so that a repeated request cannot store the batch twice.
    pub id: BatchId,
    /// What people call it.
    pub name: Option<String>,
    /// The batch that it is a member of: that one does not end before this one.
    pub parent: Option<BatchId>,
    /// How long it and its members are kept once it has ended. A member's own `keep_for` comes first.
    /// Defaults to the worker's retention.
    pub keep_for: Option<Duration>,
    /// Whether it is complete with the members given now. If not, its members wait until it is
    /// [sealed](crate::storage::Storage::seal_batch); one that is not sealed within an hour is removed with
    /// all of them. One in a batch that is not sealed is not either, whatever this says.
    pub sealed: bool,
}

impl NewBatch {
    /// A batch without a name that is complete with the members given at once.
    pub fn new(id: BatchId) -> Self {
        Self {
            id,
            name: None,
            parent: None,
            keep_for: None,
            sealed: true,
        }
    }
}

/// What is known of a batch.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BatchRecord {
    /// Its identity.
    pub id: BatchId,
    /// What people call it.
    pub name: Option<String>,
    /// The batch that it is a member of.
    pub parent: Option<BatchId>,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// When it was complete; members run from then on.
    pub sealed_at: Option<DateTime<Utc>>,
    /// When somebody cancelled it.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When it ended: all its members were final. Jobs that wait for it have then been looked at.
    pub finished_at: Option<DateTime<Utc>>,
    /// How many members it has: jobs, and batches in it.
    pub total: u64,
    /// Members that Succeeded.
    pub succeeded: u64,
    /// Members that are Failed.
    pub failed: u64,
    /// Members that are Deleted.
    pub deleted: u64,
}

impl BatchRecord {
    /// A record of a batch without members; storages fill in the rest.
    pub fn new(id: BatchId) -> Self {
        Self {
            id,
            name: None,
            parent: None,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            sealed_at: None,
            cancelled_at: None,
            finished_at: None,
            total: 0,
            succeeded: 0,
            failed: 0,
            deleted: 0,
        }
    }

    /// Members that are not final.
    pub const fn pending(&self) -> u64 {
        self.total
            .saturating_sub(self.succeeded + self.failed + self.deleted)
    }

    /// How it ended, or would end if all that is pending Succeeded.
    pub const fn outcome(&self) -> State {
        if self.cancelled_at.is_some() {
            State::Deleted
        } else if self.failed > 0 {
            State::Failed
        } else {
            State::Succeeded
        }
    }
}
