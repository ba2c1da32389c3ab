//! Writing down how runs ended.
//!
//! Everything in one transaction: a kill leaves all of a flush or nothing. A flush that is sent again finds
//! its runs over and answers that they were settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{AttemptOutcome, State};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Flush, Refusal, Refused, Settlement};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::rules::Step;
use crate::wake::Hints;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn settle_flush(&self, flush: &Flush) -> Result<Vec<Refused>> {
        if flush.settlements.is_empty() && flush.closed.is_empty() {
            return Ok(Vec::new());
        }
        let (mut hints, wakes) = (Hints::default(), self.0.wakes.clone());
        let waiting = flush.settlements.iter().filter(|s| waits_again(s));
        waiting.for_each(|settlement| hints.jobs(&settlement.queue));
        let flush = Arc::new(flush.clone());
        self.0
            .writer
            .run(
                Durability::Full,
                move |tx, queries| {
                    let flush = Arc::clone(&flush);
                    Box::pin(async move { settle(tx, queries, &flush).await })
                },
                move |(_, others): &(Vec<Refused>, Hints)| {
                    hints.send(&wakes);
                    others.send(&wakes);
                },
            )
            .await
            .map(|(refused, _)| refused)
            .map_err(|fault| fault.during("settling jobs"))
    }
}

fn waits_again(settlement: &Settlement) -> bool {
    use Transition::{Release, Retry, Snooze};
    matches!(
        settlement.transition,
        Retry { .. } | Snooze { .. } | Release { .. }
    )
}

async fn settle(
    tx: &mut SqliteConnection,
    queries: &Queries,
    flush: &Flush,
) -> fault::Result<(Vec<Refused>, Hints)> {
    let worker = flush.worker.as_uuid();
    let Fenced { refused, touched } = fence(tx, queries, flush).await?;
    let mut batch = Batch::new(clock::now());
    for (at, settlement) in flush.settlements.iter().enumerate() {
        if !refused.contains_key(&at) {
            batch.add(settlement, touched.contains(&at));
        }
    }
    let hints = batch.write(tx, queries, worker).await?;
    if !flush.closed.is_empty() {
        let closed = encode::ids(flush.closed.iter().map(|claim| claim.as_uuid()))?;
        let close = queries.claim_close.query().bind(closed).bind(worker);
        close.execute(tx).await?;
    }
    Ok((refused.into_values().collect(), hints))
}

/// What the fence says of the settlements of a flush, by their places in it.
#[derive(Default)]
struct Fenced {
    /// They may not be written.
    refused: BTreeMap<usize, Refused>,
    /// They concern others.
    touched: BTreeSet<usize>,
}

async fn fence(
    tx: &mut SqliteConnection,
    queries: &Queries,
    flush: &Flush,
) -> fault::Result<Fenced> {
    let runs = flush.settlements.iter();
    let runs = runs.map(|s| (Hex(s.job.as_uuid()), s.run, Hex(s.claim.as_uuid())));
    let rows = queries
        .settle_fence
        .query()
        .bind(encode::rows(runs)?)
        .bind(flush.worker.as_uuid())
        .fetch_all(tx)
        .await?;
    let mut fenced = Fenced::default();
    for row in rows {
        let at = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let Some(settlement) = flush.settlements.get(at) else {
            continue;
        };
        if !row.try_get::<bool, _>(1)? {
            fenced.touched.insert(at);
            continue;
        }
        let why = match row.try_get::<Option<bool>, _>(2)? {
            Some(true) => Refusal::AlreadySettled,
            _ => Refusal::Superseded,
        };
        let refused = Refused {
            job: settlement.job,
            run: settlement.run,
            why,
        };
        fenced.refused.insert(at, refused);
    }
    Ok(fenced)
}

/// [job, run, state, attempts used, due_at, reason, result, started_at, finished_at, released]
type End<'s> = (
    Hex,
    i32,
    &'static str,
    u8,
    Option<i64>,
    Option<&'s str>,
    Option<&'s str>,
    Option<i64>,
    Option<i64>,
    bool,
);

/// [job, run, number, started_at, finished_at, outcome, reason, error]
type Attempt<'s> = (
    Hex,
    i32,
    u32,
    Option<i64>,
    i64,
    &'static str,
    &'s str,
    Option<String>,
);

/// The rows that follow from settlements.
struct Batch<'s> {
    now: i64,
    ends: Vec<End<'s>>,
    waiting: Vec<Uuid>,
    snoozed: Vec<Hex>,
    attempts: Vec<Attempt<'s>>,
    counted: Counted,
    /// Those that concern others, with their starts; and how they end, if they are final.
    touched: Vec<(Uuid, Option<i64>)>,
    ended: Vec<(Uuid, State)>,
}

impl<'s> Batch<'s> {
    fn new(now: i64) -> Self {
        Self {
            now,
            ends: Vec::new(),
            waiting: Vec::new(),
            snoozed: Vec::new(),
            attempts: Vec::new(),
            counted: Counted::default(),
            touched: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// `touched`: what becomes of the job concerns others.
    fn add(&mut self, settlement: &'s Settlement, touched: bool) {
        let job = settlement.job.as_uuid();
        let state = final_state(&settlement.transition);
        self.ended
            .extend(state.filter(|_| touched).map(|state| (job, state)));
        let Self { now, .. } = *self;
        let id = Hex(settlement.job.as_uuid());
        let run = settlement.run;
        let ended = now.saturating_sub(encode::span(settlement.ended_ago));
        let ran = settlement.ran_for.map(encode::span);
        let started = ran.map(|ran| ended.saturating_sub(ran));
        self.touched.extend(touched.then_some((job, started)));
        let later = |delay| Some(now.saturating_add(encode::span(delay)));
        let mut add = |state, used, due_at, reason, result, finished| {
            let end = (
                id, run, state, used, due_at, reason, result, started, finished, false,
            );
            self.ends.push(end);
        };
        let counts = self.counted.of(&settlement.queue, &settlement.kind);
        let tried = match &settlement.transition {
            Transition::Succeed { result, note } => {
                let (note, result) = (note.as_deref(), result.as_deref());
                add("succeeded", 1, None, note, result, Some(ended));
                counts.succeeded += 1;
                counts.ran(settlement.ran_for);
                None
            }
            Transition::Fail {
                reason,
                how,
                report,
            } => {
                add("failed", 1, None, Some(reason), None, Some(ended));
                counts.failed += 1;
                counts.ran(settlement.ran_for);
                Some((*how, reason, Some(report)))
            }
            Transition::Retry {
                delay,
                reason,
                how,
                report,
            } => {
                add("waiting", 1, later(*delay), Some(reason), None, None);
                counts.retried += 1;
                counts.ran(settlement.ran_for);
                self.waiting.push(job);
                Some((*how, reason, Some(report)))
            }
            Transition::Delete { reason } => {
                add("deleted", 0, None, Some(reason), None, Some(ended));
                counts.deleted += 1;
                None
            }
            Transition::Snooze { delay, reason } => {
                add("waiting", 0, later(*delay), Some(reason), None, None);
                self.waiting.push(job);
                self.snoozed.push(id);
                Some((AttemptOutcome::Snoozed, reason, None))
            }
            Transition::Release { .. } => {
                let due = Some(now);
                let end = (id, run, "waiting", 0, due, None, None, None, None, true);
                self.ends.push(end);
                self.waiting.push(job);
                None
            }
            // A transition that this version does not know cannot be made by the core of its version.
            _ => None,
        };
        if let Some((how, reason, report)) = tried {
            let report = report.and_then(|report| serde_json::to_string(report).ok());
            self.attempts.push((
                id,
                run,
                settlement.attempt + 1,
                started,
                ended,
                how.as_str(),
                reason,
                report,
            ));
        }
    }

    /// Writes down what has passed the fence in the same transaction.
    async fn write(
        self,
        tx: &mut SqliteConnection,
        queries: &Queries,
        worker: Uuid,
    ) -> fault::Result<Hints> {
        if self.ends.is_empty() {
            return Ok(Hints::default());
        }
        let ends = queries.settle.query().bind(encode::rows(&self.ends)?);
        ends.bind(worker).execute(&mut *tx).await?;
        if !self.attempts.is_empty() {
            let attempts = queries.attempt.query().bind(encode::rows(self.attempts)?);
            attempts.bind(worker).execute(&mut *tx).await?;
        }
        if !self.snoozed.is_empty() {
            let snoozed = encode::rows(&self.snoozed)?;
            let trim = queries.attempt_trim.query().bind(snoozed);
            trim.execute(&mut *tx).await?;
        }
        self.counted.write(tx, queries, self.now).await?;
        if self.touched.is_empty() && self.waiting.is_empty() {
            return Ok(Hints::default());
        }
        let mut step = Step::new(tx, queries, self.now);
        step.free(&self.touched).await?;
        step.place(&self.waiting).await?;
        step.ended(self.ended).await?;
        step.finish().await
    }
}

/// The state that a run ends in, if it is a final one.
fn final_state(transition: &Transition) -> Option<State> {
    match transition {
        Transition::Succeed { .. } => Some(State::Succeeded),
        Transition::Fail { .. } => Some(State::Failed),
        Transition::Delete { .. } => Some(State::Deleted),
        _ => None,
    }
}

/// What has happened to the jobs of one kind in one queue.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
    pub(crate) deleted: i64,
    pub(crate) retried: i64,
    pub(crate) run_millis: i64,
}

impl Counts {
    /// Adds the running time of one attempt.
    fn ran(&mut self, time: Option<Duration>) {
        self.run_millis += time.map_or(0, |time| encode::span(time) / 1_000);
    }

    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// What has happened in one transaction, for the counters.
#[derive(Default)]
pub(crate) struct Counted(BTreeMap<(String, String), Counts>);

impl Counted {
    pub(crate) fn of(&mut self, queue: &str, kind: &str) -> &mut Counts {
        self.0.entry((queue.into(), kind.into())).or_default()
    }

    /// Adds it to the counters, in the transaction in which it happened.
    pub(crate) async fn write(
        &self,
        tx: &mut SqliteConnection,
        queries: &Queries,
        now: i64,
    ) -> fault::Result<()> {
        const MINUTE: i64 = 60_000_000;
        if self.0.values().all(Counts::is_zero) {
            return Ok(());
        }
        let changed = self.0.iter().filter(|(_, counts)| !counts.is_zero());
        let rows = changed.map(|((queue, kind), n)| {
            (
                queue,
                kind,
                n.succeeded,
                n.failed,
                n.deleted,
                n.retried,
                n.run_millis,
            )
        });
        let stat = queries.stat.query().bind(encode::rows(rows)?);
        stat.bind(now - now.rem_euclid(MINUTE))
            .execute(&mut *tx)
            .await?;
        let sum = |of: fn(&Counts) -> i64| self.0.values().map(of).sum::<i64>();
        let states = [
            ("succeeded", sum(|n| n.succeeded)),
            ("failed", sum(|n| n.failed)),
            ("deleted", sum(|n| n.deleted)),
        ];
        let states = states.into_iter().filter(|(_, n)| *n != 0);
        let tally = queries.tally.query().bind(encode::rows(states)?);
        tally.execute(tx).await?;
        Ok(())
    }
}
