//! Waiting for conditions, with a deadline, and never for a time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long to wait for what must come at once on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until what is seen is as wanted, and answers what was seen.
pub(crate) async fn until<T: Debug>(
    what: &str,
    patience: Duration,
    look: impl AsyncFn() -> T,
    mut wanted: impl FnMut(&T) -> bool,
) -> T {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    loop {
        // Asked before looking: what is seen may be older than the moment at which the time ran out.
        let last = Instant::now() >= end;
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(
            !last,
            "not within {patience:?}: {what}; last seen: {seen:?}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
