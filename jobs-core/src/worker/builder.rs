//! How a worker is set up.

use std::sync::Arc;
use std::time::Duration;

use super::caps::Caps;
use super::config::{Config, Liveness};
use super::crew::Setup;
use super::incarnation::Worker;
use super::running_worker::RunningWorker;
use super::serving::Serving;
use crate::client::Client;
use crate::clock::FOR_EVER;
use crate::error::{Error, Result};
use crate::handler::{DataMap, JobEntry, Registry};
use crate::job::{Backoff, QueueOrder};
use crate::storage::{Retention, StorageHandle};

/// Sets up a [`Worker`]. What is wrong is said by [`build`](Self::build), all of it at once.
#[derive(Debug)]
#[must_use = "a worker does nothing until it is run"]
pub struct WorkerBuilder {
    storage: StorageHandle,
    client: Option<Client>,
    order: QueueOrder,
    caps: Caps,
    jobs: Option<Vec<&'static JobEntry>>,
    data: DataMap,
    config: Config,
    problems: Vec<String>,
}

impl WorkerBuilder {
    pub(super) fn new(storage: StorageHandle) -> Self {
        Self {
            storage,
            client: None,
            order: QueueOrder::all(),
            caps: Caps::default(),
            jobs: None,
            data: DataMap::new(),
            config: Config::default(),
            problems: Vec::new(),
        }
    }

    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result
            .map_err(|error| self.problems.push(error.to_string()))
            .ok()
    }

    /// Serves these queues, in this order: one is served while all before it are empty. A name may end
    /// in `*` (`mail.*`). Defaults to all queues, the most urgent jobs first and the queues in turn.
    pub fn queues<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let order = QueueOrder::strict(names);
        if let Some(order) = self.note(order) {
            self.order = order;
        }
        self
    }

    /// Serves these queues in about these shares while all of them have work: with
    /// `[("mail", 3), ("reports", 1)]` three of four jobs are mail.
    pub fn weighted_queues<N: Into<String>>(
        mut self,
        weights: impl IntoIterator<Item = (N, u32)>,
    ) -> Self {
        let order = QueueOrder::weighted(weights);
        if let Some(order) = self.note(order) {
            self.order = order;
        }
        self
    }

    /// Runs so many jobs at once. Defaults to 64.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        if jobs == 0 {
            self.problems
                .push("a worker of concurrency 0 would run nothing: give at least 1".into());
        }
        self.config.concurrency = jobs;
        self
    }

    /// Runs so many jobs of a queue at once, or of all queues that a pattern (`mail.*`) matches together, in
    /// this worker; other queues have the rest. May be given for several; a queue counts to the first that
    /// matches it. Defaults to [`concurrency`](Self::concurrency). Where the worker serves the queue only by
    /// a wider pattern, the queue comes before the others of that pattern.
    pub fn queue_concurrency(mut self, queue: impl Into<String>, jobs: usize) -> Self {
        let added = self.caps.add(queue.into(), jobs);
        self.note(added);
        self
    }

    /// Provides a value to jobs that take a `Data<T>`. The last one of a type wins.
    pub fn data<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.data.insert(value);
        self
    }

    /// Runs these jobs and no others: `jobs![send_welcome, resize]`. Defaults to every job that is
    /// linked into the program.
    pub fn jobs(mut self, jobs: Vec<&'static JobEntry>) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// The client that handlers get, and with which they enqueue. Defaults to a plain one of the
    /// worker's storage.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// How often a failed attempt is repeated if neither the job nor its kind says so. Defaults to 10.
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retry.retries = retries;
        self
    }

    /// How long to wait before a retry if neither the job nor its kind says so. Defaults to
    /// [`Backoff::Polynomial`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        let checked = backoff.check();
        self.note(checked);
        self.config.retry.backoff = backoff;
        self
    }

    /// How long one attempt may take if neither the job nor its kind says so; more than zero. Defaults
    /// to no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.problems
                .push("a timeout of zero would end every attempt before it starts".into());
        }
        self.config.timeout = Some(timeout);
        self
    }

    /// How long finished jobs are kept. Defaults to 7 days for succeeded and deleted ones, 30 for
    /// failed ones. Workers of one storage should agree on it: the shortest wins.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// How long running jobs may go on once the worker is told to stop, before their cancellation
    /// tokens are cancelled. Defaults to 20 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How long jobs may go on after that, before they are dropped and go back to their queues.
    /// Defaults to 5 s.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.config.stop_grace = grace;
        self
    }

    /// How often to look for jobs although nobody says that there are any. Defaults to 1 s; at least
    /// 10 ms.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.config.poll_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How often a worker gives a sign of life, and after how long without one it counts as dead.
    /// Defaults to 5 s and 25 s. `death` must be at least four times `beat`: a worker stops its jobs
    /// at four fifths of it, so that nobody else runs them before that. All workers of a storage should
    /// agree.
    pub fn liveness(mut self, beat: Duration, death: Duration) -> Self {
        if death < beat.saturating_mul(4) || beat.is_zero() {
            self.problems.push(format!(
                "a worker that beats every {beat:?} cannot count as dead after {death:?}: make it at \
                 least four times as long"
            ));
        }
        let (beat, death) = (beat.min(FOR_EVER), death.min(FOR_EVER));
        let watch = (death / 12).max(Duration::from_millis(10));
        self.config.liveness = Liveness {
            beat,
            fence: death.mul_f64(0.8),
            death,
            watch,
        };
        self
    }

    /// Whether this worker stores what its jobs declare to recur, and fires what recurs of the kinds that
    /// it knows. Any number of workers may; one must. Defaults to true.
    pub fn recurring(mut self, recurring: bool) -> Self {
        self.config.recurring = recurring;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], naming everything that is wrong: queues, a concurrency of 0 or of a queue
    /// that is not served, jobs that are
    /// declared twice or lack a `Data<T>`, no jobs at all.
    pub fn build(mut self) -> Result<Worker> {
        let jobs = self.jobs.take().unwrap_or_else(Registry::linked);
        let registry = Registry::build(jobs, &self.data);
        let registry = self.note(registry);
        let served = self.caps.check(&self.order);
        self.note(served);
        let Some(registry) = registry.filter(|_| self.problems.is_empty()) else {
            return Err(Error::Setup(self.problems.join("\n")));
        };
        let client = self
            .client
            .unwrap_or_else(|| Client::new(self.storage.clone()));
        Ok(Worker::new(Setup {
            storage: self.storage,
            config: Arc::new(self.config),
            serving: Arc::new(Serving::new(self.order, self.caps)),
            registry: Arc::new(registry),
            client,
            data: Arc::new(self.data),
        }))
    }

    /// Builds the worker and runs it until the process is told to stop (Ctrl-C, SIGTERM).
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build) and [`Worker::run`].
    pub async fn run(self) -> Result<()> {
        self.build()?.run().await
    }

    /// Builds the worker and starts it in the background.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build) and [`Worker::start`].
    pub async fn start(self) -> Result<RunningWorker> {
        self.build()?.start().await
    }
}
