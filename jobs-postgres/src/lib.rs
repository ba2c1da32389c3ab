//! `jobs` on PostgreSQL (13 or later).
//!
//! ```no_run
//! # async fn connect() -> jobs_core::Result<()> {
//! let storage = jobs_postgres::PgStorage::connect("postgres://localhost/app").await?;
//! # Ok(())
//! # }
//! ```
//!
//! The body of a job is written once and never moves; where the job stands is said by which small table names it:
//!
//! 1. `insert` writes the body and a *ticket*: queue, priority, due time, job.
//! 2. `claim` deletes tickets and writes one row, the *claim*, for all jobs that it took.
//! 3. `settle` writes the outcome into the body and deletes the claim.
//!
//! `job.run` numbers the ownerships: ticket and claim carry it, whoever ends an ownership raises it, and whoever acts for one
//! is refused if it has moved on. Every verb is one statement (or one function) and so one round trip: a process that is
//! stopped in the middle holds no lock, and one that is killed leaves all of it or nothing.
//!
//! Each statement is a file in `queries/`, with the default schema written out, so that it runs in `psql` as it is.

mod batch;
mod builder;
mod cancel;
mod care;
mod claim;
mod command;
mod control;
mod error;
mod floor;
mod insert;
mod inspect;
mod lanes;
mod limits;
mod memory;
mod migrate;
mod pool;
mod recurring;
mod retain;
mod rules;
mod schema;
mod settle;
mod store;
mod tick;
mod upkeep;
mod wake;
mod within;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs_core::Result;
use jobs_core::job::RecurringRecord;
use jobs_core::job::{
    AttemptRecord, BatchId, ClaimId, EventRecord, JobId, JobRecord, LimitRule, NewJob, Parent,
    WorkerId,
};
use jobs_core::lifecycle::RecurringChange;
use jobs_core::storage::{
    Answer, BatchRecord, Beat, ClaimRequest, Claimed, Command, Control, ControlEvent, Controls,
    Flush, HandedOver, Inserted, Inspect, JobFilter, JobPage, LimitRecord, NewBatch, Orders,
    Presence, QueueRecord, Refused, RescueRequest, Rescued, Retention, Start, StatRecord,
    StateCounts, Storage, Wake, WorkerInfo, WorkerRecord,
};
use jobs_core::storage::{Changed, RecurringDue, RecurringRequest};
use tokio::sync::broadcast;

use store::Store;

pub use builder::PgStorageBuilder;
pub use migrate::migration_sql;

/// Jobs in a PostgreSQL database. Cheap to clone, and all clones are the same storage.
#[derive(Clone)]
pub struct PgStorage {
    pub(crate) store: Arc<Store>,
}

impl PgStorage {
    /// Connects to a database and creates or upgrades the tables, with the settings that
    /// [`PgStorageBuilder`] says are the defaults.
    ///
    /// # Errors
    ///
    /// As [`PgStorageBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().url(url).connect().await
    }

    /// Sets a storage up otherwise.
    pub fn builder() -> PgStorageBuilder {
        PgStorageBuilder::default()
    }

    /// The schema that the tables are in.
    pub fn schema(&self) -> &str {
        self.store.schema.name()
    }
}

impl fmt::Debug for PgStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStorage")
            .field("schema", &self.schema())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for PgStorage {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn now(&self) -> DateTime<Utc> {
        self.store.clock.now()
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        insert::insert(&self.store, jobs).await
    }

    async fn insert_taken(
        &self,
        jobs: &[NewJob],
        worker: WorkerId,
        claim: ClaimId,
    ) -> Result<Option<HandedOver>> {
        insert::insert_taken(&self.store, jobs, worker, claim).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        claim::claim(&self.store, request).await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        claim::next_due(&self.store, request).await
    }

    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        settle::settle(&self.store, flush).await
    }

    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        rules::insert(&self.store, Some(batch), jobs).await
    }

    async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        batch::seal(&self.store, batch).await
    }

    async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        batch::reopen(&self.store, batch).await
    }

    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64> {
        cancel::cancel(&self.store, batch, actor, reason).await
    }

    async fn start(&self, start: &Start) -> Result<bool> {
        limits::start(&self.store, start).await
    }

    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        limits::set(&self.store, name, rule, (actor, reason)).await
    }

    async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        worker::register(&self.store, worker).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Orders> {
        worker::beat(&self.store, beat).await
    }

    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        worker::suspect(&self.store, worker, job).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<()> {
        worker::retire(&self.store, worker).await
    }

    async fn presences(&self) -> Result<Vec<Presence>> {
        worker::presences(&self.store).await
    }

    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        worker::rescue(&self.store, request).await
    }

    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        worker::revoked(&self.store, runs).await
    }

    async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        command::command(&self.store, command).await
    }

    async fn control(&self, control: &Control) -> Result<()> {
        control::control(&self.store, control).await
    }

    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        recurring::due(&self.store, request).await
    }

    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        recurring::change(self, changes).await
    }

    async fn tick(&self) -> Result<()> {
        tick::tick(&self.store).await
    }

    async fn retain(&self, retention: &Retention) -> Result<u64> {
        retain::retain(&self.store, retention).await
    }

    async fn migrate(&self) -> Result<()> {
        migrate::migrate(&self.store).await
    }

    async fn check_schema(&self) -> Result<()> {
        migrate::check_schema(&self.store).await
    }

    fn wake(&self) -> broadcast::Receiver<Wake> {
        self.store.wakes.subscribe()
    }

    fn wakes_across_processes(&self) -> bool {
        self.store.wakes.crosses_processes()
    }
}

#[async_trait]
impl Inspect for PgStorage {
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>> {
        inspect::job(&self.store, id).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        inspect::jobs(&self.store, filter).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>> {
        inspect::attempts(&self.store, id).await
    }

    async fn events(&self, id: JobId) -> Result<Vec<EventRecord>> {
        inspect::events(&self.store, id).await
    }

    async fn counts(&self) -> Result<StateCounts> {
        inspect::counts(&self.store).await
    }

    async fn queues(&self) -> Result<Vec<QueueRecord>> {
        inspect::queues(&self.store).await
    }

    async fn controls(&self) -> Result<Controls> {
        control::controls(&self.store).await
    }

    async fn control_events(&self, limit: usize) -> Result<Vec<ControlEvent>> {
        control::events(&self.store, limit).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        inspect::workers(&self.store).await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>> {
        batch::record(&self.store, id).await
    }

    async fn awaited(&self, id: JobId) -> Result<Vec<Parent>> {
        inspect::awaited(&self.store, id).await
    }

    async fn recurring(&self, id: &str) -> Result<Option<RecurringRecord>> {
        recurring::one(&self.store, id).await
    }

    async fn recurring_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RecurringRecord>> {
        recurring::page(&self.store, after, limit).await
    }

    async fn limits(&self) -> Result<Vec<LimitRecord>> {
        limits::records(&self.store).await
    }

    async fn stats(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<StatRecord>> {
        inspect::stats(&self.store, from, to).await
    }
}
