//! Batches.

use jobs_core::job::{BatchId, JobId};
use jobs_core::storage::{BatchRecord, Command, Verb};
use jobs_core::{Error, Result};
use sqlx::Row;
use uuid::Uuid;

use crate::store::Store;

/// How many members one transaction deletes.
const CHUNK: i64 = 1_000;

pub(crate) async fn seal(store: &Store, batch: BatchId) -> Result<()> {
    let statement = store.statement(&store.sql.seal_batch).bind(batch.as_uuid());
    let row = store.slow_row("seal a batch", statement).await?;
    if !row.get::<bool, _>("known") {
        return Err(Error::UnknownBatch(batch));
    }
    store.followed(&row);
    Ok(())
}

pub(crate) async fn reopen(store: &Store, batch: BatchId) -> Result<()> {
    let statement = store
        .statement(&store.sql.reopen_batch)
        .bind(batch.as_uuid());
    let row = store.row("open a batch again", statement).await?;
    if !row.get::<bool, _>(0) {
        return Err(Error::UnknownBatch(batch));
    }
    store.kick();
    Ok(())
}

/// Marks it first: from then on nothing is added, and whoever is alive goes on with its members, should this process die.
pub(crate) async fn cancel(
    store: &Store,
    batch: BatchId,
    actor: &str,
    reason: Option<&str>,
) -> Result<u64> {
    let statement = store
        .statement(&store.sql.cancel_batch)
        .bind(batch.as_uuid())
        .bind(actor)
        .bind(reason);
    let row = store.row("cancel a batch", statement).await?;
    match row.get::<Option<bool>, _>(0) {
        None => return Err(Error::UnknownBatch(batch)),
        Some(false) => return Ok(0),
        Some(true) => {}
    }
    let deleted = delete_members(store, batch, actor, reason).await?;
    store.kick();
    Ok(deleted)
}

pub(crate) async fn delete_members(
    store: &Store,
    batch: BatchId,
    actor: &str,
    reason: Option<&str>,
) -> Result<u64> {
    let (mut deleted, mut after) = (0, Uuid::nil());
    loop {
        let statement = store
            .statement(&store.sql.cancelled_members)
            .bind(batch.as_uuid())
            .bind(after)
            .bind(CHUNK);
        let rows = store.rows("list the members of a batch", statement).await?;
        let jobs: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let Some(last) = jobs.last() else {
            return Ok(deleted);
        };
        after = *last;
        let command = Command {
            verb: Verb::Delete,
            jobs: jobs.into_iter().map(JobId::from).collect(),
            actor: actor.into(),
            reason: reason.map(Into::into),
        };
        let answers = crate::command::carry_out(store, &command, true).await?;
        let done = |answer: &&_| matches!(answer, jobs_core::storage::Answer::Done { .. });
        deleted += answers.iter().filter(done).count() as u64;
    }
}

/// Goes on with batches whose cancellation somebody has begun who may have died.
pub(crate) async fn go_on_cancelling(store: &Store) -> Result<()> {
    let statement = store.statement(&store.sql.cancelled_batches).bind(10_i32);
    let rows = store.rows("look for cancelled batches", statement).await?;
    for row in &rows {
        let batch: Uuid = row.get("id");
        let actor: Option<String> = row.get("cancelled_by");
        let reason: Option<String> = row.get("cancelled_for");
        let actor = actor.unwrap_or_default();
        delete_members(store, batch.into(), &actor, reason.as_deref()).await?;
        let statement = store.statement(&store.sql.end_batch).bind(batch);
        store.rows("end a cancelled batch", statement).await?;
    }
    Ok(())
}

pub(crate) async fn record(store: &Store, batch: BatchId) -> Result<Option<BatchRecord>> {
    let statement = store.statement(&store.sql.batch).bind(batch.as_uuid());
    let rows = store.rows("read a batch", statement).await?;
    let record = |row: &sqlx::postgres::PgRow| {
        let count = |column: &str| row.get::<i64, _>(column).max(0) as u64;
        let mut record = BatchRecord::new(batch);
        record.name = row.get("name");
        record.parent = row.get::<Option<Uuid>, _>("parent").map(Into::into);
        record.created_at = row.get("created_at");
        record.sealed_at = row.get("sealed_at");
        record.cancelled_at = row.get("cancelled_at");
        record.finished_at = row.get("finished_at");
        record.total = count("total");
        record.succeeded = count("succeeded");
        record.failed = count("failed");
        record.deleted = count("deleted");
        record
    };
    Ok(rows.first().map(record))
}
