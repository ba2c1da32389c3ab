//! [`Inspect::stats`](crate::storage::Inspect::stats): counters that equal what happened.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::stage::{
    Hand, Run, at_once, fail, job, order, release, retry, snooze, store, store_one, store_some,
    succeed,
};
use crate::lifecycle::Transition;
use crate::storage::{Retention, StatRecord, StorageHandle, Verb};

/// What was counted around now, for a queue and kind, all minutes together.
pub(super) async fn counted(storage: &StorageHandle, queue: &str, kind: &str) -> StatRecord {
    let (now, hour) = (storage.now(), TimeDelta::hours(1));
    storage.tick().await.expect("tick");
    let stats = storage.stats(now - hour, now + hour).await.expect("stats");
    let mut total = StatRecord::default();
    for stat in stats {
        if (stat.queue.as_str(), stat.kind.as_str()) == (queue, kind) {
            total.succeeded += stat.succeeded;
            total.failed += stat.failed;
            total.deleted += stat.deleted;
            total.retried += stat.retried;
            total.run_millis += stat.run_millis;
        }
    }
    total
}

fn wanted(succeeded: u64, failed: u64, deleted: u64, retried: u64, run_millis: u64) -> StatRecord {
    StatRecord {
        succeeded,
        failed,
        deleted,
        retried,
        run_millis,
        ..StatRecord::default()
    }
}

/// Each outcome is counted once, for its queue and kind.
pub async fn outcomes_are_counted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let make = |queue: &str, kind: &str| {
        let mut new = job(queue);
        new.kind = kind.to_owned().into();
        new
    };
    let batch = [
        make("a", "x"),
        make("a", "x"),
        make("a", "y"),
        make("b", "x"),
        make("b", "x"),
        make("b", "x"),
    ];
    store(&storage, &batch).await;
    let runs = [hand.take("a", 3).await, hand.take("b", 3).await].concat();
    let ends: [Transition; 6] = [
        succeed(),
        succeed(),
        fail(),
        retry(Duration::from_secs(900)),
        snooze(Duration::from_secs(900)),
        release(),
    ];
    let end = |(n, (run, end)): (usize, (&Run, Transition))| {
        let mut outcome = run.ended(end);
        outcome.ran_for = Some(Duration::from_millis(100 * (n as u64 + 1)));
        outcome
    };
    let outcomes: Vec<_> = runs.iter().zip(ends).enumerate().map(end).collect();
    assert_eq!(hand.send(outcomes.clone(), Vec::new()).await, []);
    assert_eq!(hand.send(outcomes, Vec::new()).await.len(), 6, "all known");
    assert_eq!(counted(&storage, "a", "x").await, wanted(2, 0, 0, 0, 300));
    assert_eq!(counted(&storage, "a", "y").await, wanted(0, 1, 0, 0, 300));
    assert_eq!(counted(&storage, "b", "x").await, wanted(0, 0, 0, 1, 400));
}

/// What operators delete and what rescuers fail is counted; what goes back to its queue is not.
pub async fn deletions_and_deaths_are_counted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 3).await;
    let runs = hand.take("a", 3).await;
    order(&storage, Verb::Delete, runs[0].id).await;
    order(&storage, Verb::Delete, runs[0].id).await;
    let mut request = hand.rescue_request(hand.last_beat().await.expect("listed"));
    request.lost_limit = 1;
    storage
        .suspect(hand.id, Some(runs[1].id))
        .await
        .expect("suspect");
    storage.rescue(&request).await.expect("rescue");
    assert_eq!(counted(&storage, "a", "work").await, wanted(0, 1, 1, 0, 0));
    order(&storage, Verb::Requeue, runs[0].id).await;
    order(&storage, Verb::Delete, runs[0].id).await;
    assert_eq!(counted(&storage, "a", "work").await, wanted(0, 1, 2, 0, 0));
}

/// Counters are exact when many settle at once, and folding them many times changes nothing.
pub async fn counters_are_exact_under_load(storage: StorageHandle) {
    let worker = |_| {
        let storage = storage.clone();
        async move {
            let hand = Hand::hire(&storage).await;
            for _ in 0..10 {
                store_some(&storage, "a", 10).await;
                let runs = hand.ask(&[("a", 15)], 15).await;
                assert_eq!(hand.report(&runs, &succeed()).await, []);
                storage.tick().await.expect("tick");
            }
        }
    };
    at_once((0..6).map(worker)).await;
    let hand = Hand::hire(&storage).await;
    loop {
        let runs = hand.ask(&[("a", 100)], 100).await;
        if runs.is_empty() && storage.counts().await.expect("counts").unfinished() == 0 {
            break;
        }
        assert_eq!(hand.report(&runs, &succeed()).await, []);
    }
    for _ in 0..3 {
        let found = counted(&storage, "a", "work").await;
        assert_eq!(found, wanted(600, 0, 0, 0, 600 * 40));
    }
}

/// Counters stay when the jobs go.
pub async fn counters_outlive_the_jobs(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    hand.end(&run, succeed()).await;
    let none = Retention {
        succeeded: Duration::ZERO,
        failed: Duration::ZERO,
        deleted: Duration::ZERO,
    };
    storage.retain(&none).await.expect("retain");
    assert_eq!(counted(&storage, "a", "work").await, wanted(1, 0, 0, 0, 40));
}

/// Counters are by the minute, ascending, and only those of the time asked for.
pub async fn counters_are_by_the_minute(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for queue in ["b", "a"] {
        store_one(&storage, queue).await;
        let run = hand.take_one(queue).await;
        hand.end(&run, succeed()).await;
    }
    storage.tick().await.expect("tick");
    let hour = TimeDelta::hours(1);
    let stats = async |from: DateTime<Utc>, to: DateTime<Utc>| {
        storage.stats(from, to).await.expect("stats")
    };
    let now = storage.now();
    let found = stats(now - hour, now + hour).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let order: Vec<_> = found
        .iter()
        .map(|stat| (stat.minute, stat.queue.as_str(), stat.kind.as_str()))
        .collect();
    assert!(order.is_sorted(), "by minute, queue and kind: {order:?}");
    let minute = found[0].minute;
    assert_eq!(minute.timestamp() % 60, 0);
    assert_eq!(minute.timestamp_subsec_nanos(), 0);
    assert!((now - minute) < TimeDelta::minutes(2));
    let last = found[1].minute;
    assert_eq!(stats(minute, last + TimeDelta::seconds(1)).await.len(), 2);
    assert!(
        stats(now - hour, minute).await.is_empty(),
        "`to` is excluded"
    );
    assert!(
        stats(last + TimeDelta::seconds(60), now + hour)
            .await
            .is_empty()
    );
}
