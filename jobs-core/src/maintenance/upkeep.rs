//! Folds counters each second, and removes what has been kept long enough every few minutes.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::jittered;
use crate::storage::{Retention, StorageHandle};

const TICK: Duration = Duration::from_secs(1);

const RETAIN: Duration = Duration::from_secs(300);

/// A worker that has just started has better things to do.
const FIRST_RETAIN: Duration = Duration::from_secs(15);

/// Works until told to stop.
pub(crate) async fn keep_up(storage: StorageHandle, retention: Retention, stop: CancellationToken) {
    let mut retain_at = Instant::now() + FIRST_RETAIN;
    loop {
        let pause = jittered(TICK);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = storage.tick().await {
            debug!(%error, "counters could not be folded; they will be next time");
        }
        let now = Instant::now();
        if now < retain_at {
            continue;
        }
        retain_at = now + jittered(RETAIN);
        match storage.retain(&retention).await {
            Ok(0) => {}
            Ok(jobs) => info!(jobs, "removed finished jobs whose time was up"),
            Err(error) => warn!(%error, "finished jobs could not be removed; trying again later"),
        }
    }
}
