//! Which queues and kinds stand still: their jobs are not let in, so that they hold nothing of a limit.

use sqlx::Row;

use jobs_core::job::QueuePattern;

use super::Step;
use crate::fault;

/// What stands still now.
#[derive(Default)]
pub(super) struct Pauses {
    queues: Vec<QueuePattern>,
    kinds: Vec<String>,
    /// When the first of them ends, if one does so by itself.
    next_end: Option<i64>,
}

impl Step<'_> {
    /// Looks what stands still, if this step has not looked before.
    pub(super) async fn learn_pauses(&mut self) -> fault::Result<()> {
        if self.pauses.is_some() {
            return Ok(());
        }
        let mut pauses = Pauses::default();
        let controls = self.queries.controls.query().bind(self.now);
        for row in controls.fetch_all(&mut *self.tx).await? {
            let name: String = row.try_get(1)?;
            let ends_at: Option<i64> = row.try_get(6)?;
            pauses.next_end = ends_at.into_iter().chain(pauses.next_end).min();
            match row.try_get::<&str, _>(0)? {
                "kind" => pauses.kinds.push(name),
                // What is no pattern was written by hand, and pauses nothing.
                "queue" => pauses.queues.extend(QueuePattern::new(&name).ok()),
                _ => {}
            }
        }
        self.pauses = Some(pauses);
        Ok(())
    }

    /// When something goes on by itself, as far as this step has looked.
    pub(super) fn next_end(&self) -> Option<i64> {
        self.pauses.as_ref()?.next_end
    }

    /// What stands still has changed: all lines are to be looked at.
    pub(crate) async fn look_everywhere(&mut self) -> fault::Result<()> {
        let lines = self.queries.lines_all.query();
        for row in lines.fetch_all(&mut *self.tx).await? {
            self.lines.insert((row.try_get(0)?, row.try_get(1)?));
        }
        Ok(())
    }

    /// Whether jobs of this queue and kind stand still, as far as this step has looked.
    pub(super) fn is_paused(&self, queue: &str, kind: &str) -> bool {
        self.pauses.as_ref().is_some_and(|pauses| {
            pauses.kinds.iter().any(|paused| paused == kind)
                || pauses.queues.iter().any(|paused| paused.matches(queue))
        })
    }
}
