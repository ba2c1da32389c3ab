//! Storing jobs.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use jobs_core::job::{ClaimId, Due, NewJob, WorkerId};
use jobs_core::storage::{HandedOver, Inserted};
use jobs_core::{Error, Result};
use sqlx::Row;
use uuid::Uuid;

use crate::pool::{Failure, Lease, Statement};
use crate::store::Store;

/// How many jobs one statement stores. More go into several statements of one transaction.
const CHUNK: usize = 2_000;

/// PostgreSQL's last year is 294276; nothing is due later than this many seconds from now.
pub(crate) const LONGEST_WAIT: f64 = 200_000.0 * 365.25 * 86_400.0;

/// Stores jobs. If the answer is lost, or the jobs are there already, they are sent again in a way
/// that leaves alone what is there: an id is stored once, however often it is sent.
pub(crate) async fn insert(store: &Store, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    if crate::rules::any(jobs) {
        return crate::rules::insert(store, None, jobs).await;
    }
    let lanes = store.lanes.unannounced(jobs);
    let existing = match store_all(store, jobs, &lanes, Mode::New).await {
        Ok(_) => HashSet::new(),
        Err(failure) if is_duplicate(&failure) || may_be_stored(&failure) => {
            let stored = store_all(store, jobs, &lanes, Mode::Again).await?;
            existing(jobs, &stored)
        }
        Err(failure) => return Err(failure.into()),
    };
    store.lanes.announced(&lanes);
    store.wakes.stored(store, jobs);
    store.kick_if_limited();
    Ok(answers(jobs, &existing))
}

/// Stores jobs together with a claim for them. `None` if that could not be done, or if the answer was
/// lost: whoever inserts them then finds out.
pub(crate) async fn insert_taken(
    store: &Store,
    jobs: &[NewJob],
    worker: WorkerId,
    claim: ClaimId,
) -> Result<Option<HandedOver>> {
    let lanes = store.lanes.unannounced(jobs);
    let statement = store.statement(&store.sql.insert_taken);
    let statement = bind_plain(statement, jobs)
        .bind(lanes.iter().map(|(queue, _)| &**queue).collect::<Vec<_>>())
        .bind(worker.as_uuid())
        .bind(claim.as_uuid())
        .bind(
            lanes
                .iter()
                .map(|(_, priority)| *priority)
                .collect::<Vec<_>>(),
        );
    let asked = Utc::now();
    let row = match store.row(&doing(jobs), statement).await {
        Ok(row) => row,
        Err(failure) if is_duplicate(&failure) || may_be_stored(&failure) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let due_at = row.get("now");
    store.clock.learn(asked, due_at);
    store.lanes.announced(&lanes);
    let taken = if row.get("taken") {
        jobs.iter().map(|job| job.id).collect()
    } else {
        store.wakes.stored(store, jobs);
        store.kick_if_limited();
        Vec::new()
    };
    Ok(Some(HandedOver { taken, due_at }))
}

pub(crate) fn answers(jobs: &[NewJob], existing: &HashSet<Uuid>) -> Vec<Inserted> {
    let answer = |job: &NewJob| match existing.contains(&job.id.as_uuid()) {
        true => Inserted::existing(job.id),
        false => Inserted::new(job.id),
    };
    jobs.iter().map(answer).collect()
}

pub(crate) fn existing(jobs: &[NewJob], stored: &[Uuid]) -> HashSet<Uuid> {
    let mut existing: HashSet<_> = jobs.iter().map(|job| job.id.as_uuid()).collect();
    stored.iter().for_each(|id| {
        existing.remove(id);
    });
    existing
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// None of these is stored, most likely: an insert that need not look first.
    New,
    /// Some may be.
    Again,
}

fn is_duplicate(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("23505")
}

/// A connection that was idle when the server went away fails at its next use; another one may
/// work.
pub(crate) fn may_be_stored(failure: &Failure) -> bool {
    matches!(failure.error, Error::Unavailable { .. })
}

async fn store_all(
    store: &Store,
    jobs: &[NewJob],
    lanes: &[(String, i16)],
    mode: Mode,
) -> Result<Vec<Uuid>, Failure> {
    let doing = doing(jobs);
    let lease = store.acquire(&doing).await;
    let mut lease = lease.map_err(|error| Failure { code: None, error })?;
    if jobs.len() <= CHUNK && !store.poll_only {
        return chunk(store, &mut lease, &doing, jobs, lanes, mode).await;
    }
    lease.begin(&doing).await?;
    let mut stored = Vec::new();
    for part in jobs.chunks(CHUNK) {
        match chunk(store, &mut lease, &doing, part, lanes, mode).await {
            Ok(ids) => stored.extend(ids),
            Err(failure) => {
                if failure.code.is_some() {
                    lease.rollback(&doing).await?;
                }
                return Err(failure);
            }
        }
    }
    lease.commit(&doing).await?;
    Ok(stored)
}

async fn chunk(
    store: &Store,
    lease: &mut Lease<'_>,
    doing: &str,
    jobs: &[NewJob],
    lanes: &[(String, i16)],
    mode: Mode,
) -> Result<Vec<Uuid>, Failure> {
    let sql = match mode {
        Mode::New => &store.sql.insert,
        Mode::Again => &store.sql.insert_again,
    };
    let asked = Utc::now();
    let mut statement = bind(store.statement(sql), jobs, lanes);
    if mode == Mode::Again {
        // Told afterwards, from outside.
        statement = statement.bind(Vec::<String>::new());
    }
    let row = lease.row(doing, statement).await?;
    store.clock.learn(asked, row.get("now"));
    Ok(match mode {
        Mode::New => Vec::new(),
        Mode::Again => row.get("ids"),
    })
}

pub(crate) fn doing(jobs: &[NewJob]) -> String {
    match jobs {
        [job] => format!("store a job of kind {}", job.kind),
        jobs => format!("store {} jobs", jobs.len()),
    }
}

/// The parameters of `insert`, and all but the last of `insert_again`. Where no job has a value,
/// the array is empty.
pub(crate) fn bind(statement: Statement, jobs: &[NewJob], lanes: &[(String, i16)]) -> Statement {
    bind_jobs(statement, jobs)
        .bind(lanes.iter().map(|(queue, _)| &**queue).collect::<Vec<_>>())
        .bind(
            lanes
                .iter()
                .map(|(_, priority)| *priority)
                .collect::<Vec<_>>(),
        )
}

/// The parameters that every statement that stores jobs begins with.
pub(crate) fn bind_jobs(statement: Statement, jobs: &[NewJob]) -> Statement {
    let optional = |wanted: bool| if wanted { jobs } else { &[] };
    let any_at = jobs.iter().any(|job| matches!(job.due, Due::At(_)));
    let any_in = jobs.iter().any(|job| matches!(job.due, Due::In(_)));
    let due_at: Vec<_> = optional(any_at).iter().map(due_at).collect();
    let due_in: Vec<_> = optional(any_in).iter().map(due_in).collect();
    bind_plain(statement, jobs).bind(due_at).bind(due_in)
}

/// The parameters that all jobs have, and their options.
fn bind_plain(statement: Statement, jobs: &[NewJob]) -> Statement {
    let any_options = jobs.iter().any(|job| !job.options.is_default());
    let options = if any_options { jobs } else { &[] };
    statement
        .bind(jobs.iter().map(|job| job.id.as_uuid()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| &*job.kind).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| &*job.queue).collect::<Vec<_>>())
        .bind(
            jobs.iter()
                .map(|job| job.priority.get())
                .collect::<Vec<_>>(),
        )
        .bind(jobs.iter().map(|job| &*job.args).collect::<Vec<_>>())
        .bind(options.iter().map(options_text).collect::<Vec<_>>())
}

fn options_text(job: &NewJob) -> Option<String> {
    (!job.options.is_default())
        .then(|| serde_json::to_string(&job.options).expect("options are plain data"))
}

fn due_at(job: &NewJob) -> Option<DateTime<Utc>> {
    match job.due {
        Due::At(at) => Some(at),
        Due::Now | Due::In(_) => None,
    }
}

fn due_in(job: &NewJob) -> Option<f64> {
    match job.due {
        Due::In(wait) => Some(wait.as_secs_f64().min(LONGEST_WAIT)),
        Due::Now | Due::At(_) => None,
    }
}
