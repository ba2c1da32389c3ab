//! Writing down how runs ended.
//!
//! Plain successes take one statement that applies a whole flush if all of its claims are alive,
//! which is nearly always so. Everything else, and a flush with a claim that is gone or a job that
//! somebody has locked, goes through a second one that looks at each job. Both are fenced by `run`,
//! so a flush that is sent again after a lost answer changes nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jobs_core::Result;
use jobs_core::job::{AttemptOutcome, ErrorReport, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Flush, Refusal, Refused, Settlement};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::insert::LONGEST_WAIT;
use crate::pool::Statement;
use crate::store::{Store, bounds};

const DOING: &str = "settle jobs";

pub(crate) async fn settle(store: &Store, flush: &Flush) -> Result<Vec<Refused>> {
    // Rows of many jobs are always touched in the order of their ids.
    let mut runs: Vec<&Settlement> = flush.settlements.iter().collect();
    runs.sort_unstable_by_key(|run| (run.job, run.run));
    let earlier = take_earlier(&mut runs);
    let (plain, other): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| is_plain(run));
    let memory = store.memory(flush.worker);
    // Claims of which every job is settled with this flush may go with its last statement. Of
    // others that is looked at first: the worker may be mistaken, and without its claim a job would
    // be nowhere.
    let answered = flush.settlements.iter().map(|run| run.claim);
    let (sure, unsure) = memory.closing(&flush.closed, answered);
    let mut refused = Vec::new();
    if !plain.is_empty() {
        let closed = if other.is_empty() { &*sure } else { &[] };
        refused.extend(settle_plain(store, flush.worker, &plain, closed).await?);
    }
    if !other.is_empty() {
        let closed = if refused.is_empty() { &*sure } else { &[] };
        refused.extend(settle_each(store, flush.worker, &other, closed).await?);
    }
    if !earlier.is_empty() {
        refused.extend(refusals(store, flush.worker, &earlier, Vec::new()).await?);
    }
    let unsure = if refused.is_empty() {
        let answered = flush.settlements.iter().map(|run| run.claim);
        memory.settled(answered, &flush.closed);
        unsure
    } else {
        flush.closed.iter().map(|claim| claim.as_uuid()).collect()
    };
    if !unsure.is_empty() {
        close(store, flush.worker, unsure).await?;
    }
    Ok(refused)
}

/// Takes out the runs of jobs of which there is a later one. An operator may have ended a run that its worker
/// knows nothing of yet, and the worker have been handed the job again: the statements tell jobs apart, not
/// their runs, and an earlier run is over in any case.
fn take_earlier<'f>(runs: &mut Vec<&'f Settlement>) -> Vec<&'f Settlement> {
    if runs.windows(2).all(|pair| pair[0].job != pair[1].job) {
        return Vec::new();
    }
    let jobs: Vec<_> = runs.iter().map(|run| run.job).collect();
    let mut place = 0;
    let earlier = runs.extract_if(.., |run| {
        place += 1;
        jobs.get(place) == Some(&run.job)
    });
    earlier.collect()
}

async fn close(store: &Store, worker: WorkerId, claims: Vec<Uuid>) -> Result<()> {
    let statement = store.statement(&store.sql.close);
    let statement = statement.bind(worker.as_uuid()).bind(claims);
    store.rows("close claims", statement).await?;
    Ok(())
}

fn is_plain(run: &Settlement) -> bool {
    matches!(run.transition, Transition::Succeed { note: None, .. }) && run.ran_for.is_some()
}

async fn settle_plain(
    store: &Store,
    worker: WorkerId,
    runs: &[&Settlement],
    closed: &[Uuid],
) -> Result<Vec<Refused>> {
    let statement = bind_plain(store, worker, runs, closed);
    let row = match store.row(DOING, statement).await {
        Ok(row) => row,
        // Somebody has locked one of the jobs for longer than a moment: the others need not wait
        // for it.
        Err(failure) if failure.code.as_deref() == Some("55P03") => {
            return settle_each(store, worker, runs, closed).await;
        }
        Err(failure) => return Err(failure.into()),
    };
    if !row.get::<bool, _>("applied") {
        return settle_each(store, worker, runs, closed).await;
    }
    store.followed(&row);
    if row.get::<i64, _>("settled") == runs.len() as i64 {
        return Ok(Vec::new());
    }
    let settled: Option<Vec<Uuid>> = row.get("ids");
    refusals(store, worker, runs, settled.unwrap_or_default()).await
}

fn bind_plain(store: &Store, worker: WorkerId, runs: &[&Settlement], closed: &[Uuid]) -> Statement {
    let any_result = runs.iter().any(|run| result(run).is_some());
    let results = if any_result { runs } else { &[] };
    bind(
        store.statement(&store.sql.settle_success),
        worker,
        runs,
        closed,
    )
    .bind(results.iter().map(|run| result(run)).collect::<Vec<_>>())
}

/// The parameters that both statements begin with.
fn bind(
    statement: Statement,
    worker: WorkerId,
    runs: &[&Settlement],
    closed: &[Uuid],
) -> Statement {
    let (low, high) = bounds(runs.iter().map(|run| run.job));
    let mut claims: Vec<_> = runs.iter().map(|run| run.claim.as_uuid()).collect();
    claims.sort_unstable();
    claims.dedup();
    statement
        .bind(worker.as_uuid())
        .bind(claims)
        .bind(closed)
        .bind(low)
        .bind(high)
        .bind(runs.iter().map(|run| run.job.as_uuid()).collect::<Vec<_>>())
        .bind(runs.iter().map(|run| run.run).collect::<Vec<_>>())
        .bind(
            runs.iter()
                .map(|run| run.ran_for.map(seconds))
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| seconds(run.ended_ago))
                .collect::<Vec<_>>(),
        )
}

async fn settle_each(
    store: &Store,
    worker: WorkerId,
    runs: &[&Settlement],
    closed: &[Uuid],
) -> Result<Vec<Refused>> {
    let row = store
        .row(DOING, bind_each(store, worker, runs, closed))
        .await?;
    let settled: Vec<Uuid> = row.get("ids");
    store.followed(&row);
    if settled.len() == runs.len() {
        return Ok(Vec::new());
    }
    refusals(store, worker, runs, settled).await
}

fn bind_each(store: &Store, worker: WorkerId, runs: &[&Settlement], closed: &[Uuid]) -> Statement {
    bind(store.statement(&store.sql.settle), worker, runs, closed)
        .bind(runs.iter().map(|run| result(run)).collect::<Vec<_>>())
        .bind(
            runs.iter()
                .map(|run| run.claim.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| code(&run.transition))
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| delay(run).map(seconds))
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| reason(&run.transition))
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| how(&run.transition))
                .collect::<Vec<_>>(),
        )
        .bind(
            runs.iter()
                .map(|run| report(&run.transition))
                .collect::<Vec<_>>(),
        )
}

/// Asks why outcomes were not applied: a question of its own, which sees what is committed by now.
async fn refusals(
    store: &Store,
    worker: WorkerId,
    runs: &[&Settlement],
    settled: Vec<Uuid>,
) -> Result<Vec<Refused>> {
    let settled: HashSet<Uuid> = settled.into_iter().collect();
    let refused: Vec<_> = runs
        .iter()
        .filter(|run| !settled.contains(&run.job.as_uuid()))
        .collect();
    let statement = store
        .statement(&store.sql.refused)
        .bind(worker.as_uuid())
        .bind(
            refused
                .iter()
                .map(|run| run.job.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind(refused.iter().map(|run| run.run).collect::<Vec<_>>())
        .bind(
            refused
                .iter()
                .map(|run| run.claim.as_uuid())
                .collect::<Vec<_>>(),
        );
    let rows = store.rows(DOING, statement).await?;
    let fate = |row: &PgRow| ((row.get::<Uuid, _>(0), row.get::<i32, _>(1)), row.get(2));
    let reasons: HashMap<(Uuid, i32), i32> = rows.iter().map(fate).collect();
    let why = |run: &&&Settlement| Refused {
        job: run.job,
        run: run.run,
        why: match reasons.get(&(run.job.as_uuid(), run.run)) {
            Some(0) => Refusal::Busy,
            Some(1) => Refusal::AlreadySettled,
            _ => Refusal::Superseded,
        },
    };
    Ok(refused.iter().map(why).collect())
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64().min(LONGEST_WAIT)
}

fn code(transition: &Transition) -> i16 {
    match transition {
        Transition::Succeed { .. } => 2,
        Transition::Fail { .. } => 3,
        Transition::Delete { .. } => 4,
        Transition::Retry { .. } => 0,
        Transition::Snooze { .. } => 5,
        // A transition of a later version is none that this one could have decided on.
        _ => 6,
    }
}

fn delay(run: &Settlement) -> Option<Duration> {
    match &run.transition {
        Transition::Retry { delay, .. } | Transition::Snooze { delay, .. } => Some(*delay),
        Transition::Release { .. } => Some(Duration::ZERO),
        _ => None,
    }
}

fn reason(transition: &Transition) -> Option<&str> {
    match transition {
        Transition::Succeed { note, .. } => note.as_deref(),
        Transition::Retry { reason, .. }
        | Transition::Fail { reason, .. }
        | Transition::Delete { reason }
        | Transition::Snooze { reason, .. } => Some(reason),
        _ => None,
    }
}

fn result(run: &Settlement) -> Option<&str> {
    match &run.transition {
        Transition::Succeed { result, .. } => result.as_deref(),
        _ => None,
    }
}

fn how(transition: &Transition) -> Option<&'static str> {
    match transition {
        Transition::Retry { how, .. } | Transition::Fail { how, .. } => Some(how.as_str()),
        Transition::Snooze { .. } => Some(AttemptOutcome::Snoozed.as_str()),
        _ => None,
    }
}

fn report(transition: &Transition) -> Option<String> {
    let (Transition::Retry { report, .. } | Transition::Fail { report, .. }) = transition else {
        return None;
    };
    Some(encode(report))
}

fn encode(report: &ErrorReport) -> String {
    serde_json::to_string(report).expect("a report is plain text")
}
