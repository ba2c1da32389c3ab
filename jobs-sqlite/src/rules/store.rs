//! Storing jobs that have rules.
//!
//! What may be refused is looked at first, before anything is written: a refusal leaves the transaction as
//! it was.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{JobId, NewJob, ParentId, State};
use jobs_core::storage::{Inserted, check_rules};

use super::batch::{self, Batches};
use super::parents::{Parents, Waits, uuid_of};
use super::unique::Keys;
use super::{Refusal, Step, Told, ids_of};
use super::{expiry, limit};
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};

/// Whether one of the jobs asks for more than a due time.
pub(crate) fn needs_room(jobs: &[NewJob]) -> bool {
    jobs.iter().any(|job| job.rules.is_some())
}

/// Goes on with what was found, or answers the refusal.
macro_rules! told {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

/// Stores jobs, each with what its rules ask for, all or none.
pub(crate) async fn store(
    step: &mut Step<'_>,
    jobs: &[NewJob],
) -> fault::Result<Told<Vec<Inserted>>> {
    let stored = stored(step, jobs).await?;
    let is_new = |job: &&NewJob| !stored.contains_key(&job.id);
    let mut fresh: Vec<NewJob> = jobs.iter().filter(is_new).cloned().collect();
    let keys = told!(Keys::look(step, &mut fresh).await?);
    if !keys.held.is_empty()
        && let Err(error) = check_rules(&fresh)
    {
        // A child waits for the holder of its parent's key, and that may be itself.
        return Ok(Err(Refusal::Invalid(error.to_string())));
    }
    let batches = told!(batch::look(step, &fresh).await?);
    let parents = told!(Parents::look(step, &fresh).await?);
    write(step, &fresh, &keys, &batches, parents).await?;
    let holders: HashMap<JobId, JobId> = keys
        .held
        .iter()
        .map(|(job, holder)| (job.id, *holder))
        .collect();
    let answer = |job: &NewJob| match holders.get(&job.id) {
        Some(holder) => Inserted::existing(*holder),
        None if stored.contains_key(&job.id) => Inserted::existing(job.id),
        None => Inserted::new(job.id),
    };
    Ok(Ok(jobs.iter().map(answer).collect()))
}

/// Which of the jobs are there already, and how they stand.
async fn stored(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<HashMap<JobId, String>> {
    let ids = ids_of(jobs.iter().map(|job| job.id.as_uuid()))?;
    let known = step.queries.known.query().bind(ids);
    let rows = known.fetch_all(&mut *step.tx).await?;
    let stored =
        |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get::<Uuid, _>(0)?.into(), row.try_get(1)?));
    rows.iter().map(stored).collect()
}

/// The queues that have a limit.
async fn limited_queues(step: &mut Step<'_>) -> fault::Result<HashSet<String>> {
    let limits = step.queries.queue_limits.query();
    let rows = limits.fetch_all(&mut *step.tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// [id, kind, args, queue, priority, options, keep_for, due_at, rules, pending, state, reason, finished_at]
type Line<'j> = (
    Hex,
    &'j str,
    &'j str,
    &'j str,
    i16,
    Option<String>,
    Option<i64>,
    i64,
    Option<String>,
    Option<usize>,
    &'static str,
    Option<String>,
    Option<i64>,
);

fn row<'j>(
    job: &'j NewJob,
    waits: &mut Waits,
    is_held: bool,
    is_plain: bool,
    now: i64,
) -> serde_json::Result<Line<'j>> {
    let options = (!job.options.is_default()).then_some(&job.options);
    let reason = waits.impossible.take();
    let state = match (&reason, waits.open.len()) {
        (Some(_), _) => "deleted",
        (None, 0) if !is_held => "waiting",
        _ => "awaiting",
    };
    Ok((
        Hex(job.id.as_uuid()),
        job.kind.as_ref(),
        job.args.as_str(),
        job.queue.as_ref(),
        job.priority.get(),
        options.map(serde_json::to_string).transpose()?,
        job.options.keep_for.map(encode::span),
        encode::micros(job.due.at(encode::time(now))),
        job.rules
            .as_deref()
            .map(serde_json::to_string)
            .transpose()?,
        (!is_plain).then_some(waits.open.len()),
        state,
        reason,
        (state == "deleted").then_some(now),
    ))
}

async fn write(
    step: &mut Step<'_>,
    jobs: &[NewJob],
    keys: &Keys,
    batches: &Batches,
    mut parents: Parents,
) -> fault::Result<()> {
    limit::declare(step, jobs).await?;
    let limited = limited_queues(step).await?;
    let mut rows = Vec::with_capacity(jobs.len());
    let mut dependencies = Vec::new();
    let (mut ready, mut lost) = (Vec::new(), Vec::new());
    for job in jobs {
        let id = job.id.as_uuid();
        let mut waits = parents.of(job.id);
        // A plain job gets its ticket as it is stored, unless its queue has a limit.
        let is_plain = job.rules.is_none() && !limited.contains(job.queue.as_ref());
        let row = row(job, &mut waits, batches.hold(job), is_plain, step.now);
        let row = row.map_err(|error| Fault::Refused(error.to_string()))?;
        match row.10 {
            "deleted" => {
                lost.push((id, State::Deleted));
                step.counted.of(&job.queue, &job.kind).deleted += 1;
            }
            "waiting" => {
                step.hints.jobs(&job.queue);
                if !is_plain {
                    ready.push(id);
                }
            }
            _ => {}
        }
        rows.push(row);
        for one in waits.open {
            let (parent, is_batch) = (
                uuid_of(one.parent),
                matches!(one.parent, ParentId::Batch(_)),
            );
            let on = one.condition.as_str();
            dependencies.push((Hex(parent), Hex(id), on, is_batch, one.place));
        }
    }
    let insert = step.queries.insert_ruled.query();
    let insert = insert.bind(encode::rows(rows)?).bind(step.now);
    insert.execute(&mut *step.tx).await?;
    if !dependencies.is_empty() {
        let insert = step.queries.dependency.query();
        let insert = insert.bind(encode::rows(dependencies)?);
        insert.execute(&mut *step.tx).await?;
    }
    keys.take(step).await?;
    batch::join(step, jobs).await?;
    expiry::note(step, jobs).await?;
    step.place(&ready).await?;
    step.ended(lost).await?;
    keys.merge(step).await
}
