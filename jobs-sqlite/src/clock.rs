//! The clock, and what happens every second: looking whether it has stepped back.
//!
//! Jobs that were due at once carry the time at which they were stored. Should the machine's clock step
//! back by an hour, they would wait for an hour; and should it have stood at next year for a moment, for a
//! year. So the latest such time is remembered in the file, and when the clock shows less, the jobs that
//! fell due before it are due now. Jobs that wait for a time of their own go by the new clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{Row, SqliteConnection};

use jobs_core::Result;

use crate::SqliteStorage;
use crate::encode;
use crate::fault;
use crate::queries::Queries;
use crate::rules::Step;
use crate::wake::Hints;
use crate::writer::Durability;

/// Less is no step, but two processes that looked at their clocks and wrote in the other order.
const STEP: i64 = 1_000_000;

/// The last time that was given out.
static LAST: AtomicI64 = AtomicI64::new(0);

/// The present in microseconds since 1970, by the clock of the machine, which all processes on the file
/// share. In one process no time is given out twice, and a later one is later, unless the clock steps back
/// by more than a moment: then it is followed, for else delays would not pass.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let shown = since.map_or(0, encode::span);
    let order = Ordering::Relaxed;
    let last = LAST.fetch_update(order, order, |last| Some(following(last, shown)));
    last.map_or(shown, |last| following(last, shown))
}

/// The time to give out after `last` when the clock shows `shown`.
fn following(last: i64, shown: i64) -> i64 {
    match shown > last || last - shown > STEP {
        true => shown,
        false => last + 1,
    }
}

/// How often a process that stores jobs notes the time. With the same again for the time of another
/// process it stays below `STEP`.
const NOTE_EVERY: u64 = 250_000;

/// Remembers in the file that jobs have fallen due now. A note that is lost with its transaction is made
/// up for by the next one.
pub(crate) async fn note_time(
    tx: &mut SqliteConnection,
    queries: &Queries,
    now: i64,
) -> fault::Result<()> {
    let noted = queries.noted.load(Ordering::Relaxed);
    if now.abs_diff(noted) < NOTE_EVERY {
        return Ok(());
    }
    queries.clock.query().bind(now).execute(tx).await?;
    queries.noted.store(now, Ordering::Relaxed);
    Ok(())
}

impl SqliteStorage {
    /// `latest`: the latest time at which jobs became due, as the file says.
    pub(crate) async fn follow_clock(&self, latest: i64) -> Result<()> {
        const DOING: &str = "looking at the clock";
        if latest <= now() + STEP {
            return Ok(());
        }
        let wakes = self.0.wakes.clone();
        let answer = self.0.writer.run(
            Durability::Full,
            |tx, queries| Box::pin(async move { step_back(tx, queries).await }),
            move |hints: &Hints| hints.send(&wakes),
        );
        answer.await.map(drop).map_err(|fault| fault.during(DOING))
    }
}

/// Makes due now what was due before the clock stepped back.
async fn step_back(tx: &mut SqliteConnection, queries: &Queries) -> fault::Result<Hints> {
    let mut hints = Hints::default();
    let now = now();
    let read = queries.clock_read.query().fetch_optional(&mut *tx).await?;
    let latest: i64 = read.map_or(0, |row| row.get(0));
    if latest <= now + STEP {
        return Ok(hints);
    }
    let ahead = queries.clock_ahead.query().bind(now).bind(latest);
    let rows = ahead.fetch_all(&mut *tx).await?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get::<String, _>(0)?);
        hints.jobs(row.try_get(1)?);
    }
    tracing::warn!(
        jobs = ids.len(),
        "the clock has stepped back; jobs that were due before are due now"
    );
    let ids = encode::rows(ids)?;
    queries
        .untie
        .query()
        .bind(ids.clone())
        .execute(&mut *tx)
        .await?;
    let due = queries.clock_due.query().bind(ids.clone()).bind(now);
    due.execute(&mut *tx).await?;
    let tickets = queries.ticket_now.query().bind(ids);
    tickets.execute(&mut *tx).await?;
    let mut step = Step::new(&mut *tx, queries, now);
    step.ripen(latest.saturating_add(STEP)).await?;
    hints.add(step.finish().await?);
    queries.clock_back.query().bind(now).execute(tx).await?;
    Ok(hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_follows_only_a_real_step() {
        assert_eq!(following(100, 250), 250);
        assert_eq!(following(100, 100), 101);
        assert_eq!(following(STEP, 1), STEP + 1);
        assert_eq!(following(STEP + 2, 1), 1);
    }

    #[test]
    fn no_time_is_given_out_twice() {
        let times = std::thread::scope(|scope| {
            let many = || (0..1_000).map(|_| now()).collect::<Vec<_>>();
            let threads = [0; 4].map(|_| scope.spawn(many));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let mut distinct = std::collections::HashSet::new();
        for times in times {
            assert!(times.is_sorted());
            distinct.extend(times);
        }
        assert_eq!(distinct.len(), 4_000);
    }
}
