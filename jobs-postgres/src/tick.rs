//! What must happen every second: counters are folded, and whatever jobs with rules have left to do is done.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jobs_core::Result;
use sqlx::Row;

use crate::store::Store;

/// How many deltas one statement folds.
const CHUNK: i64 = 5_000;

/// Deltas get their numbers before they are committed. After this time nothing below a number is
/// expected any more.
const LATE: Duration = Duration::from_secs(60);

/// Up to where deltas are folded: while somebody keeps an old snapshot, folded ones stay in the
/// index as dead entries, and a scan from the beginning steps over all of them.
#[derive(Default)]
pub(crate) struct Folded {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    floor: i64,
    next_floor: Option<(Instant, i64)>,
    next_sweep: Option<Instant>,
}

impl Folded {
    /// After which number to begin. Once in a while from the beginning: a transaction may have been
    /// late nevertheless.
    fn start(&self, now: Instant) -> i64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next_sweep.is_none_or(|at| now >= at) {
            state.next_sweep = Some(now + LATE);
            return 0;
        }
        state.floor
    }

    fn folded(&self, last: Option<i64>, cost: Duration, swept: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if swept {
            state.next_sweep = Some(now + LATE.max(cost * 100));
        }
        if let Some((_, floor)) = state.next_floor.filter(|(at, _)| now >= *at) {
            state.floor = floor;
            state.next_floor = None;
        }
        if let (Some(last), None) = (last, state.next_floor) {
            state.next_floor = Some((now + LATE, last));
        }
    }
}

/// One question tells what there is to do at all: mostly nothing.
pub(crate) async fn tick(store: &Store) -> Result<()> {
    let asked = Instant::now();
    let start = store.folded.start(asked);
    let due = crate::upkeep::look(store, start).await?;
    match due.get("counters") {
        true => fold(store, start).await?,
        false => {
            let now = Instant::now();
            store.folded.folded(None, now - asked, start == 0, now);
        }
    }
    if crate::upkeep::carry_out(store, &due).await?.is_some() {
        store.kick();
    }
    Ok(())
}

async fn fold(store: &Store, mut start: i64) -> Result<()> {
    loop {
        let started = Instant::now();
        let statement = store.statement(&store.sql.fold).bind(start).bind(CHUNK);
        let row = store.row("fold counters", statement).await?;
        let (now, last) = (Instant::now(), row.get("last"));
        store.folded.folded(last, now - started, start == 0, now);
        if row.get::<i64, _>("folded") < CHUNK {
            return Ok(());
        }
        start = store.folded.start(now);
    }
}
