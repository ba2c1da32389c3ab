//! Counters say what happened, exactly, whatever is killed; and what is finished goes in time.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::inspect::{JobFilter, StatRecord};
use jobs::{Retention, State};

use crate::kinds::{AT_ONCE, explode, fails, hold, noop, note};
use crate::setup::{Orders, PATIENCE, Place, QUICK, on_all, on_each, until};

/// What the counters say, over all minutes: (queue, kind) to (succeeded, failed, deleted, retried).
async fn totals(place: &Place) -> BTreeMap<(String, String), [u64; 4]> {
    place.storage.tick().await.unwrap();
    let now = chrono::Utc::now();
    let hour = chrono::TimeDelta::hours(1);
    let stats = place
        .storage
        .inspect()
        .stats(now - hour, now + hour)
        .await
        .unwrap();
    let mut totals: BTreeMap<_, [u64; 4]> = BTreeMap::new();
    for StatRecord {
        queue,
        kind,
        succeeded,
        failed,
        deleted,
        retried,
        ..
    } in stats
    {
        let total = totals.entry((queue, kind)).or_default();
        for (total, more) in total.iter_mut().zip([succeeded, failed, deleted, retried]) {
            *total += more;
        }
    }
    totals
}

/// Checks that each counter is what the jobs and their attempts say.
pub(crate) async fn assert_exact(place: &Place) {
    let counted = totals(place).await;
    let mut happened: BTreeMap<_, [u64; 4]> = BTreeMap::new();
    let mut filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    loop {
        let page = place.storage.inspect().jobs(&filter).await.unwrap();
        for job in &page.jobs {
            let total = happened
                .entry((job.queue.clone(), job.kind.clone()))
                .or_default();
            match job.state {
                State::Succeeded => total[0] += 1,
                State::Failed => total[1] += 1,
                State::Deleted => total[2] += 1,
                _ => {}
            }
            // Of its attempts, the last one is not repeated; deaths are not counted here.
            let ended =
                u64::from(matches!(job.state, State::Succeeded | State::Failed) && job.attempt > 0);
            total[3] += u64::from(job.attempt) - ended;
        }
        filter.before = page.next;
        if filter.before.is_none() {
            break;
        }
    }
    happened.retain(|_, total| *total != [0; 4]);
    assert_eq!(counted, happened, "counted, happened");
}

on_each!(counters_say_what_happened: memory, sqlite, postgres);

async fn counters_say_what_happened(place: &Place) {
    let worker = place.start(|worker| worker).await;
    noop.enqueue_many(vec![(); 250])
        .on(&place.client)
        .await
        .unwrap();
    noop.enqueue_many(vec![(); 50])
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap();
    explode
        .enqueue_many(vec![(); 7])
        .on(&place.client)
        .await
        .unwrap();
    fails
        .enqueue_many([2u32; 5])
        .backoff(AT_ONCE)
        .on(&place.client)
        .await
        .unwrap();
    let deleted = note
        .enqueue(1)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    deleted.cancel().await.unwrap();
    place.drained(PATIENCE).await;
    let key = |queue: &str, kind: &str| (queue.to_owned(), kind.to_owned());
    let wanted = BTreeMap::from([
        (key("default", "e2e.noop"), [250, 0, 0, 0]),
        (key("mail", "e2e.noop"), [50, 0, 0, 0]),
        (key("default", "e2e.explode"), [0, 7, 0, 0]),
        (key("default", "e2e.fails"), [5, 0, 0, 10]),
        (key("default", "e2e.note"), [0, 0, 1, 0]),
    ]);
    assert_eq!(totals(place).await, wanted);
    assert_exact(place).await;
    worker.stop().await;
}

on_all!(counters_are_exact_after_kills: sqlite, postgres);

/// Workers are killed at moments that nobody chose, most of them in the middle of writing something down.
async fn counters_are_exact_after_kills(place: &Place) {
    let rounds = if crate::setup::long() { 20 } else { 4 };
    let busy = |orders: &mut Orders| (orders.concurrency, orders.liveness) = (64, Some(QUICK));
    for round in 0..rounds {
        let doomed = place.process(busy).await;
        let before = place.storage.inspect().counts().await.unwrap().succeeded;
        // Enough that it is not through with them when it is killed.
        noop.enqueue_many(vec![(); 20_000])
            .on(&place.client)
            .await
            .unwrap();
        fails
            .enqueue_many([1u32; 20])
            .backoff(AT_ONCE)
            .on(&place.client)
            .await
            .unwrap();
        let look = async || place.storage.inspect().counts().await.unwrap().succeeded - before;
        until("it works", PATIENCE, look, |more| *more > 500 * (round % 4)).await;
        doomed.kill();
    }
    let last = place.process(busy).await;
    place.drained(PATIENCE * 5).await;
    last.signal("TERM");
    assert!(last.ended(PATIENCE).await.success());
    assert_exact(place).await;
    let counts = place.storage.inspect().counts().await.unwrap();
    assert_eq!(counts.succeeded, rounds * 20_020);
}

on_each!(what_is_finished_goes_in_time_and_nothing_else: memory, sqlite, postgres);

async fn what_is_finished_goes_in_time_and_nothing_else(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let succeeded = note.enqueue(1).on(&place.client).await.unwrap();
    let kept = note
        .enqueue(2)
        .keep_for(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    let failed = explode.enqueue().on(&place.client).await.unwrap();
    let deleted = note
        .enqueue(3)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    deleted.cancel().await.unwrap();
    let scheduled = note
        .enqueue(4)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    let retried = fails.enqueue(9u32).on(&place.client).await.unwrap();
    let running = hold.enqueue("never").on(&place.client).await.unwrap();
    for id in [succeeded.id(), kept.id(), failed.id()] {
        place.until(id, |record| record.state.is_final()).await;
    }
    place.until_state(retried.id(), State::Scheduled).await;
    place.until_started(running.id()).await;

    let there = async || {
        let mut there = Vec::new();
        let all = [&succeeded, &kept, &deleted, &scheduled];
        for id in
            all.iter()
                .map(|handle| handle.id())
                .chain([failed.id(), retried.id(), running.id()])
        {
            there.push(place.storage.inspect().job(id).await.unwrap().is_some());
        }
        there
    };
    let before = totals(place).await;
    let default = place.storage.retain(&Retention::default()).await.unwrap();
    assert_eq!((default, there().await), (0, vec![true; 7]));
    let short = Duration::from_millis(1);
    let soon = Retention {
        succeeded: short,
        ..Retention::default()
    };
    let gone = until(
        "it goes",
        PATIENCE,
        async || place.storage.retain(&soon).await.unwrap(),
        |gone| *gone > 0,
    );
    assert_eq!(gone.await, 1);
    assert_eq!(there().await, [false, true, true, true, true, true, true]);
    let soon = Retention {
        succeeded: short,
        failed: short,
        deleted: short,
    };
    let look = async || {
        place.storage.retain(&soon).await.unwrap();
        there().await
    };
    let left = [false, true, false, true, false, true, true];
    until("the rest goes", PATIENCE, look, |there| there[..] == left).await;
    // What happened is still counted, and what went left no history behind.
    assert_eq!(totals(place).await, before);
    assert!(
        place
            .storage
            .inspect()
            .attempts(failed.id())
            .await
            .unwrap()
            .is_empty()
    );
    place.effects.open_gate("never");
    running.wait().await.unwrap();
    worker.stop().await;
}
