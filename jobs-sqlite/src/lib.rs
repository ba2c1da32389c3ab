//! `jobs` on SQLite: embedded, durable, for any number of processes on one machine.
//!
//! ```no_run
//! # async fn doc() -> jobs_core::Result<()> {
//! use jobs_sqlite::SqliteStorage;
//!
//! let storage = SqliteStorage::connect("sqlite://jobs.db").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! A call that stores something answers after its transaction is on the disk: neither a killed process
//! nor a power failure loses what was acknowledged ([`Synchronous`] says what may be traded for speed).
//! Claims and signs of life do not wait for the disk: after a power failure the jobs are simply back in
//! their queues.
//!
//! # How it works
//! The file is in WAL mode, so that reading and writing do not wait for each other. Each process writes
//! through one connection, and what is asked for while a commit waits for the disk shares the next one.
//! Several processes may use the file at once; a process learns within some 25 ms that another has
//! written. The file must be on a local disk: WAL does not work across a network.

mod batch;
mod claim;
mod clock;
mod command;
mod connect;
mod control;
mod encode;
mod fault;
#[cfg(test)]
mod guards;
mod insert;
mod inspect;
mod limit;
mod migrate;
mod queries;
mod recurring;
mod rescue;
mod retain;
mod rules;
mod settle;
mod tick;
mod wake;
mod watch;
mod within;
mod worker;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{SqliteConnection, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};

use jobs_core::Result;
use jobs_core::job::{BatchId, JobId, LimitRule, NewJob, WorkerId};
use jobs_core::lifecycle::RecurringChange;
use jobs_core::storage::{
    Answer, Beat, ClaimRequest, Claimed, Command, Control, Flush, Inserted, NewBatch, Orders,
    Presence, Refused, RescueRequest, Rescued, Retention, Start, Storage, Wake, WorkerInfo,
    check_rules,
};

use claim::Turns;
use jobs_core::storage::{Changed, RecurringDue, RecurringRequest};
use queries::Queries;
use writer::{Doing, Durability, Writer};

pub use connect::{SqliteStorageBuilder, Synchronous};

/// Jobs in a SQLite file. Cheap to clone: all clones are the same storage.
#[derive(Clone)]
pub struct SqliteStorage(Arc<Inner>);

struct Inner {
    queries: Arc<Queries>,
    /// Connections that only read.
    readers: SqlitePool,
    writer: Writer,
    wakes: broadcast::Sender<Wake>,
    /// Notified when somebody begins to listen.
    listeners: Arc<Notify>,
    turns: Arc<Turns>,
    /// The file, for messages.
    file: String,
    prefix: String,
}

impl SqliteStorage {
    /// Opens the file that `url` names, and creates it if it does not exist: `sqlite://jobs.db` or
    /// `sqlite:jobs.db` in the current directory, `sqlite:///var/lib/app/jobs.db` anywhere.
    ///
    /// Creates or upgrades the tables. Fails if the directory does not exist, if the file is no SQLite
    /// database, if this process may not write to it, or if a newer program has upgraded the tables.
    ///
    /// Must be called within a tokio runtime that lives as long as the storage is used: a task of it does
    /// the writing.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().url(url).connect().await
    }

    /// Opens a file with other settings, or on a pool of yours.
    pub fn builder() -> SqliteStorageBuilder {
        SqliteStorageBuilder::default()
    }

    /// The pool that this storage reads from. For a storage [on a pool of yours](SqliteStorageBuilder::pool), that
    /// pool; else connections that can only read.
    pub fn pool(&self) -> &SqlitePool {
        &self.0.readers
    }

    /// The same, for us to read from: the pool panics where there is no runtime.
    fn reads(&self) -> fault::Result<&SqlitePool> {
        Handle::try_current().map_err(|_| fault::Fault::NoRuntime)?;
        Ok(self.pool())
    }

    /// Does something in a transaction of which nobody else needs to hear.
    async fn write<T, F>(&self, durability: Durability, doing: &str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnMut(&'t mut SqliteConnection, &'t Queries) -> Doing<'t, T> + Send + 'static,
    {
        let done = self.0.writer.run(durability, work, |_| {}).await;
        done.map_err(|fault| fault.during(doing))
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn now(&self) -> DateTime<Utc> {
        encode::time(clock::now())
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.store(jobs).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.take(request).await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        self.until_due(request).await
    }

    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        self.settle_flush(flush).await
    }

    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        check_rules(jobs)?;
        self.make_batch(batch, jobs).await
    }

    async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        self.complete_batch(batch).await
    }

    async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        self.open_batch(batch).await
    }

    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64> {
        self.stop_batch(batch, actor, reason).await
    }

    async fn start(&self, start: &Start) -> Result<bool> {
        self.note_start(*start).await
    }

    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        self.choose_limit(name, rule, (actor, reason)).await
    }

    async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        self.make_known(worker).await
    }

    async fn beat(&self, beat: &Beat) -> Result<Orders> {
        self.note_beat(beat).await
    }

    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        self.note_suspect(worker, job).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<()> {
        self.let_go(worker).await
    }

    async fn presences(&self) -> Result<Vec<Presence>> {
        self.all_presences().await
    }

    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        self.take_back(request).await
    }

    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        self.over(runs).await
    }

    async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        self.carry_out(command).await
    }

    async fn control(&self, control: &Control) -> Result<()> {
        self.tell(control).await
    }

    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        self.look_up_due(request).await
    }

    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>> {
        self.change_all(changes).await
    }

    async fn tick(&self) -> Result<()> {
        self.do_what_is_due().await
    }

    async fn retain(&self, retention: &Retention) -> Result<u64> {
        self.remove_expired(retention).await
    }

    async fn migrate(&self) -> Result<()> {
        self.run_migrations().await
    }

    async fn check_schema(&self) -> Result<()> {
        self.compare_schema().await
    }

    fn wake(&self) -> broadcast::Receiver<Wake> {
        self.listen()
    }

    fn wakes_across_processes(&self) -> bool {
        true
    }
}

impl fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStorage")
            .field("file", &self.0.file)
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}
