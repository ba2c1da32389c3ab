//! Storing jobs that have rules: one function of the database does all of it, so that a request is one round trip, and
//! one that is refused leaves the caller's transaction as it was.

use jobs_core::job::{NewJob, ParentId};
use jobs_core::storage::{Inserted, NewBatch, check_rules, waits_in_a_circle};
use jobs_core::{Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::insert::{bind_jobs, doing, may_be_stored};
use crate::pool::{Failure, Statement};
use crate::store::Store;

/// More than this many jobs may take longer than a statement usually may.
const MANY: usize = 5_000;

/// Whether a request has to come here.
pub(crate) fn any(jobs: &[NewJob]) -> bool {
    jobs.iter().any(|job| job.rules.is_some())
}

/// Stores jobs, and a batch if one is given. What was stored by an earlier try is left as it is.
pub(crate) async fn insert(
    store: &Store,
    batch: Option<&NewBatch>,
    jobs: &[NewJob],
) -> Result<Vec<Inserted>> {
    check(batch, jobs)?;
    crate::limits::declare(store, store.declared.unknown(jobs)).await?;
    let row = match send(store, batch, jobs).await {
        Err(failure) if may_be_stored(&failure) => send(store, batch, jobs).await?,
        answer => answer?,
    };
    let inserted = read(&row, jobs)?;
    store.followed(&row);
    store.kick();
    Ok(inserted)
}

async fn send(store: &Store, batch: Option<&NewBatch>, jobs: &[NewJob]) -> Result<PgRow, Failure> {
    let statement = bind(store.statement(&store.sql.insert_with_rules), batch, jobs);
    match jobs.len() > MANY {
        true => store.slow_row(&doing(jobs), statement).await,
        false => store.row(&doing(jobs), statement).await,
    }
}

pub(crate) fn check(batch: Option<&NewBatch>, jobs: &[NewJob]) -> Result<()> {
    check_rules(jobs)?;
    match batch {
        Some(batch) if batch.parent == Some(batch.id) => Err(Error::Invalid(format!(
            "batch {} cannot be a member of itself",
            batch.id
        ))),
        _ => Ok(()),
    }
}

/// The parameters of `insert_with_rules`, and all but the last of `insert_with_rules_within`.
pub(crate) fn bind(statement: Statement, batch: Option<&NewBatch>, jobs: &[NewJob]) -> Statement {
    let encode = |job: &NewJob| {
        let rules = job.rules.as_ref();
        rules.map(|rules| serde_json::to_string(rules).expect("rules are plain data"))
    };
    let keep_for = batch.and_then(|batch| batch.keep_for);
    bind_jobs(statement, jobs)
        .bind(jobs.iter().map(encode).collect::<Vec<_>>())
        .bind(batch.map(|batch| batch.id.as_uuid()))
        .bind(batch.and_then(|batch| batch.name.clone()))
        .bind(batch.and_then(|batch| Some(batch.parent?.as_uuid())))
        .bind(keep_for.map(|keep| serde_json::to_string(&keep).expect("a time is plain data")))
        .bind(batch.is_some_and(|batch| batch.sealed))
}

/// What became of each job, or why nothing was stored.
pub(crate) fn read(row: &PgRow, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
    if let Some(problem) = row.get::<Option<&str>, _>("problem") {
        return Err(explain(problem, row, jobs));
    }
    let ids: Vec<Uuid> = row.get("ids");
    let existing: Vec<bool> = row.get("existing");
    let answer = |(id, existing): (Uuid, bool)| match existing {
        true => Inserted::existing(id.into()),
        false => Inserted::new(id.into()),
    };
    Ok(ids.into_iter().zip(existing).map(answer).collect())
}

fn explain(problem: &str, row: &PgRow, jobs: &[NewJob]) -> Error {
    let about: Uuid = row.get::<Option<Uuid>, _>("about").unwrap_or_default();
    let detail: String = row.get::<Option<String>, _>("detail").unwrap_or_default();
    let is_batch = |parent: &jobs_core::job::Parent| matches!(parent.of, ParentId::Batch(batch) if batch.as_uuid() == about);
    let mut parents = jobs.iter().filter_map(|job| job.rules.as_ref());
    match problem {
        "duplicate" => Error::Duplicate {
            holder: about.into(),
            key: detail,
        },
        "unknown parent" if !parents.any(|rules| rules.parents.iter().any(is_batch)) => {
            Error::UnknownJob(about.into())
        }
        "unknown batch" | "unknown parent" => Error::UnknownBatch(about.into()),
        "batch cancelled" => Error::Invalid(format!(
            "batch {about} was cancelled and takes no members; reopen it first"
        )),
        "batch ended" => Error::Invalid(format!(
            "batch {about} has ended and takes no members; reopen it first"
        )),
        "circle" => {
            let circle: Vec<ParentId> = serde_json::from_str(&detail).unwrap_or_default();
            waits_in_a_circle(&circle)
        }
        _ => Error::Invalid(detail),
    }
}
