//! What the handlers saw.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::kinds::{CHILDREN, TENANTS};

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

    /// Room for so many jobs, each with a child.
    pub(crate) fn init_with_children(jobs: u64) -> &'static Self {
        WITH_CHILDREN.store(true, Relaxed);
        Self::init(2 * jobs)
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

/// Children have the odd places when there are any; see [`Seen::init_with_children`].
fn place(job: u64) -> usize {
    match job.checked_sub(CHILDREN) {
        Some(child) => 2 * child as usize + 1,
        None if WITH_CHILDREN.load(Relaxed) => 2 * job as usize,
        None => job as usize,
    }
}

static WITH_CHILDREN: AtomicBool = AtomicBool::new(false);

/// How many jobs of each tenant are running, and the most that ever were of one.
static RUNNING: [AtomicI64; TENANTS as usize] = [const { AtomicI64::new(0) }; TENANTS as usize];
static MOST: AtomicI64 = AtomicI64::new(0);

/// A running job of a tenant, until it is dropped.
pub(crate) struct Running(usize);

impl Running {
    pub(crate) fn of(tenant: u64) -> Self {
        let tenant = tenant as usize;
        let now = RUNNING[tenant].fetch_add(1, Relaxed) + 1;
        MOST.fetch_max(now, Relaxed);
        Self(tenant)
    }

    /// The most that ever were running at once of one tenant.
    pub(crate) fn most() -> i64 {
        MOST.load(Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING[self.0].fetch_sub(1, Relaxed);
    }
}

/// Every handler calls this first.
pub(crate) fn on_job(job: u64) {
    let Some(seen) = SEEN.get() else { return };
    seen.total.fetch_add(1, Relaxed);
    let Some(runs) = seen.runs.get(place(job)) else {
        return;
    };
    if runs.fetch_add(1, Relaxed) == 0 {
        seen.started[place(job)].store(now(), Relaxed);
        seen.distinct.fetch_add(1, Relaxed);
    }
    if seen.watched.load(Relaxed) {
        seen.changed.notify_one();
    }
}
