//! Taking due jobs.
//!
//! What a kill means here: before the commit, nothing was taken. After it, the claim names the jobs, and
//! the death of the worker gives them back. The answer was lost: the worker's next beat does not name the
//! claim as one it holds, and it is released.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{Row, SqliteConnection, SqliteExecutor};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::Priority;
use jobs_core::storage::{ClaimRequest, Claimed, ClaimedJob};

use crate::SqliteStorage;
use crate::clock;
use crate::control::Told;
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::queries::Queries;
use crate::rules::{self, read_rules};
use crate::writer::Durability;

/// A (queue, priority) that has tickets.
struct Lane {
    queue: Arc<str>,
    priority: i64,
    /// When its first job falls due, of whatever kind.
    first: i64,
}

/// A request as it goes into a transaction, which may be tried more than once.
struct Wanted {
    request: ClaimRequest,
    told: Told,
    /// Kinds that are not to be had: unknown to the worker, or paused.
    without: Option<Arc<str>>,
}

impl Wanted {
    fn new(request: &ClaimRequest, told: Told) -> fault::Result<Arc<Self>> {
        let kinds = request.unknown_kinds.iter().chain(&told.paused_kinds);
        let kinds: Vec<_> = kinds.collect();
        let without = (!kinds.is_empty()).then(|| encode::rows(kinds));
        Ok(Arc::new(Self {
            request: request.clone(),
            without: without.transpose()?.map(Into::into),
            told,
        }))
    }

    /// The same as a list for statements.
    fn without(&self) -> Arc<str> {
        self.without.clone().unwrap_or_else(|| "[]".into())
    }

    fn is_paused(&self, lane: &Lane) -> bool {
        let mut paused = self.told.paused.iter();
        paused.any(|paused| paused.matches(&lane.queue))
    }

    /// What a claim of these jobs is answered.
    fn got(&self, jobs: Vec<ClaimedJob>) -> Claimed {
        let kinds = self.told.paused_kinds.iter();
        Claimed {
            jobs,
            paused: self.told.paused.clone(),
            paused_kinds: kinds.map(|kind| (&**kind).into()).collect(),
            order: self.told.order.clone(),
        }
    }

    /// The lanes of each share, by queue.
    fn by_share<'l>(&self, lanes: &'l [Lane]) -> Vec<Vec<&'l Lane>> {
        let shares = &self.request.queues;
        let mut sorted = vec![Vec::new(); shares.len()];
        for lane in lanes.iter().filter(|lane| !self.is_paused(lane)) {
            if let Some(at) = shares.iter().position(|s| s.queues.matches(&lane.queue)) {
                sorted[at].push(lane);
            }
        }
        sorted
    }
}

/// Which queue a claim by a pattern has served last, so that the next one goes on behind it.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<str>>>);

impl Turns {
    fn last(&self) -> MutexGuard<'_, HashMap<String, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn went_to(&self, pattern: &str, queue: &Arc<str>) {
        self.last().insert(pattern.into(), Arc::clone(queue));
    }

    fn rotate(&self, pattern: &str, lanes: &mut [&Lane]) {
        if let Some(last) = self.last().get(pattern) {
            let next = lanes.partition_point(|lane| lane.queue <= *last);
            lanes.rotate_left(next);
        }
    }
}

impl SqliteStorage {
    pub(crate) async fn take(&self, request: &ClaimRequest) -> Result<Claimed> {
        let explained = |fault: Fault| fault.during("claiming jobs");
        let wanted = self.wanted(request).await.map_err(explained)?;
        // Looking first costs little, and an idle worker that is woken for nothing disturbs nobody who
        // writes.
        let due = request.limit > 0
            && self
                .first_due(&wanted)
                .await
                .map_err(explained)?
                .is_some_and(is_past);
        if !due {
            return Ok(wanted.got(Vec::new()));
        }
        let turns = Arc::clone(&self.0.turns);
        let told = Arc::clone(&wanted);
        let jobs = self
            .0
            .writer
            .run(
                Durability::Process,
                move |tx, queries| {
                    let (wanted, turns) = (Arc::clone(&wanted), Arc::clone(&turns));
                    Box::pin(async move { claim(tx, queries, &wanted, &turns).await })
                },
                |_| {},
            )
            .await
            .map_err(explained)?;
        Ok(told.got(jobs))
    }

    pub(crate) async fn until_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        let explained = |fault: Fault| fault.during("looking for the next job");
        let wanted = self.wanted(request).await.map_err(explained)?;
        let first = self.first_due(&wanted).await.map_err(explained)?;
        let first = first.into_iter().chain(wanted.told.next_end).min();
        let wait = |at: i64| Duration::from_micros(at.saturating_sub(clock::now()).max(0) as u64);
        Ok(first.map(wait))
    }

    async fn wanted(&self, request: &ClaimRequest) -> fault::Result<Arc<Wanted>> {
        Wanted::new(request, self.told().await?)
    }

    /// When the first job falls due that the request may have.
    async fn first_due(&self, wanted: &Wanted) -> fault::Result<Option<i64>> {
        let queries = &self.0.queries;
        let lanes = lanes(self.reads()?, queries).await?;
        let shared = wanted.by_share(&lanes);
        let lanes = shared.into_iter().flatten();
        if wanted.without.is_none() {
            return Ok(lanes.map(|lane| lane.first).min());
        }
        let mut first: Option<i64> = None;
        for lane in lanes {
            if first.is_some_and(|first| first <= lane.first) {
                continue;
            }
            let row = queries
                .lane_due
                .query()
                .bind(Arc::clone(&lane.queue))
                .bind(lane.priority)
                .bind(wanted.without())
                .fetch_optional(self.reads()?)
                .await?;
            if let Some(row) = row {
                let at: i64 = row.try_get(0)?;
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        }
        Ok(first)
    }
}

fn is_past(at: i64) -> bool {
    at <= clock::now()
}

async fn lanes(executor: impl SqliteExecutor<'_>, queries: &Queries) -> fault::Result<Vec<Lane>> {
    let rows = queries.lanes.query().fetch_all(executor).await?;
    let lane = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Lane {
            queue: row.try_get::<&str, _>(0)?.into(),
            priority: row.try_get(1)?,
            first: row.try_get(2)?,
        })
    };
    rows.iter().map(lane).collect()
}

async fn claim(
    tx: &mut SqliteConnection,
    queries: &Queries,
    wanted: &Wanted,
    turns: &Turns,
) -> fault::Result<Vec<ClaimedJob>> {
    let now = clock::now();
    let request = &wanted.request;
    let worker = request.worker.as_uuid();
    let alive = queries.worker_alive.query().bind(worker);
    if alive.fetch_optional(&mut *tx).await?.is_none() {
        // Nobody would ever give back what it takes. Its next beat tells it.
        return Ok(Vec::new());
    }
    let lanes = lanes(&mut *tx, queries).await?;
    let mut jobs = Vec::new();
    for (share, lanes) in request.queues.iter().zip(wanted.by_share(&lanes)) {
        let room = request.limit.saturating_sub(jobs.len());
        let mut left = share.limit.min(room);
        let due = lanes.into_iter().filter(|lane| lane.first <= now);
        let mut by_priority: BTreeMap<i64, Vec<&Lane>> = BTreeMap::new();
        due.for_each(|lane| by_priority.entry(lane.priority).or_default().push(lane));
        for mut equals in by_priority.into_values() {
            if equals.len() > 1 {
                turns.rotate(share.queues.as_str(), &mut equals);
            }
            let before = jobs.len();
            take_in_turn(tx, queries, wanted, &equals, now, left, &mut jobs).await?;
            left -= jobs.len() - before;
            if left == 0 {
                break;
            }
        }
        if let (Some(last), None) = (jobs.last(), share.queues.exact()) {
            turns.went_to(share.queues.as_str(), &last.queue);
        }
    }
    if !jobs.is_empty() {
        let taken = jobs.iter().map(|job| (Hex(job.id.as_uuid()), job.run));
        queries
            .claim_keep
            .query()
            .bind(request.claim.as_uuid())
            .bind(worker)
            .bind(now)
            .bind(encode::rows(taken)?)
            .execute(tx)
            .await?;
    }
    Ok(jobs)
}

/// Moves up to `limit` due jobs of lanes of one priority into `jobs`, one from each in turn.
async fn take_in_turn(
    tx: &mut SqliteConnection,
    queries: &Queries,
    wanted: &Wanted,
    lanes: &[&Lane],
    now: i64,
    limit: usize,
    jobs: &mut Vec<ClaimedJob>,
) -> fault::Result<()> {
    let mut left = limit;
    let mut open: Vec<&Lane> = lanes.to_vec();
    while left > 0 && !open.is_empty() {
        let (each, more) = (left / open.len(), left % open.len());
        let mut taken = Vec::with_capacity(open.len());
        let mut next = Vec::new();
        for (at, lane) in open.iter().enumerate() {
            let quota = each + usize::from(at < more);
            if quota == 0 {
                next.push(*lane);
                continue;
            }
            let (picked, found) = take_lane(tx, queries, wanted, lane, now, quota).await?;
            left -= found.len();
            if picked == quota {
                next.push(*lane);
            }
            taken.push(found.into_iter());
        }
        // From each in turn: the order in which they are to run.
        while !taken.is_empty() {
            taken.retain_mut(|found| found.next().map(|job| jobs.push(job)).is_some());
        }
        open = next;
    }
    Ok(())
}

/// Takes up to `limit` tickets from one lane; answers how many there were and the jobs they were for.
async fn take_lane(
    tx: &mut SqliteConnection,
    queries: &Queries,
    wanted: &Wanted,
    lane: &Lane,
    now: i64,
    limit: usize,
) -> fault::Result<(usize, Vec<ClaimedJob>)> {
    let picked = queries
        .claim_pick
        .query()
        .bind(Arc::clone(&lane.queue))
        .bind(lane.priority)
        .bind(now)
        .bind(wanted.without())
        .bind(limit as i64)
        .fetch_all(&mut *tx)
        .await?;
    let Some(last) = picked.last() else {
        return Ok((0, Vec::new()));
    };
    let (last, until): (Uuid, i64) = (last.try_get(0)?, last.try_get(1)?);
    let mut kind: Arc<str> = "".into();
    let mut jobs = Vec::with_capacity(picked.len());
    for row in &picked {
        jobs.extend(claimed(row, lane, &mut kind)?);
    }
    queries
        .claim_take
        .query()
        .bind(Arc::clone(&lane.queue))
        .bind(lane.priority)
        .bind(until)
        .bind(last)
        .bind(wanted.without())
        .execute(&mut *tx)
        .await?;
    rules::started(tx, queries, &jobs).await?;
    Ok((picked.len(), jobs))
}

/// The job of a ticket, unless the ticket is void. `kind` is the last job's, which is often this one's.
fn claimed(
    row: &sqlx::sqlite::SqliteRow,
    lane: &Lane,
    kind: &mut Arc<str>,
) -> fault::Result<Option<ClaimedJob>> {
    let Some(args) = row.try_get::<Option<String>, _>(4)? else {
        return Ok(None);
    };
    let name: &str = row.try_get(3)?;
    if name != &**kind {
        *kind = name.into();
    }
    let id = row.try_get::<Uuid, _>(0)?.into();
    let options: Option<&str> = row.try_get(5)?;
    Ok(Some(ClaimedJob {
        id,
        kind: Arc::clone(kind),
        args,
        queue: Arc::clone(&lane.queue),
        priority: Priority::new(i16::try_from(lane.priority).unwrap_or_default()),
        // What does not parse was written by a later version, or by hand: the kind's own settings then
        // hold. An error would keep everybody from this job and all behind it.
        options: options
            .and_then(|text| serde_json::from_str(text).ok())
            .map(Box::new),
        rules: read_rules(row.try_get(8)?).map(Box::new),
        attempt: row.try_get(6)?,
        lost: row.try_get(7)?,
        run: row.try_get(2)?,
        due_at: encode::time(row.try_get(1)?),
    }))
}
