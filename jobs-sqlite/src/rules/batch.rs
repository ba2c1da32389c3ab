//! The members of batches: who they are, how many are final, and when that ends a batch.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::job::{BatchId, NewJob, State};
use jobs_core::storage::BatchRecord;

use super::{Refusal, Step, Told, ids_of};
use crate::encode::{self, Hex, time};
use crate::fault;

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
    Ok(Ok(found))
}

pub(super) fn takes_members(batch: &BatchRecord) -> Told<()> {
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
    pub(super) fn of(&mut self, batch: Uuid) -> &mut Count {
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

    pub(super) async fn write(&self, step: &mut Step<'_>) -> fault::Result<()> {
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
pub(super) async fn end(
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
            let open = step.queries.batch_open.query().bind(batch);
            let open = open.bind(false).bind(false);
            open.execute(&mut *step.tx).await?;
            let parent = before.parent.map(|parent| parent.as_uuid());
            member = parent.map(|parent| (parent, before.outcome()));
        }
    }
    Ok(())
}
