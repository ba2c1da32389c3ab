//! [`Storage::retain`](crate::storage::Storage::retain).

use std::time::Duration;

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, ends, eventually, fail, id_of, job, members, one_of_each, order, record, release,
    retry, store, store_batch, store_some, succeed,
};
use crate::job::{BatchId, JobId, NewJob, State};
use crate::storage::{JobFilter, NewBatch, Retention, StorageHandle, Verb};

/// Everything goes at once, or nothing for a long time.
const NOTHING: Retention = Retention {
    succeeded: Duration::ZERO,
    failed: Duration::ZERO,
    deleted: Duration::ZERO,
};

/// Cleans up until so many have gone.
async fn goes(storage: &StorageHandle, retention: &Retention, wanted: u64) {
    let mut gone = 0;
    eventually("finished jobs go", async || {
        gone += storage.retain(retention).await.expect("retain");
        (gone >= wanted).then_some(())
    })
    .await;
    assert_eq!(gone, wanted, "no more than these");
}

async fn exists(storage: &StorageHandle, id: JobId) -> bool {
    storage.job(id).await.expect("job").is_some()
}

/// Only finished jobs go, whatever the age of the others, and with them their history.
pub async fn only_finished_jobs_go(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let zoo = one_of_each(&hand).await;
    goes(&storage, &NOTHING, 3).await;
    for (state, id) in zoo {
        assert_eq!(exists(&storage, id).await, !state.is_final(), "{state}");
        if state.is_final() {
            assert!(storage.attempts(id).await.expect("attempts").is_empty());
            assert!(storage.events(id).await.expect("events").is_empty());
        }
    }
    let page = storage.jobs(&JobFilter::default()).await.expect("jobs");
    assert_eq!(page.jobs.len(), 3);
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.unfinished(), counts.succeeded), (3, 0));
}

/// What has not been kept long enough stays.
pub async fn what_is_young_stays(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let zoo = one_of_each(&hand).await;
    let gone = storage.retain(&Retention::default()).await;
    assert_eq!(gone.expect("retain"), 0);
    for (_, id) in zoo {
        assert!(exists(&storage, id).await);
    }
}

/// Each final state has its own time.
pub async fn each_state_has_its_time(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let zoo = one_of_each(&hand).await;
    let id = |wanted| {
        zoo.iter()
            .find(|(state, _)| *state == wanted)
            .expect("one")
            .1
    };
    let kept = Retention::default();
    for (state, retention) in [
        (
            State::Failed,
            Retention {
                failed: Duration::ZERO,
                ..kept
            },
        ),
        (
            State::Succeeded,
            Retention {
                succeeded: Duration::ZERO,
                ..kept
            },
        ),
        (
            State::Deleted,
            Retention {
                deleted: Duration::ZERO,
                ..kept
            },
        ),
    ] {
        assert!(exists(&storage, id(state)).await);
        goes(&storage, &retention, 1).await;
        assert!(!exists(&storage, id(state)).await, "{state}");
    }
}

/// The time counts from the end, which may lie back.
pub async fn the_time_counts_from_the_end(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut batch = [job("a"), job("a")];
    batch[0].id = id_of(storage.now() - TimeDelta::hours(3));
    store(&storage, &batch).await;
    let runs = hand.take("a", 2).await;
    let mut old = runs[0].ended(succeed());
    old.ended_ago = Duration::from_secs(7_200);
    assert_eq!(
        hand.send(vec![old, runs[1].ended(succeed())], Vec::new())
            .await,
        []
    );
    let an_hour = Retention {
        succeeded: LATER,
        ..Retention::default()
    };
    goes(&storage, &an_hour, 1).await;
    assert!(!exists(&storage, runs[0].id).await);
    assert!(exists(&storage, runs[1].id).await);
}

/// A job may say itself how long it is kept, shorter or longer.
pub async fn a_job_may_say_how_long_it_is_kept(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let kept = |keep_for| {
        let mut new = job("a");
        new.options.keep_for = Some(keep_for);
        new
    };
    let batch = [kept(Duration::ZERO), kept(LATER), job("a"), job("a")];
    store(&storage, &batch).await;
    let runs = hand.take("a", 4).await;
    let mut outcomes: Vec<_> = runs.iter().map(|run| run.ended(succeed())).collect();
    outcomes[2].transition = fail();
    assert_eq!(hand.send(outcomes, vec![runs[0].claim]).await, []);
    goes(&storage, &Retention::default(), 1).await;
    assert!(!exists(&storage, batch[0].id).await);
    goes(&storage, &NOTHING, 2).await;
    assert!(exists(&storage, batch[1].id).await);
}

/// The longest time there is means for ever, and keeps nothing else from going: neither of a job, nor of a batch.
pub async fn what_is_kept_for_ever_is_in_nobodys_way(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut kept = job("a");
    kept.options.keep_for = Some(Duration::MAX);
    store(&storage, &[kept.clone(), job("a")]).await;
    let (lasting, brief) = (BatchId::new(), BatchId::new());
    let for_ever = NewBatch {
        keep_for: Some(Duration::MAX),
        ..NewBatch::new(lasting)
    };
    store_batch(&storage, &for_ever, &members("a", lasting, 1)).await;
    store_batch(&storage, &NewBatch::new(brief), &members("a", brief, 1)).await;
    let runs = hand.take("a", 4).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    ends(&storage, lasting).await;
    ends(&storage, brief).await;
    goes(&storage, &NOTHING, 3).await;
    assert!(exists(&storage, kept.id).await);
    eventually("the batch that is not kept goes", async || {
        storage.retain(&NOTHING).await.expect("retain");
        let left = storage.batch(brief).await.expect("batch");
        left.is_none().then_some(())
    })
    .await;
    assert!(storage.batch(lasting).await.expect("batch").is_some());
}

/// A job that is running again is not finished, however it ended before.
pub async fn a_requeued_job_stays(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 3).await;
    let runs = hand.take("a", 3).await;
    hand.report(&runs, &fail()).await;
    for run in &runs {
        order(&storage, Verb::Requeue, run.id).await;
    }
    let runs = hand.take("a", 2).await;
    hand.end(&runs[0], retry(LATER)).await;
    let left = vec![runs[1].ended(release())];
    hand.send(left, Vec::new()).await;
    assert_eq!(storage.retain(&NOTHING).await.expect("retain"), 0);
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 3);
}

/// Many go in one call or several, and what waits beside them stays.
pub async fn many_may_go(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch: Vec<NewJob> = (0..3_000).map(|_| job("a")).collect();
    store(&storage, &batch).await;
    let runs = hand.take("a", 2_500).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    goes(&storage, &NOTHING, 2_500).await;
    assert_eq!(
        record(&storage, batch[2_999].id).await.state,
        State::Enqueued
    );
    let rest = hand.take("a", 500).await;
    assert_eq!(hand.report(&rest, &succeed()).await, []);
}

/// An outcome for a job that is gone is refused.
pub async fn what_is_gone_is_gone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let new = job("a");
    store(&storage, std::slice::from_ref(&new)).await;
    let run = hand.take_one("a").await;
    order(&storage, Verb::Delete, new.id).await;
    goes(&storage, &NOTHING, 1).await;
    let refused = hand.report(&[run], &succeed()).await;
    assert_eq!(refused.len(), 1);
    assert!(!exists(&storage, new.id).await);
}
