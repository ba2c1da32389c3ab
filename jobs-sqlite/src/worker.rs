//! Who works here, that they live, and that they go.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{JobId, WorkerId};
use jobs_core::storage::{Beat, Orders, Presence, WorkerInfo};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::queries::Queries;
use crate::rules::Step;
use crate::wake::Hints;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn make_known(&self, worker: &WorkerInfo) -> Result<()> {
        const DOING: &str = "registering a worker";
        let id = worker.id.as_uuid();
        let info = serde_json::to_string(worker)
            .map_err(|error| Fault::Unreadable(error.to_string()).during(DOING))?;
        self.write(Durability::Process, DOING, move |tx, queries| {
            let register = queries.register.query().bind(id).bind(info.clone());
            Box::pin(async move {
                register.bind(clock::now()).execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    pub(crate) async fn note_beat(&self, beat: &Beat) -> Result<Orders> {
        let beat = Arc::new(beat.clone());
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Process,
            move |tx, queries| {
                let beat = Arc::clone(&beat);
                Box::pin(async move { lives(tx, queries, &beat).await })
            },
            move |(_, hints): &(Orders, Hints)| hints.send(&wakes),
        );
        let (orders, _) = answer
            .await
            .map_err(|fault| fault.during("saying that a worker lives"))?;
        Ok(orders)
    }

    pub(crate) async fn note_suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        let (worker, job) = (worker.as_uuid(), job.map(|job| job.as_uuid()));
        // Process: if the machine goes down, the job is not to blame for it.
        self.write(
            Durability::Process,
            "noting a suspect",
            move |tx, queries| {
                let suspect = queries.suspect.query().bind(worker).bind(job);
                Box::pin(async move {
                    suspect.execute(tx).await?;
                    Ok(())
                })
            },
        )
        .await
    }

    pub(crate) async fn let_go(&self, worker: WorkerId) -> Result<()> {
        let worker = worker.as_uuid();
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Process,
            move |tx, queries| {
                Box::pin(async move {
                    let held = claims_of(tx, queries, worker).await?;
                    let hints = release(tx, queries, &held).await?;
                    queries.retire.query().bind(worker).execute(tx).await?;
                    Ok(hints)
                })
            },
            move |hints: &Hints| hints.send(&wakes),
        );
        answer
            .await
            .map(drop)
            .map_err(|fault| fault.during("retiring a worker"))
    }

    pub(crate) async fn all_presences(&self) -> Result<Vec<Presence>> {
        let presence = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Presence {
                worker: row.try_get::<Uuid, _>(0)?.into(),
                beat: row.try_get(1)?,
                dead: row.try_get(2)?,
            })
        };
        let query = self.0.queries.presences.query();
        let rows = async { Ok(query.fetch_all(self.reads()?).await?) };
        rows.await
            .and_then(|rows| rows.iter().map(presence).collect())
            .map_err(|fault: Fault| fault.during("listing the workers"))
    }

    pub(crate) async fn over(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let lost = async {
            let rows = runs.iter().map(|(job, run)| (Hex(job.as_uuid()), run));
            let query = self.0.queries.revoked.query().bind(encode::rows(rows)?);
            let rows = query.fetch_all(self.reads()?).await?;
            let places = rows.iter().map(|row| row.try_get::<i64, _>(0));
            let places: Vec<i64> = places.collect::<std::result::Result<_, _>>()?;
            let job = |at: &i64| runs.get(usize::try_from(*at).ok()?).map(|(job, _)| *job);
            Ok::<_, Fault>(places.iter().filter_map(job).collect())
        };
        lost.await
            .map_err(|fault| fault.during("looking for cancelled jobs"))
    }
}

/// Notes the beat and compares the claims.
async fn lives(
    tx: &mut SqliteConnection,
    queries: &Queries,
    beat: &Beat,
) -> fault::Result<(Orders, Hints)> {
    let worker = beat.worker.as_uuid();
    let noted = queries.beat.query().bind(worker).bind(clock::now());
    if noted.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok((Orders::dead(), Hints::default()));
    }
    let stored = claims_of(tx, queries, worker).await?;
    let named: HashSet<Uuid> = beat.claims.iter().map(|claim| claim.as_uuid()).collect();
    let newest = beat.newest.map(|claim| claim.as_uuid());
    // One that was asked for after the list was made may be about to arrive.
    let stray = |claim: &&Uuid| !named.contains(*claim) && Some(**claim) <= newest;
    let strays: Vec<Uuid> = stored.iter().filter(stray).copied().collect();
    let hints = release(tx, queries, &strays).await?;
    let stored: HashSet<Uuid> = stored.into_iter().collect();
    let missing = beat
        .claims
        .iter()
        .filter(|claim| !stored.contains(&claim.as_uuid()));
    Ok((Orders::alive(missing.copied().collect()), hints))
}

async fn claims_of(
    tx: &mut SqliteConnection,
    queries: &Queries,
    worker: Uuid,
) -> fault::Result<Vec<Uuid>> {
    let rows = queries.claims_of.query().bind(worker).fetch_all(tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Gives back what claims still hold, due now, no attempt used, and ends them.
async fn release(
    tx: &mut SqliteConnection,
    queries: &Queries,
    claims: &[Uuid],
) -> fault::Result<Hints> {
    let mut hints = Hints::default();
    if claims.is_empty() {
        return Ok(hints);
    }
    let claims = encode::ids(claims.iter().copied())?;
    let now = clock::now();
    let release = queries.release.query().bind(claims.clone()).bind(now);
    let rows = release.fetch_all(&mut *tx).await?;
    let mut released = Vec::with_capacity(rows.len());
    for row in &rows {
        released.push(row.try_get::<Uuid, _>(0)?);
        hints.jobs(row.try_get(1)?);
    }
    let mut step = Step::new(&mut *tx, queries, now);
    let runs: Vec<_> = released.iter().map(|job| (*job, None)).collect();
    step.free(&runs).await?;
    step.place(&released).await?;
    hints.add(step.finish().await?);
    queries.claim_end.query().bind(claims).execute(tx).await?;
    Ok(hints)
}
