//! Storing jobs.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use jobs_core::Result;
use jobs_core::job::NewJob;
use jobs_core::storage::{Inserted, check_rules};

use crate::SqliteStorage;
use crate::clock::{self, note_time};
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::rules::{self, Step, Told};
use crate::wake::Hints;
use crate::writer::Durability;

/// Jobs as they are sent, and what must be known when they are stored.
#[derive(Clone)]
pub(crate) struct NewRows {
    rows: Arc<str>,
    now: i64,
    count: u64,
}

impl NewRows {
    /// Encodes jobs, with the times when they fall due seen from now.
    pub(crate) fn new(jobs: &[NewJob]) -> fault::Result<Self> {
        let now = clock::now();
        let instant = encode::time(now);
        let rows: Result<Vec<_>, serde_json::Error> =
            jobs.iter().map(|job| row(job, instant)).collect();
        let rows = rows.map_err(|error| fault::Fault::Refused(error.to_string()))?;
        Ok(Self {
            rows: encode::rows(rows)?.into(),
            now,
            count: jobs.len() as u64,
        })
    }

    /// Stores them; answers which were there before, by their places in the request. None: nothing was
    /// stored, because queues have limits.
    pub(crate) async fn store(
        &self,
        queries: &Queries,
        tx: &mut SqliteConnection,
    ) -> fault::Result<Option<HashSet<usize>>> {
        let insert = queries.insert.query().bind(Arc::clone(&self.rows));
        let stored = insert.bind(self.now).execute(&mut *tx).await?;
        note_time(tx, queries, self.now).await?;
        if stored.rows_affected() == self.count {
            return Ok(Some(HashSet::new()));
        }
        let limits = queries.queue_limits.query();
        if limits.fetch_optional(&mut *tx).await?.is_some() {
            return Ok(None);
        }
        // Rows that are given back one by one cost more than the insert; so who was there before is asked
        // only when somebody was. No two requests of a process have the same time.
        let known = queries.insert_known.query().bind(Arc::clone(&self.rows));
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
        let explained = |fault: fault::Fault| fault.during("storing jobs");
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
        answer.await?.0.map_err(fault::Fault::Told)
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
