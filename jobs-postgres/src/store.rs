//! What all clones of a storage share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs_core::Result;
use jobs_core::job::{JobId, WorkerId};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::cancel::Progress;
use crate::lanes::{Lane, Lanes};
use crate::limits::Declared;
use crate::memory::Memory;
use crate::pool::{Failure, Lease, Pool, Statement};
use crate::schema::{Schema, Statements};
use crate::tick::Folded;
use crate::upkeep::Kick;
use crate::wake::Wakes;

/// How long upkeep may go without an answer.
pub(crate) const MINUTES: Duration = Duration::from_secs(600);

/// What all clones of a storage share.
pub(crate) struct Store {
    pub(crate) pool: Pool,
    pub(crate) schema: Schema,
    pub(crate) sql: Statements,
    pub(crate) clock: Clock,
    pub(crate) lanes: Lanes,
    pub(crate) wakes: Wakes,
    pub(crate) folded: Folded,
    pub(crate) kick: Kick,
    pub(crate) declared: Declared,
    pub(crate) cancelling: Progress,
    /// How often tickets are known to have been written that were due before: claims forget then what they have seen empty.
    below: AtomicU64,
    /// Behind a pooler that gives each transaction another server connection: no named statements.
    pub(crate) poll_only: bool,
    /// Whether others are told by a caller's transaction itself.
    pub(crate) notify_within: bool,
    workers: Mutex<HashMap<WorkerId, Arc<Memory>>>,
}

impl Store {
    pub(crate) fn new(
        pool: Pool,
        schema: Schema,
        wakes: Wakes,
        poll_only: bool,
        notify_within: bool,
    ) -> Self {
        Self {
            sql: Statements::new(&schema),
            pool,
            schema,
            clock: Clock::default(),
            lanes: Lanes::default(),
            wakes,
            folded: Folded::default(),
            kick: Kick::default(),
            declared: Declared::default(),
            cancelling: Progress::default(),
            below: AtomicU64::new(0),
            poll_only,
            notify_within,
            workers: Mutex::default(),
        }
    }

    /// One of our statements, to be bound.
    pub(crate) fn statement(&self, sql: &Arc<str>) -> Statement {
        sqlx::query(AssertSqlSafe(sql.clone())).persistent(!self.poll_only)
    }

    pub(crate) async fn acquire(&self, doing: &str) -> Result<Lease<'_>> {
        self.pool.acquire(doing).await
    }

    /// Sends one statement that answers with one row, on a connection of its own.
    pub(crate) async fn row(&self, doing: &str, statement: Statement) -> Result<PgRow, Failure> {
        let mut lease = self.lease(doing).await?;
        // Without named statements two messages must reach the same server connection.
        if self.poll_only {
            lease.begin(doing).await?;
            let row = lease.row(doing, statement).await?;
            lease.commit(doing).await?;
            return Ok(row);
        }
        lease.row(doing, statement).await
    }

    /// The same for what may take minutes.
    pub(crate) async fn slow_row(
        &self,
        doing: &str,
        statement: Statement,
    ) -> Result<PgRow, Failure> {
        let mut lease = self.lease(doing).await?;
        lease.patience = MINUTES;
        if self.poll_only {
            lease.begin(doing).await?;
            let row = lease.row(doing, statement).await?;
            lease.commit(doing).await?;
            return Ok(row);
        }
        lease.row(doing, statement).await
    }

    /// Sends one statement, on a connection of its own.
    pub(crate) async fn rows(
        &self,
        doing: &str,
        statement: Statement,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut lease = self.lease(doing).await?;
        if self.poll_only {
            lease.begin(doing).await?;
            let rows = lease.rows(doing, statement).await?;
            lease.commit(doing).await?;
            return Ok(rows);
        }
        lease.rows(doing, statement).await
    }

    async fn lease(&self, doing: &str) -> Result<Lease<'_>, Failure> {
        let lease = self.acquire(doing).await;
        lease.map_err(|error| Failure { code: None, error })
    }

    /// Jobs were put into the lanes that an answer names, and there may be more to do.
    pub(crate) fn followed(&self, row: &PgRow) {
        let queues: Option<Vec<String>> = row.get("queues");
        let priorities: Option<Vec<i16>> = row.get("priorities");
        let (queues, priorities) = (queues.unwrap_or_default(), priorities.unwrap_or_default());
        let lanes: HashSet<Lane> = queues.into_iter().zip(priorities).collect();
        if row.try_get("ruled").unwrap_or(false) {
            self.kick();
        }
        if row.try_get("below").unwrap_or(false) {
            self.put_below();
            self.wakes.tell_put_below();
        }
        if lanes.is_empty() {
            return;
        }
        self.lanes.seen(&lanes.iter().cloned().collect::<Vec<_>>());
        self.wakes.waiting(lanes);
    }

    /// A ticket was written that may lie below what claims look at.
    pub(crate) fn put_below(&self) {
        self.below.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was so.
    pub(crate) fn times_put_below(&self) -> u64 {
        self.below.load(Ordering::Acquire)
    }

    /// What is remembered for a worker from one claim to the next.
    pub(crate) fn memory(&self, worker: WorkerId) -> Arc<Memory> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // Incarnations that went without a word must not pile up.
        if workers.len() > 64 {
            workers.retain(|_, memory| Arc::strong_count(memory) > 1 || memory.is_recent());
        }
        workers.entry(worker).or_default().clone()
    }

    pub(crate) fn forget(&self, worker: WorkerId) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.remove(&worker);
    }
}

/// The database's clock, as far as it is known: this machine's, and by how much that differs.
#[derive(Default)]
pub(crate) struct Clock {
    ahead_micros: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::microseconds(self.ahead_micros.load(Ordering::Relaxed))
    }

    /// Learns from an answer: the database's time lay between `asked` and now.
    pub(crate) fn learn(&self, asked: DateTime<Utc>, theirs: DateTime<Utc>) {
        let round_trip = Utc::now() - asked;
        if round_trip < TimeDelta::zero() || round_trip > TimeDelta::seconds(1) {
            return;
        }
        let ahead = theirs - (asked + round_trip / 2);
        // Within the error of this very measurement there is nothing to learn.
        let known = self.ahead_micros.load(Ordering::Relaxed);
        let known = TimeDelta::microseconds(known);
        if (ahead - known).abs() > round_trip + TimeDelta::milliseconds(1) {
            let micros = ahead.num_microseconds().unwrap_or_default();
            self.ahead_micros.store(micros, Ordering::Relaxed);
        }
    }
}

/// The smallest and the greatest of some ids: with them a statement looks at the partitions of
/// those days only.
pub(crate) fn bounds(ids: impl Iterator<Item = JobId>) -> (Uuid, Uuid) {
    let ids = ids.map(|id| id.as_uuid());
    ids.fold((Uuid::max(), Uuid::nil()), |(low, high), id| {
        (low.min(id), high.max(id))
    })
}
