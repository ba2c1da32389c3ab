//! A storage that fails when a test says so. (Longer than 400 lines: every method of a storage passes here.)

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

use crate::error::{Error, Result};
use crate::job::{
    AttemptRecord, BatchId, EventRecord, JobId, JobRecord, LimitRule, NewJob, Parent,
    RecurringRecord, WorkerId,
};
use crate::lifecycle::RecurringChange;
use crate::storage::{
    Answer, BatchRecord, Beat, ClaimRequest, Claimed, Command, Control, ControlEvent, Controls,
    Flush, Inserted, Inspect, JobFilter, JobPage, LimitRecord, NewBatch, Orders, Presence,
    QueueRecord, Refused, RescueRequest, Rescued, Retention, Start, StatRecord, StateCounts,
    Storage, StorageHandle, Wake, WorkerInfo, WorkerRecord,
};
use crate::storage::{Changed, RecurringDue, RecurringRequest};

/// What may befall a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not carried out and answered with [`Error::Unavailable`].
    Unreachable,
    /// It is carried out and answered with [`Error::Unavailable`]: the answer was lost.
    AnswerLost,
    /// It is carried out, and the answer is lost after this time.
    AnswerLostLate(Duration),
    /// It is not carried out and answered with [`Error::Conflict`].
    Busy,
    /// It is not carried out and answered with [`Error::Rejected`].
    Refused,
    /// It is not carried out and answered with [`Error::Storage`].
    Broken,
    /// It is carried out after this time.
    Late(Duration),
    /// It is not carried out and never answered.
    Hangs,
    /// It is carried out and never answered.
    AnswerHangs,
}

/// The methods of [`Storage`] and [`Inspect`] that faults may befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // Each is the method of its name.
pub enum Method {
    Insert,
    Claim,
    NextDue,
    Settle,
    CreateBatch,
    SealBatch,
    ReopenBatch,
    CancelBatch,
    Start,
    SetLimit,
    Register,
    Beat,
    Suspect,
    Retire,
    Presences,
    Rescue,
    Revoked,
    Command,
    Control,
    DueRecurring,
    ChangeRecurring,
    Tick,
    Retain,
    Migrate,
    CheckSchema,
    Job,
    Jobs,
    Attempts,
    Events,
    Counts,
    Queues,
    Controls,
    ControlEvents,
    Workers,
    Batch,
    Awaited,
    Limits,
    Recurring,
    RecurringPage,
    Stats,
}

/// A storage in front of another one, whose calls fail when a test says so. Clones are the same storage,
/// so that a test keeps one to direct the faults.
///
/// ```
/// # use jobs_core::storage::{Inspect, MemoryStorage, Storage, StorageHandle};
/// # use jobs_core::testing::{Fault, FaultyStorage, Method};
/// # use jobs_core::job::{JobId, NewJob};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> jobs_core::Result<()> {
/// let faulty = FaultyStorage::new(MemoryStorage::new());
/// let storage = StorageHandle::new(faulty.clone());
/// faulty.fail(Method::Insert, Fault::AnswerLost);
///
/// let job = NewJob::new(JobId::new(), "greet", "{}");
/// storage.insert(&[job]).await?; // the handle sends it again
/// assert_eq!(faulty.calls(Method::Insert), 2);
/// assert_eq!(faulty.counts().await?.enqueued, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyStorage {
    inner: StorageHandle,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    calls: HashMap<Method, u64>,
    next: HashMap<Method, VecDeque<Fault>>,
    always: Option<Fault>,
    random: Option<(fastrand::Rng, f64)>,
}

impl Plan {
    fn fault(&mut self, method: Method) -> Option<Fault> {
        *self.calls.entry(method).or_default() += 1;
        let planned = self.next.get_mut(&method).and_then(VecDeque::pop_front);
        planned.or(self.always).or_else(|| self.bad_luck())
    }

    fn bad_luck(&mut self) -> Option<Fault> {
        let (luck, share) = self.random.as_mut()?;
        let struck = luck.f64() < *share;
        let fault = [Fault::Unreachable, Fault::AnswerLost][luck.usize(..2)];
        struck.then_some(fault)
    }
}

impl FaultyStorage {
    /// Puts itself in front of a storage. Nothing fails until a test says so.
    pub fn new(storage: impl Into<StorageHandle>) -> Self {
        Self {
            inner: storage.into(),
            plan: Arc::default(),
        }
    }

    /// The next call of this method meets this fault; said several times, one call after the other does.
    pub fn fail(&self, method: Method, fault: Fault) {
        self.plan().next.entry(method).or_default().push_back(fault);
    }

    /// Every call meets this fault, until [`Self::come_back`].
    pub fn fail_always(&self, fault: Fault) {
        self.plan().always = Some(fault);
    }

    /// The storage cannot be reached until [`Self::come_back`].
    pub fn go_away(&self) {
        self.fail_always(Fault::Unreachable);
    }

    /// This share of all calls, from 0 to 1, meets [`Fault::Unreachable`] or [`Fault::AnswerLost`], as
    /// follows from the seed, until [`Self::come_back`].
    pub fn fail_at_random(&self, share: f64, seed: u64) {
        self.plan().random = Some((fastrand::Rng::with_seed(seed), share));
    }

    /// Nothing fails any more; faults that have not been met are forgotten.
    pub fn come_back(&self) {
        let mut plan = self.plan();
        plan.next.clear();
        plan.always = None;
        plan.random = None;
    }

    /// How many calls of this method have arrived here, whatever became of them.
    pub fn calls(&self, method: Method) -> u64 {
        self.plan().calls.get(&method).copied().unwrap_or_default()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The storage behind, without the handle that would try again.
    fn behind(&self) -> &dyn Storage {
        &*self.inner
    }

    /// Carries out a call, or not, as the plan has it.
    async fn meet<T>(&self, method: Method, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.plan().fault(method);
        let doing = format!("{method:?}");
        let source = "the test wants it so".into();
        match fault {
            None => call.await,
            Some(Fault::Unreachable) => Err(Error::Unavailable { doing, source }),
            Some(Fault::AnswerLost) => {
                call.await?;
                Err(Error::Unavailable { doing, source })
            }
            Some(Fault::AnswerLostLate(time)) => {
                call.await?;
                tokio::time::sleep(time).await;
                Err(Error::Unavailable { doing, source })
            }
            Some(Fault::Busy) => Err(Error::Conflict { doing, source }),
            Some(Fault::Refused) => Err(Error::Rejected { doing, source }),
            Some(Fault::Broken) => Err(Error::Storage { doing, source }),
            Some(Fault::Late(time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Some(Fault::Hangs) => pending().await,
            Some(Fault::AnswerHangs) => {
                call.await?;
                pending().await
            }
        }
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    fn name(&self) -> &'static str {
        self.behind().name()
    }

    fn now(&self) -> DateTime<Utc> {
        self.behind().now()
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.meet(Method::Insert, self.behind().insert(jobs)).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.meet(Method::Claim, self.behind().claim(request)).await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        let call = self.behind().next_due(request);
        self.meet(Method::NextDue, call).await
    }

    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        self.meet(Method::Settle, self.behind().settle(flush)).await
    }

    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        let call = self.behind().create_batch(batch, jobs);
        self.meet(Method::CreateBatch, call).await
    }

    async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        let call = self.behind().seal_batch(batch);
        self.meet(Method::SealBatch, call).await
    }

    async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        let call = self.behind().reopen_batch(batch);
        self.meet(Method::ReopenBatch, call).await
    }

    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64> {
        let call = self.behind().cancel_batch(batch, actor, reason);
        self.meet(Method::CancelBatch, call).await
    }

    async fn start(&self, start: &Start) -> Result<bool> {
        self.meet(Method::Start, self.behind().start(start)).await
    }

    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        let call = self.behind().set_limit(name, rule, actor, reason);
        self.meet(Method::SetLimit, call).await
    }

    async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        let call = self.behind().register(worker);
        self.meet(Method::Register, call).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Orders> {
        self.meet(Method::Beat, self.behind().beat(beat)).await
    }

    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        let call = self.behind().suspect(worker, job);
        self.meet(Method::Suspect, call).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<()> {
        let call = self.behind().retire(worker);
        self.meet(Method::Retire, call).await
    }

    async fn presences(&self) -> Result<Vec<Presence>> {
        let call = self.behind().presences();
        self.meet(Method::Presences, call).await
    }

    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        let call = self.behind().rescue(request);
        self.meet(Method::Rescue, call).await
    }

    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        self.meet(Method::Revoked, self.behind().revoked(runs))
            .await
    }

    async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        let call = self.behind().command(command);
        self.meet(Method::Command, call).await
    }

    async fn control(&self, control: &Control) -> Result<()> {
        let call = self.behind().control(control);
        self.meet(Method::Control, call).await
    }

    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        let call = self.behind().due_recurring(request);
        self.meet(Method::DueRecurring, call).await
    }

    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        let call = self.behind().change_recurring(changes);
        self.meet(Method::ChangeRecurring, call).await
    }

    async fn tick(&self) -> Result<()> {
        self.meet(Method::Tick, self.behind().tick()).await
    }

    async fn retain(&self, retention: &Retention) -> Result<u64> {
        let call = self.behind().retain(retention);
        self.meet(Method::Retain, call).await
    }

    async fn migrate(&self) -> Result<()> {
        self.meet(Method::Migrate, self.behind().migrate()).await
    }

    async fn check_schema(&self) -> Result<()> {
        let call = self.behind().check_schema();
        self.meet(Method::CheckSchema, call).await
    }

    fn wake(&self) -> broadcast::Receiver<Wake> {
        self.behind().wake()
    }

    fn wakes_across_processes(&self) -> bool {
        self.behind().wakes_across_processes()
    }
}

#[async_trait]
impl Inspect for FaultyStorage {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>> {
        self.meet(Method::Job, self.behind().job(id)).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        self.meet(Method::Jobs, self.behind().jobs(filter)).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>> {
        self.meet(Method::Attempts, self.behind().attempts(id))
            .await
    }

    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>> {
        self.meet(Method::Events, self.behind().events(id)).await
    }

    async fn counts(&self) -> Result<StateCounts> {
        self.meet(Method::Counts, self.behind().counts()).await
    }

    async fn queues(&self) -> Result<Vec<QueueRecord>> {
        self.meet(Method::Queues, self.behind().queues()).await
    }

    async fn controls(&self) -> Result<Controls> {
        self.meet(Method::Controls, self.behind().controls()).await
    }

    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>> {
        let call = self.behind().control_events(limit);
        self.meet(Method::ControlEvents, call).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        self.meet(Method::Workers, self.behind().workers()).await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>> {
        self.meet(Method::Batch, self.behind().batch(id)).await
    }

    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>> {
        self.meet(Method::Awaited, self.behind().awaited(id)).await
    }

    async fn limits(&self) -> Result<Vec<LimitRecord>> {
        self.meet(Method::Limits, self.behind().limits()).await
    }

    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        let call = self.behind().recurring(id);
        self.meet(Method::Recurring, call).await
    }

    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        let call = self.behind().recurring_page(after, limit);
        self.meet(Method::RecurringPage, call).await
    }

    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>> {
        let call = self.behind().stats(from, to);
        self.meet(Method::Stats, call).await
    }
}

#[cfg(test)]
mod tests;
