//! Jobs in the memory of this process: for tests, for trying things out, and as the reference that the
//! conformance suite was written against.
//!
//! One lock holds all tables, so that every method is atomic and sees what the one before it left;
//! nothing is awaited under the lock, and nothing under it takes longer than the request is large, save
//! counting for people. A process that dies takes its jobs along.

mod admit;
mod batch;
mod claim;
mod command;
mod control;
mod expiry;
mod finished;
mod insert;
mod inspect;
mod limits;
mod meter;
mod parents;
mod recurring;
mod settle;
mod stats;
mod tables;
#[cfg(test)]
mod tests;
mod tickets;
mod unique;
mod whole_batch;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;

use super::{
    Answer, BatchRecord, Beat, ClaimRequest, Claimed, Command, Control, ControlEvent, Controls,
    Flush, HandedOver, Inserted, Inspect, JobFilter, JobPage, LimitRecord, NewBatch, Orders,
    Presence, QueueRecord, Refused, RescueRequest, Rescued, Retention, Start, StatRecord,
    StateCounts, Storage, Wake, WorkerInfo, WorkerRecord,
};
use super::{Changed, RecurringDue, RecurringRequest};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::job::RecurringRecord;
use crate::job::{
    AttemptRecord, BatchId, ClaimId, EventRecord, JobId, JobRecord, LimitRule, NewJob, Parent,
    ParentId, WorkerId,
};
use crate::lifecycle::RecurringChange;
use tables::Tables;

/// How many hints a slow listener may be behind before it is told to look at everything.
const HINTS: usize = 1_024;

/// How many jobs retention removes before others get a turn.
const HANDFUL: usize = 1_000;

/// How many days counters are kept.
const STAT_DAYS: i64 = 90;

/// Jobs in the memory of this process. They are gone when it ends. Clones are the same storage.
///
/// There are no transactions to enqueue within. If the clock goes back, time stands still here until it
/// has caught up.
///
/// ```
/// # use jobs_core::storage::{MemoryStorage, StorageHandle};
/// let storage = StorageHandle::new(MemoryStorage::new());
/// assert_eq!(storage.name(), "memory");
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    tables: Arc<Mutex<Tables>>,
    clock: Arc<dyn Clock>,
    wake: broadcast::Sender<Wake>,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty storage that tells the time by this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self {
            tables: Arc::default(),
            clock: Arc::new(clock),
            wake: broadcast::channel(HINTS).0,
        }
    }

    /// Does something with the tables and what follows from it, then hands out the hints it was worth.
    fn with<T>(&self, act: impl FnOnce(&mut Tables, DateTime<Utc>) -> T) -> T {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tables.now(self.clock.as_ref());
        let answer = act(&mut tables, now);
        tables.follow_up(now);
        let hints = tables.hints();
        drop(tables);
        for hint in hints {
            self.hint(hint);
        }
        answer
    }

    fn hint(&self, hint: Wake) {
        // An error says that nobody listens.
        let _ = self.wake.send(hint);
    }
}

impl Tables {
    /// The present, never earlier than before: a clock that is set back must not make jobs wait that are
    /// due. Until it has caught up, time stands still here.
    fn now(&mut self, clock: &dyn Clock) -> DateTime<Utc> {
        self.latest = self.latest.max(clock.now());
        self.latest
    }

    /// What follows from what was done: children of what has ended, jobs that limits let in now.
    fn follow_up(&mut self, now: DateTime<Utc>) {
        loop {
            self.resolve(now);
            self.admit(now);
            // Limits may delete what exceeds them.
            if self.dependencies.is_quiet() {
                return;
            }
        }
    }

    fn remove_expired(&mut self, retention: &Retention, now: DateTime<Utc>) -> usize {
        let expired = self.finished.expired(retention, now, HANDFUL);
        for &id in &expired {
            self.parent_is_removed(ParentId::Job(id), now);
            self.forget_member(id);
            self.lift(id);
            self.jobs.remove(&id);
        }
        expired.len()
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn now(&self) -> DateTime<Utc> {
        self.with(|_, now| now)
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.with(|tables, now| tables.insert(jobs, now))
    }

    async fn insert_taken(
        &self,
        jobs: &[NewJob],
        worker: WorkerId,
        claim: ClaimId,
    ) -> Result<Option<HandedOver>> {
        Ok(self.with(|tables, now| tables.insert_taken(jobs, worker, claim, now)))
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.with(|tables, now| tables.claim(request, now))
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        Ok(self.with(|tables, now| tables.next_due(request, now)))
    }

    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        Ok(self.with(|tables, now| tables.settle(flush, now)))
    }

    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.with(|tables, now| tables.create_batch(batch, jobs, now))
    }

    async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        self.with(|tables, now| tables.seal_batch(batch, now))
    }

    async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        self.with(|tables, now| tables.reopen_batch(batch, now))
    }

    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64> {
        self.with(|tables, now| tables.cancel_batch(batch, actor, reason, now))
    }

    async fn start(&self, start: &Start) -> Result<bool> {
        Ok(self.with(|tables, now| tables.start(start, now)))
    }

    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        self.with(|tables, now| {
            tables.set_limit(name, rule)?;
            tables.told.note_limit(name, rule, (actor, reason), now);
            Ok(())
        })
    }

    async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        self.with(|tables, now| tables.register(worker, now));
        Ok(())
    }

    async fn beat(&self, beat: &Beat) -> Result<Orders> {
        Ok(self.with(|tables, now| tables.beat(beat, now)))
    }

    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        self.with(|tables, _| tables.suspect(worker, job));
        Ok(())
    }

    async fn retire(&self, worker: WorkerId) -> Result<()> {
        self.with(|tables, now| tables.retire(worker, now));
        Ok(())
    }

    async fn presences(&self) -> Result<Vec<Presence>> {
        Ok(self.with(|tables, _| tables.presences()))
    }

    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        Ok(self.with(|tables, now| tables.rescue(request, now)))
    }

    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        Ok(self.with(|tables, _| {
            let owned = |(id, run): &(JobId, i32)| {
                let job = tables.jobs.get(id);
                job.is_some_and(|job| job.run == *run)
            };
            let revoked = runs.iter().filter(|&run| !owned(run));
            revoked.map(|(id, _)| *id).collect()
        }))
    }

    async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        Ok(self.with(|tables, now| tables.command(command, now)))
    }

    async fn control(&self, control: &Control) -> Result<()> {
        self.with(|tables, now| tables.control(control, now));
        self.hint(Wake::Queues);
        Ok(())
    }

    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        Ok(self.with(|tables, now| tables.recurrings.due(request, now)))
    }

    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        self.with(|tables, now| tables.change_recurring(changes, now))
    }

    async fn tick(&self) -> Result<()> {
        self.with(|tables, now| {
            tables.remove_unsealed(now);
            tables.expire(now);
            tables.limits.kick_all(false);
        });
        Ok(())
    }

    async fn retain(&self, retention: &Retention) -> Result<u64> {
        let mut removed = 0;
        loop {
            let n = self.with(|tables, now| tables.remove_expired(retention, now));
            removed += n as u64;
            if n < HANDFUL {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.with(|tables, now| {
            tables.stats.forget_before(now - TimeDelta::days(STAT_DAYS));
            tables.bury(now);
            tables.keys.forget(now);
            tables.remove_ended(retention, now);
            tables.limits.forget(now);
            tables.told.forget(now);
        });
        Ok(removed)
    }

    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn check_schema(&self) -> Result<()> {
        Ok(())
    }

    fn wake(&self) -> broadcast::Receiver<Wake> {
        self.wake.subscribe()
    }

    fn wakes_across_processes(&self) -> bool {
        // There are no other processes to hear of.
        true
    }
}

#[async_trait]
impl Inspect for MemoryStorage {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>> {
        Ok(self.with(|tables, now| tables.record(id, now)))
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        let size = filter.page_size();
        let (mut jobs, mut at) = (Vec::new(), filter.before);
        // One more than asked for tells whether there is a next page.
        while jobs.len() <= size {
            at = self.with(|tables, now| tables.glance(filter, at, &mut jobs, size + 1, now));
            if at.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let more = jobs.len() > size;
        jobs.truncate(size);
        let next = jobs.last().filter(|_| more).map(|job| job.id);
        Ok(JobPage { jobs, next })
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>> {
        Ok(self.with(|tables, _| {
            let history = tables.jobs.get(&id).and_then(|job| job.history.as_ref());
            history.map_or_else(Vec::new, |history| history.attempts.clone())
        }))
    }

    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>> {
        Ok(self.with(|tables, _| {
            let history = tables.jobs.get(&id).and_then(|job| job.history.as_ref());
            history.map_or_else(Vec::new, |history| history.events.clone())
        }))
    }

    async fn counts(&self) -> Result<StateCounts> {
        Ok(self.with(|tables, now| tables.counts(now)))
    }

    async fn queues(&self) -> Result<Vec<QueueRecord>> {
        Ok(self.with(|tables, now| tables.queues(now)))
    }

    async fn controls(&self) -> Result<Controls> {
        Ok(self.with(|tables, now| tables.told.controls(now)))
    }

    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>> {
        Ok(self.with(|tables, _| tables.told.events(limit)))
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        Ok(self.with(|tables, now| tables.workers(now)))
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>> {
        Ok(self.with(|tables, _| tables.batch(id)))
    }

    async fn limits(&self) -> Result<Vec<LimitRecord>> {
        Ok(self.with(|tables, now| tables.limits(now)))
    }

    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>> {
        Ok(self.with(|tables, _| tables.awaited(id)))
    }

    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        Ok(self.with(|tables, _| tables.recurrings.get(id).cloned()))
    }

    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        Ok(self.with(|tables, _| tables.recurrings.page(after, limit)))
    }

    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>> {
        Ok(self.with(|tables, _| tables.stats.between(from, to)))
    }
}
