//! Which job runs where, and which first.

use std::collections::HashMap;

use chrono::{TimeDelta, Utc};
use jobs::{JobId, Priority, State};

use crate::kinds::{hold, named, noop, note, slow_note};
use crate::setup::{PATIENCE, Place, on_each};

on_each!(each_worker_runs_what_it_knows: memory, sqlite, postgres);

async fn each_worker_runs_what_it_knows(place: &Place) {
    let unknown = note.enqueue(1).on(&place.client).await.unwrap();
    let knows_noop = place
        .worker(named(&["e2e.noop".into()]))
        .start()
        .await
        .unwrap();
    // That one works, and leaves the other alone.
    let known = noop
        .enqueue_many(vec![(); 20])
        .on(&place.client)
        .await
        .unwrap();
    for handle in known.handles() {
        assert_eq!(handle.wait().await.unwrap().state, State::Succeeded);
    }
    let record = unknown.record().await.unwrap();
    assert_eq!((record.attempt, record.lost), (0, 0), "{record:?}");
    place.until_state(unknown.id(), State::Enqueued).await;
    let knows_note = place
        .worker(named(&["e2e.note".into()]))
        .start()
        .await
        .unwrap();
    assert_eq!(unknown.result().await.unwrap(), 1);
    // Both at work, each gets its own.
    let notes = note.enqueue_many(0..50).on(&place.client).await.unwrap();
    let noops = noop
        .enqueue_many(vec![(); 50])
        .on(&place.client)
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    let workers: Vec<_> = place.storage.inspect().workers().await.unwrap();
    let knows = |kind: &str| {
        let knows = |worker: &&jobs::inspect::WorkerRecord| {
            worker.info.kinds.iter().any(|known| known == kind)
        };
        Some(workers.iter().find(knows).unwrap().info.id)
    };
    for (kind, ids) in [("e2e.note", notes.ids()), ("e2e.noop", noops.ids())] {
        for id in ids {
            let record = place.record(*id).await;
            assert_eq!(
                (record.worker, record.attempt, record.lost),
                (knows(kind), 1, 0)
            );
        }
    }
    knows_noop.stop().await;
    knows_note.stop().await;
}

/// Keeps the only slot of a worker busy until the gate `go` is opened, so that jobs pile up behind it.
async fn keep_busy(place: &Place, queue: &'static str) -> JobId {
    let held = hold
        .enqueue("go")
        .queue(queue)
        .on(&place.client)
        .await
        .unwrap();
    place.until_started(held.id()).await;
    held.id()
}

/// The arguments of the notes, in the order in which they ran.
pub(crate) async fn noted(place: &Place) -> Vec<i64> {
    let mut noted = Vec::new();
    for effect in place.effects.of("note") {
        let record = place.record(effect.job.parse().unwrap()).await;
        noted.push(record.args[5..record.args.len() - 1].parse().unwrap());
    }
    noted
}

on_each!(queues_that_are_not_served_stay: memory, sqlite, postgres);

async fn queues_that_are_not_served_stay(place: &Place) {
    let worker = place.start(|worker| worker.queues(["a", "b"])).await;
    let unserved = note.enqueue(0).queue("c").on(&place.client).await.unwrap();
    for queue in ["a", "b"] {
        let served = note
            .enqueue(1)
            .queue(queue)
            .on(&place.client)
            .await
            .unwrap();
        assert_eq!(served.result().await.unwrap(), 1);
    }
    assert_eq!(unserved.state().await.unwrap(), State::Enqueued);
    worker.stop().await;
    let worker = place.start(|worker| worker.queues(["c*"])).await;
    unserved.result().await.unwrap();
    worker.stop().await;
}

on_each!(a_later_queue_waits_for_the_earlier: memory, sqlite, postgres);

async fn a_later_queue_waits_for_the_earlier(place: &Place) {
    let worker = place
        .start(|worker| worker.queues(["a", "b"]).concurrency(1))
        .await;
    keep_busy(place, "a").await;
    for n in 0..30 {
        // The first ones are in b, and those in a have no higher priority.
        let queue = if n < 15 { "b" } else { "a" };
        slow_note
            .enqueue(n)
            .queue(queue)
            .on(&place.client)
            .await
            .unwrap();
    }
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    worker.stop().await;
    assert_eq!(
        noted(place).await,
        (15..30).chain(0..15).collect::<Vec<_>>()
    );
}

on_each!(weights_give_shares: memory, sqlite, postgres);

async fn weights_give_shares(place: &Place) {
    let weights = [("a", 3), ("b", 1)];
    note.enqueue_many(0..400)
        .queue("a")
        .on(&place.client)
        .await
        .unwrap();
    note.enqueue_many(1_000..1_400)
        .queue("b")
        .on(&place.client)
        .await
        .unwrap();
    let worker = place
        .start(|worker| worker.weighted_queues(weights).concurrency(1))
        .await;
    place.drained(PATIENCE).await;
    worker.stop().await;
    let noted = noted(place).await;
    // While both have work.
    let of_b = noted[..400].iter().filter(|n| **n >= 1_000).count();
    assert!(
        (60..=140).contains(&of_b),
        "{of_b} of 400, wanted about 100"
    );
    assert_eq!(noted.len(), 800);
}

on_each!(priority_first_then_first_come: memory, sqlite, postgres);

async fn priority_first_then_first_come(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(1)).await;
    keep_busy(place, "default").await;
    for n in 0..30 {
        let priority = [Priority::LOW, Priority::HIGH, Priority::NORMAL][n as usize % 3];
        slow_note
            .enqueue(n)
            .priority(priority)
            .on(&place.client)
            .await
            .unwrap();
    }
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    worker.stop().await;
    let of = |rest: i64| (0..30).filter(move |n| n % 3 == rest);
    assert_eq!(
        noted(place).await,
        of(1).chain(of(2)).chain(of(0)).collect::<Vec<_>>()
    );
}

on_each!(who_is_due_first_runs_first: memory, sqlite, postgres);

async fn who_is_due_first_runs_first(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(1)).await;
    keep_busy(place, "default").await;
    // Enqueued in the opposite order of their times, all of them soon due.
    let soon = Utc::now() + TimeDelta::seconds(2);
    let mut due = Vec::new();
    for n in (0..10).rev() {
        let job = slow_note
            .enqueue(n)
            .at(soon + TimeDelta::milliseconds(50 * n));
        let id = job.on(&place.client).await.unwrap().id();
        due.push((place.record(id).await.due_at, n, id));
    }
    for (_, _, id) in &due {
        place.until_state(*id, State::Enqueued).await;
    }
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    worker.stop().await;
    // Those for which it was too late when they were stored are due when they came.
    due.sort_by_key(|(at, ..)| *at);
    let wanted: Vec<_> = due.into_iter().map(|(_, n, _)| n).collect();
    assert_eq!(noted(place).await, wanted);
}

on_each!(two_workers_share_the_work: memory, sqlite, postgres);

async fn two_workers_share_the_work(place: &Place) {
    let one = place.start(|worker| worker.concurrency(4)).await;
    let two = place.start(|worker| worker.concurrency(4)).await;
    // As many as there is room for: each of them takes what it has room for.
    let held = hold.enqueue_many(vec!["go"; 8]).on(&place.client);
    let held = held.await.unwrap();
    place.started(8).await;
    let mut by: HashMap<_, usize> = HashMap::new();
    for effect in place.effects.of("start") {
        *by.entry(effect.worker).or_default() += 1;
    }
    assert!(
        by.len() == 2 && by.values().all(|jobs| *jobs == 4),
        "{by:?}"
    );
    place.effects.open_gate("go");
    for handle in held.handles() {
        assert_eq!(handle.wait().await.unwrap().state, State::Succeeded);
    }
    crate::kinds::rest
        .enqueue_many([20; 200])
        .on(&place.client)
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(place.effects.of("end").len(), 8 + 200);
}
