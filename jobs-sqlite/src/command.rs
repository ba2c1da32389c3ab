//! What operators do to jobs and queues.
//!
//! A command is one transaction: where the jobs stand is read in it, so that of two operators at once one
//! is told what the other did.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{JobId, Rules, State};
use jobs_core::storage::{Answer, Command, Verb};

use crate::SqliteStorage;
use crate::clock;
use crate::encode::{self, Hex};
use crate::fault::{self, Fault};
use crate::queries::Queries;
use crate::rules::{self, Again, Step, read_rules};
use crate::settle::Counted;
use crate::wake::Hints;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn carry_out(&self, command: &Command) -> Result<Vec<Answer>> {
        if command.jobs.is_empty() {
            return Ok(Vec::new());
        }
        let doing = format!("carrying out {}", command.verb.as_str());
        let command = Arc::new(command.clone());
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Full,
            move |tx, queries| {
                let command = Arc::clone(&command);
                let why = deleted_by(&command);
                Box::pin(async move { obey(tx, queries, &command, &why).await })
            },
            move |(_, hints): &(Vec<Answer>, Hints)| hints.send(&wakes),
        );
        let (answers, _) = answer.await.map_err(|fault| fault.during(&doing))?;
        Ok(answers)
    }
}

/// Where a job stands when a command comes.
struct Standing {
    id: JobId,
    state: State,
    run: i32,
    queue: String,
    kind: String,
    worker: Option<Uuid>,
    rules: Option<Rules>,
    /// Its batch is not complete.
    held: bool,
}

/// Why jobs are Deleted by a command.
fn deleted_by(command: &Command) -> String {
    let actor = &command.actor;
    match &command.reason {
        Some(reason) => format!("Deleted by {actor}: {reason}"),
        None => format!("Deleted by {actor}"),
    }
}

/// Carries a command out; `why` jobs are Deleted by it.
pub(crate) async fn obey(
    tx: &mut SqliteConnection,
    queries: &Queries,
    command: &Command,
    why: &str,
) -> fault::Result<(Vec<Answer>, Hints)> {
    let now = clock::now();
    let found = look(tx, queries, &command.jobs, now).await?;
    let mut changes = Changes::default();
    if command.verb == Verb::Requeue {
        changes.holders = holders_of(tx, queries, &found, now).await?;
    }
    let answer = |standing: &Option<Standing>| match standing {
        None => Answer::Unknown,
        Some(job) => changes.decide(command, job, why, now),
    };
    let answers = found.iter().map(answer).collect();
    let others = changes.write(tx, queries, command, now).await?;
    let mut hints = changes.hints;
    hints.add(others);
    Ok((answers, hints))
}

/// Who holds the keys that jobs want.
async fn holders_of(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: &[Option<Standing>],
    now: i64,
) -> fault::Result<HashMap<(String, String), JobId>> {
    let name = |job: &Standing| {
        let unique = job.rules.as_ref()?.unique.as_ref()?;
        Some((job.kind.clone(), unique.key.clone()))
    };
    let names: Vec<_> = jobs.iter().flatten().filter_map(name).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    rules::holders(&mut Step::new(tx, queries, now), &names).await
}

/// Where the jobs stand, in their order.
async fn look(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: &[JobId],
    now: i64,
) -> fault::Result<Vec<Option<Standing>>> {
    let ids = encode::ids(jobs.iter().map(|job| job.as_uuid()))?;
    let pick = queries.command_pick.query().bind(ids.clone());
    let rows = pick.fetch_all(&mut *tx).await?;
    let mut found: Vec<Option<Standing>> = jobs.iter().map(|_| None).collect();
    for row in &rows {
        let at = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let (Some(place), Some(&id)) = (found.get_mut(at), jobs.get(at)) else {
            continue;
        };
        *place = Some(Standing {
            id,
            state: state(row.try_get(1)?, row.try_get(6)?, row.try_get(5)?, now)?,
            run: row.try_get(2)?,
            queue: row.try_get(3)?,
            kind: row.try_get(4)?,
            worker: None,
            rules: read_rules(row.try_get(7)?),
            held: row.try_get(8)?,
        });
    }
    let held = |standing: &Option<Standing>| {
        let standing = standing.as_ref();
        standing.is_some_and(|standing| standing.state == State::Processing)
    };
    if found.iter().any(held) {
        let holders = holders(tx, queries, ids).await?;
        for job in found.iter_mut().flatten() {
            job.worker = holders.get(&(job.id.as_uuid(), job.run)).copied();
        }
    }
    Ok(found)
}

/// Who holds which run of the jobs `ids`.
pub(crate) async fn holders(
    executor: impl sqlx::SqliteExecutor<'_>,
    queries: &Queries,
    ids: String,
) -> fault::Result<HashMap<(Uuid, i32), Uuid>> {
    let rows = queries
        .held_by
        .query()
        .bind(ids)
        .fetch_all(executor)
        .await?;
    let holder =
        |row: &sqlx::sqlite::SqliteRow| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?));
    rows.iter().map(holder).collect()
}

/// The state that follows from the body's, from whether the job has a ticket, and for when.
pub(crate) fn state(stored: &str, waits: bool, due_at: i64, now: i64) -> fault::Result<State> {
    Ok(match (stored, waits) {
        ("waiting", true) if due_at > now => State::Scheduled,
        ("waiting", true) => State::Enqueued,
        ("waiting", false) => State::Processing,
        _ => stored
            .parse()
            .map_err(|error| Fault::Unreadable(format!("a job's state: {error}")))?,
    })
}

/// [job, run, state, due_at, fresh, finished_at, reason, worker]
type Change = (
    Hex,
    i32,
    &'static str,
    Option<i64>,
    bool,
    Option<i64>,
    Option<String>,
    Option<Hex>,
);

/// The rows that follow from a command.
#[derive(Default)]
struct Changes {
    changes: Vec<Change>,
    waiting: Vec<Uuid>,
    /// [job, from, to]
    events: Vec<(Hex, &'static str, &'static str)>,
    /// Jobs that were final and are not, or not so, any more.
    left: Vec<State>,
    /// Jobs that are Deleted, and those that wait for their parents no longer.
    ended: Vec<(Uuid, State)>,
    /// Batches of those of them that were Failed.
    recounted: Vec<Uuid>,
    /// Jobs with rules that run again, and who holds the keys that such jobs want.
    again: Vec<Again>,
    holders: HashMap<(String, String), JobId>,
    alone: Vec<Uuid>,
    counted: Counted,
    hints: Hints,
}

impl Changes {
    fn decide(&mut self, command: &Command, job: &Standing, why: &str, now: i64) -> Answer {
        use State::{Awaiting, Deleted, Enqueued, Failed, Processing, Scheduled, Succeeded};
        let from = job.state;
        if from == Awaiting
            && (command.verb == Verb::Delete || command.verb == Verb::RunNow && !job.held)
        {
            self.alone.push(job.id.as_uuid());
        }
        let to = match (command.verb, from) {
            (Verb::Delete, Failed | Scheduled | Enqueued | Processing | Awaiting) => {
                self.delete(job, why, now);
                Deleted
            }
            (Verb::Requeue, Succeeded | Failed | Deleted) => {
                if let Err(holder) = self.take_key(job) {
                    return Answer::KeyHeld(holder);
                }
                if job.held {
                    self.hold(job, now);
                    Awaiting
                } else {
                    self.wait(job, now, true);
                    Enqueued
                }
            }
            (Verb::RunNow, Enqueued) => Enqueued,
            (Verb::RunNow, Scheduled | Awaiting) if !job.held || from == Scheduled => {
                self.wait(job, now, false);
                Enqueued
            }
            (Verb::Reschedule(due), Scheduled | Enqueued) => {
                let at = encode::micros(due.at(encode::time(now)));
                self.wait(job, at, false);
                if at > now { Scheduled } else { Enqueued }
            }
            _ => return Answer::WrongState(from),
        };
        if from.is_final() {
            self.left.push(from);
        }
        let id = Hex(job.id.as_uuid());
        self.events.push((id, from.as_str(), to.as_str()));
        Answer::Done { from, to }
    }

    fn delete(&mut self, job: &Standing, why: &str, now: i64) {
        let id = Hex(job.id.as_uuid());
        let worker = job.worker.map(Hex);
        self.changes.push((
            id,
            job.run,
            "deleted",
            None,
            false,
            Some(now),
            Some(why.to_owned()),
            worker,
        ));
        self.counted.of(&job.queue, &job.kind).deleted += 1;
        self.ended.push((job.id.as_uuid(), State::Deleted));
        if job.state == State::Failed {
            // In its batch it counts as Deleted now, not as both.
            let batch = job.rules.as_ref().and_then(|rules| rules.batch);
            self.recounted.extend(batch.map(|batch| batch.as_uuid()));
        }
        if job.state == State::Processing {
            self.hints.cancelled(job.id);
        }
    }

    /// A job that was final and runs again takes its key again, unless another holds it.
    fn take_key(&mut self, job: &Standing) -> std::result::Result<(), JobId> {
        let Some(rules) = &job.rules else {
            return Ok(());
        };
        if let Some(unique) = &rules.unique
            && unique.until.ends_with_job()
        {
            let name = (job.kind.clone(), unique.key.clone());
            let holder = *self.holders.entry(name).or_insert(job.id);
            if holder != job.id {
                return Err(holder);
            }
        }
        self.again.push(Again {
            id: job.id.as_uuid(),
            kind: job.kind.clone(),
            rules: rules.clone(),
            from: job.state,
        });
        Ok(())
    }

    /// A job is to run again when its batch is complete.
    fn hold(&mut self, job: &Standing, now: i64) {
        let id = Hex(job.id.as_uuid());
        self.changes
            .push((id, job.run, "awaiting", Some(now), true, None, None, None));
    }

    fn wait(&mut self, job: &Standing, at: i64, fresh: bool) {
        let id = Hex(job.id.as_uuid());
        self.changes
            .push((id, job.run, "waiting", Some(at), fresh, None, None, None));
        self.waiting.push(job.id.as_uuid());
        self.hints.jobs(&job.queue);
    }

    async fn write(
        &self,
        tx: &mut SqliteConnection,
        queries: &Queries,
        command: &Command,
        now: i64,
    ) -> fault::Result<Hints> {
        if self.events.is_empty() {
            return Ok(Hints::default());
        }
        let mut step = Step::new(tx, queries, now);
        step.forget_parents(&self.alone).await?;
        if !self.changes.is_empty() {
            // A ticket is found by what the body says, so it goes first.
            let moved: Vec<Uuid> = self.changes.iter().map(|change| change.0.0).collect();
            step.lift(&moved).await?;
            let changes = queries.command.query().bind(encode::rows(&self.changes)?);
            changes.execute(&mut *step.tx).await?;
        }
        let tx = &mut *step.tx;
        let left = self.left.iter().map(|state| (state.as_str(), -1));
        leave(&mut *tx, queries, left).await?;
        self.counted.write(&mut *tx, queries, now).await?;
        let event = queries.event.query().bind(encode::rows(&self.events)?);
        event
            .bind(now)
            .bind(command.verb.as_str())
            .bind(command.actor.clone())
            .bind(command.reason.clone())
            .execute(tx)
            .await?;
        step.no_longer_failed(&self.recounted).await?;
        step.requeued(&self.again).await?;
        step.place(&self.waiting).await?;
        step.ended(self.ended.clone()).await?;
        step.finish().await
    }
}

/// Takes jobs out of the numbers of those in a final state.
pub(crate) async fn leave<'s>(
    tx: &mut SqliteConnection,
    queries: &Queries,
    states: impl Iterator<Item = (&'s str, i64)>,
) -> fault::Result<()> {
    let mut sums: HashMap<&str, i64> = HashMap::new();
    states.for_each(|(state, n)| *sums.entry(state).or_default() += n);
    if sums.is_empty() {
        return Ok(());
    }
    let tally = queries.tally.query().bind(encode::rows(sums)?);
    tally.execute(tx).await?;
    Ok(())
}
