//! Batches: who is in them, how many of those are final, and when they end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::job::{BatchId, NewJob, ParentId, State};
use jobs_core::storage::{BatchRecord, NewBatch};

use super::{Refusal, Step, Told, ids_of};
use crate::encode::{self, Hex, time};
use crate::fault;

/// How many members are looked at at once.
const HANDFUL: i64 = 10_000;

/// The batches of the jobs of one request.
#[derive(Default)]
pub(super) struct Batches {
    /// Those that are not complete: their members wait.
    unsealed: HashSet<BatchId>,
}

impl Batches {
    /// Whether a new job has to wait until its batch is complete.
    pub(super) fn hold(&self, job: &NewJob) -> bool {
        batch_of(job).is_some_and(|batch| self.unsealed.contains(&batch))
    }
}

fn batch_of(job: &NewJob) -> Option<BatchId> {
    job.rules.as_ref()?.batch
}

/// Looks whether the batches of new jobs take members.
pub(super) async fn look(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<Told<Batches>> {
    let mut found = Batches::default();
    let wanted: BTreeSet<BatchId> = jobs.iter().filter_map(batch_of).collect();
    if wanted.is_empty() {
        return Ok(Ok(found));
    }
    let known = records(step, wanted.clone()).await?;
    for batch in &known {
        if let Err(why) = takes_members(batch) {
            return Ok(Err(why));
        }
        if batch.sealed_at.is_none() {
            found.unsealed.insert(batch.id);
        }
    }
    let known: HashSet<BatchId> = known.iter().map(|batch| batch.id).collect();
    if let Some(unknown) = wanted.iter().find(|batch| !known.contains(batch)) {
        return Ok(Err(Refusal::UnknownBatch(*unknown)));
    }
    for job in jobs {
        if let Err(why) = waits_for_own(step, job).await? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(found))
}

fn takes_members(batch: &BatchRecord) -> Told<()> {
    let id = batch.id;
    let how = match (batch.cancelled_at, batch.finished_at) {
        (Some(_), _) => "was cancelled",
        (None, Some(_)) => "has ended",
        (None, None) => return Ok(()),
    };
    Err(Refusal::Invalid(format!(
        "batch {id} {how}: it takes no members unless it is reopened"
    )))
}

/// A job that waits for a batch that its own batch is in would wait for itself.
async fn waits_for_own(step: &mut Step<'_>, job: &NewJob) -> fault::Result<Told<()>> {
    let Some(batch) = batch_of(job) else {
        return Ok(Ok(()));
    };
    let parents = job.rules.iter().flat_map(|rules| &rules.parents);
    let mut batches = parents.filter_map(|parent| match parent.of {
        ParentId::Batch(id) => Some(id),
        ParentId::Job(_) => None,
    });
    let Some(first) = batches.next() else {
        return Ok(Ok(()));
    };
    let above = step.queries.batch_above.query().bind(batch.as_uuid());
    let rows = above.fetch_all(&mut *step.tx).await?;
    let above: Vec<Uuid> = rows
        .iter()
        .map(|row| Ok(row.try_get(0)?))
        .collect::<fault::Result<_>>()?;
    let own = [first].into_iter().chain(batches);
    let own = own.filter(|id| above.contains(&id.as_uuid())).next();
    Ok(match own {
        Some(own) => Err(Refusal::Invalid(format!(
            "job {}: it waits for batch {own}, of which it is a member: it would wait for itself",
            job.id
        ))),
        None => Ok(()),
    })
}

/// What is known of batches.
pub(super) async fn records(
    step: &mut Step<'_>,
    ids: impl IntoIterator<Item = BatchId>,
) -> fault::Result<Vec<BatchRecord>> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.as_uuid()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let known = step.queries.batches.query().bind(ids_of(ids)?);
    let rows = known.fetch_all(&mut *step.tx).await?;
    rows.iter().map(record).collect()
}

pub(crate) fn record(row: &SqliteRow) -> fault::Result<BatchRecord> {
    let at = |column: usize| -> fault::Result<_> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(time))
    };
    let mut batch = BatchRecord::new(row.try_get::<Uuid, _>(0)?.into());
    batch.parent = row.try_get::<Option<Uuid>, _>(1)?.map(Into::into);
    batch.sealed_at = at(2)?;
    batch.cancelled_at = at(3)?;
    batch.finished_at = at(4)?;
    batch.total = row.try_get(5)?;
    batch.succeeded = row.try_get(6)?;
    batch.failed = row.try_get(7)?;
    batch.deleted = row.try_get(8)?;
    batch.name = row.try_get(9)?;
    batch.created_at = time(row.try_get(10)?);
    Ok(batch)
}

/// New jobs are members of their batches.
pub(super) async fn join(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<()> {
    let members = jobs.iter().filter_map(|job| Some((batch_of(job)?, job.id)));
    let members: Vec<_> = members
        .map(|(batch, job)| (Hex(batch.as_uuid()), Hex(job.as_uuid())))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let mut counts = Counts::default();
    for (batch, _) in &members {
        counts.of(batch.0).total += 1;
    }
    let join = step.queries.member.query().bind(encode::rows(members)?);
    join.execute(&mut *step.tx).await?;
    counts.write(step).await
}

/// How many more members batches have, and how many more of those have ended so.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<Uuid, Count>);

#[derive(Default)]
pub(super) struct Count {
    pub(super) total: i64,
    succeeded: i64,
    failed: i64,
    deleted: i64,
}

impl Counts {
    fn of(&mut self, batch: Uuid) -> &mut Count {
        self.0.entry(batch).or_default()
    }

    /// `n` more members of a batch have ended so.
    pub(super) fn ended(&mut self, batch: Uuid, how: State, n: i64) {
        let count = self.of(batch);
        match how {
            State::Succeeded => count.succeeded += n,
            State::Failed => count.failed += n,
            _ => count.deleted += n,
        }
    }

    async fn write(&self, step: &mut Step<'_>) -> fault::Result<()> {
        let rows = self
            .0
            .iter()
            .map(|(batch, n)| (Hex(*batch), n.total, n.succeeded, n.failed, n.deleted));
        let count = step.queries.batch_count.query().bind(encode::rows(rows)?);
        count.execute(&mut *step.tx).await?;
        Ok(())
    }

    /// Counts members that have ended; answers the batches that have ended with them.
    pub(super) async fn close(self, step: &mut Step<'_>) -> fault::Result<Vec<Ended>> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        self.write(step).await?;
        end(step, self.0.into_keys()).await
    }
}

/// A batch that has ended just now.
pub(super) struct Ended {
    pub(super) id: BatchId,
    pub(super) how: State,
    pub(super) parent: Option<Uuid>,
}

/// Ends those of the batches whose members are all final.
async fn end(
    step: &mut Step<'_>,
    batches: impl IntoIterator<Item = Uuid>,
) -> fault::Result<Vec<Ended>> {
    let end = step.queries.batch_end.query().bind(ids_of(batches)?);
    let rows = end.bind(step.now).fetch_all(&mut *step.tx).await?;
    let ended = |row: &SqliteRow| {
        let cancelled = row.try_get::<Option<i64>, _>(2)?.is_some();
        let how = match (cancelled, row.try_get::<i64, _>(3)?) {
            (true, _) => State::Deleted,
            (false, 0) => State::Succeeded,
            (false, _) => State::Failed,
        };
        Ok(Ended {
            id: row.try_get::<Uuid, _>(0)?.into(),
            how,
            parent: row.try_get(1)?,
        })
    };
    rows.iter().map(ended).collect()
}

/// A member that had ended so has not ended any more; nor has its batch then.
pub(super) async fn reopen(step: &mut Step<'_>, batch: Uuid, how: State) -> fault::Result<()> {
    let mut member = Some((batch, how));
    while let Some((batch, how)) = member.take() {
        let Some(before) = records(step, [batch.into()]).await?.pop() else {
            return Ok(());
        };
        let mut counts = Counts::default();
        counts.ended(batch, how, -1);
        counts.write(step).await?;
        if before.finished_at.is_some() {
            open(step, batch, false).await?;
            let parent = before.parent.map(|parent| parent.as_uuid());
            member = parent.map(|parent| (parent, before.outcome()));
        }
    }
    Ok(())
}

async fn open(step: &mut Step<'_>, batch: Uuid, anew: bool) -> fault::Result<()> {
    let open = step.queries.batch_open.query().bind(batch).bind(anew);
    open.execute(&mut *step.tx).await?;
    Ok(())
}

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
    let insert = step.queries.batch.query().bind(batch.id.as_uuid());
    insert
        .bind(batch.name.clone())
        .bind(batch.parent.map(|parent| parent.as_uuid()))
        .bind(batch.keep_for.map(encode::span))
        .bind(step.now)
        .bind(batch.sealed.then_some(step.now))
        .execute(&mut *step.tx)
        .await?;
    Ok(Ok(false))
}

/// Ends a batch if it is complete and has no members that are not final, with what follows.
pub(crate) async fn settle(step: &mut Step<'_>, batch: BatchId) -> fault::Result<()> {
    let ended = end(step, [batch.as_uuid()]).await?;
    step.batches_ended(ended).await
}

/// Makes a batch complete: its members run from now on.
pub(crate) async fn seal(step: &mut Step<'_>, id: BatchId) -> fault::Result<Told<()>> {
    let batch = match known(step, id).await? {
        Ok(batch) => batch,
        Err(why) => return Ok(Err(why)),
    };
    // One that was cancelled is complete too.
    if batch.sealed_at.is_some() {
        return Ok(Ok(()));
    }
    let seal = step.queries.batch_seal.query().bind(id.as_uuid());
    let seal = seal.bind(step.now).bind(None::<i64>);
    seal.execute(&mut *step.tx).await?;
    let mut after = Uuid::nil();
    loop {
        let pick = step.queries.member_pick.query();
        let members = members(step, pick, id, after).await?;
        let Some(last) = members.last() else {
            break;
        };
        after = *last;
        step.make_ready(members.into_iter()).await?;
    }
    settle(step, id).await?;
    Ok(Ok(()))
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
    open(step, id.as_uuid(), true).await?;
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
    let below = step.queries.batch_below.query().bind(id.as_uuid());
    let rows = below.fetch_all(&mut *step.tx).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: Uuid = row.try_get(0)?;
        let seal = step.queries.batch_seal.query().bind(id);
        let seal = seal.bind(step.now).bind(step.now);
        seal.execute(&mut *step.tx).await?;
        all.push(id.into());
    }
    Ok(Ok(all))
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

/// Removes batches that nobody has completed in all that time, with their members: whoever was about to make
/// them is gone.
pub(super) async fn abandon(step: &mut Step<'_>, since: i64) -> fault::Result<()> {
    loop {
        let next = step.queries.batch_unsealed.query().bind(since);
        let Some(row) = next.fetch_optional(&mut *step.tx).await? else {
            return Ok(());
        };
        let id: Uuid = row.try_get(0)?;
        remove_whole(step, id.into()).await?;
    }
}

async fn remove_whole(step: &mut Step<'_>, id: BatchId) -> fault::Result<()> {
    let batch = id.as_uuid();
    let parent = records(step, [id]).await?.pop();
    let parent = parent.and_then(|batch| batch.parent);
    let why = format!("its batch {id} was not complete within 1 h and was removed");
    step.gone(&ids_of([batch])?, &why).await?;
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
            break;
        }
        // The numbers of those that are Deleted are written first, to be taken back.
        step.count().await?;
        crate::retain::erase(step.tx, step.queries, ids_of(all)?).await?;
    }
    forget(step, [batch]).await?;
    if let Some(parent) = parent {
        let mut counts = Counts::default();
        counts.of(parent.as_uuid()).total -= 1;
        counts.write(step).await?;
        settle(step, parent).await?;
    }
    Ok(())
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
