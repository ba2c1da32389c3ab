//! Queues that stand still.

use jobs_core::Result;
use jobs_core::storage::{Pause, Wake};

use crate::SqliteStorage;
use crate::clock;
use crate::writer::Durability;

impl SqliteStorage {
    pub(crate) async fn stop_queue(&self, queue: &str, pause: Option<&Pause>) -> Result<()> {
        let (queue, pause) = (queue.to_owned(), pause.cloned());
        let wakes = self.0.wakes.clone();
        let doing = if pause.is_some() {
            "pausing a queue"
        } else {
            "resuming a queue"
        };
        let answer = self.0.writer.run(
            Durability::Full,
            move |tx, queries| {
                let write = match &pause {
                    Some(pause) => queries
                        .pause
                        .query()
                        .bind(queue.clone())
                        .bind(pause.actor.clone())
                        .bind(pause.reason.clone())
                        .bind(clock::now()),
                    None => queries.resume.query().bind(queue.clone()),
                };
                Box::pin(async move {
                    write.execute(tx).await?;
                    Ok(())
                })
            },
            move |()| {
                // Nobody listens: then nobody needs to know.
                let _ = wakes.send(Wake::Queues);
            },
        );
        answer.await.map_err(|fault| fault.during(doing))
    }
}
