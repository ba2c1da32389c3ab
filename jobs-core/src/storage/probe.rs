//! A storage in memory that counts statements, holds them up, and fails them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, broadcast};

use super::{
    Answer, BatchRecord, Beat, ClaimRequest, Claimed, Command, Control, ControlEvent, Controls,
    Flush, Inserted, Inspect, JobFilter, JobPage, LimitRecord, MemoryStorage, NewBatch, Orders,
    Presence, QueueRecord, Refused, RescueRequest, Rescued, Retention, Start, StatRecord,
    StateCounts, Storage, Wake, WorkerInfo, WorkerRecord,
};
use super::{Changed, RecurringDue, RecurringRequest};
use crate::error::{Error, Result};
use crate::job::{
    AttemptRecord, BatchId, EventRecord, JobId, JobRecord, LimitRule, NewJob, Parent,
    RecurringRecord, WorkerId,
};
use crate::lifecycle::RecurringChange;

/// What happens to one statement.
pub(crate) enum Fault {
    None,
    /// Fails, with nothing done.
    Before(Error),
    /// Is carried out, but the caller gets an error.
    After(Error),
    Panic,
}

type Faults = Box<dyn FnMut(&'static str, &[NewJob]) -> Fault + Send>;

/// A storage in memory under the control of a test. Clones are the same.
#[derive(Clone)]
pub(crate) struct Probe(Arc<Inner>);

struct Inner {
    memory: MemoryStorage,
    inserts: Mutex<Vec<usize>>,
    faults: Mutex<Faults>,
    gate: Option<Semaphore>,
    /// Gives no hints.
    deaf: bool,
}

impl Probe {
    /// Lets everything through.
    pub(crate) fn new() -> Self {
        Self::build(None, |_, _| Fault::None)
    }

    /// Lets everything through, and gives no hints at all: the channel that they would come by is closed.
    pub(crate) fn deaf() -> Self {
        let mut probe = Self::new();
        if let Some(inner) = Arc::get_mut(&mut probe.0) {
            inner.deaf = true;
        }
        probe
    }

    /// Holds inserts until they are [let through](Self::open).
    pub(crate) fn gated() -> Self {
        Self::build(Some(Semaphore::new(0)), |_, _| Fault::None)
    }

    /// Fails statements, of which it is told the verb and the jobs to be inserted.
    pub(crate) fn failing(
        faults: impl FnMut(&'static str, &[NewJob]) -> Fault + Send + 'static,
    ) -> Self {
        Self::build(None, faults)
    }

    /// Both.
    pub(crate) fn gated_failing(
        faults: impl FnMut(&'static str, &[NewJob]) -> Fault + Send + 'static,
    ) -> Self {
        Self::build(Some(Semaphore::new(0)), faults)
    }

    fn build(
        gate: Option<Semaphore>,
        faults: impl FnMut(&'static str, &[NewJob]) -> Fault + Send + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryStorage::new(),
            inserts: Mutex::default(),
            faults: Mutex::new(Box::new(faults)),
            gate,
            deaf: false,
        }))
    }

    /// Lets this many inserts through.
    pub(crate) fn open(&self, inserts: usize) {
        self.0.gate.as_ref().unwrap().add_permits(inserts);
    }

    /// How many jobs each insert had that was let through.
    pub(crate) fn inserts(&self) -> Vec<usize> {
        self.0.inserts.lock().unwrap().clone()
    }

    /// How many jobs are stored.
    pub(crate) async fn stored(&self) -> u64 {
        self.counts().await.unwrap().enqueued
    }

    fn fault(&self, verb: &'static str, jobs: &[NewJob]) -> Fault {
        (self.0.faults.lock().unwrap())(verb, jobs)
    }
}

pub(crate) fn unavailable() -> Error {
    Error::Unavailable {
        doing: "probe".into(),
        source: "connection reset".into(),
    }
}

pub(crate) fn conflict() -> Error {
    Error::Conflict {
        doing: "probe".into(),
        source: "deadlock".into(),
    }
}

pub(crate) fn rejected() -> Error {
    Error::Rejected {
        doing: "probe".into(),
        source: "no such value".into(),
    }
}

#[async_trait]
impl Storage for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn now(&self) -> DateTime<Utc> {
        self.0.memory.now()
    }
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.0.inserts.lock().unwrap().push(jobs.len());
        let fault = self.fault("insert", jobs);
        match fault {
            Fault::None => self.0.memory.insert(jobs).await,
            Fault::Before(error) => Err(error),
            Fault::After(error) => {
                self.0.memory.insert(jobs).await?;
                Err(error)
            }
            Fault::Panic => panic!("the storage panics"),
        }
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.0.memory.claim(request).await
    }
    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        self.0.memory.next_due(request).await
    }
    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        self.0.memory.settle(flush).await
    }
    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.0.memory.create_batch(batch, jobs).await
    }
    async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        self.0.memory.seal_batch(batch).await
    }
    async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        self.0.memory.reopen_batch(batch).await
    }
    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64> {
        self.0.memory.cancel_batch(batch, actor, reason).await
    }
    async fn start(&self, start: &Start) -> Result<bool> {
        self.0.memory.start(start).await
    }
    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        self.0.memory.set_limit(name, rule, actor, reason).await
    }
    async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        self.0.memory.register(worker).await
    }
    async fn beat(&self, beat: &Beat) -> Result<Orders> {
        self.0.memory.beat(beat).await
    }
    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        self.0.memory.suspect(worker, job).await
    }
    async fn retire(&self, worker: WorkerId) -> Result<()> {
        self.0.memory.retire(worker).await
    }
    async fn presences(&self) -> Result<Vec<Presence>> {
        self.0.memory.presences().await
    }
    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        self.0.memory.rescue(request).await
    }
    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        self.0.memory.revoked(runs).await
    }
    async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        let fault = self.fault("command", &[]);
        match fault {
            Fault::Before(error) => Err(error),
            Fault::After(error) => {
                self.0.memory.command(command).await?;
                Err(error)
            }
            _ => self.0.memory.command(command).await,
        }
    }
    async fn control(&self, control: &Control) -> Result<()> {
        self.0.memory.control(control).await
    }
    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        self.0.memory.due_recurring(request).await
    }
    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        self.0.memory.change_recurring(changes).await
    }
    async fn tick(&self) -> Result<()> {
        self.0.memory.tick().await
    }
    async fn retain(&self, retention: &Retention) -> Result<u64> {
        self.0.memory.retain(retention).await
    }
    async fn migrate(&self) -> Result<()> {
        self.0.memory.migrate().await
    }
    async fn check_schema(&self) -> Result<()> {
        self.0.memory.check_schema().await
    }
    fn wake(&self) -> broadcast::Receiver<Wake> {
        if self.0.deaf {
            return broadcast::Sender::new(1).subscribe();
        }
        self.0.memory.wake()
    }
    fn wakes_across_processes(&self) -> bool {
        self.0.memory.wakes_across_processes()
    }
}

#[async_trait]
impl Inspect for Probe {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>> {
        match self.fault("job", &[]) {
            Fault::Before(error) => Err(error),
            _ => self.0.memory.job(id).await,
        }
    }
    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        self.0.memory.jobs(filter).await
    }
    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>> {
        self.0.memory.attempts(id).await
    }
    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>> {
        self.0.memory.events(id).await
    }
    async fn counts(&self) -> Result<StateCounts> {
        self.0.memory.counts().await
    }
    async fn queues(&self) -> Result<Vec<QueueRecord>> {
        self.0.memory.queues().await
    }
    async fn controls(&self) -> Result<Controls> {
        self.0.memory.controls().await
    }
    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>> {
        self.0.memory.control_events(limit).await
    }
    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        self.0.memory.workers().await
    }
    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>> {
        self.0.memory.batch(id).await
    }
    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>> {
        self.0.memory.awaited(id).await
    }
    async fn limits(&self) -> Result<Vec<LimitRecord>> {
        self.0.memory.limits().await
    }
    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        self.0.memory.recurring(id).await
    }
    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        self.0.memory.recurring_page(after, limit).await
    }
    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>> {
        self.0.memory.stats(from, to).await
    }
}
