//! What follows for jobs with rules and cannot be done in the transaction that caused it: children that somebody had
//! locked, batches to be added up, jobs to be let in.
//!
//! It is done after each commit that may have caused it, by a task of this process, and once a second by whoever is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use jobs_core::Result;
use jobs_core::lifecycle::in_words;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::store::Store;

/// How much one statement does.
const CHUNK: i32 = 200;

/// The task, if it runs.
#[derive(Default)]
pub(crate) struct Kick(AtomicU8);

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
        if self.kick.0.swap(AGAIN, Ordering::SeqCst) == IDLE {
            runtime.spawn(run(Running(store)));
        }
    }
}

/// Notes that the task has ended, also if its runtime ends in the middle of it. Should another have begun meanwhile, it goes
/// round once more.
struct Running(Arc<Store>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kick.0.store(IDLE, Ordering::SeqCst);
    }
}

async fn run(running: Running) {
    let store = &running.0;
    loop {
        store.kick.0.store(RUNNING, Ordering::SeqCst);
        match upkeep(store).await {
            Ok(_) => {}
            // The next tick does it.
            Err(error) => tracing::debug!(%error, "upkeep after a commit failed"),
        }
        let ended =
            store
                .kick
                .0
                .compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        if ended.is_ok() {
            return;
        }
    }
}

/// Does what there is to do. Answers when there is more, if that is soon.
pub(crate) async fn upkeep(store: &Store) -> Result<Option<Duration>> {
    let due = store.row(
        "look for what is to be done",
        store.statement(&store.sql.upkeep),
    );
    let due = due.await?;
    let is_due = |column: &str| due.get::<bool, _>(column);
    if is_due("todo") {
        // Children that somebody has locked are noted again: no more than one round.
        let statement = store.statement(&store.sql.work_off).bind(CHUNK);
        let row = store.row("look at waiting jobs", statement).await?;
        store.followed(&row);
    }
    if is_due("expiries") {
        expire(store).await?;
    }
    if is_due("cancelled") {
        crate::batch::go_on_cancelling(store).await?;
    }
    if is_due("unsealed") {
        remove_unsealed(store).await?;
    }
    if is_due("deltas") {
        fold(store).await?;
    }
    Ok(None)
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
