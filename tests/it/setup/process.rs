//! Workers in processes of their own, to be killed, stopped and continued. The process is this very test
//! program, started again to run one test: [`a_worker_process_starts_and_stops`], which is the worker
//! when it finds its orders in the environment.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, process, thread};

use jobs::Worker;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::log::tell_warnings;
use super::{Effects, Kind, PATIENCE, Place, on, until};
use crate::{kinds, transactions};

/// In which a worker process finds its orders.
const ORDERS: &str = "JOBS_TEST_WORKER";

/// What a worker process shall do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) url: String,
    pub(crate) dir: PathBuf,
    /// Which kinds it knows; empty means all of [`kinds`], `pay` those of [`transactions`].
    pub(crate) kinds: Vec<String>,
    /// Empty means all.
    pub(crate) queues: Vec<String>,
    pub(crate) concurrency: usize,
    /// As [`jobs::WorkerBuilder::liveness`]; `None` leaves the default, for those in whose test nobody dies: none of them
    /// shall be taken for dead on a busy machine.
    pub(crate) liveness: Option<(Duration, Duration)>,
    pub(crate) poll_interval: Duration,
    pub(crate) grace: Duration,
    pub(crate) stop_grace: Duration,
    /// How many seconds its clock is ahead of the machine's.
    #[serde(skip)]
    pub(crate) clock: i64,
}

/// Signs of life in quick succession, for tests in which somebody dies. Not quicker: on a busy machine a
/// healthy process may well stand still for some seconds.
pub(crate) const QUICK: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// A worker in a process of its own. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct WorkerProcess(Child);

impl Place {
    /// Tells a worker process to stop, and waits until it has heard.
    pub(crate) async fn tell_to_stop(&self, worker: &WorkerProcess) {
        worker.signal("TERM");
        let told = told(&self.dir, worker.pid());
        until("it has heard", PATIENCE, async || told.exists(), |it| *it).await;
    }

    /// Starts a worker process with these orders, and waits until it works.
    pub(crate) async fn process(&self, change: impl FnOnce(&mut Orders)) -> WorkerProcess {
        let mut started = self.spawn(change);
        let pid = started.pid();
        let registered = async || {
            let workers = self.storage.inspect().workers().await.unwrap();
            workers
                .iter()
                .any(|worker| worker.info.pid == pid && worker.dead_at.is_none())
        };
        until(
            "the worker process works",
            PATIENCE,
            registered,
            |registered| {
                assert!(!started.has_ended(), "the worker process ended");
                *registered
            },
        )
        .await;
        started
    }

    /// Starts a worker process with these orders, which may end at any moment.
    pub(crate) fn spawn(&self, change: impl FnOnce(&mut Orders)) -> WorkerProcess {
        let mut orders = Orders {
            url: self.url.clone(),
            dir: self.dir.clone(),
            kinds: Vec::new(),
            queues: Vec::new(),
            concurrency: 16,
            liveness: None,
            poll_interval: Duration::from_millis(200),
            grace: Duration::from_secs(20),
            stop_grace: Duration::from_secs(5),
            clock: 0,
        };
        change(&mut orders);
        start(&orders)
    }
}

fn start(orders: &Orders) -> WorkerProcess {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let log = File::create(orders.dir.join(format!("worker-{count}.log"))).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    if orders.clock != 0 {
        let shim = shifted_clock(&orders.dir);
        command
            .env("LD_PRELOAD", shim)
            .env("JOBS_TEST_CLOCK", orders.clock.to_string());
    }
    let child = command
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg("setup::process::a_worker_process_starts_and_stops")
        .env(ORDERS, serde_json::to_string(orders).unwrap())
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    WorkerProcess(child.unwrap())
}

/// The library that puts a process's clock wrong, compiled.
fn shifted_clock(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("shifted_clock.c"), dir.join("shifted_clock.so"));
    if !library.exists() {
        fs::write(&source, include_str!("shifted_clock.c")).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(
            compiled.unwrap().success(),
            "cc does not compile {}",
            source.display()
        );
    }
    library
}

impl WorkerProcess {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal: `KILL`, `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        self.signal_times(signal, 1);
    }

    /// The same several times, without a pause.
    pub(crate) fn signal_times(&self, signal: &str, times: usize) {
        let kill = vec![format!("kill -{signal} {}", self.pid()); times].join("; ");
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success(), "{kill}: {sent}");
    }

    /// Kills it as nothing can be killed more.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self, patience: Duration) -> ExitStatus {
        let end = std::time::Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(
                std::time::Instant::now() < end,
                "did not end within {patience:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_worker_process_starts_and_stops() {
    let Ok(orders) = env::var(ORDERS) else {
        return on(&[Kind::sqlite], starts_and_stops);
    };
    end_with_parent();
    tell_warnings();
    let orders = serde_json::from_str(&orders).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work(orders));
}

async fn starts_and_stops(place: &Place) {
    let worker = place.process(|_| {}).await;
    assert_eq!(place.storage.inspect().workers().await.unwrap().len(), 1);
    worker.signal("TERM");
    let status = worker.ended(PATIENCE).await;
    assert!(status.success(), "{status}");
    assert!(place.storage.inspect().workers().await.unwrap().is_empty());
}

/// Leaves word that SIGTERM has come: a moment later than it comes to the worker, which waits for it too.
fn note_signal(dir: &Path) {
    let told = told(dir, process::id());
    let mut signal = signal(SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        signal.recv().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(told, "").unwrap();
    });
}

fn told(dir: &Path, pid: u32) -> PathBuf {
    dir.join(format!("told-{pid}"))
}

async fn work(orders: Orders) {
    note_signal(&orders.dir);
    let storage = jobs::connect(&orders.url).await.unwrap();
    let mut worker = Worker::builder(storage);
    worker = match transactions::are_paying(&orders.kinds) {
        true => transactions::provide(worker, &orders.url),
        false => worker.jobs(kinds::named(&orders.kinds)),
    };
    worker = worker
        .data(Effects::new(&orders.dir))
        .concurrency(orders.concurrency)
        .poll_interval(orders.poll_interval)
        .grace(orders.grace)
        .stop_grace(orders.stop_grace);
    if !orders.queues.is_empty() {
        worker = worker.queues(&orders.queues);
    }
    if let Some((beat, death)) = orders.liveness {
        worker = worker.liveness(beat, death);
    }
    worker.run().await.unwrap();
}

/// Ends this process when the one that started it is gone: then nobody holds the other end of its input.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        process::exit(3);
    });
}
