//! Jobs inside the caller's own transaction.
//!
//! Nothing here is prepared by name: a plan that is kept locks every partition until the caller
//! commits, one that is made for these very values only those that it touches.

use std::sync::Arc;

use async_trait::async_trait;
use jobs_core::job::{NewJob, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inserted, NewBatch, Settlement, Within};
use jobs_core::{Error, Result};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Transaction};
use tokio::runtime::Handle;

use crate::PgStorage;
use crate::error::translate;
use crate::insert::{answers, bind, doing, existing};
use crate::rules;
use crate::wake::lanes_due_soon;

async fn insert(
    connection: &mut PgConnection,
    storage: &PgStorage,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let store = &storage.store;
    if crate::rules::any(jobs) {
        return insert_with_rules(connection, storage, None, jobs).await;
    }
    let lanes = store.lanes.unannounced(jobs);
    let hints = match store.notify_within {
        true => store.wakes.hints(&lanes_due_soon(store, jobs)),
        false => Vec::new(),
    };
    // A conflict must not fail the statement here: it would abort the caller's transaction.
    let statement = sqlx::query(AssertSqlSafe(store.sql.insert_again.clone())).persistent(false);
    let statement = bind(statement, jobs, &lanes).bind(hints);
    let row = statement.fetch_one(connection).await;
    let row = row.map_err(|error| translate(&doing(jobs), error))?;
    let stored: Vec<uuid::Uuid> = row.get("ids");
    Ok(answers(jobs, &existing(jobs, &stored)))
}

/// Whatever is refused leaves the caller's transaction as it was.
async fn insert_with_rules(
    connection: &mut PgConnection,
    storage: &PgStorage,
    batch: Option<&NewBatch>,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>> {
    rules::check(batch, jobs)?;
    let store = &storage.store;
    let unknown = store.declared.unknown(jobs);
    if !unknown.is_empty() {
        // Beside the caller's transaction, which may last, and may have the only connection.
        let store = Arc::clone(store);
        let declare = async move {
            if let Err(error) = crate::limits::declare(&store, unknown).await {
                tracing::debug!(%error, "limits were not declared; the first job that waits for one does it");
            }
        };
        // A runtime is not needed for what follows, and for this only to be quicker.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(declare);
        }
    }
    let sql = store.sql.insert_with_rules_within.clone();
    let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    let statement = rules::bind(statement, batch, jobs).bind(store.notify_within);
    let row = statement.fetch_one(connection).await;
    let row = row.map_err(|error| translate(&doing(jobs), error))?;
    rules::read(&row, jobs)
}

async fn complete(
    connection: &mut PgConnection,
    storage: &PgStorage,
    worker: WorkerId,
    run: &Settlement,
) -> Result<()> {
    let doing = format!("complete job {}", run.job);
    let Transition::Succeed { result, note } = &run.transition else {
        return Err(Error::Invalid(format!(
            "{doing}: only a success can be settled in a transaction of yours"
        )));
    };
    let statement = sqlx::query(AssertSqlSafe(storage.store.sql.complete.clone()))
        .persistent(false)
        .bind(worker.as_uuid())
        .bind(run.claim.as_uuid())
        .bind(run.job.as_uuid())
        .bind(run.run)
        .bind(run.ran_for.map(|time| time.as_secs_f64()))
        .bind(result.as_deref())
        .bind(note.as_deref())
        .bind(storage.store.notify_within);
    let row = statement.fetch_one(connection).await;
    let row = row.map_err(|error| translate(&doing, error))?;
    if row.get::<i64, _>("settled") == 1 {
        return Ok(());
    }
    Err(Error::Rejected {
        doing,
        source:
            "this run of it has ended: it was deleted, or its worker was taken for dead; roll back"
                .into(),
    })
}

macro_rules! within {
    ($connection:ty, $self:ident => $inner:expr) => {
        #[async_trait]
        impl Within<PgStorage> for $connection {
            async fn insert(
                &mut $self,
                storage: &PgStorage,
                jobs: &[NewJob],
            ) -> Result<Vec<Inserted>> {
                insert($inner, storage, jobs).await
            }

            async fn create_batch(
                &mut $self,
                storage: &PgStorage,
                batch: &NewBatch,
                jobs: &[NewJob],
            ) -> Result<Vec<Inserted>> {
                insert_with_rules($inner, storage, Some(batch), jobs).await
            }

            async fn complete(
                &mut $self,
                storage: &PgStorage,
                worker: WorkerId,
                run: &Settlement,
            ) -> Result<()> {
                complete($inner, storage, worker, run).await
            }
        }
    };
}

within!(PgConnection, self => self);
within!(PoolConnection<Postgres>, self => self);
within!(Transaction<'_, Postgres>, self => self);
