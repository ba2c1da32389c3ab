//! [`Storage::migrate`](crate::storage::Storage::migrate) and `check_schema`. The factory's storages are
//! ready to be used, so that what a missing schema is answered with is for the storage's own tests.

use super::stage::{Hand, at_once, record, store_one, succeed};
use crate::job::State;
use crate::storage::StorageHandle;

/// A storage that is ready says so.
pub async fn a_ready_storage_is_ready(storage: StorageHandle) {
    storage.check_schema().await.expect("check_schema");
    assert!(!storage.name().is_empty());
}

/// Migrating again changes nothing.
pub async fn migrating_again_keeps_everything(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let done = store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    hand.end(&run, succeed()).await;
    store_one(&storage, "a").await;
    let running = hand.take_one("a").await;
    let waiting = store_one(&storage, "a").await;
    for _ in 0..2 {
        storage.migrate().await.expect("migrate");
        storage.check_schema().await.expect("check_schema");
    }
    assert_eq!(record(&storage, done).await.state, State::Succeeded);
    assert_eq!(record(&storage, waiting).await.state, State::Enqueued);
    hand.end(&running, succeed()).await;
    hand.take_one("a").await;
}

/// Many may migrate at once.
pub async fn many_may_migrate_at_once(storage: StorageHandle) {
    let migrate = |_| {
        let storage = storage.clone();
        async move { storage.migrate().await.expect("migrate") }
    };
    at_once((0..6).map(migrate)).await;
    storage.check_schema().await.expect("check_schema");
    store_one(&storage, "a").await;
    Hand::hire(&storage).await.take_one("a").await;
}

/// Ticking is harmless, also when there is nothing to do, and when many do it.
pub async fn many_may_tick_at_once(storage: StorageHandle) {
    storage.tick().await.expect("tick");
    let id = store_one(&storage, "a").await;
    let tick = |_| {
        let storage = storage.clone();
        async move { storage.tick().await.expect("tick") }
    };
    at_once((0..6).map(tick)).await;
    assert_eq!(record(&storage, id).await.state, State::Enqueued);
}
