//! Storing jobs.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::NewJob;
use jobs_core::storage::{Inserted, check_rules};

use crate::SqliteStorage;
use crate::clock::{self, note_time};
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::queries::Queries;
use crate::rules::{self, Step, Told};
use crate::wake::Hints;
use crate::writer::Durability;

/// Jobs as they are sent, and what must be known when they are stored.
#[derive(Clone)]
pub(crate) struct NewRows {
    sent: Sent,
    ids: Arc<[Uuid]>,
    now: i64,
}

#[derive(Clone)]
enum Sent {
    /// They differ in nothing but their ids and their arguments, which are in the text: most do that are stored
    /// together, and to take each row apart costs nearly as much as to store it.
    Alike(Arc<str>, Arc<Alike>),
    /// Each with all that it has.
    Mixed(Arc<str>),
}

/// What all have.
#[derive(Clone)]
struct Alike {
    kind: String,
    queue: String,
    priority: i16,
    options: Option<String>,
    keep_for: Option<i64>,
    due_at: i64,
}

impl NewRows {
    /// Encodes jobs, with the times when they fall due seen from now.
    pub(crate) fn new(jobs: &[NewJob]) -> fault::Result<Self> {
        let now = clock::now();
        let instant = encode::time(now);
        let refused = |error: serde_json::Error| Fault::Refused(error.to_string());
        let sent = match alike(jobs, instant).map_err(refused)? {
            Some(alike) => {
                let args = jobs.iter().map(|job| &job.args);
                Sent::Alike(encode::rows(args)?.into(), Arc::new(alike))
            }
            None => {
                let rows: Result<Vec<_>, _> = jobs.iter().map(|job| row(job, instant)).collect();
                Sent::Mixed(encode::rows(rows.map_err(refused)?)?.into())
            }
        };
        let ids = jobs.iter().map(|job| job.id.as_uuid()).collect();
        Ok(Self { sent, ids, now })
    }

    fn statement(&self, queries: &Queries) -> Query<'static, Sqlite, SqliteArguments> {
        match &self.sent {
            Sent::Alike(args, alike) => {
                let alike = Alike::clone(alike);
                let ids: Vec<u8> = self.ids.iter().flat_map(|id| *id.as_bytes()).collect();
                let insert = queries.insert_alike.query().bind(ids);
                insert
                    .bind(self.now)
                    .bind(alike.kind)
                    .bind(alike.queue)
                    .bind(alike.priority)
                    .bind(alike.options)
                    .bind(alike.keep_for)
                    .bind(alike.due_at)
                    .bind(Arc::clone(args))
            }
            Sent::Mixed(rows) => {
                let insert = queries.insert.query().bind(Arc::clone(rows));
                insert.bind(self.now)
            }
        }
    }

    /// Stores them; answers which were there before, by their places in the request. None: nothing was
    /// stored, because queues have limits.
    pub(crate) async fn store(
        &self,
        queries: &Queries,
        tx: &mut SqliteConnection,
    ) -> fault::Result<Option<HashSet<usize>>> {
        let stored = self.statement(queries).execute(&mut *tx).await?;
        note_time(tx, queries, self.now).await?;
        if stored.rows_affected() == self.ids.len() as u64 {
            return Ok(Some(HashSet::new()));
        }
        let limits = queries.queue_limits.query();
        if limits.fetch_optional(&mut *tx).await?.is_some() {
            return Ok(None);
        }
        // Rows that are given back one by one cost more than the insert; so who was there before is asked
        // only when somebody was. No two requests of a process have the same time.
        let ids = encode::ids(self.ids.iter().copied())?;
        let known = queries.insert_known.query().bind(ids);
        let rows = known.bind(self.now).fetch_all(tx).await?;
        let place = |row: &SqliteRow| {
            let place = row.try_get::<i64, _>(0)?;
            Ok(usize::try_from(place).unwrap_or(usize::MAX))
        };
        rows.iter()
            .map(place)
            .collect::<fault::Result<_>>()
            .map(Some)
    }
}

/// [id, kind, args, queue, priority, options, keep_for, due_at]
type Row<'j> = (
    Hex,
    &'j str,
    &'j str,
    &'j str,
    i16,
    Option<String>,
    Option<i64>,
    i64,
);

fn row(job: &NewJob, now: DateTime<Utc>) -> Result<Row<'_>, serde_json::Error> {
    Ok((
        Hex(job.id.as_uuid()),
        job.kind.as_ref(),
        job.args.as_str(),
        job.queue.as_ref(),
        job.priority.get(),
        options_text(job)?,
        job.options.keep_for.map(encode::span),
        encode::micros(job.due.at(now)),
    ))
}

/// What jobs have in common, if that is all but their ids and arguments.
fn alike(jobs: &[NewJob], now: DateTime<Utc>) -> Result<Option<Alike>, serde_json::Error> {
    let Some((first, others)) = jobs.split_first() else {
        return Ok(None);
    };
    // What is bound as it is would end at a NUL character; in a row of its own that is refused.
    let has_nul = |text: &str| text.contains('\0');
    if has_nul(&first.kind) || has_nul(&first.queue) {
        return Ok(None);
    }
    let (_, kind, _, queue, priority, options, keep_for, due_at) = row(first, now)?;
    for job in others {
        let is_alike = job.due == first.due
            && job.priority == first.priority
            && job.kind == first.kind
            && job.queue == first.queue
            && options_text(job)? == options;
        if !is_alike {
            return Ok(None);
        }
    }
    Ok(Some(Alike {
        kind: kind.into(),
        queue: queue.into(),
        priority,
        options,
        keep_for,
        due_at,
    }))
}

fn options_text(job: &NewJob) -> Result<Option<String>, serde_json::Error> {
    let options = (!job.options.is_default()).then_some(&job.options);
    options.map(serde_json::to_string).transpose()
}

/// The answer for each job, in the order of the request.
pub(crate) fn answers(jobs: &[NewJob], known: &HashSet<usize>) -> Vec<Inserted> {
    let answer = |(at, job): (usize, &NewJob)| match known.contains(&at) {
        true => Inserted::existing(job.id),
        false => Inserted::new(job.id),
    };
    jobs.iter().enumerate().map(answer).collect()
}

impl SqliteStorage {
    pub(crate) async fn store(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let explained = |fault: Fault| fault.during("storing jobs");
        if rules::needs_room(jobs) {
            check_rules(jobs)?;
            return self.store_ruled(jobs).await.map_err(explained);
        }
        let rows = NewRows::new(jobs).map_err(explained)?;
        let (mut hints, wakes) = (Hints::default(), self.0.wakes.clone());
        jobs.iter().for_each(|job| hints.jobs(&job.queue));
        let known = self
            .0
            .writer
            .run(
                Durability::Full,
                move |tx, queries| {
                    let rows = rows.clone();
                    Box::pin(async move { rows.store(queries, tx).await })
                },
                move |_| hints.send(&wakes),
            )
            .await
            .map_err(explained)?;
        match known {
            Some(known) => Ok(answers(jobs, &known)),
            None => self.store_ruled(jobs).await.map_err(explained),
        }
    }

    /// Stores jobs of which some have rules.
    async fn store_ruled(&self, jobs: &[NewJob]) -> fault::Result<Vec<Inserted>> {
        let jobs: Arc<[NewJob]> = jobs.into();
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Full,
            move |tx, queries| {
                let jobs = Arc::clone(&jobs);
                Box::pin(async move { store_ruled(tx, queries, &jobs).await })
            },
            move |(_, hints): &(Told<Vec<Inserted>>, Hints)| hints.send(&wakes),
        );
        answer.await?.0.map_err(Fault::Told)
    }
}

/// Stores jobs of which some have rules, in a transaction in which nothing is left if it fails.
pub(crate) async fn store_ruled(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: &[NewJob],
) -> fault::Result<(Told<Vec<Inserted>>, Hints)> {
    let mut step = Step::new(tx, queries, clock::now());
    let answers = rules::store(&mut step, jobs).await?;
    note_time(step.tx, queries, step.now).await?;
    Ok((answers, step.finish().await?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jobs_core::job::{Due, JobId, Priority};

    use super::*;

    /// Two jobs that differ in their ids and arguments, the second changed by `change`.
    fn are_alike(change: impl FnOnce(&mut NewJob)) -> bool {
        let mut jobs = ["{}", "[]"].map(|args| NewJob::new(JobId::new(), "work", args));
        jobs.iter_mut()
            .for_each(|job| job.options.tags = vec!["red".into()]);
        change(&mut jobs[1]);
        let alike = alike(&jobs, Utc::now()).expect("options are plain data");
        alike.is_some()
    }

    #[test]
    fn what_differs_in_more_than_ids_and_arguments_is_sent_apart() {
        assert!(are_alike(|_| {}));
        assert!(!are_alike(|job| job.kind = "play".into()));
        assert!(!are_alike(|job| job.queue = "other".into()));
        assert!(!are_alike(|job| job.priority = Priority::HIGH));
        assert!(!are_alike(|job| job.due = Due::In(Duration::from_secs(1))));
        assert!(!are_alike(|job| job.options.tags.clear()));
    }
}
