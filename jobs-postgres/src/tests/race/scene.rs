//! What those who take part share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobs_core::Error;
use jobs_core::job::{BatchId, JobId};

use crate::PgStorage;
use crate::tests::{Home, PATIENCE};

pub(super) const QUEUES: [&str; 3] = ["r.a", "r.b", "r.c"];
pub(super) const KINDS: [&str; 3] = ["x", "y", "z"];

/// Operators and parents are of the last so many: those are on their way.
const RECENT: usize = 200;

/// The stage.
pub(super) struct Scene {
    pub(super) home: Arc<Home>,
    /// As of several processes: each has its own idea of what there is.
    pub(super) storages: Vec<PgStorage>,
    jobs: Mutex<VecDeque<JobId>>,
    batches: Mutex<VecDeque<BatchId>>,
    tally: Mutex<BTreeMap<&'static str, u64>>,
    stop: AtomicBool,
}

impl Scene {
    pub(super) async fn new(home: &Arc<Home>) -> Arc<Self> {
        let mut storages = Vec::new();
        for _ in 0..3 {
            storages.push(home.storage().await);
        }
        Arc::new(Self {
            home: Arc::clone(home),
            storages,
            jobs: Mutex::default(),
            batches: Mutex::default(),
            tally: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    }

    /// Whether it still goes on.
    pub(super) fn on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self, stop: bool) {
        self.stop.store(stop, Ordering::Relaxed);
    }

    pub(super) fn stored(&self, ids: impl IntoIterator<Item = JobId>) {
        remember(&self.jobs, ids);
    }

    /// They were not stored after all.
    pub(super) fn forget(&self, ids: &[JobId], batch: Option<BatchId>) {
        locked(&self.jobs).retain(|id| !ids.contains(id));
        locked(&self.batches).retain(|id| Some(*id) != batch);
    }

    pub(super) fn batch(&self, id: BatchId) {
        remember(&self.batches, [id]);
    }

    /// Some jobs that were stored lately, each once.
    pub(super) fn some_jobs(&self, luck: &mut Luck, n: usize) -> Vec<JobId> {
        let recent = locked(&self.jobs);
        let mut some: Vec<JobId> = (0..n).filter_map(|_| pick(&recent, luck)).collect();
        some.sort_unstable();
        some.dedup();
        some
    }

    pub(super) fn some_batch(&self, luck: &mut Luck) -> Option<BatchId> {
        let recent = locked(&self.batches);
        let from = recent.len().saturating_sub(8);
        recent.get(from + luck.below(8.min(recent.len()))).copied()
    }

    /// Notes that something has happened once more.
    pub(super) fn count(&self, what: &'static str) {
        self.count_many(what, 1);
    }

    pub(super) fn count_many(&self, what: &'static str, n: u64) {
        *locked(&self.tally).entry(what).or_default() += n;
    }

    pub(super) fn tally(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.tally).clone()
    }

    /// Whether a request may be sent again; if not, it was refused for a reason that it may be refused for.
    pub(super) fn may_be_sent_again(&self, error: &Error) -> bool {
        if let Error::Conflict { source, .. } = error {
            let deadlock = source.to_string().contains("deadlock");
            self.count(if deadlock { "deadlocks" } else { "busy" });
            return true;
        }
        // Of a batch that has ended, of what retention has removed, of a key that is held.
        let expected = matches!(
            error,
            Error::Invalid(_)
                | Error::UnknownJob(_)
                | Error::UnknownBatch(_)
                | Error::Duplicate { .. }
        );
        assert!(expected, "{error}: {error:?}");
        self.count("requests refused");
        false
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<T>(in_list: &Mutex<VecDeque<T>>, ids: impl IntoIterator<Item = T>) {
    let mut list = locked(in_list);
    list.extend(ids);
    while list.len() > RECENT {
        list.pop_front();
    }
}

/// The later ones more often.
fn pick(recent: &VecDeque<JobId>, luck: &mut Luck) -> Option<JobId> {
    let among = if luck.chance(70) { 30 } else { RECENT };
    let among = among.min(recent.len());
    recent
        .get(recent.len() - among + luck.below(among))
        .copied()
}

/// Sends a request again for as long as the storage says that it was busy.
macro_rules! patiently {
    ($scene:expr, $ask:expr) => {
        $crate::tests::race::scene::in_time(async {
            loop {
                match $ask.await {
                    Err(error) if $scene.may_be_sent_again(&error) => {}
                    answer => break answer,
                }
            }
        })
        .await
    };
}

pub(super) use patiently;

/// What takes longer hangs, or is refused again and again.
pub(super) async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    let answered = tokio::time::timeout(2 * PATIENCE, asked).await;
    answered.expect("an answer in the end")
}

/// Choices that follow from a seed.
pub(super) struct Luck(u64);

impl Luck {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `splitmix64`.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Less than `n`; 0 if there is nothing less.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True this often in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    pub(super) fn millis(&mut self, below: usize) -> Duration {
        Duration::from_micros(self.below(below * 1_000) as u64)
    }
}
