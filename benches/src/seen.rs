//! What the handlers saw.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

static SEEN: OnceLock<Seen> = OnceLock::new();

/// What the handlers of this process saw, by the number of the job.
pub(crate) struct Seen {
    runs: Vec<AtomicU8>,
    enqueued: Vec<AtomicU64>,
    started: Vec<AtomicU64>,
    distinct: AtomicU64,
    total: AtomicU64,
    /// Woken at each start, if somebody wants to know.
    watched: AtomicBool,
    pub(crate) changed: Notify,
}

/// Nanoseconds of the wall clock: two processes of one machine can compare them.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}

impl Seen {
    /// Room for jobs 0 to `jobs`; once in each process.
    pub(crate) fn init(jobs: u64) -> &'static Self {
        let zeros = || (0..jobs).map(|_| AtomicU64::new(0)).collect();
        SEEN.get_or_init(|| Self {
            runs: (0..jobs).map(|_| AtomicU8::new(0)).collect(),
            enqueued: zeros(),
            started: zeros(),
            distinct: AtomicU64::new(0),
            total: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Has [`Self::changed`] woken at each start from now on.
    pub(crate) fn watch(&self) {
        self.watched.store(true, Relaxed);
    }

    /// How many different jobs have started.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct.load(Relaxed)
    }

    /// How often a job was started that had been started before.
    pub(crate) fn repeated(&self) -> u64 {
        self.total.load(Relaxed).saturating_sub(self.distinct())
    }

    /// Notes the moment before an enqueue.
    pub(crate) fn enqueueing(&self, job: u64) {
        self.enqueued[job as usize].store(now(), Relaxed);
    }

    /// When the job first started; 0 if it has not.
    pub(crate) fn started(&self, job: u64) -> u64 {
        self.started[job as usize].load(Relaxed)
    }

    /// Milliseconds from before the enqueue to the start of the handler, of all jobs that have both.
    pub(crate) fn latencies(&self) -> Vec<f64> {
        let pairs = self.enqueued.iter().zip(&self.started);
        let pairs =
            pairs.map(|(enqueued, started)| (enqueued.load(Relaxed), started.load(Relaxed)));
        pairs
            .filter(|&(enqueued, started)| enqueued > 0 && started > 0)
            .map(|(enqueued, started)| started.saturating_sub(enqueued) as f64 / 1e6)
            .collect()
    }
}

/// Every handler calls this first.
pub(crate) fn on_job(job: u64) {
    let Some(seen) = SEEN.get() else { return };
    seen.total.fetch_add(1, Relaxed);
    let Some(runs) = seen.runs.get(job as usize) else {
        return;
    };
    if runs.fetch_add(1, Relaxed) == 0 {
        seen.started[job as usize].store(now(), Relaxed);
        seen.distinct.fetch_add(1, Relaxed);
    }
    if seen.watched.load(Relaxed) {
        seen.changed.notify_one();
    }
}
