//! Jobs that are Deleted if they have not been started in time.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use jobs_core::job::NewJob;
use jobs_core::lifecycle::in_words;

use super::{Step, read_rules};
use crate::encode::{self, Hex};
use crate::fault;

/// How many are looked at at once.
const HANDFUL: i64 = 1_000;

/// Remembers when new jobs are over.
pub(super) async fn note(step: &mut Step<'_>, jobs: &[NewJob]) -> fault::Result<()> {
    let over = |job: &NewJob| {
        let time = job.rules.as_ref()?.expires_in?;
        Some((ends(step.now, time), Hex(job.id.as_uuid())))
    };
    let rows: Vec<_> = jobs.iter().filter_map(over).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let note = step.queries.expiry.query().bind(encode::rows(rows)?);
    note.execute(&mut *step.tx).await?;
    Ok(())
}

/// When a job is over that was stored then.
pub(super) fn ends(created_at: i64, time: Duration) -> i64 {
    created_at.saturating_add(encode::span(time))
}

/// A job whose time is over.
struct Over {
    at: i64,
    id: Uuid,
    state: Option<String>,
    time: Option<Duration>,
    /// It has never been started, as far as is known.
    untouched: bool,
    waits: bool,
}

impl Over {
    fn read(row: &SqliteRow) -> fault::Result<Self> {
        let rules = read_rules(row.try_get(3)?);
        Ok(Self {
            at: row.try_get(0)?,
            id: row.try_get(1)?,
            state: row.try_get(2)?,
            time: rules.and_then(|rules| rules.expires_in),
            untouched: row.try_get::<Option<bool>, _>(4)?.unwrap_or_default(),
            waits: row.try_get(5)?,
        })
    }

    /// A worker has it: it may be given back unstarted.
    fn is_held(&self) -> bool {
        self.untouched && self.state.as_deref() == Some("waiting") && !self.waits
    }
}

/// Deletes the jobs that have not been started in time.
pub(super) async fn expire(step: &mut Step<'_>) -> fault::Result<()> {
    let mut after = (0, Uuid::nil());
    loop {
        let expired = step.queries.expired.query().bind(step.now);
        let expired = expired.bind(after.0).bind(after.1).bind(HANDFUL);
        let rows = expired.fetch_all(&mut *step.tx).await?;
        let found: Vec<Over> = rows.iter().map(Over::read).collect::<fault::Result<_>>()?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = (last.at, last.id);
        delete(step, &found).await?;
    }
}

async fn delete(step: &mut Step<'_>, found: &[Over]) -> fault::Result<()> {
    let done = found.iter().filter(|over| !over.is_held());
    let done = encode::rows(done.map(|over| (over.at, Hex(over.id))))?;
    let drop = step.queries.expiry_drop.query().bind(done);
    drop.execute(&mut *step.tx).await?;
    let over = found
        .iter()
        .filter(|over| over.untouched && !over.is_held());
    let why = |over: &Over| {
        let time = over.time.unwrap_or_default();
        let why = format!("was not started within {}", in_words(time));
        (over.id, why)
    };
    let over: Vec<_> = over.map(why).collect();
    step.end(&over).await
}
