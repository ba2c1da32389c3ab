//! What follows for jobs with rules and cannot be done in the transaction that caused it: children that somebody had
//! locked, batches to be added up, jobs to be let in.
//!
//! It is done after each commit that may have caused it, by a task of this process, and once a second by whoever is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use jobs_core::Result;
use jobs_core::lifecycle::in_words;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::store::Store;

/// The pause before asking again who else is at it.
const BUSY: Duration = Duration::from_millis(10);

/// How much one statement does.
const CHUNK: i32 = 200;

/// The task, if it runs.
#[derive(Default)]
pub(crate) struct Kick {
    state: AtomicU8,
    /// Whether some queue had a limit when that was looked at last.
    queues: AtomicBool,
    /// Whether it is to run again after a while.
    later: AtomicBool,
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const AGAIN: u8 = 2;

impl Store {
    /// There may be something to do.
    pub(crate) fn kick(&self) {
        let (Some(store), Ok(runtime)) =
            (self.wakes.store(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        if self.kick.state.swap(AGAIN, Ordering::SeqCst) == IDLE {
            runtime.spawn(run(Running(store)));
        }
    }
}

impl Store {
    /// Jobs without rules were stored: only the limits of queues may concern them.
    pub(crate) fn kick_if_limited(&self) {
        if self.kick.queues.load(Ordering::Relaxed) {
            self.kick();
        }
    }

    pub(crate) fn queues_are_limited(&self, limited: bool) {
        self.kick.queues.store(limited, Ordering::Relaxed);
    }
}

/// Notes that the task has ended, also if its runtime ends in the middle of it. Should another have begun meanwhile, it goes
/// round once more.
struct Running(Arc<Store>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kick.state.store(IDLE, Ordering::SeqCst);
    }
}

async fn run(running: Running) {
    let store = &running.0;
    loop {
        store.kick.state.store(RUNNING, Ordering::SeqCst);
        match upkeep(store).await {
            Ok(Some(wait)) => later(store, wait),
            Ok(None) => {}
            // The next tick does it.
            Err(error) => tracing::debug!(%error, "upkeep after a commit failed"),
        }
        let ended =
            store
                .kick
                .state
                .compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        if ended.is_ok() {
            return;
        }
    }
}

/// Looks once more after a time that is shorter than that to the next tick.
fn later(store: &Arc<Store>, wait: Duration) {
    if store.kick.later.swap(true, Ordering::SeqCst) {
        return;
    }
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        if let Some(store) = store.upgrade() {
            store.kick.later.store(false, Ordering::SeqCst);
            store.kick();
        }
    });
}

/// Does what there is to do for jobs with rules. Answers when there is more, if that is soon.
pub(crate) async fn upkeep(store: &Store) -> Result<Option<Duration>> {
    let due = look(store, i64::MAX).await?;
    carry_out(store, &due).await
}

/// What there is to do: `counters`, whether some after this number are to be folded; and for jobs with rules.
pub(crate) async fn look(store: &Store, counters: i64) -> Result<PgRow> {
    let statement = store.statement(&store.sql.upkeep).bind(counters);
    Ok(store.row("look for what is to be done", statement).await?)
}

/// Does that for jobs with rules. Answers when there is more, if that is soon.
pub(crate) async fn carry_out(store: &Store, due: &PgRow) -> Result<Option<Duration>> {
    let is_due = |column: &str| due.get::<bool, _>(column);
    store.queues_are_limited(is_due("queues"));
    if is_due("todo") {
        // Children that somebody has locked are noted again: no more than one round.
        let statement = store.statement(&store.sql.work_off).bind(CHUNK);
        let row = store.row("look at waiting jobs", statement).await?;
        store.followed(&row);
    }
    if is_due("expiries") {
        expire(store).await?;
    }
    if is_due("unsealed") {
        remove_unsealed(store).await?;
    }
    if is_due("deltas") {
        fold(store).await?;
    }
    let next = due.get::<Option<f64>, _>("next");
    let admits = is_due("waiting") || is_due("unlined") || next.is_some_and(|next| next <= 0.0);
    let again = match admits {
        true => admit(store).await?,
        false => next.and_then(soon),
    };
    // Last, since it may take long, and so that nothing else fails with it.
    if is_due("cancelled") && crate::cancel::go_on(store).await? {
        return Ok(Some(again.map_or(BUSY, |again| again.min(BUSY))));
    }
    Ok(again)
}

/// A time until something is to be done, if the next tick would be late for it.
fn soon(seconds: f64) -> Option<Duration> {
    (seconds < 1.0).then(|| Duration::from_secs_f64(seconds.max(0.001)))
}

/// Lets in who waits before limits. Somebody else who is at it may not have seen what made room: then once more after him.
async fn admit(store: &Store) -> Result<Option<Duration>> {
    for _ in 0..100 {
        let statement = store.statement(&store.sql.admit).bind(CHUNK);
        let row = store.row("let jobs in", statement).await?;
        if row.get("busy") {
            tokio::time::sleep(BUSY).await;
            continue;
        }
        store.followed(&row);
        if row.get::<i64, _>("admitted") < i64::from(CHUNK) {
            return Ok(row.get::<Option<f64>, _>("again").and_then(soon));
        }
    }
    Ok(Some(BUSY))
}

/// Deletes jobs that nobody has started in time.
async fn expire(store: &Store) -> Result<()> {
    loop {
        let statement = store.statement(&store.sql.expiries).bind(CHUNK);
        let rows = store.rows("look for jobs that expire", statement).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let jobs: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let reason = |row: &PgRow| {
            let time = Duration::try_from_secs_f64(row.get(1)).unwrap_or(Duration::MAX);
            format!("was not started within {}", in_words(time))
        };
        let reasons: Vec<String> = rows.iter().map(reason).collect();
        let statement = store.statement(&store.sql.expire_unstarted);
        let statement = statement.bind(jobs).bind(reasons);
        let row = store.row("delete jobs that expire", statement).await?;
        store.followed(&row);
        if rows.len() < CHUNK as usize || row.get::<i64, _>("deleted") == 0 {
            return Ok(());
        }
    }
}

/// A large one takes several turns.
async fn remove_unsealed(store: &Store) -> Result<()> {
    for _ in 0..20 {
        let statement = store.statement(&store.sql.remove_unsealed).bind(5 * CHUNK);
        let row = store.row("remove incomplete batches", statement).await?;
        if row.get::<i64, _>(0) == 0 {
            break;
        }
    }
    Ok(())
}

/// A batch that ends is a member of another, perhaps: so until nothing is left.
async fn fold(store: &Store) -> Result<()> {
    loop {
        let statement = store.statement(&store.sql.fold_batches).bind(CHUNK);
        let row = store.row("add up batches", statement).await?;
        store.followed(&row);
        if row.get::<i64, _>("folded") == 0 {
            return Ok(());
        }
    }
}
