//! What jobs ask for beyond a due time: that others end first, that nobody else holds their key, that not too
//! many run at once.
//!
//! All of it happens in the transaction of the verb that it follows from, however far it goes: there is one
//! writer, so nothing that is read here can change before it is written.

mod alarm;
mod batch;
mod expiry;
mod limit;
mod parents;
mod pass;
mod pauses;
mod resolve;
mod room;
mod store;
mod unique;
mod whole;
mod whole_batch;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::Ordering;

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use jobs_core::Error;
use jobs_core::job::{BatchId, JobId, Rules, State};
use jobs_core::storage::ClaimedJob;

use crate::clock::note_time;
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::settle::Counted;
use crate::wake::Hints;

use limit::{Limits, Line};
use pauses::Pauses;

/// How many keys whose time is up are forgotten in one step.
const MOST_KEYS: i64 = 1_000;

pub(crate) use alarm::{alarm, ripen};
pub(crate) use batch::record;
pub(crate) use limit::{choose, list};
pub(crate) use parents::{awaited, uuid_of};
pub(crate) use store::{needs_room, store};
pub(crate) use unique::holders;
pub(crate) use whole::whole;
pub(crate) use whole_batch::{cancel, create, open_members, seal, settle, take_again};

/// One step in a transaction, with what it is worth telling once that is committed.
pub(crate) struct Step<'t> {
    pub(crate) tx: &'t mut SqliteConnection,
    pub(crate) queries: &'t Queries,
    /// When.
    pub(crate) now: i64,
    pub(crate) hints: Hints,
    counted: Counted,
    /// The lines before limits that are to be looked at in the end.
    lines: BTreeSet<Line>,
    limits: Limits,
    pauses: Option<Pauses>,
    /// Who has fallen due was looked for.
    ripened: bool,
}

impl<'t> Step<'t> {
    pub(crate) fn new(tx: &'t mut SqliteConnection, queries: &'t Queries, now: i64) -> Self {
        Self {
            tx,
            queries,
            now,
            hints: Hints::default(),
            counted: Counted::default(),
            lines: BTreeSet::new(),
            limits: Limits::default(),
            pauses: None,
            ripened: false,
        }
    }

    /// Sees to what follows when jobs have become final: see [`resolve`].
    pub(crate) async fn ended(&mut self, jobs: Vec<(Uuid, State)>) -> fault::Result<()> {
        resolve::ended(self, jobs).await
    }

    /// Sees to those who wait for the jobs (ids) that are about to be removed.
    pub(crate) async fn removed(&mut self, jobs: &str) -> fault::Result<()> {
        resolve::removed(self, jobs, None).await
    }

    /// The same, for this reason, whatever they wait for.
    async fn gone(&mut self, parents: &str, why: &str) -> fault::Result<()> {
        resolve::removed(self, parents, Some(why)).await
    }

    /// Gives jobs that wait for nothing but their time the place to do so.
    pub(crate) async fn place(&mut self, jobs: &[Uuid]) -> fault::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let ids = encode::ids(jobs.iter().copied())?;
        let tickets = self.queries.ticket.query().bind(ids.clone());
        let tickets = tickets.execute(&mut *self.tx).await?;
        if tickets.rows_affected() < jobs.len() as u64 {
            self.line_up(&ids).await?;
        }
        note_time(self.tx, self.queries, self.now).await
    }

    /// Removes batches that have ended; who still waits for them waits in vain.
    pub(crate) async fn forget_batches(&mut self, batches: Vec<Uuid>) -> fault::Result<()> {
        self.removed(&ids_of(batches.iter().copied())?).await?;
        whole_batch::forget(self, batches).await
    }

    /// Deletes jobs that have not ended, each for a reason, with what follows.
    async fn end(&mut self, jobs: &[(Uuid, String)]) -> fault::Result<()> {
        self.delete(jobs).await?;
        let ended = jobs.iter().map(|(job, _)| (*job, State::Deleted));
        self.ended(ended.collect()).await
    }

    /// Deletes jobs that have not ended, each for a reason.
    async fn delete(&mut self, jobs: &[(Uuid, String)]) -> fault::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = jobs.iter().map(|(job, _)| *job).collect();
        self.lift(&ids).await?;
        self.forget_parents(&ids).await?;
        let rows = encode::rows(jobs.iter().map(|(job, reason)| (Hex(*job), reason)))?;
        let end = self.queries.end.query().bind(rows).bind(self.now);
        for row in end.fetch_all(&mut *self.tx).await? {
            self.counted.of(row.try_get(0)?, row.try_get(1)?).deleted += 1;
        }
        Ok(())
    }

    /// Takes waiting jobs out of the places where they wait.
    pub(crate) async fn lift(&mut self, jobs: &[Uuid]) -> fault::Result<()> {
        let ids = encode::ids(jobs.iter().copied())?;
        let untie = self.queries.untie.query().bind(ids.clone());
        untie.execute(&mut *self.tx).await?;
        let unblock = self.queries.unblock.query().bind(ids);
        for row in unblock.fetch_all(&mut *self.tx).await? {
            // Whoever is first in line now may be lighter.
            if row.try_get(2)? {
                self.lines.insert((row.try_get(0)?, row.try_get(1)?));
            }
        }
        let runs: Vec<_> = jobs.iter().map(|job| (*job, None)).collect();
        self.free(&runs).await
    }

    /// Jobs wait for no parent any more, whatever becomes of those.
    pub(crate) async fn forget_parents(&mut self, jobs: &[Uuid]) -> fault::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let ids = encode::ids(jobs.iter().copied())?;
        let drop = self.queries.dependency_drop.query().bind(ids);
        drop.execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Jobs that were final are to run again: their batches have not ended, and they hold their keys.
    pub(crate) async fn requeued(&mut self, jobs: &[Again]) -> fault::Result<()> {
        for job in jobs {
            if let Some(batch) = job.rules.batch {
                batch::reopen(self, batch.as_uuid(), job.from).await?;
            }
        }
        let keys = jobs.iter().filter_map(|job| {
            let unique = job.rules.unique.as_ref()?;
            let expires_at = unique::expires_at(unique, self.now);
            let held = unique.until.ends_with_job();
            held.then_some((&job.kind, &unique.key, Hex(job.id), expires_at))
        });
        let keys: Vec<_> = keys.collect();
        if !keys.is_empty() {
            let take = self.queries.unique_take.query();
            let take = take.bind(encode::rows(keys)?);
            take.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Members of these batches were Failed, and are not any more.
    pub(crate) async fn no_longer_failed(&mut self, batches: &[Uuid]) -> fault::Result<()> {
        for batch in batches {
            batch::reopen(self, *batch, State::Failed).await?;
        }
        Ok(())
    }

    /// Does what is due: deletes jobs that have not been started in time, forgets keys whose time is up, and
    /// removes batches that have been incomplete since `since`.
    pub(crate) async fn upkeep(&mut self, since: i64) -> fault::Result<()> {
        self.ripen(self.now).await?;
        expiry::expire(self).await?;
        let keys = self.queries.unique_expire.query().bind(self.now);
        keys.bind(MOST_KEYS).execute(&mut *self.tx).await?;
        whole_batch::abandon(self, since).await
    }

    /// Writes down what has been counted so far.
    async fn count(&mut self) -> fault::Result<()> {
        let counted = std::mem::take(&mut self.counted);
        counted.write(self.tx, self.queries, self.now).await
    }

    /// Somebody may be let in then, although nobody comes or goes.
    fn look_at(&self, at: i64) {
        self.queries.alarm.fetch_min(at, Ordering::Relaxed);
    }

    /// Lets in whom limits allow, and writes the counters down; the last thing that a step does.
    pub(crate) async fn finish(mut self) -> fault::Result<Hints> {
        if !self.lines.is_empty() || self.ripened {
            self.admit().await?;
        }
        self.counted.write(self.tx, self.queries, self.now).await?;
        Ok(self.hints)
    }
}

/// Jobs have been taken by a worker: keys that are held until then are free.
pub(crate) async fn started(
    tx: &mut SqliteConnection,
    queries: &Queries,
    jobs: &[ClaimedJob],
) -> fault::Result<()> {
    let key = |job: &ClaimedJob| {
        let unique = job.rules.as_ref()?.unique.as_ref()?;
        unique.until.ends_at_start().then(|| {
            (
                job.kind.to_string(),
                unique.key.clone(),
                Hex(job.id.as_uuid()),
            )
        })
    };
    let keys: Vec<_> = jobs.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let free = queries.unique_free.query().bind(encode::rows(keys)?);
    free.execute(tx).await?;
    Ok(())
}

/// A job with rules that was final and is to run again.
pub(crate) struct Again {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) rules: Rules,
    /// How it had ended.
    pub(crate) from: State,
}

/// Why a request is refused before anything is written: something about it is wrong.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    UnknownJob(JobId),
    UnknownBatch(BatchId),
    Duplicate {
        holder: JobId,
        key: String,
    },
    /// Something that can never be.
    Invalid(String),
}

impl Refusal {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::UnknownJob(job) => Error::UnknownJob(job),
            Self::UnknownBatch(batch) => Error::UnknownBatch(batch),
            Self::Duplicate { holder, key } => Error::Duplicate { holder, key },
            Self::Invalid(why) => Error::Invalid(why),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().into_error().fmt(f)
    }
}

/// What was done, or why it was refused before anything was written.
pub(crate) type Told<T> = Result<T, Refusal>;

/// What a job's rules say. What does not parse was written by a later version, or by hand.
pub(crate) fn read_rules(text: Option<&str>) -> Option<Rules> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

/// Ids as the text of one JSON array.
fn ids_of(ids: impl IntoIterator<Item = Uuid>) -> fault::Result<String> {
    encode::rows(ids.into_iter().map(Hex))
}
