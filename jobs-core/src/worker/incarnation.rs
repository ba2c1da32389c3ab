//! The life of a worker: start, stop, and starting over when it was taken for dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::builder::WorkerBuilder;
use super::crew::{Crew, Setup};
use super::dispatcher::Dispatcher;
use super::executor::released;
use super::handover::Offer;
use super::heartbeat::{Pulse, beat};
use super::revocation;
use super::running::Cancelled;
use super::running_worker::RunningWorker;
use super::signals::StopSignal;
use crate::clock::FOR_EVER;
use crate::error::Result;
use crate::handler::{catch_panic, declare};
use crate::job::WorkerId;
use crate::lifecycle::RetryPolicy;
use crate::maintenance::{fire_recurring, keep_up, rescue_the_dead};
use crate::storage::{StorageHandle, Taker};

/// How long a stopping worker tries to write down its last outcomes when the storage is away.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Runs jobs. Any number of workers, in any number of processes, may serve one storage.
pub struct Worker(Setup);

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("storage", &self.0.storage)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Sets up a worker for a storage.
    pub fn builder(storage: impl Into<StorageHandle>) -> WorkerBuilder {
        WorkerBuilder::new(storage.into())
    }

    pub(super) fn new(setup: Setup) -> Self {
        Self(setup)
    }

    /// Runs until the process is told to stop (Ctrl-C, SIGTERM), then stops cleanly: jobs not started
    /// go back at once; running ones get their grace, then are cancelled, then go back too. Told again, a second later or
    /// more, it cancels them at once.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start). Once it runs it does not end by itself: a storage that goes away is
    /// waited for.
    pub async fn run(self) -> Result<()> {
        // Before the start: a worker that others see already must not be ended by a signal as if killed.
        let signal = StopSignal::listen();
        let running = self.start().await?;
        let received = match signal {
            Ok(signal) => signal.received().await,
            Err(error) => Err(error),
        };
        if let Err(error) = received {
            warn!(%error, "signals cannot be received: this worker runs until its process is killed");
            std::future::pending::<()>().await;
        }
        let hurry = running.hurry();
        let stop = running.stop();
        tokio::pin!(stop);
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = told_again() => {
                info!("told to stop again: what still runs is cancelled now");
                hurry.cancel();
            }
        }
        stop.await;
        Ok(())
    }

    /// Runs until `stop` is ready, then stops cleanly.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let running = self.start().await?;
        stop.await;
        running.stop().await;
        Ok(())
    }

    /// Starts in the background.
    ///
    /// # Errors
    ///
    /// Fails if the storage cannot be reached now, or if its tables are not of this version, or if what a job
    /// declares to recur cannot be stored.
    pub async fn start(self) -> Result<RunningWorker> {
        let Self(setup) = self;
        setup.storage.check_schema().await?;
        if setup.config.recurring {
            declare(&setup.client, &setup.registry).await?;
        }
        let incarnation = Incarnation::start(&setup).await?;
        let stop = Stop::default();
        let serving = Arc::clone(&setup.serving);
        let task = tokio::spawn(live(setup, incarnation, stop.clone()));
        Ok(RunningWorker::new(serving, stop, task))
    }
}

/// How a worker is told to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    /// Now.
    pub(super) now: CancellationToken,
    /// And without grace.
    pub(super) hurry: CancellationToken,
}

/// Lives one incarnation after the other until told to stop.
async fn live(setup: Setup, first: Incarnation, stop: Stop) {
    let mut incarnation = first;
    loop {
        match incarnation.live(&stop.now).await {
            Pulse::Stopped => return incarnation.stop(stop.hurry).await,
            // What still runs there is told to stop, and its outcomes will be refused: nobody waits.
            Pulse::Dead => {
                tokio::spawn(incarnation.stop(stop.hurry.clone()));
            }
        }
        incarnation = loop {
            match Incarnation::start(&setup).await {
                Ok(next) => break next,
                Err(error) => warn!(%error, "a new start failed; trying again"),
            }
            tokio::select! {
                () = stop.now.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        };
    }
}

struct Incarnation {
    crew: Arc<Crew>,
    /// Stops claiming and the rounds of maintenance.
    halt: CancellationToken,
    /// Stops the sign of life; last of all, so that nobody takes what is still running.
    quiet: CancellationToken,
    heartbeat: JoinHandle<Pulse>,
    settler: JoinHandle<()>,
    rounds: Vec<JoinHandle<()>>,
    offer: Arc<dyn Taker>,
}

impl Incarnation {
    async fn start(setup: &Setup) -> Result<Self> {
        let id = WorkerId::new();
        let crew = Arc::new(Crew::new(setup, id));
        crew.storage.register(&crew.info()).await?;
        info!(worker = %id, storage = crew.storage.name(), "worker started");
        let (halt, quiet) = (CancellationToken::new(), CancellationToken::new());
        let liveness = crew.config.liveness;
        let storage = || crew.storage.clone();
        let claim = {
            let (crew, halt) = (Arc::clone(&crew), halt.clone());
            move || Dispatcher::new(Arc::clone(&crew), halt.clone()).run()
        };
        let watch = {
            let (crew, quiet) = (Arc::clone(&crew), quiet.clone());
            move || revocation::watch(Arc::clone(&crew), quiet.clone())
        };
        let rescue = {
            let (storage, halt) = (storage(), halt.clone());
            move || {
                rescue_the_dead(
                    storage.clone(),
                    id,
                    liveness.death,
                    liveness.watch,
                    halt.clone(),
                )
            }
        };
        let keep = {
            let (storage, retention, halt) = (storage(), crew.config.retention, halt.clone());
            move || keep_up(storage.clone(), retention, halt.clone())
        };
        let mut rounds = vec![
            tokio::spawn(again_after_panics("dispatcher", claim)),
            tokio::spawn(again_after_panics("revocation", watch)),
            tokio::spawn(again_after_panics("rescuer", rescue)),
            tokio::spawn(again_after_panics("upkeep", keep)),
        ];
        if crew.config.recurring {
            let kinds: Arc<[String]> = crew
                .registry
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let (storage, halt) = (storage(), halt.clone());
            let fire = move || fire_recurring(storage.clone(), kinds.clone(), halt.clone());
            rounds.push(tokio::spawn(again_after_panics("scheduler", fire)));
        }
        let heartbeat = tokio::spawn(beat(Arc::clone(&crew), quiet.clone()));
        let settler = tokio::spawn(Arc::clone(&crew.settler).run());
        let offer = Offer::make(&crew);
        Ok(Self {
            crew,
            halt,
            quiet,
            heartbeat,
            settler,
            rounds,
            offer,
        })
    }

    /// Waits for the end: told to stop, or taken for dead.
    async fn live(&mut self, stop: &CancellationToken) -> Pulse {
        tokio::select! {
            biased;
            () = stop.cancelled() => Pulse::Stopped,
            pulse = &mut self.heartbeat => pulse.unwrap_or_else(|error| {
                // Without a heartbeat this incarnation will be taken for dead: start over at once.
                error!(%error, "the heartbeat ended early");
                Pulse::Dead
            }),
        }
    }

    /// Ends this incarnation: stop claiming, give back what has not started, wait for what runs, cancel
    /// it, wait again, drop and give back the rest, write everything down, say goodbye. In a hurry nothing is waited for before it is
    /// cancelled.
    async fn stop(self, hurry: CancellationToken) {
        let Self {
            crew,
            halt,
            quiet,
            heartbeat,
            settler,
            rounds,
            offer,
        } = self;
        halt.cancel();
        drop(offer);
        crew.held.set_closed(true);
        for taken in crew.held.take_if(|_| true) {
            crew.settle_unstarted(&taken, released("its worker was shut down"));
        }
        let (grace, stop_grace) = (crew.config.grace, crew.config.stop_grace);
        let in_time = tokio::select! {
            in_time = wait_for_runners(&crew, grace) => in_time,
            () = hurry.cancelled() => false,
        };
        if !in_time {
            info!(worker = %crew.id, "cancelling what still runs");
            crew.running.cancel_all(Cancelled::Shutdown);
            if !wait_for_runners(&crew, stop_grace).await {
                drop_the_rest(&crew).await;
            }
        }
        // The dispatcher may have had a claim under way.
        let dispatcher = rounds.into_iter().next();
        if let Some(dispatcher) = dispatcher {
            let _ = tokio::time::timeout(Duration::from_secs(5), dispatcher).await;
        }
        for taken in crew.held.take_if(|_| true) {
            crew.settle_unstarted(&taken, released("its worker was shut down"));
        }
        crew.settler.stop();
        if tokio::time::timeout(LAST_WORDS, settler).await.is_err() {
            warn!(worker = %crew.id, "the storage is away: what was not written down will run again");
        }
        quiet.cancel();
        // One that ended by itself was heard already, and must not be awaited twice.
        if !heartbeat.is_finished() {
            let _ = heartbeat.await;
        }
        match tokio::time::timeout(LAST_WORDS, crew.storage.retire(crew.id)).await {
            Ok(Ok(())) => info!(worker = %crew.id, "worker stopped"),
            Ok(Err(error)) => warn!(worker = %crew.id, %error, "worker stopped without a goodbye"),
            Err(_) => warn!(worker = %crew.id, "worker stopped without a goodbye"),
        }
    }
}

/// Waits for the process to be told to stop once more. Not within a second: what starts processes may tell them twice, a
/// terminal its whole group and the program that was started in it its children.
async fn told_again() {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = match StopSignal::listen() {
        Ok(signal) => signal.received().await,
        Err(error) => Err(error),
    };
    if told.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Goes round until told to stop. What panics, ours or the storage's fault, is told and begun again: a worker that lives
/// and does half of its work would keep its jobs from those who do all.
async fn again_after_panics<F: Future<Output = ()>>(what: &str, mut round: impl FnMut() -> F) {
    while let Err(panic) = catch_panic(Box::pin(round())).await {
        error!(what, %panic, "a part of the worker panicked; starting it again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until no runner is left; answers whether that came about in time.
async fn wait_for_runners(crew: &Crew, patience: Duration) -> bool {
    let end = Instant::now() + patience.min(FOR_EVER);
    loop {
        // Asked for before looking, so that one that ends in between is noticed.
        let ended = crew.runner_ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if crew.held.runners() == 0 {
            return true;
        }
        if tokio::time::timeout_at(end.into(), ended).await.is_err() {
            return crew.held.runners() == 0;
        }
    }
}

async fn drop_the_rest(crew: &Crew) {
    crew.abort.cancel();
    wait_for_runners(crew, Duration::from_secs(1)).await;
    for run in crew.running.drain() {
        warn!(job = %run.job.id, kind = &*run.job.kind, "dropped: it did not stop when told to");
        let outcome = released("its worker was shut down");
        crew.settle(
            &run.job,
            run.claim,
            Some(run.started.elapsed()),
            &RetryPolicy::default(),
            outcome,
        );
    }
}
