//! What happens every second. Mostly there is nothing to do, which one look tells.

use std::time::Duration;

use sqlx::Row;

use jobs_core::Result;

use crate::SqliteStorage;
use crate::clock;
use crate::encode;
use crate::fault::{self, Fault};
use crate::rules::Step;

/// How long a batch may be incomplete.
const LONGEST_MAKING: Duration = Duration::from_secs(3_600);

impl SqliteStorage {
    pub(crate) async fn do_what_is_due(&self) -> Result<()> {
        const DOING: &str = "doing what is due every second";
        let (latest, due) = self.look().await.map_err(|fault| fault.during(DOING))?;
        self.follow_clock(latest).await?;
        if !due {
            return Ok(());
        }
        self.step(DOING, |tx, queries| {
            Box::pin(async move {
                let now = clock::now();
                let mut step = Step::new(tx, queries, now);
                step.upkeep(now - encode::span(LONGEST_MAKING)).await?;
                Ok(((), step.finish().await?))
            })
        })
        .await
    }

    /// The latest time at which jobs became due, and whether something is due.
    async fn look(&self) -> fault::Result<(i64, bool)> {
        let now = clock::now();
        let look = self.0.queries.tick.query().bind(now);
        let look = look.bind(now - encode::span(LONGEST_MAKING));
        let row = look.fetch_one(self.reads()?).await.map_err(Fault::from)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
