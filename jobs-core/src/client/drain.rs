//! Waiting until a queue has nothing to do.

use std::future::IntoFuture;
use std::time::Duration;

use tokio::time::Instant;

use super::{BoxFuture, Client};
use crate::error::{Error, Result};
use crate::job::QueuePattern;
use crate::storage::QueueRecord;

/// The pauses between two looks: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// A look that took long is not repeated before this many times as long.
const RARELY: u32 = 10;

/// Waiting until none of the jobs of a queue runs, or is due and may start. Nothing is stopped by it: what
/// is enqueued meanwhile is waited for too, retries that are due later are not. Jobs of a paused queue may
/// not start: pause it, then drain it, to wait for what runs. (Those of a paused *kind* in a queue that is
/// not paused are waited for.)
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Drain {
    client: Client,
    pattern: String,
    timeout: Option<Duration>,
}

impl Drain {
    pub(super) fn new(client: &Client, pattern: &str) -> Self {
        Self {
            client: client.clone(),
            pattern: pattern.into(),
            timeout: None,
        }
    }

    /// Gives up after this long, with [`Error::TimedOut`]. Defaults to waiting for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn carry_out(self) -> Result<()> {
        let Self {
            client,
            pattern,
            timeout,
        } = self;
        let pattern = QueuePattern::new(pattern)?;
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let asked = Instant::now();
            let left = left(&client.storage().queues().await?, &pattern);
            if left == (0, 0) {
                return Ok(());
            }
            pause = pause.max(asked.elapsed().saturating_mul(RARELY));
            let remaining = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            if remaining.is_some_and(|remaining| remaining.is_zero()) {
                let (due, running) = left;
                return Err(Error::TimedOut(format!(
                    "queue `{pattern}` was not drained within {:?}: {due} jobs are due and {running} run",
                    timeout.unwrap_or_default(),
                )));
            }
            tokio::time::sleep(pause.min(remaining.unwrap_or(pause))).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// How many jobs may start, and how many run.
fn left(queues: &[QueueRecord], pattern: &QueuePattern) -> (u64, u64) {
    let ours = queues.iter().filter(|queue| pattern.matches(&queue.name));
    ours.fold((0, 0), |(due, running), queue| {
        let may_start = match queue.pause {
            Some(_) => 0,
            None => queue.enqueued,
        };
        (due + may_start, running + queue.processing)
    })
}

impl IntoFuture for Drain {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}
