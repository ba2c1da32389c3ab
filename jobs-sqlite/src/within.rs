//! Jobs inside a transaction of the application's own.
//!
//! Each verb is one statement that changes something, so that a caller who gives up in the middle and
//! commits nevertheless commits all of a job or nothing.

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use jobs_core::Result;
use jobs_core::job::{NewJob, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inserted, Settlement, Within};

use crate::SqliteStorage;
use crate::clock;
use crate::encode;
use crate::fault::{self, Fault};
use crate::insert::{NewRows, answers};

/// On the same file as the storage. A transaction that has read before it writes is refused when somebody
/// else has written in between ([`Error::Conflict`](jobs_core::Error::Conflict)): begin with `BEGIN IMMEDIATE`
/// (`pool.begin_with("BEGIN IMMEDIATE")`). As long as it is open nobody else can write.
#[async_trait]
impl Within<SqliteStorage> for SqliteConnection {
    async fn insert(&mut self, storage: &SqliteStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let queries = &storage.0.queries;
        let known = async { NewRows::new(jobs)?.store(queries, self).await };
        let known = known.await.map_err(|fault| fault.during("storing jobs"))?;
        Ok(answers(jobs, &known))
    }

    async fn complete(
        &mut self,
        storage: &SqliteStorage,
        worker: WorkerId,
        run: &Settlement,
    ) -> Result<()> {
        let completed = complete(self, storage, worker, run).await;
        completed.map_err(|fault| fault.during("completing a job"))
    }
}

#[async_trait]
impl Within<SqliteStorage> for Transaction<'_, Sqlite> {
    async fn insert(&mut self, storage: &SqliteStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        Within::insert(&mut **self, storage, jobs).await
    }

    async fn complete(
        &mut self,
        storage: &SqliteStorage,
        worker: WorkerId,
        run: &Settlement,
    ) -> Result<()> {
        Within::complete(&mut **self, storage, worker, run).await
    }
}

#[async_trait]
impl Within<SqliteStorage> for PoolConnection<Sqlite> {
    async fn insert(&mut self, storage: &SqliteStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        Within::insert(&mut **self, storage, jobs).await
    }

    async fn complete(
        &mut self,
        storage: &SqliteStorage,
        worker: WorkerId,
        run: &Settlement,
    ) -> Result<()> {
        Within::complete(&mut **self, storage, worker, run).await
    }
}

async fn complete(
    connection: &mut SqliteConnection,
    storage: &SqliteStorage,
    worker: WorkerId,
    run: &Settlement,
) -> fault::Result<()> {
    const MINUTE: i64 = 60_000_000;
    let Transition::Succeed { result, note } = &run.transition else {
        return Err(Fault::Refused(
            "only a run that succeeded can be completed within a transaction".into(),
        ));
    };
    let now = clock::now();
    let ended = now.saturating_sub(encode::span(run.ended_ago));
    let ran = run.ran_for.map(encode::span);
    let done = storage
        .0
        .queries
        .complete
        .query()
        .bind(run.job.as_uuid())
        .bind(run.run)
        .bind(run.claim.as_uuid())
        .bind(worker.as_uuid())
        .bind(result.clone())
        .bind(note.clone())
        .bind(ran.map(|ran| ended.saturating_sub(ran)))
        .bind(ended)
        .bind(now - now.rem_euclid(MINUTE))
        .bind(ran.unwrap_or(0) / 1_000)
        .execute(connection)
        .await;
    match done.map_err(Fault::from) {
        Err(fault) if fault.is_raised() => Err(Fault::NotYours {
            job: run.job,
            run: run.run,
        }),
        outcome => outcome.map(drop),
    }
}
