//! Workers: their coming, their signs of life, their end, and what becomes of their jobs.

use std::time::{Duration, Instant};

use chrono::Utc;
use jobs_core::Result;
use jobs_core::job::{ClaimId, JobId, WorkerId};
use jobs_core::storage::{Beat, Orders, Presence, RescueRequest, Rescued, WorkerInfo};
use sqlx::Row;
use uuid::Uuid;

use crate::memory::Memory;
use crate::store::Store;

/// How many jobs one transaction gives back.
const BITE: i32 = 1_000;

/// Once in this time a beat looks at all claims, not only at those that are new since the last.
const FULL_LOOK: Duration = Duration::from_secs(60);

/// A claim may be carried out after its caller has gone away; after this time it is not expected
/// any more.
const LATE: Duration = Duration::from_secs(30);

pub(crate) async fn register(store: &Store, info: &WorkerInfo) -> Result<()> {
    let text = serde_json::to_string(info).expect("plain data");
    let statement = store
        .statement(&store.sql.register)
        .bind(info.id.as_uuid())
        .bind(text);
    store.rows("register a worker", statement).await?;
    store.wakes.worker_came(info.id);
    Ok(())
}

pub(crate) async fn beat(store: &Store, beat: &Beat) -> Result<Orders> {
    let memory = store.memory(beat.worker);
    let from = memory.looked_at_from(Instant::now());
    let asked = Utc::now();
    let statement = store
        .statement(&store.sql.beat)
        .bind(beat.worker.as_uuid())
        .bind(uuids(&beat.claims))
        .bind(beat.newest.map(|claim| claim.as_uuid()))
        .bind(from.map_or(Uuid::nil(), |claim| claim.as_uuid()));
    let row = store.row("report that a worker lives", statement).await?;
    store.clock.learn(asked, row.get("now"));
    if !row.get::<bool, _>("alive") {
        return Ok(Orders::dead());
    }
    let unknown: Vec<Uuid> = row.get("unknown");
    if unknown.is_empty() || give_back(store, beat.worker, Some(&unknown)).await? {
        // What is below was settled by now: all but what this beat named or is younger.
        let below = beat.claims.iter().copied().chain(beat.newest).min();
        memory.beaten(below, Instant::now());
    }
    let missing: Vec<Uuid> = row.get("missing");
    Ok(Orders::alive(
        missing.into_iter().map(ClaimId::from).collect(),
    ))
}

/// Gives back what these claims hold, or all that the worker holds. Answers whether nothing is
/// left: what others have locked is.
pub(crate) async fn give_back(
    store: &Store,
    worker: WorkerId,
    claims: Option<&[Uuid]>,
) -> Result<bool> {
    loop {
        let statement = store
            .statement(&store.sql.give_back)
            .bind(worker.as_uuid())
            .bind(claims)
            .bind(BITE);
        let row = store.row("give jobs back", statement).await?;
        store.followed(&row);
        if !row.get::<bool, _>("more") {
            return Ok(true);
        }
        if row.get::<i64, _>("released") == 0 {
            return Ok(false);
        }
    }
}

pub(crate) async fn retire(store: &Store, worker: WorkerId) -> Result<()> {
    // In this order: one who dies in between is a worker that died holding little or nothing.
    give_back(store, worker, None).await?;
    let statement = store.statement(&store.sql.retire).bind(worker.as_uuid());
    store.rows("retire a worker", statement).await?;
    store.wakes.worker_went(worker);
    store.forget(worker);
    Ok(())
}

pub(crate) async fn suspect(store: &Store, worker: WorkerId, job: Option<JobId>) -> Result<()> {
    let statement = store
        .statement(&store.sql.suspect)
        .bind(worker.as_uuid())
        .bind(job.map(|job| job.as_uuid()));
    store.rows("note a suspect", statement).await?;
    Ok(())
}

pub(crate) async fn presences(store: &Store) -> Result<Vec<Presence>> {
    let statement = store.statement(&store.sql.presences);
    let rows = store.rows("look for workers", statement).await?;
    let presence = |row: &sqlx::postgres::PgRow| Presence {
        worker: row.get::<Uuid, _>(0).into(),
        beat: row.get(1),
        dead: row.get(2),
    };
    Ok(rows.iter().map(presence).collect())
}

pub(crate) async fn rescue(store: &Store, request: &RescueRequest) -> Result<Rescued> {
    let statement = store
        .statement(&store.sql.rescue)
        .bind(request.worker.as_uuid())
        .bind(request.beat)
        .bind(request.lost_limit.min(i16::MAX as u32) as i32)
        .bind(request.lost_reason)
        .bind(request.limit.min(i32::MAX as usize) as i32);
    let row = store.row("rescue jobs", statement).await?;
    store.followed(&row);
    Ok(Rescued {
        released: row.get::<i64, _>("released") as u64,
        failed: row.get::<i64, _>("failed") as u64,
        more: row.get("more"),
    })
}

pub(crate) async fn revoked(store: &Store, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let mut runs = runs.to_vec();
    runs.sort_unstable();
    let statement = store
        .statement(&store.sql.revoked)
        .bind(
            runs.iter()
                .map(|(job, _)| job.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind(runs.iter().map(|(_, run)| *run).collect::<Vec<_>>());
    let rows = store.rows("look for revoked runs", statement).await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<Uuid, _>(0).into())
        .collect())
}

fn uuids(claims: &[ClaimId]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.as_uuid()).collect()
}

impl Memory {
    /// From which claim on a beat has to look; now and then it looks at all.
    fn looked_at_from(&self, now: Instant) -> Option<ClaimId> {
        let mut state = self.state();
        if state.full_beat.is_none_or(|at| now - at >= FULL_LOOK) {
            state.full_beat = Some(now);
            return None;
        }
        state.beaten
    }

    /// Nothing below this claim was amiss.
    fn beaten(&self, below: Option<ClaimId>, now: Instant) {
        let mut state = self.state();
        match state.next_beaten {
            Some((at, _)) if now - at < LATE => {}
            Some((_, below)) => {
                state.beaten = below;
                state.next_beaten = None;
            }
            None => state.next_beaten = Some((now, below)),
        }
    }
}
