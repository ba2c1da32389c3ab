//! Finds out which running jobs were taken away, when nobody says so.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::crew::Crew;
use super::running::Cancelled;
use crate::clock::jittered;

/// Where hints of cancellations do not cross processes, this is how they are noticed at all.
const WITHOUT_HINTS: Duration = Duration::from_millis(800);

/// Where they do, this catches those that were lost.
const WITH_HINTS: Duration = Duration::from_secs(5);

/// Looks until told to stop.
pub(super) async fn watch(crew: Arc<Crew>, stop: CancellationToken) {
    loop {
        let hints = crew.storage.wakes_across_processes();
        let pause = jittered(if hints { WITH_HINTS } else { WITHOUT_HINTS });
        tokio::select! {
            () = stop.cancelled() => return,
            () = crew.check_revoked.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        let runs = crew.running.runs();
        if runs.is_empty() {
            continue;
        }
        match crew.storage.revoked(&runs).await {
            Ok(revoked) => {
                revoked
                    .into_iter()
                    .for_each(|job| crew.running.cancel(job, Cancelled::Revoked));
            }
            Err(error) => debug!(%error, "whether jobs were cancelled is not known yet"),
        }
    }
}
