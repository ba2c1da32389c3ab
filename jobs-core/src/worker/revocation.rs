//! Finds out which jobs were taken away, when nobody says so.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::crew::Crew;
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
        let told = tokio::select! {
            () = stop.cancelled() => return,
            () = crew.check_revoked.notified() => true,
            () = tokio::time::sleep(pause) => false,
        };
        let mut runs = crew.running.runs();
        if told {
            // Many were cancelled at once, perhaps: those that have not been started must not be. By itself this is not looked
            // at: what is held is started, or given back, within a second.
            runs.extend(crew.held.runs());
        }
        if runs.is_empty() {
            continue;
        }
        match crew.storage.revoked(&runs).await {
            Ok(revoked) => crew.revoke(&revoked.into_iter().collect()),
            Err(error) => debug!(%error, "whether jobs were cancelled is not known yet"),
        }
    }
}
