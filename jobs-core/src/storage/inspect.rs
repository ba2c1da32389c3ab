//! The read side: what people want to know.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{BatchRecord, ControlEvent, Controls, LimitRecord, Pause, WorkerInfo};
use crate::error::Result;
use crate::job::{
    AttemptRecord, BatchId, EventRecord, JobId, JobRecord, Parent, ParentId, RecurringRecord, State,
};

/// What people want to know of a storage. Nothing here is on the way of a job; nothing here may slow
/// that way down.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// One job.
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>>;

    /// Jobs that match, newest first, a page at a time.
    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage>;

    /// The attempts of a job that did not succeed, oldest first; of its snoozes at least the last 100.
    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>>;

    /// What operators did to a job, oldest first.
    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>>;

    /// How many jobs stand where.
    async fn counts(&self) -> Result<StateCounts>;

    /// Every queue that has waiting or running jobs, or is itself paused, by name. All numbers are of one
    /// moment.
    async fn queues(&self) -> Result<Vec<QueueRecord>>;

    /// What all workers are told now: which queues and kinds are paused, and in which order queues are
    /// served.
    async fn controls(&self) -> Result<Controls>;

    /// What all workers were told, and what operators did to recurring jobs and to limits, newest first; of
    /// the last 90 days at least, `limit` at most.
    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>>;

    /// Every worker that has not retired, and those that died within the last day; oldest first.
    async fn workers(&self) -> Result<Vec<WorkerRecord>>;

    /// One batch, its counts exact as of a second ago at most.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>>;

    /// What an Awaiting job still waits for, in the order in which its parents were given.
    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>>;

    /// Every limit that has been declared or set, by name.
    async fn limits(&self) -> Result<Vec<LimitRecord>>;

    /// One recurring job.
    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>>;

    /// Recurring jobs by id, after the one named, at most so many.
    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>>;

    /// What happened in each minute from `from` to before `to`, for each queue and kind, ascending.
    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>>;
}

/// Which jobs to list. An absent field does not restrict.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this queue.
    pub queue: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only members of this batch (not of batches in it).
    pub batch: Option<BatchId>,
    /// Only those that are Awaiting and wait for this job or batch: what would go on if it ended as they want it.
    pub waits_for: Option<ParentId>,
    /// Only older than this job: where the last page ended.
    pub before: Option<JobId>,
    /// How many at most. Defaults to 50; 0 means 50; at most 1,000.
    pub limit: usize,
}

impl JobFilter {
    /// The number of jobs in a page, within its bounds.
    pub fn page_size(&self) -> usize {
        if self.limit == 0 {
            50
        } else {
            self.limit.min(1_000)
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobRecord>,
    /// What to give as `before` for the next page; `None` at the end.
    pub next: Option<JobId>,
}

/// How many jobs stand in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateCounts {
    /// See [`State::Scheduled`].
    pub scheduled: u64,
    /// See [`State::Enqueued`].
    pub enqueued: u64,
    /// See [`State::Processing`].
    pub processing: u64,
    /// See [`State::Awaiting`].
    pub awaiting: u64,
    /// See [`State::Succeeded`].
    pub succeeded: u64,
    /// See [`State::Failed`].
    pub failed: u64,
    /// See [`State::Deleted`].
    pub deleted: u64,
}

impl StateCounts {
    /// The number for one state, to be changed.
    pub fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Scheduled => &mut self.scheduled,
            State::Enqueued => &mut self.enqueued,
            State::Processing => &mut self.processing,
            State::Awaiting => &mut self.awaiting,
            State::Succeeded => &mut self.succeeded,
            State::Failed => &mut self.failed,
            State::Deleted => &mut self.deleted,
        }
    }

    /// Jobs that are not final.
    pub fn unfinished(&self) -> u64 {
        self.scheduled + self.enqueued + self.processing + self.awaiting
    }
}

/// A queue, as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct QueueRecord {
    /// Its name.
    pub name: String,
    /// Why it stands still, if it does; of several pauses that of its own name.
    pub pause: Option<Pause>,
    /// Jobs that are due.
    pub enqueued: u64,
    /// Jobs that will be due later.
    pub scheduled: u64,
    /// Jobs that workers hold.
    pub processing: u64,
    /// Since when the first of its due jobs has been waiting.
    pub oldest_due: Option<DateTime<Utc>>,
}

/// A worker, as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerRecord {
    /// What it said of itself.
    pub info: WorkerInfo,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub beat_at: DateTime<Utc>,
    /// When it was declared dead.
    pub dead_at: Option<DateTime<Utc>>,
    /// How many jobs it holds.
    pub processing: u64,
}

/// What happened to the jobs of one kind in one queue in one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatRecord {
    /// The start of the minute in which the outcomes were stored.
    pub minute: DateTime<Utc>,
    /// Which queue.
    pub queue: String,
    /// Which kind.
    pub kind: String,
    /// Jobs that Succeeded.
    pub succeeded: u64,
    /// Jobs that Failed.
    pub failed: u64,
    /// Jobs that were Deleted.
    pub deleted: u64,
    /// Attempts that failed and are repeated.
    pub retried: u64,
    /// Milliseconds that the attempts counted above ran, all together.
    pub run_millis: u64,
}
