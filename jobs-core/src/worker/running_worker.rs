//! A worker that runs in the background.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::incarnation::Stop;
use super::serving::Serving;
use crate::error::Result;
use crate::job::QueueOrder;

/// A worker that runs in the background. Dropping it lets it run on; [`stop`](Self::stop) ends it.
#[derive(Debug)]
pub struct RunningWorker {
    serving: Arc<Serving>,
    stop: Stop,
    task: Option<JoinHandle<()>>,
}

impl RunningWorker {
    pub(super) fn new(serving: Arc<Serving>, stop: Stop, task: JoinHandle<()>) -> Self {
        let task = Some(task);
        Self {
            serving,
            stop,
            task,
        }
    }

    /// Cuts the grace short, once it stops.
    pub(super) fn hurry(&self) -> CancellationToken {
        self.stop.hurry.clone()
    }

    /// Serves these queues from now on, in this order or these shares. What runs of others goes on; what
    /// the worker holds of them and has not started goes back. An order that operators have set for all
    /// workers still leads ([`QueueOrder::led_by`]).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if a queue that has a concurrency of its own
    /// ([`queue_concurrency`](super::WorkerBuilder::queue_concurrency)) would not be served; then nothing
    /// has changed.
    pub fn set_queues(&self, order: QueueOrder) -> Result<()> {
        self.serving.set(order)
    }

    /// Takes nothing new from now on, and waits until all that this worker has taken has ended and is
    /// written down, however long that takes; other jobs are left to other workers. [`stop`](Self::stop) it
    /// then. Whoever stops waiting has a worker that still takes nothing new.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn shut_down(running: jobs_core::worker::RunningWorker) {
    /// let long = Duration::from_secs(3600);
    /// if tokio::time::timeout(long, running.drain()).await.is_err() {
    ///     println!("some jobs have not ended within an hour: they get their grace, then go back");
    /// }
    /// running.stop().await;
    /// # }
    /// ```
    pub async fn drain(&self) {
        self.serving.be_quiet();
        self.serving.wait_until_idle().await;
    }

    /// Stops cleanly, and returns when nothing runs any more.
    pub async fn stop(mut self) {
        self.stop.now.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a worker ended early");
        }
    }
}
