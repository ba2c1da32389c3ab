//! Gives signs of life, and learns from the answers what has become of this worker.
//!
//! A worker that gets no answer for [`Liveness::fence`](super::config::Liveness) must assume that
//! others take its jobs: it tells its handlers to stop and starts nothing more. Time is counted from
//! when the last answered beat was *sent*, by the process's own monotonic clock, which goes on while
//! the process is stopped: no storage's or machine's clock can deceive it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::crew::Crew;
use super::executor::released;
use super::running::Cancelled;
use crate::clock::jittered;
use crate::error::Result;
use crate::storage::{Beat, Orders};

/// How the heartbeat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// It was told to.
    Stopped,
    /// The storage counts this worker among the dead.
    Dead,
}

/// Beats until told to stop, or until the storage says that this worker is dead.
pub(super) async fn beat(crew: Arc<Crew>, stop: CancellationToken) -> Pulse {
    let liveness = crew.config.liveness;
    let mut answered = Instant::now();
    let mut pause = jittered(liveness.beat);
    loop {
        let fence = answered + liveness.fence;
        tokio::select! {
            biased;
            () = stop.cancelled() => return Pulse::Stopped,
            // A process that was stopped comes back here first.
            () = tokio::time::sleep_until(fence.into()), if !crew.is_lost() => lose_touch(&crew),
            () = tokio::time::sleep(pause) => {}
        }
        let sent = Instant::now();
        let remaining = fence
            .saturating_duration_since(sent)
            .max(Duration::from_millis(500));
        let answer = tokio::time::timeout(remaining.min(liveness.beat), send(&crew));
        let answer = tokio::select! {
            () = stop.cancelled() => return Pulse::Stopped,
            answer = answer => answer,
        };
        match answer {
            Ok(Ok(orders)) if !orders.alive => {
                error!(worker = %crew.id, "this worker was taken for dead; its jobs are others' by now");
                lose_touch(&crew);
                return Pulse::Dead;
            }
            Ok(Ok(orders)) => {
                answered = sent;
                pause = jittered(liveness.beat);
                obey(&crew, &orders);
            }
            Ok(Err(error)) => {
                warn!(%error, "a sign of life did not get through; trying again");
                pause = jittered(Duration::from_millis(500));
            }
            Err(_) => {
                warn!("a sign of life was not answered in time; trying again");
                pause = jittered(Duration::from_millis(500));
            }
        }
    }
}

async fn send(crew: &Crew) -> Result<Orders> {
    let (claims, newest) = crew.ledger.known();
    crew.storage
        .beat(&Beat {
            worker: crew.id,
            claims,
            newest,
        })
        .await
}

fn obey(crew: &Arc<Crew>, orders: &Orders) {
    if !orders.missing.is_empty() {
        // The storage gave these away, or forgot them in a crash: the jobs are waiting again.
        warn!(
            claims = orders.missing.len(),
            "claims of this worker are gone; stopping their jobs"
        );
        let held = crew
            .held
            .take_if(|taken| orders.missing.contains(&taken.claim));
        held.iter()
            .for_each(|taken| crew.settle_unstarted(taken, released("its claim was gone")));
        crew.running
            .cancel_claims(&orders.missing, Cancelled::Revoked);
    }
    if crew.is_lost() {
        info!(worker = %crew.id, "back in touch with the storage");
        crew.scope.set_lost(false);
        let runners = crew.held.set_closed(false);
        crew.start_runners(runners);
        crew.appetite.notify.notify_one();
        crew.check_revoked.notify_one();
    }
}

fn lose_touch(crew: &Crew) {
    if crew.is_lost() {
        return;
    }
    warn!(worker = %crew.id, "no touch with the storage: stopping jobs, others may be running them");
    crew.scope.set_lost(true);
    crew.held.set_closed(true);
    crew.running.cancel_all(Cancelled::LostTouch);
}
