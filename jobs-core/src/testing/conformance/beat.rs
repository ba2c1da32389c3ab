//! [`Storage::beat`](crate::storage::Storage::beat), `register` and `presences`.

use std::time::Duration;

use super::stage::{Hand, eventually, fail, record, state, store_one, store_some, succeed};
use crate::job::{ClaimId, State};
use crate::storage::{StorageHandle, WorkerInfo};

/// A beat moves the worker's number, and nobody else's.
pub async fn a_beat_moves_the_number(storage: StorageHandle) {
    let (hand, other) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    let (before, others) = (hand.last_beat().await, other.last_beat().await);
    assert!(hand.beat(&[]).await.alive);
    let first = hand.last_beat().await;
    assert!(hand.beat(&[]).await.alive);
    let second = hand.last_beat().await;
    assert!(
        before < first && first < second,
        "{before:?} {first:?} {second:?}"
    );
    assert_eq!(other.last_beat().await, others);
}

/// A worker that registers twice is known once.
pub async fn registering_twice_is_harmless(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    hand.beat(&[run.claim]).await;
    let before = hand.last_beat().await;
    let mut info = WorkerInfo::new(hand.id);
    info.queues = vec!["b".into()];
    storage.register(&info).await.expect("register");
    assert_eq!(hand.last_beat().await, before);
    let workers = storage.workers().await.expect("workers");
    assert_eq!(
        workers[0].info.queues, info.queues,
        "it may serve others by now"
    );
    assert_eq!(storage.presences().await.expect("presences").len(), 1);
    hand.end(&run, succeed()).await;
}

/// A claim whose answer was lost is given back: the worker does not name it.
pub async fn a_claim_whose_answer_was_lost_is_given_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let kept = hand.take_one("a").await;
    let lost = store_one(&storage, "a").await;
    hand.take_one("a").await;
    let orders = hand.beat(&[kept.claim]).await;
    assert!(orders.alive);
    assert_eq!(orders.missing, []);
    let found = record(&storage, lost).await;
    assert_eq!(found.state, State::Enqueued);
    assert_eq!((found.run, found.attempt, found.lost), (1, 0, 0));
    assert!(storage.attempts(lost).await.expect("attempts").is_empty());
    let again = hand.take_one("a").await;
    assert_eq!((again.id, again.run), (lost, 1));
    assert_eq!(state(&storage, id).await, State::Processing);
    hand.end(&kept, succeed()).await;
}

/// A claim that is younger than the beat is not its business.
pub async fn a_claim_younger_than_the_beat_is_kept(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 2).await;
    let written = ClaimId::new();
    let first = hand.take_one("a").await;
    hand.beat_up_to(&[], None).await;
    hand.beat_up_to(&[], Some(written)).await;
    let second = hand.take_one("a").await;
    hand.beat_up_to(&[], Some(first.claim)).await;
    assert_eq!(state(&storage, first.id).await, State::Enqueued);
    hand.end(&second, succeed()).await;
}

/// A beat says which of the named claims are gone.
pub async fn a_beat_says_what_is_gone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 2).await;
    let runs = [hand.take_one("a").await, hand.take_one("a").await];
    let unheard = ClaimId::new();
    hand.end(&runs[0], succeed()).await;
    let orders = hand.beat(&[runs[0].claim, runs[1].claim, unheard]).await;
    let mut missing = orders.missing;
    missing.sort();
    assert_eq!(missing, [runs[0].claim, unheard]);
    let other = Hand::hire(&storage).await;
    let orders = other.beat(&[runs[1].claim]).await;
    assert_eq!(orders.missing, [runs[1].claim], "it is not this worker's");
    hand.end(&runs[1], succeed()).await;
}

/// What was settled of a claim stays settled when the rest is given back.
pub async fn what_was_settled_is_not_given_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 4).await;
    let runs = hand.take("a", 4).await;
    let outcomes = vec![runs[0].ended(succeed()), runs[1].ended(fail())];
    assert_eq!(hand.send(outcomes, Vec::new()).await, []);
    hand.beat(&[]).await;
    let counts = storage.counts().await.expect("counts");
    assert_eq!(
        (counts.succeeded, counts.failed, counts.enqueued),
        (1, 1, 2)
    );
    assert_eq!(counts.processing, 0);
    hand.take("a", 2).await;
    hand.finds_nothing("a").await;
}

/// A beat gives back nothing of others.
pub async fn others_claims_are_kept(storage: StorageHandle) {
    let (hand, other) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    store_one(&storage, "a").await;
    let run = other.take_one("a").await;
    hand.beat(&[]).await;
    other.end(&run, succeed()).await;
}

/// A claim whose caller goes away while it is carried out is healed by the beats that follow.
pub async fn a_dropped_claim_is_given_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 40).await;
    for wait in [0, 100, 300, 1_000, 3_000, 10_000] {
        let request = hand.request(&[("a", 10)], 10);
        let dropped = tokio::time::timeout(Duration::from_micros(wait), storage.claim(&request));
        drop(dropped.await);
    }
    // A claim may still be under way after the first beats, as a database goes on when its caller is gone.
    let mut runs = Vec::new();
    eventually("all jobs are to be had", async || {
        runs.extend(hand.ask(&[("a", 40)], 40).await);
        let known: Vec<_> = runs.iter().map(|run| run.claim).collect();
        hand.beat(&known).await;
        (runs.len() == 40).then_some(())
    })
    .await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
}

/// Who was declared dead hears of it, for good.
pub async fn the_dead_hear_of_it(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    hand.dies().await;
    assert!(!hand.beat(&[]).await.alive);
    let info = WorkerInfo::new(hand.id);
    storage.register(&info).await.expect("register");
    assert!(!hand.beat(&[]).await.alive, "registering does not revive");
}

/// Who never registered is answered like the dead, and not listed.
pub async fn a_stranger_is_as_good_as_dead(storage: StorageHandle) {
    let stranger = Hand::stranger(&storage);
    assert!(!stranger.beat(&[]).await.alive);
    assert_eq!(stranger.last_beat().await, None);
}
