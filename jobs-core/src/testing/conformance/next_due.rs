//! [`Storage::next_due`](crate::storage::Storage::next_due).

use std::sync::Arc;
use std::time::Duration;

use super::control::{pause, queues, resume};
use super::stage::{Hand, job, store, store_one, succeed};
use crate::job::{Due, NewJob};
use crate::storage::StorageHandle;

async fn next(hand: &Hand, queues: &str) -> Option<Duration> {
    let request = hand.request(&[(queues, 1)], 1);
    hand.storage.next_due(&request).await.expect("next_due")
}

async fn store_for(storage: &StorageHandle, queue: &str, seconds: u64) {
    let due = Due::In(Duration::from_secs(seconds));
    store(storage, &[NewJob { due, ..job(queue) }]).await;
}

fn about(seconds: u64, found: Option<Duration>) -> bool {
    let wanted = Duration::from_secs(seconds);
    found.is_some_and(|found| found <= wanted && found + Duration::from_secs(15) > wanted)
}

/// It is zero while a job is due.
pub async fn is_zero_while_a_job_is_due(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_for(&storage, "a", 600).await;
    store_one(&storage, "a").await;
    assert_eq!(next(&hand, "a").await, Some(Duration::ZERO));
    assert_eq!(next(&hand, "*").await, Some(Duration::ZERO));
}

/// It is the time until the first of those that come later.
pub async fn is_the_time_until_the_first(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_for(&storage, "a", 900).await;
    store_for(&storage, "a", 300).await;
    store_for(&storage, "b", 600).await;
    assert!(about(300, next(&hand, "a").await));
    assert!(about(600, next(&hand, "b").await));
    assert!(about(300, next(&hand, "*").await));
}

/// It is nothing where nothing waits.
pub async fn is_nothing_where_nothing_waits(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    assert_eq!(next(&hand, "*").await, None);
    store_one(&storage, "a").await;
    assert_eq!(next(&hand, "b").await, None);
    let run = hand.take_one("a").await;
    assert_eq!(next(&hand, "*").await, None, "what is taken does not wait");
    hand.end(&run, succeed()).await;
    assert_eq!(next(&hand, "*").await, None, "nor what is done");
}

/// Paused queues do not count.
pub async fn leaves_out_paused_queues(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    store_for(&storage, "b", 600).await;
    pause(&storage, queues("a")).await;
    assert!(about(600, next(&hand, "*").await));
    resume(&storage, queues("a")).await;
    assert_eq!(next(&hand, "*").await, Some(Duration::ZERO));
}

/// Kinds that the worker does not know do not count.
pub async fn leaves_out_unknown_kinds(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    let mut known = job("a");
    known.kind = "known".into();
    known.due = Due::In(Duration::from_secs(600));
    store(&storage, &[known]).await;
    let mut request = hand.request(&[("a", 1)], 1);
    request.unknown_kinds = Arc::from(["work".to_owned()]);
    let found = storage.next_due(&request).await.expect("next_due");
    assert!(about(600, found), "{found:?}");
}
