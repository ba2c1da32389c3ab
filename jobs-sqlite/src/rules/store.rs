//! Storing jobs that have rules.
//!
//! What may be refused is looked at first, before anything is written: a refusal leaves the transaction as
//! it was.

use std::collections::HashMap;

use sqlx::Row;
use uuid::Uuid;

use jobs_core::job::{JobId, NewJob, ParentId, State};
use jobs_core::storage::Inserted;

use super::parents::{Parents, Waits, uuid_of};
use super::{Step, Told, ids_of};
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};

/// Whether one of the jobs asks for more than a due time.
pub(crate) fn needs_room(jobs: &[NewJob]) -> bool {
    jobs.iter().any(|job| job.rules.is_some())
}

/// Stores jobs, each with what its rules ask for, all or none.
pub(crate) async fn store(
    step: &mut Step<'_>,
    jobs: &[NewJob],
) -> fault::Result<Told<Vec<Inserted>>> {
    let stored = stored(step, jobs).await?;
    let fresh: Vec<&NewJob> = jobs
        .iter()
        .filter(|job| !stored.contains_key(&job.id))
        .collect();
    let parents = match Parents::look(step, &fresh, &HashMap::new()).await? {
        Ok(parents) => parents,
        Err(refusal) => return Ok(Err(refusal)),
    };
    write(step, &fresh, parents).await?;
    let answer = |job: &NewJob| match stored.contains_key(&job.id) {
        true => Inserted::existing(job.id),
        false => Inserted::new(job.id),
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

fn row<'j>(job: &'j NewJob, waits: &mut Waits, now: i64) -> serde_json::Result<Line<'j>> {
    let options = (!job.options.is_default()).then_some(&job.options);
    let reason = waits.impossible.take();
    let state = match (&reason, waits.open.len()) {
        (Some(_), _) => "deleted",
        (None, 0) => "waiting",
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
        job.rules.is_some().then_some(waits.open.len()),
        state,
        reason,
        (state == "deleted").then_some(now),
    ))
}

async fn write(step: &mut Step<'_>, jobs: &[&NewJob], mut parents: Parents) -> fault::Result<()> {
    let mut rows = Vec::with_capacity(jobs.len());
    let mut dependencies = Vec::new();
    let (mut ready, mut lost) = (Vec::new(), Vec::new());
    for job in jobs {
        let id = job.id.as_uuid();
        let mut waits = parents.of(job.id);
        let row = row(job, &mut waits, step.now);
        let row = row.map_err(|error| Fault::Refused(error.to_string()))?;
        match row.10 {
            "deleted" => {
                lost.push((id, State::Deleted));
                step.counted.of(&job.queue, &job.kind).deleted += 1;
            }
            "waiting" => {
                step.hints.jobs(&job.queue);
                if job.rules.is_some() {
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
    step.place(&ready).await?;
    step.ended(lost).await
}
