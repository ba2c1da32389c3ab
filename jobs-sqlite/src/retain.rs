//! Removing finished jobs whose time is up.
//!
//! They are looked for on a connection that only reads and removed a handful at a time, so that others get
//! their turn. A kill in between leaves the rest for the next time.
//!
//! Waiting jobs that are in no place are not looked for, as there can be none: there is one writer at a time, each verb is
//! one transaction of it, a body is stored with its ticket by one statement, and a claim ends only together with the moves of
//! its jobs or by a statement that sees that none of them is held under it (`claim_close`).

use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::storage::Retention;

use crate::SqliteStorage;
use crate::clock;
use crate::command::leave;
use crate::encode;
use crate::fault;
use crate::queries::Queries;
use crate::rules::Step;
use crate::wake::Hints;
use crate::writer::Durability;

/// How many jobs are removed in one transaction.
const HANDFUL: usize = 500;

const DAY: Duration = Duration::from_secs(86_400);

/// How long counters are kept.
const STATS: Duration = Duration::from_secs(90 * 86_400);

/// Until when jobs may have finished to be removed now.
#[derive(Clone, Copy)]
struct Limits {
    now: i64,
    succeeded: i64,
    failed: i64,
    deleted: i64,
}

impl Limits {
    fn new(retention: &Retention) -> Self {
        let now = clock::now();
        let ago = |time| now.saturating_sub(encode::span(time));
        Self {
            now,
            succeeded: ago(retention.succeeded),
            failed: ago(retention.failed),
            deleted: ago(retention.deleted),
        }
    }

    fn of_states(&self) -> [(&'static str, i64); 3] {
        [
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("deleted", self.deleted),
        ]
    }
}

impl SqliteStorage {
    pub(crate) async fn remove_expired(&self, retention: &Retention) -> Result<u64> {
        let limits = Limits::new(retention);
        let removed = self.remove_by(limits).await;
        removed.map_err(|fault| fault.during("removing finished jobs"))
    }

    async fn remove_by(&self, limits: Limits) -> fault::Result<u64> {
        let queries = &self.0.queries;
        let mut removed = 0;
        for (state, until) in limits.of_states() {
            let pick = || queries.retain_pick.query().bind(state).bind(until);
            removed += self.remove_all(pick, limits).await?;
        }
        let pick = || queries.retain_kept.query().bind(limits.now);
        removed += self.remove_all(pick, limits).await?;
        self.remove_batches(limits).await?;
        self.forget_starts(limits.now).await?;
        self.forget_old(limits.now).await?;
        Ok(removed)
    }

    /// Removes what a query finds, a handful at a time; the last parameter of the query is how many.
    async fn remove_all(
        &self,
        pick: impl Fn() -> Query<'static, Sqlite, SqliteArguments>,
        limits: Limits,
    ) -> fault::Result<u64> {
        let mut removed = 0;
        loop {
            let rows = pick().bind(HANDFUL as i64).fetch_all(self.reads()?).await?;
            let ids = rows.iter().map(|row| row.try_get(0));
            let ids: Vec<Uuid> = ids.collect::<std::result::Result<_, _>>()?;
            let gone = self.remove(&ids, limits).await?;
            removed += gone;
            // None although some were found: somebody else is removing them.
            if ids.len() < HANDFUL || gone == 0 {
                return Ok(removed);
            }
        }
    }

    async fn remove(&self, ids: &[Uuid], limits: Limits) -> fault::Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = encode::ids(ids.iter().copied())?;
        let wakes = self.0.wakes.clone();
        let work = self.0.writer.run(
            // After a power failure they are removed again.
            Durability::Process,
            move |tx, queries| {
                let ids = ids.clone();
                Box::pin(async move { remove(tx, queries, ids, limits).await })
            },
            move |(_, hints): &(u64, Hints)| hints.send(&wakes),
        );
        work.await.map(|(gone, _)| gone)
    }

    /// Removes batches whose time is up, a handful at a time. Their members go by their own times.
    async fn remove_batches(&self, limits: Limits) -> fault::Result<()> {
        loop {
            let wakes = self.0.wakes.clone();
            let work = self.0.writer.run(
                Durability::Process,
                move |tx, queries| {
                    Box::pin(async move {
                        let mut step = Step::new(tx, queries, limits.now);
                        let batches = old_batches(&mut step, limits).await?;
                        let n = batches.len();
                        step.forget_batches(batches).await?;
                        Ok((n, step.finish().await?))
                    })
                },
                move |(_, hints): &(usize, Hints)| hints.send(&wakes),
            );
            if work.await?.0 < HANDFUL {
                return Ok(());
            }
        }
    }

    /// Forgets starts and tokens that count for no limit any more, a handful at a time.
    async fn forget_starts(&self, now: i64) -> fault::Result<()> {
        loop {
            let work = self.0.writer.run(
                Durability::Process,
                move |tx, queries| {
                    Box::pin(async move {
                        let mut step = Step::new(tx, queries, now);
                        let gone = step.forget_old_starts(HANDFUL as i64).await?;
                        step.finish().await?;
                        Ok(gone)
                    })
                },
                |_| {},
            );
            if work.await? < HANDFUL as u64 {
                return Ok(());
            }
        }
    }

    /// Forgets counters and what workers were told that are too old, pauses that have ended, and workers that
    /// died more than a day ago and hold nothing.
    async fn forget_old(&self, now: i64) -> fault::Result<()> {
        let ago = move |time| now.saturating_sub(encode::span(time));
        let work = self.0.writer.run(
            Durability::Process,
            move |tx, queries| {
                let stats = queries.retain_stat.query().bind(ago(STATS));
                let workers = queries.retain_worker.query().bind(ago(DAY));
                let pauses = queries.retain_control.query().bind(now);
                let told = queries.retain_control_event.query().bind(ago(STATS));
                Box::pin(async move {
                    pauses.execute(&mut *tx).await?;
                    told.execute(&mut *tx).await?;
                    stats.execute(&mut *tx).await?;
                    workers.execute(tx).await?;
                    Ok(())
                })
            },
            |()| {},
        );
        work.await
    }
}

/// The first batches whose time is up.
async fn old_batches(step: &mut Step<'_>, limits: Limits) -> fault::Result<Vec<Uuid>> {
    let pick = step.queries.retain_batch.query().bind(limits.now);
    let pick = pick.bind(limits.succeeded).bind(limits.failed);
    let pick = pick.bind(limits.deleted).bind(HANDFUL as i64);
    let rows = pick.fetch_all(&mut *step.tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Removes those of the jobs whose time is still up, with their history.
async fn remove(
    tx: &mut SqliteConnection,
    queries: &Queries,
    ids: String,
    limits: Limits,
) -> fault::Result<(u64, Hints)> {
    let check = queries.retain_check.query().bind(ids).bind(limits.now);
    let check = check.bind(limits.succeeded).bind(limits.failed);
    let rows = check.bind(limits.deleted).fetch_all(&mut *tx).await?;
    if rows.is_empty() {
        return Ok((0, Hints::default()));
    }
    let mut ids: Vec<String> = Vec::with_capacity(rows.len());
    let mut states: Vec<(&str, i64)> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get(0)?);
        states.push((row.try_get(1)?, -1));
    }
    let ids = encode::rows(ids)?;
    let mut step = Step::new(&mut *tx, queries, limits.now);
    step.removed(&ids).await?;
    let hints = step.finish().await?;
    erase_bodies(tx, queries, ids).await?;
    leave(tx, queries, states.into_iter()).await?;
    Ok((rows.len() as u64, hints))
}

/// Removes jobs (ids), all of them Deleted, with their history.
pub(crate) async fn erase(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: String,
) -> fault::Result<()> {
    let known = queries.known.query().bind(jobs.clone());
    let rows = known.fetch_all(&mut *tx).await?;
    let mut states = Vec::with_capacity(rows.len());
    for row in &rows {
        states.push((row.try_get(1)?, -1));
    }
    erase_bodies(&mut *tx, queries, jobs).await?;
    leave(tx, queries, states.into_iter()).await
}

async fn erase_bodies(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: String,
) -> fault::Result<()> {
    let Queries {
        retain_tag,
        retain_attempt,
        retain_event,
        retain_member,
        retain,
        ..
    } = queries;
    for delete in [
        retain_tag,
        retain_attempt,
        retain_event,
        retain_member,
        retain,
    ] {
        delete.query().bind(jobs.clone()).execute(&mut *tx).await?;
    }
    Ok(())
}
