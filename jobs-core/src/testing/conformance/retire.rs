//! [`Storage::retire`](crate::storage::Storage::retire).

use super::stage::{Hand, fail, record, store_some, succeed};
use crate::job::State;
use crate::storage::{Refusal, StorageHandle};

async fn retire(hand: &Hand) {
    hand.storage.retire(hand.id).await.expect("retire");
}

/// What the worker still holds goes back, no attempt used; what it settled stays.
pub async fn what_is_held_goes_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", 4).await;
    let runs = hand.take("a", 2).await;
    hand.take("a", 2).await;
    let outcomes = vec![runs[0].ended(succeed())];
    assert_eq!(hand.send(outcomes, Vec::new()).await, []);
    retire(&hand).await;
    assert_eq!(record(&storage, ids[0]).await.state, State::Succeeded);
    for id in &ids[1..] {
        let found = record(&storage, *id).await;
        assert_eq!((found.state, found.run), (State::Enqueued, 1));
        assert_eq!((found.attempt, found.lost), (0, 0));
        assert!(storage.attempts(*id).await.expect("attempts").is_empty());
    }
    let other = Hand::hire(&storage).await;
    other.take("a", 3).await;
    other.finds_nothing("a").await;
}

/// Who has retired is listed no more, and answered like the dead.
pub async fn the_retired_are_gone(storage: StorageHandle) {
    let (hand, other) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    store_some(&storage, "a", 1).await;
    let run = hand.take_one("a").await;
    retire(&hand).await;
    assert_eq!(hand.last_beat().await, None);
    let workers = storage.workers().await.expect("workers");
    let listed: Vec<_> = workers.iter().map(|worker| worker.info.id).collect();
    assert_eq!(listed, [other.id]);
    assert!(!hand.beat(&[]).await.alive);
    hand.is_refused(&run, fail(), Refusal::Superseded).await;
    hand.finds_nothing("a").await;
}

/// Retiring again, or as a stranger, is harmless.
pub async fn retiring_again_is_harmless(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    retire(&hand).await;
    retire(&hand).await;
    retire(&Hand::stranger(&storage)).await;
    assert_eq!(storage.presences().await.expect("presences"), []);
}
