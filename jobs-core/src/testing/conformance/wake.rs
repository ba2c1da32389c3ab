//! [`Storage::wake`](crate::storage::Storage::wake): what is done through a storage is hinted at there.

use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::control::{queues, tell};
use super::stage::{Hand, LATER, PATIENCE, job, order, release, retry, store, store_one};
use crate::job::{Due, JobId};
use crate::storage::{ControlVerb, StorageHandle, Verb, Wake};

/// Waits for a hint that says this, or that says to look at everything.
async fn hears(hints: &mut Receiver<Wake>, wanted: &Wake) {
    let listen = async {
        loop {
            match hints.recv().await {
                Ok(hint) if hint == *wanted || hint == Wake::Everything => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => panic!("the hints have ended, not with {wanted:?}"),
            }
        }
    };
    let heard = timeout(PATIENCE, listen).await;
    assert!(heard.is_ok(), "there was no hint {wanted:?}");
}

fn jobs_in(queue: &str) -> Wake {
    Wake::Jobs(queue.into())
}

/// An insert wakes those who listen, all of them, for each of its queues, also for later jobs: somebody
/// may be sleeping for longer.
pub async fn an_insert_wakes(storage: StorageHandle) {
    let (mut one, mut other) = (storage.wake(), storage.wake());
    let mut later = job("later");
    later.due = Due::In(LATER);
    store(&storage, &[job("a"), later, job("b")]).await;
    for queue in ["a", "b", "later"] {
        let (mut again, wanted) = (one.resubscribe(), jobs_in(queue));
        store_one(&storage, queue).await;
        hears(&mut again, &wanted).await;
    }
    hears(&mut one, &jobs_in("a")).await;
    hears(&mut other, &jobs_in("b")).await;
}

/// What comes back to a queue wakes too.
pub async fn what_comes_back_wakes(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    for end in [retry(Duration::ZERO), release()] {
        let run = hand.take_one("a").await;
        let mut hints = storage.wake();
        hand.end(&run, end).await;
        hears(&mut hints, &jobs_in("a")).await;
    }
    hand.take_one("a").await;
    let mut hints = storage.wake();
    hand.beat(&[]).await;
    hears(&mut hints, &jobs_in("a")).await;
    hand.take_one("a").await;
    let mut hints = storage.wake();
    hand.dies().await;
    hears(&mut hints, &jobs_in("a")).await;
    for verb in [Verb::Reschedule(Due::In(LATER)), Verb::RunNow] {
        let mut hints = storage.wake();
        order(&storage, verb, id).await;
        hears(&mut hints, &jobs_in("a")).await;
    }
    order(&storage, Verb::Delete, id).await;
    let mut hints = storage.wake();
    order(&storage, Verb::Requeue, id).await;
    hears(&mut hints, &jobs_in("a")).await;
    let hand = Hand::hire(&storage).await;
    hand.take_one("a").await;
    let mut hints = storage.wake();
    storage.retire(hand.id).await.expect("retire");
    hears(&mut hints, &jobs_in("a")).await;
}

/// Deleting a running job wakes the one that runs it.
pub async fn deleting_a_running_job_wakes(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id: JobId = store_one(&storage, "a").await;
    hand.take_one("a").await;
    let mut hints = storage.wake();
    order(&storage, Verb::Delete, id).await;
    hears(&mut hints, &Wake::Cancelled(id)).await;
}

/// Pausing and resuming wake.
pub async fn pausing_and_resuming_wake(storage: StorageHandle) {
    let scope = queues("a");
    for verb in [
        ControlVerb::Pause(scope.clone(), None),
        ControlVerb::Resume(scope),
        ControlVerb::Order(None),
    ] {
        let mut hints = storage.wake();
        tell(&storage, verb, None).await;
        hears(&mut hints, &Wake::Queues).await;
    }
}
