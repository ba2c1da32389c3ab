//! What nobody asks for and somebody has to see to: jobs that are in no place, claims of workers that nobody knows, rows
//! that count no more.
//!
//! Every worker comes by every few minutes; the database says whether it is time, so that it costs the same however many
//! workers there are. Each statement is a small piece of it, done whole or not at all: a kill leaves the rest to whoever comes
//! next.
//!
//! To go through a million finished jobs takes 0.9 s of the server's time, through a million that wait 2.9 s (PostgreSQL 15).
//! With a budget of 250 ms in four minutes that is a thousandth of one core at most, whatever there is. From the loss to the
//! ticket it may take two hours in a database of 100,000 jobs, and ten more in one of ten million.

use std::time::{Duration, Instant};

use jobs_core::Result;
use jobs_core::job::JobId;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::store::Store;

/// How often, and how much.
pub(crate) struct Pace {
    /// From one pass to the next; workers come by a little less often.
    pub(crate) every: Duration,
    /// From one look for claims without a worker to the next.
    pub(crate) claims_every: Duration,
    /// From one round through all jobs to the next, at least.
    pub(crate) round: Duration,
    /// How old a job is that may be lost.
    pub(crate) age: Duration,
    /// How long a job must have been nowhere before it gets a ticket.
    pub(crate) apart: Duration,
    /// How many jobs one statement looks at.
    pub(crate) piece: i32,
    /// How long a pass may go on looking.
    pub(crate) budget: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            every: minutes(4),
            claims_every: minutes(60),
            round: minutes(60),
            age: minutes(60),
            apart: minutes(3),
            piece: 2_000,
            budget: Duration::from_millis(250),
        }
    }
}

/// How many lost jobs get a ticket in one pass, and how many rows of a kind one statement removes.
const CHUNK: i32 = 1_000;

/// Does what is due, if anything is.
pub(crate) async fn care(store: &Store, pace: &Pace) -> Result<()> {
    let statement = store.statement(&store.sql.begin_care);
    let statement = statement.bind(pace.every.as_secs_f64());
    let statement = statement.bind(pace.claims_every.as_secs_f64());
    let due = store.row("begin to tidy up", statement).await?;
    if due.get("claims_due") {
        adopt_claims(store).await?;
    }
    if due.get("due") {
        recover(store, pace).await?;
        look(store, pace).await?;
        sweep(store, pace).await?;
    }
    Ok(())
}

async fn adopt_claims(store: &Store) -> Result<()> {
    let statement = store.statement(&store.sql.adopt_claims);
    let row = store.row("look for claims without a worker", statement);
    let workers: i64 = row.await?.get("found");
    if workers > 0 {
        tracing::warn!(
            workers,
            "workers that nobody knows any more hold jobs; these will be given back"
        );
    }
    Ok(())
}

/// Gives jobs that an earlier pass has noted, and that are still nowhere, a ticket.
async fn recover(store: &Store, pace: &Pace) -> Result<()> {
    let statement = store.statement(&store.sql.recover);
    let statement = statement.bind(pace.apart.as_secs_f64()).bind(CHUNK);
    let row = store.row("bring lost jobs back", statement).await?;
    report(&row);
    store.followed(&row);
    Ok(())
}

fn report(row: &PgRow) {
    let ids: Vec<Uuid> = row.get("ids");
    let kinds: Vec<String> = row.get("kinds");
    for (id, kind) in ids.into_iter().zip(kinds) {
        let job = JobId::from(id);
        tracing::warn!(
            %job,
            kind,
            "a waiting job was in no queue and with no worker, and was put back into its queue; unless somebody changed the \
             tables by hand this is a bug in `jobs`: please report it"
        );
    }
}

/// Notes who is nowhere, for as long as a pass may take.
async fn look(store: &Store, pace: &Pace) -> Result<()> {
    let until = Instant::now() + pace.budget;
    loop {
        let statement = store.statement(&store.sql.look_for_lost).bind(pace.piece);
        let statement = statement.bind(pace.age.as_secs_f64());
        let statement = statement.bind(pace.round.as_secs_f64());
        let row = store.row("look for lost jobs", statement).await?;
        if row.get::<i64, _>("looked") < i64::from(pace.piece) || Instant::now() >= until {
            return Ok(());
        }
    }
}

async fn sweep(store: &Store, pace: &Pace) -> Result<()> {
    let until = Instant::now() + pace.budget;
    loop {
        let statement = store.statement(&store.sql.sweep).bind(CHUNK);
        let row = store.row("remove what counts no more", statement).await?;
        if row.get::<i64, _>("gone") < i64::from(CHUNK) || Instant::now() >= until {
            return Ok(());
        }
    }
}
