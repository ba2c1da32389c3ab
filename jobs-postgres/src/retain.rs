//! Making room ahead, and removing what is over.
//!
//! A day's jobs end up over together, and then their partition is truncated, which costs the same
//! however many they were. What is kept for less than a day, and what says itself how long it is
//! kept, is deleted row by row. So a job may stay up to a day longer than it must, and never goes
//! before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use jobs_core::job::JobId;
use jobs_core::storage::Retention;
use jobs_core::{Error, Result};
use sqlx::Row;
use uuid::Uuid;

use crate::pool::{Failure, Statement};
use crate::store::Store;

/// How many days ahead have a partition.
const AHEAD: u64 = 7;

/// How many rows one statement deletes.
const CHUNK: i64 = 5_000;

/// How many parents or batches one statement looks at.
const SOME: i32 = 500;

/// How long one call may go on removing.
const BUDGET: Duration = Duration::from_secs(20);

/// How often a lock is tried for that could not be had within its 20 ms, and the pause in between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);

const DAY: TimeDelta = TimeDelta::days(1);

pub(crate) async fn retain(store: &Store, retention: &Retention) -> Result<u64> {
    make_room(store).await?;
    let until = Instant::now() + BUDGET;
    let row = store
        .row("tidy up", store.statement(&store.sql.tidy))
        .await?;
    let cutoffs = Cutoffs::new(retention, row.get("now"));
    repeat(
        store,
        "end the waiting for jobs that are over",
        &store.sql.abandon,
        &cutoffs,
        until,
    )
    .await?;
    let mut gone = expire_by_own_word(store, until).await?;
    let days = days(store).await?;
    for &day in &days {
        if Instant::now() < until {
            gone += empty(store, day, &cutoffs, until).await?;
        }
    }
    gone += empty_rest(store, &days, &cutoffs, until).await?;
    repeat(
        store,
        "remove batches that are over",
        &store.sql.expire_batches,
        &cutoffs,
        until,
    )
    .await?;
    crate::care::care(store, &crate::care::Pace::default()).await?;
    store.kick();
    Ok(gone)
}

/// Sends a statement that does some of its work until nothing of it is left.
async fn repeat(
    store: &Store,
    doing: &str,
    sql: &Arc<str>,
    cutoffs: &Cutoffs,
    until: Instant,
) -> Result<()> {
    while Instant::now() < until {
        let statement = cutoffs.bind(store.statement(sql)).bind(SOME);
        let row = store.slow_row(doing, statement).await?;
        if row.get::<i64, _>(0) == 0 {
            break;
        }
    }
    Ok(())
}

/// Makes the partitions of the days to come, as far as the locks can be had; what cannot be made
/// now is made later, and meanwhile its jobs land in the default partition.
pub(crate) async fn make_room(store: &Store) -> Result<()> {
    let today = store.clock.now().date_naive();
    let have = days(store).await?;
    for ahead in 0..=AHEAD {
        let day = today.checked_add_days(Days::new(ahead)).unwrap_or(today);
        if have.contains(&day) {
            continue;
        }
        let make = || store.statement(&store.sql.make_day).bind(day);
        match patiently(store, "make room for a day", make).await {
            Ok(_) => {}
            Err(failure) if matches!(failure.error, Error::Conflict { .. }) => return Ok(()),
            // A program that only enqueues need not have the right; somebody else's worker has.
            Err(failure) if failure.code.as_deref() == Some("42501") => {
                tracing::debug!(error = %failure.error, "no partitions are made");
                return Ok(());
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

async fn days(store: &Store) -> Result<Vec<NaiveDate>> {
    let rows = store
        .rows("list partitions", store.statement(&store.sql.days))
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Sends a statement that takes strong locks again if somebody was in its way.
async fn patiently(
    store: &Store,
    doing: &str,
    statement: impl Fn() -> Statement,
) -> Result<sqlx::postgres::PgRow, Failure> {
    for _ in 1..TRIES {
        match store.slow_row(doing, statement()).await {
            Err(failure) if matches!(failure.error, Error::Conflict { .. }) => {
                tokio::time::sleep(PAUSE).await;
            }
            // Two processes made it at the same moment.
            Err(failure)
                if matches!(failure.code.as_deref(), Some("42P07" | "42P17" | "23505")) => {}
            answer => return answer,
        }
    }
    store.slow_row(doing, statement()).await
}

/// Until when a job must have ended to be over, for each state.
struct Cutoffs {
    now: DateTime<Utc>,
    keeps: [TimeDelta; 3],
}

impl Cutoffs {
    fn new(retention: &Retention, now: DateTime<Utc>) -> Self {
        let keep = |keep: Duration| {
            let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
            keep.min(TimeDelta::days(365_000))
        };
        Self {
            now,
            keeps: [retention.succeeded, retention.failed, retention.deleted].map(keep),
        }
    }

    fn cutoff(&self, keep: TimeDelta) -> DateTime<Utc> {
        self.now
            .checked_sub_signed(keep)
            .unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
    }

    fn bind(&self, statement: Statement) -> Statement {
        let [succeeded, failed, deleted] = self.keeps.map(|keep| self.cutoff(keep));
        statement.bind(succeeded).bind(failed).bind(deleted)
    }

    /// Whether a day's jobs, all of them, ended up over unless something held them up, of some
    /// state at least.
    fn whole_day_is_over(&self, end: DateTime<Utc>) -> bool {
        self.keeps.iter().any(|keep| end <= self.cutoff(*keep))
    }

    /// Whether jobs of the day are to go before the whole day is over.
    fn some_are_over(&self, start: DateTime<Utc>) -> bool {
        let short = |keep: &&TimeDelta| **keep < DAY;
        self.keeps
            .iter()
            .filter(short)
            .any(|keep| start <= self.cutoff(*keep))
    }
}

async fn empty(store: &Store, day: NaiveDate, cutoffs: &Cutoffs, until: Instant) -> Result<u64> {
    let start = day.and_time(chrono::NaiveTime::MIN).and_utc();
    let end = start + DAY;
    if !cutoffs.whole_day_is_over(end) {
        if cutoffs.some_are_over(start) {
            return expire(store, (floor(start), floor(end)), cutoffs, until).await;
        }
        return Ok(0);
    }
    let statement = || cutoffs.bind(store.statement(&store.sql.empty_day).bind(day));
    let gone = match patiently(store, "empty a partition", statement).await {
        Ok(row) => row.get::<i64, _>(0),
        Err(failure) if matches!(failure.error, Error::Conflict { .. }) => 0,
        Err(failure) => return Err(failure.into()),
    };
    if gone < 0 {
        return expire(store, (floor(start), floor(end)), cutoffs, until).await;
    }
    // One that ended a day ago is in nobody's way; today's and tomorrow's are needed.
    if end + DAY <= cutoffs.now {
        let statement = store.statement(&store.sql.drop_day).bind(day);
        match store.row("drop an empty partition", statement).await {
            Ok(_) => {}
            Err(failure) if matches!(failure.error, Error::Conflict { .. }) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(gone as u64)
}

/// Empties what no day's partition has taken: of clocks that were wrong, or from before the first
/// partition.
async fn empty_rest(
    store: &Store,
    days: &[NaiveDate],
    cutoffs: &Cutoffs,
    until: Instant,
) -> Result<u64> {
    let start = |day: &NaiveDate| floor(day.and_time(chrono::NaiveTime::MIN).and_utc());
    let mut gone = 0;
    let mut from = Uuid::nil();
    for day in days {
        let to = start(day);
        if from < to {
            gone += expire(store, (from, to), cutoffs, until).await?;
        }
        from = floor(day.and_time(chrono::NaiveTime::MIN).and_utc() + DAY);
    }
    Ok(gone + expire(store, (from, Uuid::max()), cutoffs, until).await?)
}

async fn expire(
    store: &Store,
    (mut from, to): (Uuid, Uuid),
    cutoffs: &Cutoffs,
    until: Instant,
) -> Result<u64> {
    let mut gone = 0;
    loop {
        let statement = store.statement(&store.sql.expire).bind(from).bind(to);
        let statement = cutoffs.bind(statement).bind(CHUNK);
        let row = store
            .slow_row("remove jobs that are over", statement)
            .await?;
        let ids: Vec<Uuid> = row.get("ids");
        gone += ids.len() as u64;
        match ids.last() {
            Some(last) if ids.len() as i64 == CHUNK && Instant::now() < until => from = *last,
            _ => return Ok(gone),
        }
    }
}

async fn expire_by_own_word(store: &Store, until: Instant) -> Result<u64> {
    let mut gone = 0;
    loop {
        let statement = store.statement(&store.sql.expire_by_own_word).bind(CHUNK);
        let row = store.row("remove jobs that are over", statement).await?;
        let some: i64 = row.get("gone");
        gone += some as u64;
        if some < CHUNK || Instant::now() >= until {
            return Ok(gone);
        }
    }
}

/// The first id of an instant, as the partitions' bounds have it.
fn floor(at: DateTime<Utc>) -> Uuid {
    let millis = JobId::floor(at).as_uuid().as_u128() >> 80;
    Uuid::from_u128(millis << 80)
}
