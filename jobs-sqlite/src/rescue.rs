//! Taking the jobs of a dead worker back.
//!
//! Each call is one transaction, and many may call at once: a job that was taken back has another run, so
//! that nobody takes it back again.

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{AttemptOutcome, State};
use jobs_core::storage::{RescueRequest, Rescued};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::rules::Step;
use crate::settle::Counted;
use crate::wake::Hints;
use crate::writer::Durability;

/// Why a job is back in its queue although nobody gave it back.
const DIED: &str = "its worker died while running it";

impl SqliteStorage {
    pub(crate) async fn take_back(&self, request: &RescueRequest) -> Result<Rescued> {
        let request = *request;
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Full,
            move |tx, queries| Box::pin(async move { rescue(tx, queries, &request).await }),
            move |(_, hints): &(Rescued, Hints)| hints.send(&wakes),
        );
        let (rescued, _) = answer
            .await
            .map_err(|fault| fault.during("rescuing the jobs of a dead worker"))?;
        Ok(rescued)
    }
}

/// A job that the dead worker held.
struct Held {
    id: Uuid,
    run: i32,
    attempt: u32,
    lost: u32,
    queue: String,
    kind: String,
}

async fn rescue(
    tx: &mut SqliteConnection,
    queries: &Queries,
    request: &RescueRequest,
) -> fault::Result<(Rescued, Hints)> {
    let now = clock::now();
    let worker = request.worker.as_uuid();
    let bury = queries
        .bury
        .query()
        .bind(worker)
        .bind(request.beat)
        .bind(now);
    let Some(row) = bury.fetch_optional(&mut *tx).await? else {
        // Its beat has moved, or it has retired.
        return Ok((Rescued::default(), Hints::default()));
    };
    let suspect: Option<Uuid> = row.try_get(0)?;
    // One more than asked for tells whether there is more.
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX - 1);
    let pick = queries.rescue_pick.query().bind(worker).bind(limit + 1);
    let rows = pick.fetch_all(&mut *tx).await?;
    let held: Vec<Held> = rows.iter().map(held).collect::<fault::Result<_>>()?;
    let more = held.len() > request.limit;
    let held = &held[..held.len().min(request.limit)];

    let mut batch = Batch::default();
    held.iter()
        .for_each(|job| batch.add(job, suspect, request, now));
    let rescued = Rescued {
        released: batch.released.len() as u64,
        failed: held.len() as u64 - batch.released.len() as u64,
        more,
    };
    let others = batch.write(tx, queries, worker, now).await?;
    batch.hints.add(others);
    queries.rescue_end.query().bind(worker).execute(tx).await?;
    Ok((rescued, batch.hints))
}

fn held(row: &sqlx::sqlite::SqliteRow) -> fault::Result<Held> {
    Ok(Held {
        id: row.try_get(0)?,
        run: row.try_get(1)?,
        attempt: row.try_get(2)?,
        lost: row.try_get(3)?,
        queue: row.try_get(4)?,
        kind: row.try_get(5)?,
    })
}

/// [job, run, state, lost, due_at, reason, finished_at]
type End<'r> = (
    Hex,
    i32,
    &'static str,
    u32,
    Option<i64>,
    Option<&'r str>,
    Option<i64>,
);

/// [job, run, number, started_at, finished_at, outcome, reason, error]
type Attempt<'r> = (Hex, i32, u32, (), i64, &'static str, &'r str, ());

/// The rows that follow from a rescue.
#[derive(Default)]
struct Batch<'r> {
    ends: Vec<End<'r>>,
    released: Vec<Uuid>,
    /// Those that killed too many workers.
    ended: Vec<(Uuid, State)>,
    attempts: Vec<Attempt<'r>>,
    counted: Counted,
    hints: Hints,
}

impl<'r> Batch<'r> {
    /// To blame is the job that the worker noted as its suspect; if it noted none, any but those that one
    /// more death would fail: they would have been noted before they were started.
    fn add(&mut self, job: &Held, suspect: Option<Uuid>, request: &RescueRequest, now: i64) {
        let id = Hex(job.id);
        let blamed = suspect.map_or(request.may_blame(job.lost), |suspect| suspect == job.id);
        let lost = job.lost + u32::from(blamed);
        let fatal = blamed && lost >= request.lost_limit;
        let reason = if fatal { request.lost_reason } else { DIED };
        if blamed {
            let outcome = AttemptOutcome::Lost.as_str();
            let number = job.attempt + 1;
            self.attempts
                .push((id, job.run, number, (), now, outcome, reason, ()));
        }
        let reason = blamed.then_some(reason);
        if fatal {
            let end = (id, job.run, "failed", lost, None, reason, Some(now));
            self.ends.push(end);
            self.ended.push((job.id, State::Failed));
            self.counted.of(&job.queue, &job.kind).failed += 1;
        } else {
            let end = (id, job.run, "waiting", lost, Some(now), reason, None);
            self.ends.push(end);
            self.released.push(job.id);
            self.hints.jobs(&job.queue);
        }
    }

    async fn write(
        &self,
        tx: &mut SqliteConnection,
        queries: &Queries,
        worker: Uuid,
        now: i64,
    ) -> fault::Result<Hints> {
        if self.ends.is_empty() {
            return Ok(Hints::default());
        }
        let ends = queries.rescue.query().bind(encode::rows(&self.ends)?);
        ends.bind(worker).execute(&mut *tx).await?;
        let attempts = queries.attempt.query().bind(encode::rows(&self.attempts)?);
        attempts.bind(worker).execute(&mut *tx).await?;
        self.counted.write(&mut *tx, queries, now).await?;
        let mut step = Step::new(tx, queries, now);
        let released: Vec<_> = self.released.iter().map(|job| (*job, None)).collect();
        step.free(&released).await?;
        step.place(&self.released).await?;
        step.ended(self.ended.clone()).await?;
        step.finish().await
    }
}
