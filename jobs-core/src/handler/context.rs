//! What a job knows of its own run. (Longer than 400 lines: with its tests.)

mod relations;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::DataMap;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::job::{ARGS_LIMIT, ClaimId, JobId, Occurrence, Priority, WorkerId, encode_result};
use crate::lifecycle::Transition;
use crate::storage::{ClaimedJob, Settlement, Storage, StorageHandle, Within};

/// What a job knows of its own run: which one it is, whether it should stop, and what its worker
/// provides. A job gets it by taking a parameter of this type. Cheap to clone.
#[derive(Clone)]
pub struct JobContext(Arc<Run>);

struct Run {
    job: ClaimedJob,
    claim: ClaimId,
    worker: Arc<WorkerScope>,
    cancellation: CancellationToken,
    started: Instant,
    lost: AtomicBool,
    completed: AtomicBool,
}

/// What a worker makes a [`JobContext`] of.
#[derive(Debug)]
pub struct ContextParts {
    /// The job that is about to run.
    pub job: ClaimedJob,
    /// The claim under which it was taken.
    pub claim: ClaimId,
    /// The worker.
    pub worker: Arc<WorkerScope>,
    /// Cancelled when the job should stop.
    pub cancellation: CancellationToken,
}

/// What all runs of one incarnation of a worker share.
#[derive(Debug)]
pub struct WorkerScope {
    id: WorkerId,
    storage: StorageHandle,
    client: Client,
    data: Arc<DataMap>,
    lost: AtomicBool,
}

impl WorkerScope {
    /// A worker with what it provides to jobs.
    pub fn new(id: WorkerId, storage: StorageHandle, client: Client, data: Arc<DataMap>) -> Self {
        Self {
            id,
            storage,
            client,
            data,
            lost: AtomicBool::new(false),
        }
    }

    /// Which incarnation it is.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Says whether others must take this worker for dead by now: it could not give a sign of life.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Relaxed);
    }

    /// Whether others must take this worker for dead by now.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }
}

impl JobContext {
    /// The context of a run that starts now.
    pub fn new(parts: ContextParts) -> Self {
        let ContextParts {
            job,
            claim,
            worker,
            cancellation,
        } = parts;
        Self(Arc::new(Run {
            job,
            claim,
            worker,
            cancellation,
            started: Instant::now(),
            lost: AtomicBool::new(false),
            completed: AtomicBool::new(false),
        }))
    }

    /// The job's identity: the same for all its runs.
    pub fn id(&self) -> JobId {
        self.0.job.id
    }

    /// The name under which the job is stored; an alias, if that is how it was enqueued.
    pub fn kind(&self) -> &str {
        &self.0.job.kind
    }

    /// Where the job waited.
    pub fn queue(&self) -> &str {
        &self.0.job.queue
    }

    /// Its order within the queue.
    pub fn priority(&self) -> Priority {
        self.0.job.priority
    }

    /// The arguments, as JSON text.
    pub fn args(&self) -> &str {
        &self.0.job.args
    }

    /// Labels that the job was enqueued with.
    pub fn tags(&self) -> &[String] {
        self.0
            .job
            .options
            .as_deref()
            .map_or(&[], |options| &options.tags)
    }

    /// Which occurrence of a recurring job this is a run of; `None` for jobs that do not recur.
    pub fn occurrence(&self) -> Option<&Occurrence> {
        self.0.job.options.as_ref()?.occurrence.as_ref()
    }

    /// The number of this attempt, counted from 1. Snoozes, and runs whose worker died, do not count.
    pub fn attempt(&self) -> u32 {
        self.0.job.attempt.saturating_add(1)
    }

    /// How many earlier runs of the job ended with the death of their worker.
    pub fn lost(&self) -> u32 {
        self.0.job.lost
    }

    /// The number of this run among all runs of the job: never the same twice. With [`id`](Self::id)
    /// it makes a key for things that must happen once for each run.
    pub fn run(&self) -> i32 {
        self.0.job.run
    }

    /// The incarnation of the worker that runs the job.
    pub fn worker(&self) -> WorkerId {
        self.0.worker.id
    }

    /// Since when the job was allowed to run.
    pub fn due_at(&self) -> DateTime<Utc> {
        self.0.job.due_at
    }

    /// How long this run has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Is cancelled when the job should stop: it was deleted, its worker shuts down, or its worker
    /// has lost it. What is returned afterwards is recorded only if the job is still this worker's.
    ///
    /// ```
    /// # use jobs_core::handler::JobContext;
    /// # use std::time::Duration;
    /// async fn poll(ctx: JobContext) {
    ///     while ctx.cancellation().run_until_cancelled(tokio::time::sleep(Duration::from_secs(5))).await.is_some() {
    ///         // Look once more.
    ///     }
    /// }
    /// ```
    pub fn cancellation(&self) -> CancellationToken {
        self.0.cancellation.clone()
    }

    /// Whether the job should stop. For plain functions, which cannot await
    /// [`cancellation`](Self::cancellation).
    ///
    /// ```
    /// # use jobs_core::handler::{JobContext, JobError};
    /// fn import(lines: Vec<String>, ctx: JobContext) -> Result<(), JobError> {
    ///     for line in lines {
    ///         if ctx.is_cancelled() {
    ///             Err("cancelled half way")?;
    ///         }
    ///         // Import the line.
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.cancellation.is_cancelled()
    }

    /// Whether the job may be running elsewhere by now: its worker could not give a sign of life in
    /// time, or was told that the job is no longer its own. Ask before doing what must not be done
    /// twice; what is certain is only [`complete_within`](Self::complete_within).
    pub fn is_lost(&self) -> bool {
        self.0.lost.load(Relaxed) || self.0.worker.is_lost()
    }

    /// Says that this run is no longer the worker's, and that the job should stop.
    pub fn revoke(&self) {
        self.0.lost.store(true, Relaxed);
        self.0.cancellation.cancel();
    }

    /// A client of the storage that the job came from. Inside a job it is also the default one, which
    /// `.enqueue(..)` takes without being told.
    pub fn client(&self) -> &Client {
        &self.0.worker.client
    }

    /// A value that the worker was given with `.data(..)`. A parameter `Data<T>` is better: then a
    /// worker without it does not even start.
    pub fn data<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.worker.data.get()
    }

    /// Completes the job as part of the caller's transaction: if that commits, the job has Succeeded,
    /// and its writes have happened exactly once. The handler commits, and then returns `Ok`.
    ///
    /// For jobs that return nothing; see [`complete_within_with`](Self::complete_within_with) for the
    /// others.
    ///
    /// If the transaction is rolled back (or never committed) although this said `Ok`, the attempt has
    /// failed, whatever the handler returns.
    ///
    /// # Errors
    ///
    /// Fails if the run is no longer this worker's (the job was deleted, or runs elsewhere): then the
    /// caller must roll back, which an early return with `?` does. Fails with
    /// [`Error::Setup`](crate::Error::Setup) if the transaction is of another sort of database than
    /// the job.
    pub async fn complete_within<S: Storage, C: Within<S>>(&self, tx: &mut C) -> Result<()> {
        self.complete::<S, C>(tx, None).await
    }

    /// As [`complete_within`](Self::complete_within), with the result of the job. Give the value that
    /// the handler returns: what it returns later is not looked at.
    ///
    /// # Errors
    ///
    /// As [`complete_within`](Self::complete_within); and with [`Error::Invalid`](crate::Error::Invalid)
    /// if the result cannot be stored.
    pub async fn complete_within_with<S: Storage, C: Within<S>>(
        &self,
        tx: &mut C,
        result: &(impl Serialize + Sync),
    ) -> Result<()> {
        let result =
            encode_result(result, ARGS_LIMIT).map_err(|why| Error::Invalid(why.to_string()))?;
        self.complete::<S, C>(tx, result).await
    }

    async fn complete<S: Storage, C: Within<S>>(
        &self,
        tx: &mut C,
        result: Option<String>,
    ) -> Result<()> {
        let Run {
            job, claim, worker, ..
        } = &*self.0;
        let storage = worker.storage.downcast_ref::<S>().ok_or_else(|| {
            let name = worker.storage.name();
            Error::Setup(format!(
                "a job of the storage `{name}` cannot be completed within a transaction of another one"
            ))
        })?;
        let settlement = Settlement {
            job: job.id,
            run: job.run,
            claim: *claim,
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            attempt: job.attempt,
            ran_for: Some(self.elapsed()),
            ended_ago: Duration::ZERO,
            transition: Transition::Succeed { result, note: None },
        };
        // Noted before it is tried: if the answer is lost, only the storage knows what has happened,
        // and the outcome that the worker sends afterwards must be one that is right in both cases.
        self.0.completed.store(true, Relaxed);
        tx.complete(storage, worker.id, &settlement).await
    }

    /// Whether the handler has tried to complete this run in a transaction of its own. The worker
    /// still sends an outcome: it is refused as already settled if that transaction was committed.
    pub fn has_completed(&self) -> bool {
        self.0.completed.load(Relaxed)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("run", &self.run())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::handler::{JobEntry, expansion, perform};
    use crate::job::NewJob;
    use crate::lifecycle::Outcome;
    use crate::storage::{Inserted, MemoryStorage, NewBatch};

    /// A transaction that notes what it was given.
    #[derive(Default)]
    struct Noting(Vec<Settlement>);

    #[async_trait]
    impl Within<MemoryStorage> for Noting {
        async fn insert(&mut self, _: &MemoryStorage, _: &[NewJob]) -> Result<Vec<Inserted>> {
            unreachable!("nothing is enqueued here")
        }

        async fn create_batch(
            &mut self,
            _: &MemoryStorage,
            _: &NewBatch,
            _: &[NewJob],
        ) -> Result<Vec<Inserted>> {
            unreachable!("nothing is enqueued here")
        }

        async fn complete(
            &mut self,
            _: &MemoryStorage,
            _: WorkerId,
            run: &Settlement,
        ) -> Result<()> {
            self.0.push(run.clone());
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_completion_is_a_success_of_this_very_run() {
        let (ctx, mut tx) = (JobContext::for_test().attempt(3).build(), Noting::default());
        assert!(!ctx.has_completed());
        ctx.complete_within(&mut tx).await.unwrap();
        ctx.complete_within_with(&mut tx, &[1, 2]).await.unwrap();
        assert!(ctx.has_completed());
        let [plain, with] = tx.0.as_slice() else {
            panic!("{} settlements", tx.0.len())
        };
        assert_eq!(
            (plain.job, plain.run, plain.attempt),
            (ctx.id(), ctx.run(), 2)
        );
        assert_eq!(
            plain.transition,
            Transition::Succeed {
                result: None,
                note: None
            }
        );
        let result = Some("[1,2]".into());
        assert_eq!(with.transition, Transition::Succeed { result, note: None });
    }

    #[tokio::test]
    async fn a_result_that_cannot_be_kept_completes_nothing() {
        let (ctx, mut tx) = (JobContext::for_test().build(), Noting::default());
        let error = ctx
            .complete_within_with(&mut tx, &f64::NAN)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
        assert!(tx.0.is_empty() && !ctx.has_completed());
    }

    /// Whoever completed its job in a transaction has its outcome refused; if it counts after all, that
    /// transaction was rolled back.
    #[tokio::test]
    async fn success_after_a_completion_is_a_failure_if_it_counts() {
        static ENTRY: JobEntry = JobEntry {
            perform: |ctx| {
                perform(&ENTRY, ctx, |_: serde::de::IgnoredAny, ctx| async move {
                    ctx.complete_within(&mut Noting::default()).await?;
                    expansion::success(())
                })
            },
            ..JobEntry::TEST
        };
        let outcome = (ENTRY.perform)(JobContext::for_test().build()).await;
        let Outcome::Failed(failure) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            failure.report.message.contains("was rolled back"),
            "{}",
            failure.report
        );
    }

    #[test]
    fn a_run_is_lost_alone_or_with_its_worker() {
        let ctx = JobContext::for_test().build();
        assert!(!ctx.is_lost() && !ctx.is_cancelled());
        ctx.0.worker.set_lost(true);
        assert!(ctx.is_lost());
        ctx.0.worker.set_lost(false);
        assert!(!ctx.is_lost());
        ctx.revoke();
        assert!(ctx.is_lost() && ctx.is_cancelled());
    }
}
