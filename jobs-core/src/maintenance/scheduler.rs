//! Fires what recurs.
//!
//! Every worker does this, without a leader: who finds an occurrence due prepares its job, and the
//! storage stores it and moves the schedule on in one step, for the first who comes. Killed before
//! that, a scheduler has done nothing, and another finds the occurrence due; killed after it, all is done.
//! Only what is due is read, so that what is not costs nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::Result;
use crate::job::{JobId, RecurringRecord};
use crate::lifecycle::RecurringChange;
use crate::storage::{RecurringRequest, StorageHandle};

/// How often to look although nothing is known to be due: what others make or change is noticed by it.
const LOOK: Duration = Duration::from_secs(2);

/// How many are fired in one step.
const BATCH: usize = 500;

/// Schedulers that wait for the same moment come a little apart, so that mostly one does the work.
const SPREAD: f64 = 0.02;

/// Fires what recurs, of these kinds, until told to stop.
pub(crate) async fn fire_recurring(
    storage: StorageHandle,
    kinds: Arc<[String]>,
    stop: CancellationToken,
) {
    let scheduler = Scheduler { storage, kinds };
    let mut pause = Duration::ZERO;
    loop {
        let spread = Duration::from_secs_f64(0.001 + SPREAD * fastrand::f64());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause + spread) => {}
        }
        pause = match scheduler.fire().await {
            Ok(wait) => wait.min(LOOK),
            Err(error) => {
                debug!(%error, "what recurs is out of sight");
                LOOK
            }
        };
    }
}

struct Scheduler {
    storage: StorageHandle,
    kinds: Arc<[String]>,
}

impl Scheduler {
    /// Fires all that is due; answers how long until something else is.
    async fn fire(&self) -> Result<Duration> {
        let mut request = RecurringRequest {
            kinds: Arc::clone(&self.kinds),
            after: None,
            limit: BATCH,
        };
        let mut first: Option<DateTime<Utc>> = None;
        loop {
            let asked = Instant::now();
            let due = self.storage.due_recurring(&request).await?;
            let last = due.records.last();
            request.after = last.and_then(|last| Some((last.look_at()?, last.id.clone())));
            let full = due.records.len() >= BATCH;
            let changes = prepare(&due.records, due.now);
            let next = changes
                .iter()
                .filter_map(|change| change.to.as_ref()?.look_at())
                .chain(due.next)
                .min();
            first = [first, next].into_iter().flatten().min();
            if !changes.is_empty() {
                self.carry_out(changes).await?;
            }
            if !full {
                let wait = first.map(|first| (first - due.now).to_std().unwrap_or_default());
                return Ok(wait.unwrap_or(LOOK).saturating_sub(asked.elapsed()));
            }
        }
    }

    /// All in one step; if that cannot be, one by one, so that one that cannot be stored keeps no other
    /// from it.
    async fn carry_out(&self, changes: Vec<RecurringChange>) -> Result<()> {
        let error = match self.storage.change_recurring(changes.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => error,
        };
        if let [change] = &changes[..] {
            warn!(recurring = change.id, %error, "it cannot be run; trying again");
            return Ok(());
        }
        for change in changes {
            let id = change.id.clone();
            if let Err(error) = self.storage.change_recurring(vec![change]).await {
                warn!(recurring = id, %error, "it cannot be run; trying again");
            }
        }
        Ok(())
    }
}

fn prepare(records: &[RecurringRecord], now: DateTime<Utc>) -> Vec<RecurringChange> {
    let prepare = |record: &RecurringRecord| {
        let change = RecurringChange::fire(record, now, || JobId::at(now));
        change.unwrap_or_else(|error| {
            warn!(recurring = record.id, %error, "left alone: this version cannot read its schedule");
            None
        })
    };
    records.iter().filter_map(prepare).collect()
}

#[cfg(test)]
mod tests;
