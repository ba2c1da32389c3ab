//! Batches, but for their cancellation.

use jobs_core::job::BatchId;
use jobs_core::storage::BatchRecord;
use jobs_core::{Error, Result};
use sqlx::Row;
use uuid::Uuid;

use crate::store::Store;

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
