//! [Unique keys](crate::job::Unique) that are held until their job is done or started, but at the longest for
//! some time.

use std::time::Duration;

use super::stage::{
    Hand, LATER, eventually, fail, order, record, retry, rules, state, store_this, succeed,
};
use super::unique::{holds, unique};
use crate::job::{JobId, NewJob, OnConflict, State, UniqueUntil};
use crate::storage::{Answer, StorageHandle, Verb};

/// Long enough for a test to get there, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

fn done_within(time: Duration) -> NewJob {
    unique("a", "k", UniqueUntil::DoneWithin(time), OnConflict::Skip)
}

fn started_within(time: Duration) -> NewJob {
    unique("a", "k", UniqueUntil::StartedWithin(time), OnConflict::Skip)
}

/// Another gets the key as soon as it is free.
async fn heir(storage: &StorageHandle, new: impl Fn() -> NewJob) -> JobId {
    eventually("the key is free", async || {
        let answer = storage.insert(&[new()]).await.expect("insert")[0];
        (!answer.existing).then_some(answer.id)
    })
    .await
}

/// Before its time is over such a key is held as one without a time: as long as its job waits, runs and
/// waits again, and free when that is final.
pub async fn it_is_free_when_its_job_is_final(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for end in [succeed(), fail()] {
        let holder = store_this(&storage, done_within(LATER)).await;
        holds(&storage, holder, done_within(LATER)).await;
        let run = hand.take_one("a").await;
        holds(&storage, holder, done_within(SHORT)).await;
        hand.end(&run, retry(Duration::ZERO)).await;
        holds(&storage, holder, done_within(LATER)).await;
        hand.end(&hand.take_one("a").await, end).await;
        let heir = store_this(&storage, done_within(LATER)).await;
        order(&storage, Verb::Delete, heir).await;
    }
}

/// And one that is held until the start is free when a worker takes the job.
pub async fn it_is_free_at_the_start(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let first = store_this(&storage, started_within(LATER)).await;
    holds(&storage, first, started_within(LATER)).await;
    let run = hand.take_one("a").await;
    let second = store_this(&storage, started_within(LATER)).await;
    hand.end(&run, succeed()).await;
    holds(&storage, second, started_within(LATER)).await;
}

/// When its time is over it is free, although its job still waits; a second one takes it, and neither the
/// start nor the end of the first frees what is the second's.
pub async fn it_is_free_after_its_time_though_its_job_waits(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for (new, later) in [
        (done_within(SHORT), done_within(LATER)),
        (started_within(SHORT), started_within(LATER)),
    ] {
        let kind = format!("{:?}", new.rules);
        let named = |new: &NewJob, queue: &'static str| NewJob {
            kind: kind.clone().into(),
            queue: queue.into(),
            ..again(new)
        };
        let first = store_this(&storage, named(&new, "a")).await;
        let stored_at = record(&storage, first).await.created_at;
        let second = heir(&storage, || named(&later, "b")).await;
        let held = record(&storage, second).await.created_at - stored_at;
        assert!(held.num_milliseconds() >= 400, "it was held for {held}");
        assert_eq!(state(&storage, first).await, State::Enqueued);
        let run = hand.take_one("a").await;
        assert_eq!(run.id, first);
        holds(&storage, second, named(&later, "b")).await;
        hand.end(&run, retry(Duration::ZERO)).await;
        hand.end(&hand.take_one("a").await, succeed()).await;
        holds(&storage, second, named(&later, "b")).await;
        order(&storage, Verb::Delete, second).await;
    }
}

/// The same while the first one runs. Then it may not be run again, as long as the second holds the key.
pub async fn it_is_free_after_its_time_though_its_job_runs(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let first = store_this(&storage, done_within(SHORT)).await;
    let run = hand.take_one("a").await;
    let second = heir(&storage, || done_within(LATER)).await;
    hand.end(&run, fail()).await;
    holds(&storage, second, done_within(LATER)).await;
    let answer = order(&storage, Verb::Requeue, first).await;
    assert_eq!(answer, Answer::KeyHeld(second));
    order(&storage, Verb::Delete, second).await;
    holds_again(&storage, first, || done_within(LATER)).await;
}

/// Requeues a job, which then has its key again for a short time. On a busy machine that may be over before another could
/// ask for the key: then once more.
async fn holds_again(storage: &StorageHandle, first: JobId, new: impl Fn() -> NewJob) {
    eventually("a requeued job holds its key", async || {
        order(storage, Verb::Requeue, first).await;
        let answer = storage.insert(&[new()]).await.expect("insert")[0];
        if answer.existing {
            assert_eq!(answer.id, first);
            return Some(());
        }
        was_held(storage, first, answer.id).await;
        order(storage, Verb::Delete, answer.id).await;
        order(storage, Verb::Delete, first).await;
        None
    })
    .await;
}

/// The first one had the key for as long as it was to, since it was requeued, before the second one got it.
async fn was_held(storage: &StorageHandle, first: JobId, second: JobId) {
    // Its event is written a moment after it has taken the key.
    let held = record(storage, second).await.created_at - requeued_at(storage, first).await;
    assert!(held.num_milliseconds() >= 300, "it was held for {held}");
}

/// A job that is requeued takes its key again, and the time begins anew.
pub async fn a_requeued_job_has_its_time_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for new in [done_within, started_within] {
        let first = store_this(&storage, new(SHORT)).await;
        hand.end(&hand.take_one("a").await, fail()).await;
        let other = heir(&storage, || new(SHORT)).await;
        order(&storage, Verb::Delete, other).await;
        // Its first time is over by then.
        tokio::time::sleep(SHORT).await;
        holds_again(&storage, first, || new(LATER)).await;
        let second = heir(&storage, || new(LATER)).await;
        assert_eq!(state(&storage, first).await, State::Enqueued);
        was_held(&storage, first, second).await;
        order(&storage, Verb::Delete, first).await;
        holds(&storage, second, new(LATER)).await;
        order(&storage, Verb::Delete, second).await;
    }
}

async fn requeued_at(storage: &StorageHandle, id: JobId) -> chrono::DateTime<chrono::Utc> {
    let events = storage.events(id).await.expect("events");
    let requeued = events
        .iter()
        .rfind(|event| event.verb == Verb::Requeue.as_str());
    requeued.expect("it was requeued").at
}

/// A time that is longer than anybody waits is no error, and one of nothing is.
pub async fn a_time_may_be_very_long(storage: StorageHandle) {
    for until in [
        UniqueUntil::Period,
        UniqueUntil::DoneWithin,
        UniqueUntil::StartedWithin,
    ] {
        let new = |time| {
            unique(
                "a",
                &format!("{:?}", until(LATER)),
                until(time),
                OnConflict::Skip,
            )
        };
        let holder = store_this(&storage, new(Duration::MAX)).await;
        holds(&storage, holder, new(LATER)).await;
        let refused = storage.insert(&[new(Duration::ZERO)]).await;
        assert!(
            matches!(refused, Err(crate::Error::Invalid(_))),
            "{refused:?}"
        );
    }
}

/// The same for another job.
fn again(new: &NewJob) -> NewJob {
    let mut again = unique("a", "k", UniqueUntil::Done, OnConflict::Skip);
    let unique = new.rules.as_ref().and_then(|rules| rules.unique.clone());
    rules(&mut again).unique = unique;
    again
}
