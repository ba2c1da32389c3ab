//! [`Storage::pause`](crate::storage::Storage::pause).

use std::time::Duration;

use super::stage::{Hand, close, record, release, retry, store_one, store_some, succeed};
use crate::job::State;
use crate::storage::{Pause, QueueRecord, StorageHandle};

async fn pause(storage: &StorageHandle, queue: &str, reason: Option<&str>) {
    let pause = Pause {
        actor: "ada".into(),
        reason: reason.map(Into::into),
        // The storage's clock says since when, not the caller's.
        since: chrono::DateTime::UNIX_EPOCH,
    };
    storage.pause(queue, Some(&pause)).await.expect("pause");
}

async fn resume(storage: &StorageHandle, queue: &str) {
    storage.pause(queue, None).await.expect("resume");
}

async fn queue(storage: &StorageHandle, name: &str) -> Option<QueueRecord> {
    let mut queues = storage.queues().await.expect("queues").into_iter();
    queues.find(|queue| queue.name == name)
}

async fn paused(hand: &Hand, shares: &[&str]) -> Vec<String> {
    let shares: Vec<_> = shares.iter().map(|&queues| (queues, 1)).collect();
    let claimed = hand.claim(&hand.request(&shares, 0)).await;
    let mut paused: Vec<_> = claimed.paused.iter().map(|name| name.to_string()).collect();
    paused.sort();
    paused
}

/// Nothing of a paused queue starts, named or by pattern, old or new; when it is resumed all does.
pub async fn nothing_of_a_paused_queue_starts(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 2).await;
    store_one(&storage, "b").await;
    pause(&storage, "a", None).await;
    let new = store_one(&storage, "a").await;
    hand.finds_nothing("a").await;
    let run = hand.take_one("*").await;
    assert_eq!(&*run.queue, "b");
    hand.finds_nothing("*").await;
    assert_eq!(record(&storage, new).await.state, State::Enqueued);
    resume(&storage, "a").await;
    hand.take("*", 3).await;
}

/// Who paused it, why and since when is kept.
pub async fn who_paused_it_and_why_is_kept(storage: StorageHandle) {
    store_one(&storage, "a").await;
    assert_eq!(
        queue(&storage, "a").await.and_then(|queue| queue.pause),
        None
    );
    pause(&storage, "a", Some("the mailer is down: \"é\"")).await;
    let found = queue(&storage, "a").await.expect("it is listed");
    assert_eq!(found.enqueued, 1);
    let found = found.pause.expect("it is paused");
    assert_eq!(found.actor, "ada");
    assert_eq!(found.reason.as_deref(), Some("the mailer is down: \"é\""));
    assert!(close(found.since, storage.now()));
    pause(&storage, "a", None).await;
    let found = queue(&storage, "a").await.and_then(|queue| queue.pause);
    assert_eq!(found.expect("it is paused").reason, None);
    resume(&storage, "a").await;
    assert_eq!(
        queue(&storage, "a").await.and_then(|queue| queue.pause),
        None
    );
}

/// A claim says which of the queues that it covers are paused, also one that asks for nothing.
pub async fn a_claim_says_what_is_paused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for queue in ["mail", "mail.bulk", "c"] {
        pause(&storage, queue, None).await;
    }
    assert_eq!(paused(&hand, &["mail"]).await, ["mail"]);
    assert_eq!(paused(&hand, &["mail.*", "c"]).await, ["c", "mail.bulk"]);
    assert_eq!(paused(&hand, &["*"]).await, ["c", "mail", "mail.bulk"]);
    assert!(paused(&hand, &["other"]).await.is_empty());
    resume(&storage, "mail").await;
    assert!(paused(&hand, &["mail"]).await.is_empty());
}

/// Running jobs of a paused queue end as they do; what comes back to it waits.
pub async fn running_jobs_are_not_touched(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 3).await;
    let runs = hand.take("a", 3).await;
    pause(&storage, "a", None).await;
    assert_eq!(record(&storage, runs[0].id).await.state, State::Processing);
    hand.end(&runs[0], succeed()).await;
    let ends = vec![
        runs[1].ended(retry(Duration::ZERO)),
        runs[2].ended(release()),
    ];
    assert_eq!(hand.send(ends, vec![runs[1].claim]).await, []);
    hand.finds_nothing("*").await;
    resume(&storage, "a").await;
    hand.take("a", 2).await;
}

/// A queue may be paused before it has jobs, and is listed then.
pub async fn a_queue_without_jobs_may_be_paused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    pause(&storage, "a", None).await;
    let found = queue(&storage, "a").await.expect("it is listed");
    assert_eq!(
        (found.enqueued, found.scheduled, found.oldest_due),
        (0, 0, None)
    );
    store_one(&storage, "a").await;
    hand.finds_nothing("*").await;
    resume(&storage, "a").await;
    hand.take_one("a").await;
    assert!(queue(&storage, "a").await.is_none(), "nothing waits there");
}

/// Resuming what is not paused is harmless.
pub async fn resuming_again_is_harmless(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    resume(&storage, "a").await;
    pause(&storage, "a", None).await;
    resume(&storage, "a").await;
    resume(&storage, "a").await;
    store_one(&storage, "a").await;
    hand.take_one("a").await;
}
