//! What jobs ask for beyond a due time: that others end first.
//!
//! All of it happens in the transaction of the verb that it follows from, however far it goes: there is one
//! writer, so nothing that is read here can change before it is written.

mod parents;
mod resolve;
mod store;
mod whole;

use std::fmt;

use sqlx::SqliteConnection;
use uuid::Uuid;

use jobs_core::Error;
use jobs_core::job::{BatchId, JobId, State};

use crate::clock::note_time;
use crate::encode::{self, Hex};
use crate::fault;
use crate::queries::Queries;
use crate::settle::Counted;
use crate::wake::Hints;

pub(crate) use parents::awaited;
pub(crate) use store::{needs_room, store};
pub(crate) use whole::whole;

/// One step in a transaction, with what it is worth telling once that is committed.
pub(crate) struct Step<'t> {
    pub(crate) tx: &'t mut SqliteConnection,
    pub(crate) queries: &'t Queries,
    /// When.
    pub(crate) now: i64,
    pub(crate) hints: Hints,
    counted: Counted,
}

impl<'t> Step<'t> {
    pub(crate) fn new(tx: &'t mut SqliteConnection, queries: &'t Queries, now: i64) -> Self {
        Self {
            tx,
            queries,
            now,
            hints: Hints::default(),
            counted: Counted::default(),
        }
    }

    /// Sees to what follows when jobs have become final: see [`resolve`].
    pub(crate) async fn ended(&mut self, jobs: Vec<(Uuid, State)>) -> fault::Result<()> {
        resolve::ended(self, jobs).await
    }

    /// Sees to those who wait for the jobs (ids) that are about to be removed.
    pub(crate) async fn removed(&mut self, jobs: &str) -> fault::Result<()> {
        resolve::removed(self, jobs).await
    }

    /// Gives jobs that wait for nothing but their time the place to do so.
    pub(crate) async fn place(&mut self, jobs: &[Uuid]) -> fault::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let ids = encode::ids(jobs.iter().copied())?;
        let tickets = self.queries.ticket.query().bind(ids);
        tickets.execute(&mut *self.tx).await?;
        note_time(self.tx, self.queries, self.now).await
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

    /// Writes the counters down; the last thing that a step does.
    pub(crate) async fn finish(self) -> fault::Result<Hints> {
        self.counted.write(self.tx, self.queries, self.now).await?;
        Ok(self.hints)
    }
}

/// Why a request is refused before anything is written: something about it is wrong.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    UnknownJob(JobId),
    UnknownBatch(BatchId),
}

impl Refusal {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::UnknownJob(job) => Error::UnknownJob(job),
            Self::UnknownBatch(batch) => Error::UnknownBatch(batch),
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

/// Ids as the text of one JSON array.
fn ids_of(ids: impl IntoIterator<Item = Uuid>) -> fault::Result<String> {
    encode::rows(ids.into_iter().map(Hex))
}
