//! The time at which limits are to be looked at although nobody comes or goes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::Step;
use crate::clock;
use crate::queries::Queries;
use crate::wake::Hints;
use crate::writer::Doing;

/// Waits until limits are to be looked at. When the clock is set back meanwhile it waits for too long; but
/// whatever is due is also looked for every second.
pub(crate) async fn alarm(queries: &Queries) {
    let at = queries.alarm.load(Ordering::Relaxed);
    if at == i64::MAX {
        return std::future::pending().await;
    }
    let micros = u64::try_from(at.saturating_sub(clock::now())).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

/// Lets in whom limits allow by now.
pub(crate) fn ripen<'t>(tx: &'t mut SqliteConnection, queries: &'t Queries) -> Doing<'t, Hints> {
    Box::pin(async move {
        let now = clock::now();
        let mut step = Step::new(tx, queries, now);
        step.ripen(now).await?;
        step.finish().await
    })
}
