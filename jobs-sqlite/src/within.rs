//! Jobs inside a transaction of the application's own.
//!
//! Each verb on a plain job is one statement that changes something, so that a caller who gives up in the middle and
//! commits nevertheless commits all of a job or nothing; those that concern other jobs are in a savepoint.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use jobs_core::job::{NewJob, State, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inserted, NewBatch, Settlement, Within, check_rules};
use jobs_core::{Error, Result};

use crate::SqliteStorage;
use crate::batch;
use crate::clock;
use crate::encode;
use crate::fault::{self, Fault};
use crate::insert::{NewRows, answers, store_ruled};
use crate::queries::Queries;
use crate::rules::{self, Step};

/// On the same file as the storage. A transaction that has read before it writes is refused when somebody
/// else has written in between ([`Error::Conflict`]): begin with `BEGIN IMMEDIATE`
/// (`pool.begin_with("BEGIN IMMEDIATE")`). As long as it is open nobody else can write.
#[async_trait]
impl Within<SqliteStorage> for SqliteConnection {
    async fn insert(&mut self, storage: &SqliteStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let explained = |fault| explain(storage, fault, "storing jobs");
        let queries = &storage.0.queries;
        if !rules::needs_room(jobs) {
            let known = async { NewRows::new(jobs)?.store(queries, self).await };
            if let Some(known) = known.await.map_err(explained)? {
                return Ok(answers(jobs, &known));
            }
        }
        check_rules(jobs)?;
        let jobs: Arc<[NewJob]> = jobs.into();
        let queries = Arc::clone(queries);
        let stored = rules::whole(self, |tx| {
            Box::pin(async move {
                let (answers, _) = store_ruled(tx, &queries, &jobs).await?;
                answers.map_err(Fault::Told)
            })
        });
        stored.await.map_err(explained)
    }

    async fn create_batch(
        &mut self,
        storage: &SqliteStorage,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        check_rules(jobs)?;
        let (batch, jobs) = (batch.clone(), jobs.to_vec());
        let queries = Arc::clone(&storage.0.queries);
        let stored = rules::whole(self, |tx| {
            Box::pin(async move {
                let (answers, _) = batch::create(tx, &queries, &batch, &jobs).await?;
                Ok(answers)
            })
        });
        stored
            .await
            .map_err(|fault| explain(storage, fault, "storing a batch"))
    }

    async fn complete(
        &mut self,
        storage: &SqliteStorage,
        worker: WorkerId,
        run: &Settlement,
    ) -> Result<()> {
        let completed = complete(self, storage, worker, run).await;
        completed.map_err(|fault| explain(storage, fault, "completing a job"))
    }
}

#[async_trait]
impl Within<SqliteStorage> for Transaction<'_, Sqlite> {
    async fn insert(&mut self, storage: &SqliteStorage, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        Within::insert(&mut **self, storage, jobs).await
    }

    async fn create_batch(
        &mut self,
        storage: &SqliteStorage,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        Within::create_batch(&mut **self, storage, batch, jobs).await
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

    async fn create_batch(
        &mut self,
        storage: &SqliteStorage,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        Within::create_batch(&mut **self, storage, batch, jobs).await
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

/// In the caller's transaction a missing table may mean more than elsewhere.
fn explain(storage: &SqliteStorage, fault: Fault, doing: &str) -> Error {
    if !fault.is_missing_table() {
        return fault.during(doing);
    }
    let file = &storage.0.file;
    Error::Schema(format!(
        "{doing}: {fault}: the tables of jobs are not where this transaction is: it is one of another database than \
         the storage's, {file}, or the migrations were not run there (`storage.migrate()`)"
    ))
}

async fn complete(
    connection: &mut SqliteConnection,
    storage: &SqliteStorage,
    worker: WorkerId,
    run: &Settlement,
) -> fault::Result<()> {
    let Transition::Succeed { .. } = &run.transition else {
        return Err(Fault::Refused(
            "only a run that succeeded can be completed within a transaction".into(),
        ));
    };
    let queries = &storage.0.queries;
    let job = run.job.as_uuid();
    if !concerns_others(connection, queries, job).await? {
        return end(connection, queries, worker, run).await;
    }
    let (queries, run) = (Arc::clone(queries), run.clone());
    rules::whole(connection, |tx| {
        Box::pin(async move {
            end(tx, &queries, worker, &run).await?;
            let mut step = Step::new(tx, &queries, clock::now());
            let ran = run.ran_for.map(encode::span);
            let ended = step.now.saturating_sub(encode::span(run.ended_ago));
            let started = ran.map(|ran| ended.saturating_sub(ran));
            step.free(&[(job, started)]).await?;
            step.ended(vec![(job, State::Succeeded)]).await?;
            step.finish().await?;
            Ok(())
        })
    })
    .await
}

/// Whether the end of a job may concern others. A connection without a transaction may hear of a child that
/// comes after the answer and before the end: so then it always may.
async fn concerns_others(
    connection: &mut SqliteConnection,
    queries: &Queries,
    job: Uuid,
) -> fault::Result<bool> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    let touched = queries.touched.query().bind(encode::ids([job])?);
    Ok(touched.fetch_optional(connection).await?.is_some())
}

/// Ends the run itself.
async fn end(
    connection: &mut SqliteConnection,
    queries: &Queries,
    worker: WorkerId,
    run: &Settlement,
) -> fault::Result<()> {
    const MINUTE: i64 = 60_000_000;
    let (result, note) = match &run.transition {
        Transition::Succeed { result, note } => (result.clone(), note.clone()),
        _ => (None, None),
    };
    let now = clock::now();
    let ended = now.saturating_sub(encode::span(run.ended_ago));
    let ran = run.ran_for.map(encode::span);
    let done = queries
        .complete
        .query()
        .bind(run.job.as_uuid())
        .bind(run.run)
        .bind(run.claim.as_uuid())
        .bind(worker.as_uuid())
        .bind(result)
        .bind(note)
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
