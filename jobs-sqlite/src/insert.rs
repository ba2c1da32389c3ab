//! Storing jobs.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::NewJob;
use jobs_core::storage::Inserted;

use crate::SqliteStorage;
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::tick::note_time;
use crate::wake::Hints;
use crate::writer::Durability;

/// Jobs as they are sent, and what must be known when they are stored.
#[derive(Clone)]
pub(crate) struct NewRows {
    rows: Arc<str>,
    now: i64,
    count: usize,
}

impl NewRows {
    /// Encodes jobs, with the times when they fall due seen from now.
    pub(crate) fn new(jobs: &[NewJob]) -> fault::Result<Self> {
        let now = encode::now();
        let instant = encode::time(now);
        let rows: Result<Vec<_>, serde_json::Error> =
            jobs.iter().map(|job| row(job, instant)).collect();
        let rows = rows.map_err(|error| fault::Fault::Unreadable(error.to_string()))?;
        Ok(Self {
            rows: encode::rows(rows)?.into(),
            now,
            count: jobs.len(),
        })
    }

    /// Stores them; answers those that were not there before, or nothing if that holds for all.
    pub(crate) async fn store(
        &self,
        queries: &Queries,
        tx: &mut SqliteConnection,
    ) -> fault::Result<Option<HashSet<Uuid>>> {
        let insert = queries.insert.query();
        let stored = insert
            .bind(Arc::clone(&self.rows))
            .bind(self.now)
            .fetch_all(&mut *tx)
            .await?;
        note_time(tx, queries, self.now).await?;
        if stored.len() == self.count {
            return Ok(None);
        }
        let ids = stored.iter().map(|row| row.try_get::<Uuid, _>(0));
        Ok(Some(ids.collect::<std::result::Result<_, _>>()?))
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
    let options = (!job.options.is_default()).then_some(&job.options);
    Ok((
        Hex(job.id.as_uuid()),
        job.kind.as_ref(),
        job.args.as_str(),
        job.queue.as_ref(),
        job.priority.get(),
        options.map(serde_json::to_string).transpose()?,
        job.options.keep_for.map(encode::span),
        encode::micros(job.due.at(now)),
    ))
}

/// The answer for each job, in the order of the request. A job that is twice in one request counts as
/// new at both places: it is the same job.
pub(crate) fn answers(jobs: &[NewJob], stored: Option<&HashSet<Uuid>>) -> Vec<Inserted> {
    let answer = |job: &NewJob| match stored {
        Some(stored) if !stored.contains(&job.id.as_uuid()) => Inserted::existing(job.id),
        _ => Inserted::new(job.id),
    };
    jobs.iter().map(answer).collect()
}

impl SqliteStorage {
    pub(crate) async fn store(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let explained = |fault: fault::Fault| fault.during("storing jobs");
        let rows = NewRows::new(jobs).map_err(explained)?;
        let (mut hints, wakes) = (Hints::default(), self.0.wakes.clone());
        jobs.iter().for_each(|job| hints.jobs(&job.queue));
        let stored = self
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
        Ok(answers(jobs, stored.as_ref()))
    }
}
