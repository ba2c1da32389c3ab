//! What is done to whole batches: they are made, completed, cancelled, opened again, and removed.

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::BatchId;
use jobs_core::storage::{BatchRecord, NewBatch};

use super::batch::{Counts, end, records, reopen, takes_members};
use super::{Refusal, Step, Told, ids_of};
use crate::encode;
use crate::fault;

/// How many members are looked at at once.
const HANDFUL: i64 = 10_000;

async fn known(step: &mut Step<'_>, id: BatchId) -> fault::Result<Told<BatchRecord>> {
    let known = records(step, [id]).await?.pop();
    Ok(known.ok_or(Refusal::UnknownBatch(id)))
}

/// Stores a batch without members. Answers whether it was there before.
pub(crate) async fn create(step: &mut Step<'_>, batch: &NewBatch) -> fault::Result<Told<bool>> {
    if !records(step, [batch.id]).await?.is_empty() {
        return Ok(Ok(true));
    }
    if let Some(parent) = batch.parent {
        let parent = match known(step, parent).await? {
            Ok(parent) => parent,
            Err(_) if parent == batch.id => {
                let why = format!("batch {parent} would be a member of itself");
                return Ok(Err(Refusal::Invalid(why)));
            }
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = takes_members(&parent) {
            return Ok(Err(why));
        }
        let mut counts = Counts::default();
        counts.of(parent.id.as_uuid()).total += 1;
        counts.write(step).await?;
    }
    let sealed = batch.sealed && !is_held(step, batch.parent).await?;
    let insert = step.queries.batch.query().bind(batch.id.as_uuid());
    insert
        .bind(batch.name.clone())
        .bind(batch.parent.map(|parent| parent.as_uuid()))
        .bind(batch.keep_for.map(encode::span))
        .bind(step.now)
        .bind(sealed.then_some(step.now))
        .execute(&mut *step.tx)
        .await?;
    Ok(Ok(false))
}

/// Whether a batch, or one around it, is not complete.
async fn is_held(step: &mut Step<'_>, batch: Option<BatchId>) -> fault::Result<bool> {
    let Some(batch) = batch else {
        return Ok(false);
    };
    let held = step.queries.batch_held.query().bind(batch.as_uuid());
    Ok(held.fetch_one(&mut *step.tx).await?.try_get(0)?)
}

/// A batch and those in it, each after the one around it; or those only that have not ended.
async fn tree(step: &mut Step<'_>, id: BatchId, open: bool) -> fault::Result<Vec<Uuid>> {
    let below = step.queries.batch_below.query();
    let below = below.bind(id.as_uuid()).bind(open);
    let rows = below.fetch_all(&mut *step.tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Ends a batch if it is complete and has no members that are not final, with what follows.
pub(crate) async fn settle(step: &mut Step<'_>, batch: BatchId) -> fault::Result<()> {
    let ended = end(step, [batch.as_uuid()]).await?;
    step.batches_ended(ended).await
}

/// Makes a batch complete, and those in it: their members run from now on. One in a batch that is not complete
/// is completed with that.
pub(crate) async fn seal(step: &mut Step<'_>, id: BatchId) -> fault::Result<Told<()>> {
    let batch = match known(step, id).await? {
        Ok(batch) => batch,
        Err(why) => return Ok(Err(why)),
    };
    // One that was cancelled is complete too.
    if batch.sealed_at.is_some() || is_held(step, batch.parent).await? {
        return Ok(Ok(()));
    }
    let tree = tree(step, id, true).await?;
    // All of them before any of their members: whether one may run is asked of its own batch only.
    let seal = step.queries.batch_seal.query();
    let seal = seal.bind(ids_of(tree.iter().copied())?);
    let seal = seal.bind(step.now).bind(None::<i64>);
    seal.execute(&mut *step.tx).await?;
    for batch in tree.into_iter().rev().map(BatchId::from) {
        release(step, batch).await?;
        settle(step, batch).await?;
    }
    Ok(Ok(()))
}

/// Members of a batch that is complete run, but for those that wait for others.
async fn release(step: &mut Step<'_>, batch: BatchId) -> fault::Result<()> {
    let mut after = Uuid::nil();
    loop {
        let pick = step.queries.member_pick.query();
        let members = members(step, pick, batch, after).await?;
        let Some(last) = members.last() else {
            return Ok(());
        };
        after = *last;
        step.make_ready(members.into_iter()).await?;
    }
}

async fn members(
    step: &mut Step<'_>,
    pick: sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    batch: BatchId,
    after: Uuid,
) -> fault::Result<Vec<Uuid>> {
    let pick = pick.bind(batch.as_uuid()).bind(after).bind(HANDFUL);
    let rows = pick.fetch_all(&mut *step.tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Lets a batch that has ended, or was cancelled, take members again.
pub(crate) async fn take_again(step: &mut Step<'_>, id: BatchId) -> fault::Result<Told<()>> {
    let batch = match known(step, id).await? {
        Ok(batch) => batch,
        Err(why) => return Ok(Err(why)),
    };
    if batch.finished_at.is_none() {
        return Ok(Ok(()));
    }
    let held = is_held(step, batch.parent).await?;
    let open = step.queries.batch_open.query().bind(id.as_uuid());
    let open = open.bind(true).bind(held);
    open.execute(&mut *step.tx).await?;
    if let Some(parent) = batch.parent {
        reopen(step, parent.as_uuid(), batch.outcome()).await?;
    }
    Ok(Ok(()))
}

/// Lets a batch, and those in it, take no members any more; answers which these are. None if it has ended, or
/// was cancelled before.
pub(crate) async fn cancel(step: &mut Step<'_>, id: BatchId) -> fault::Result<Told<Vec<BatchId>>> {
    let batch = match known(step, id).await? {
        Ok(batch) => batch,
        Err(why) => return Ok(Err(why)),
    };
    if batch.finished_at.is_some() || batch.cancelled_at.is_some() {
        return Ok(Ok(Vec::new()));
    }
    let all = tree(step, id, true).await?;
    let seal = step.queries.batch_seal.query();
    let seal = seal.bind(ids_of(all.iter().copied())?);
    let seal = seal.bind(step.now).bind(step.now);
    seal.execute(&mut *step.tx).await?;
    Ok(Ok(all.into_iter().map(BatchId::from).collect()))
}

/// Members of a batch that are not final, after one, a handful.
pub(crate) async fn open_members(
    step: &mut Step<'_>,
    batch: BatchId,
    after: Uuid,
) -> fault::Result<Vec<Uuid>> {
    let pick = step.queries.member_open.query();
    members(step, pick, batch, after).await
}

/// Removes batches that nobody has completed in all that time, with all that is in them: whoever was about to
/// make them is gone.
pub(super) async fn abandon(step: &mut Step<'_>, since: i64) -> fault::Result<()> {
    loop {
        let next = step.queries.batch_unsealed.query().bind(since);
        let Some(row) = next.fetch_optional(&mut *step.tx).await? else {
            return Ok(());
        };
        let (id, around): (Uuid, Option<Uuid>) = (row.try_get(0)?, row.try_get(1)?);
        let all = tree(step, id.into(), false).await?;
        for batch in all.iter().rev() {
            empty(step, (*batch).into()).await?;
        }
        forget(step, all).await?;
        if let Some(around) = around {
            let mut counts = Counts::default();
            counts.of(around).total -= 1;
            counts.write(step).await?;
            settle(step, around.into()).await?;
        }
    }
}

/// Removes the members of a batch that nobody has completed; who waits for it waits in vain.
async fn empty(step: &mut Step<'_>, id: BatchId) -> fault::Result<()> {
    let why = format!("its batch {id} was not complete within 1 h and was removed");
    step.gone(&ids_of([id.as_uuid()])?, &why).await?;
    let mut after = Uuid::nil();
    loop {
        let open = open_members(step, id, after).await?;
        let Some(last) = open.last() else {
            break;
        };
        after = *last;
        let lost: Vec<_> = open.into_iter().map(|job| (job, why.clone())).collect();
        step.end(&lost).await?;
    }
    loop {
        let pick = step.queries.member_pick.query();
        let all = members(step, pick, id, Uuid::nil()).await?;
        if all.is_empty() {
            return Ok(());
        }
        // The numbers of those that are Deleted are written first, to be taken back.
        step.count().await?;
        crate::retain::erase(step.tx, step.queries, ids_of(all)?).await?;
    }
}

/// Removes batches themselves.
pub(super) async fn forget(
    step: &mut Step<'_>,
    batches: impl IntoIterator<Item = Uuid>,
) -> fault::Result<()> {
    let ids = ids_of(batches)?;
    for statement in [&step.queries.member_drop, &step.queries.batch_drop] {
        let query = statement.query().bind(ids.clone());
        query.execute(&mut *step.tx).await?;
    }
    Ok(())
}
