//! What every [`Storage`] must do, as tests. A storage's crate runs all of them with
//!
//! ```
//! # use jobs_core::storage::MemoryStorage;
//! async fn fresh() -> MemoryStorage {
//!     MemoryStorage::new()
//! }
//!
//! jobs_core::testing::conformance!(fresh);
//! ```
//!
//! in a file of its `tests/`. There is a module for each method of the storage and for each thing that
//! jobs can be asked to heed, and each test is a
//! sentence of the contract. Every test gets a storage of its own, fresh and empty, so that all may run
//! side by side. They use the storage's own clock and wait for events, never for a fixed time.
//!
//! `JOBS_TEST_LONG=1` makes the [race](mod@race) last for a minute instead of two seconds,
//! `JOBS_TEST_SEED` repeats one with the seed that it printed.

pub mod batch;
pub mod batch_creation;
pub mod beat;
pub mod cancelling;
pub mod children;
pub mod circles;
pub mod claim;
pub mod command;
pub mod conflict;
pub mod control;
pub mod excess;
pub mod expiry;
pub mod families;
pub mod fence;
pub mod graphs;
pub mod insert;
pub mod insert_taken;
pub mod inspect;
pub mod limits;
mod list;
pub mod members;
pub mod nested;
pub mod next_due;
pub mod parents;
pub mod race;
pub mod rates;
pub mod recurring;
pub mod recurring_events;
pub mod recurring_keys;
pub mod recurring_overlap;
pub mod recurring_year;
pub mod rescue;
pub mod retain;
pub mod retire;
pub mod revoked;
pub mod schema;
pub mod settle;
mod stage;
pub mod stats;
pub mod turns;
pub mod unique;
pub mod unique_time;
pub mod wake;

use std::time::Duration;

use crate::storage::{Storage, StorageHandle};

/// A test that takes longer hangs, and says so.
const LONGEST: Duration = Duration::from_secs(300);

/// What a factory of storages may make: a storage, or a [`StorageHandle`], alone or with something that
/// must outlive the test (a temporary directory, a schema that is dropped in the end).
pub trait Provision {
    /// What must outlive the test.
    type Guard;

    /// The storage, and what keeps it.
    fn split(self) -> (StorageHandle, Self::Guard);
}

impl Provision for StorageHandle {
    type Guard = ();

    fn split(self) -> (StorageHandle, ()) {
        (self, ())
    }
}

impl<S: Storage> Provision for S {
    type Guard = ();

    fn split(self) -> (StorageHandle, ()) {
        (StorageHandle::new(self), ())
    }
}

impl<G> Provision for (StorageHandle, G) {
    type Guard = G;

    fn split(self) -> (StorageHandle, G) {
        self
    }
}

impl<S: Storage, G> Provision for (S, G) {
    type Guard = G;

    fn split(self) -> (StorageHandle, G) {
        (StorageHandle::new(self.0), self.1)
    }
}

/// Runs one test on one fresh storage, on threads of its own, so that what races may race.
pub fn run<P: Provision>(fresh: impl Future<Output = P>, test: impl AsyncFnOnce(StorageHandle)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (storage, guard) = fresh.await.split();
        let ended = tokio::time::timeout(LONGEST, test(storage)).await;
        drop(guard);
        assert!(
            ended.is_ok(),
            "the test has not ended after {LONGEST:?}: something hangs"
        );
    });
}

#[cfg(test)]
mod tests {
    use crate::storage::MemoryStorage;

    async fn fresh() -> MemoryStorage {
        MemoryStorage::new()
    }

    crate::testing::conformance!(fresh);

    /// What is public in a module and takes a storage is a test, and must be in the list.
    #[test]
    fn every_test_is_listed() {
        macro_rules! names {
            ($($module:ident { $($test:ident)* })*) => {
                [$((
                    stringify!($module),
                    include_str!(concat!(stringify!($module), ".rs")),
                    &[$(stringify!($test)),*][..],
                )),*]
            };
        }
        let list = crate::__conformance_list! { names! };
        for (module, source, listed) in list {
            let written = source
                .split("\npub async fn ")
                .skip(1)
                .filter_map(|text| text.split_once("(storage: StorageHandle)"))
                .map(|(name, _)| name);
            assert_eq!(written.collect::<Vec<_>>(), listed, "module {module}");
        }
        assert!(list.len() > 15);
    }
}
