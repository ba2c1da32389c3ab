//! Queues and kinds that are paused, drained, reordered and bounded, as workers in this process and in others
//! heed it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jobs::{Batch, Error, JobId, QueueOrder, State};

use crate::kinds::{hold, noop, note, slow_note};
use crate::order::noted;
use crate::setup::{PATIENCE, Place, on_all, on_each, until};

/// What workers heed within a second, they heed within this on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

/// For longer than any look takes.
const A_WHILE: Duration = Duration::from_secs(3);

/// Since 1970, as effects tell their time.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Notes in this queue, numbered from here.
async fn notes(place: &Place, queue: &'static str, numbers: std::ops::Range<i64>) -> Vec<JobId> {
    let notes = note.enqueue_many(numbers).queue(queue);
    notes.on(&place.client).await.unwrap().ids().to_vec()
}

/// When the first of these jobs ran, once all have.
async fn first_ran(place: &Place, ids: &[JobId]) -> Duration {
    let mut first = Duration::MAX;
    for id in ids {
        place.until_state(*id, State::Succeeded).await;
        first = first.min(place.effects.of_job("note", *id)[0].at);
    }
    first
}

on_all!(a_paused_queue_starts_nothing: memory, sqlite, postgres);

async fn a_paused_queue_starts_nothing(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(2)).await;
    let running = hold
        .enqueue("go")
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap();
    place.until_started(running.id()).await;
    // One that has only looked while the queue was open, in another client's eyes, too.
    let paused = Instant::now();
    place
        .client
        .queue("mail")
        .pause()
        .by("ada")
        .because("the server is down")
        .await
        .unwrap();
    let waiting = note
        .enqueue_many(0..20)
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap();
    let elsewhere = note.enqueue(99).on(&place.client).await.unwrap();
    assert_eq!(elsewhere.result().await.unwrap(), 99);
    let queues = place.storage.inspect().queues().await.unwrap();
    let mail = queues.iter().find(|queue| queue.name == "mail").unwrap();
    let pause = mail.pause.as_ref().unwrap();
    assert_eq!(
        (&*pause.actor, pause.reason.as_deref()),
        ("ada", Some("the server is down"))
    );
    assert!(
        (chrono::Utc::now() - pause.since).num_seconds() <= paused.elapsed().as_secs() as i64 + 1
    );
    // What runs may end.
    place.effects.open_gate("go");
    assert_eq!(running.wait().await.unwrap().state, State::Succeeded);
    // Others run meanwhile, for longer than any poll takes, and these still wait.
    while paused.elapsed() < A_WHILE {
        note.enqueue(99)
            .on(&place.client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for handle in waiting.handles() {
        let record = handle.record().await.unwrap();
        assert_eq!((record.state, record.attempt), (State::Enqueued, 0));
    }
    place.client.queue("mail").resume().await.unwrap();
    let resumed = now();
    for handle in waiting.handles() {
        handle.result().await.unwrap();
    }
    let first = waiting
        .ids()
        .iter()
        .map(|id| place.effects.of_job("note", *id)[0].at)
        .min()
        .unwrap();
    let took = first.saturating_sub(resumed);
    assert!(took < SOON, "{took:?}");
    worker.stop().await;
}

on_all!(a_pause_reaches_other_processes: sqlite, postgres);

async fn a_pause_reaches_other_processes(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = Duration::from_secs(1))
        .await;
    note.enqueue(0)
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    place.client.queue("mail").pause().await.unwrap();
    let waiting = note
        .enqueue(1)
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap();
    note.enqueue(2)
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    assert_eq!(waiting.state().await.unwrap(), State::Enqueued);
    place.client.queue("mail").resume().await.unwrap();
    assert_eq!(waiting.result().await.unwrap(), 1);
    drop(worker);
}

on_all!(a_paused_kind_stays_while_others_of_its_queue_run: sqlite, postgres);

async fn a_paused_kind_stays_while_others_of_its_queue_run(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = Duration::from_secs(1))
        .await;
    notes(place, "default", 0..1).await;
    place.drained(PATIENCE).await;
    let kind = place.client.kind("e2e.note");
    kind.pause().by("ada").because("it leaks").await.unwrap();
    let waiting = notes(place, "default", 1..50).await;
    let paused = Instant::now();
    while paused.elapsed() < A_WHILE {
        let other = noop.enqueue().on(&place.client).await.unwrap();
        assert_eq!(other.wait().await.unwrap().state, State::Succeeded);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for id in &waiting {
        let record = place.record(*id).await;
        assert_eq!((record.state, record.attempt), (State::Enqueued, 0));
    }
    let controls = place.client.inspect().controls().await.unwrap();
    assert_eq!(controls.pauses[0].scope.to_string(), "kind `e2e.note`");
    assert_eq!(controls.pauses[0].pause.reason.as_deref(), Some("it leaks"));
    let resumed = now();
    kind.resume().by("bo").because("mended").await.unwrap();
    let took = first_ran(place, &waiting).await.saturating_sub(resumed);
    assert!(took < SOON, "{took:?}");
    let events = place.client.inspect().control_events(10).await.unwrap();
    let who: Vec<_> = events
        .iter()
        .map(|event| (&*event.actor, &*event.verb))
        .collect();
    assert_eq!(who, [("bo", "resume"), ("ada", "pause")]);
    assert_eq!(events[0].reason.as_deref(), Some("mended"));
    drop(worker);
}

on_all!(a_pause_with_an_end_is_over_by_itself: memory, sqlite, postgres);

async fn a_pause_with_an_end_is_over_by_itself(place: &Place) {
    const LONG: Duration = Duration::from_millis(1_500);
    // No poll: a worker knows when the pause ends.
    let worker = place.start(|worker| worker.poll_interval(PATIENCE)).await;
    let paused = now();
    let mail = place.client.queue("mail.*");
    mail.pause().by("ada").lasting(LONG).await.unwrap();
    let waiting = notes(place, "mail.bulk", 0..5).await;
    notes(place, "other", 5..6).await;
    let took = first_ran(place, &waiting).await.saturating_sub(paused);
    assert!(took + LONG / 20 >= LONG && took < LONG + SOON, "{took:?}");
    assert!(
        place
            .client
            .inspect()
            .controls()
            .await
            .unwrap()
            .pauses
            .is_empty()
    );
    worker.stop().await;
}

on_each!(draining_waits_for_what_runs_and_what_is_due: memory, sqlite, postgres);

async fn draining_waits_for_what_runs_and_what_is_due(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(2)).await;
    let held = hold
        .enqueue("go")
        .queue("mail")
        .on(&place.client)
        .await
        .unwrap();
    place.until_started(held.id()).await;
    let later = note.enqueue(7).queue("mail").delay(jobs::hours(1));
    let later = later.on(&place.client).await.unwrap();
    let mail = place.client.queue("mail");
    let why = mail
        .drain()
        .timeout(Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(matches!(why, Error::TimedOut(_)), "{why:?}");
    assert!(why.to_string().contains("1 run"), "{why}");
    place.client.queue("other").drain().await.unwrap();
    // Paused, only what runs is waited for.
    mail.pause().await.unwrap();
    let waiting = notes(place, "mail", 0..3).await;
    place.effects.open_gate("go");
    mail.drain().timeout(PATIENCE).await.unwrap();
    assert_eq!(held.state().await.unwrap(), State::Succeeded);
    assert_eq!(place.record(waiting[0]).await.state, State::Enqueued);
    mail.resume().await.unwrap();
    mail.drain().timeout(PATIENCE).await.unwrap();
    for id in waiting {
        assert_eq!(place.record(id).await.state, State::Succeeded);
    }
    assert_eq!(later.state().await.unwrap(), State::Scheduled);
    worker.stop().await;
}

on_each!(a_drained_worker_leaves_the_rest_to_others: sqlite, postgres);

async fn a_drained_worker_leaves_the_rest_to_others(place: &Place) {
    let one = place.start(|worker| worker.concurrency(1)).await;
    let held = hold.enqueue("go").on(&place.client).await.unwrap();
    place.until_started(held.id()).await;
    let waiting = notes(place, "default", 0..5).await;
    let draining = one.drain();
    let going_on = async {
        let two = place.start(|worker| worker.concurrency(1)).await;
        first_ran(place, &waiting).await;
        place.effects.open_gate("go");
        two
    };
    let ((), two) = tokio::join!(draining, going_on);
    assert_eq!(held.state().await.unwrap(), State::Succeeded);
    let theirs = place.effects.of("note");
    let its = &place.effects.of("start")[0].worker;
    assert!(theirs.iter().all(|effect| effect.worker != *its));
    one.stop().await;
    two.stop().await;
}

on_all!(an_order_reaches_all_workers: sqlite, postgres);

async fn an_order_reaches_all_workers(place: &Place) {
    let worker = place
        .process(|orders| {
            orders.poll_interval = Duration::from_secs(1);
            orders.concurrency = 1;
            orders.queues = ["default", "a", "b"].map(Into::into).to_vec();
        })
        .await;
    // It knows of both queues: of one that is new it hears a moment later than it might look at others.
    first_ran(place, &notes(place, "a", 0..1).await).await;
    first_ran(place, &notes(place, "b", 1..2).await).await;
    let order = QueueOrder::strict(["b"]).unwrap();
    place.client.set_queue_order(order).by("ada").await.unwrap();
    // With this one it hears of the order, at the latest.
    let slow = slow_note.enqueue(2).on(&place.client).await.unwrap();
    slow.wait().await.unwrap();
    let held = hold.enqueue("go").on(&place.client).await.unwrap();
    place.until_started(held.id()).await;
    let of_both = Batch::new()
        .add_many(slow_note.enqueue_many(3..10).queue("a"))
        .add_many(slow_note.enqueue_many(10..20).queue("b"));
    let of_both = of_both.on(&place.client).await.unwrap();
    place.effects.open_gate("go");
    assert_eq!(of_both.wait().await.unwrap().succeeded, 17);
    let wanted: Vec<_> = (10..20).chain(3..10).collect();
    assert_eq!(noted(place).await[3..], wanted);
    drop(worker);
}

on_each!(a_running_worker_serves_what_it_is_told: memory, sqlite, postgres);

async fn a_running_worker_serves_what_it_is_told(place: &Place) {
    let worker = place
        .start(|worker| worker.queues(["a"]).poll_interval(PATIENCE))
        .await;
    let of_b = notes(place, "b", 0..3).await;
    first_ran(place, &notes(place, "a", 3..5).await).await;
    assert_eq!(place.record(of_b[0]).await.state, State::Enqueued);
    let told = now();
    worker
        .set_queues(QueueOrder::weighted([("b", 2), ("c", 1)]).unwrap())
        .unwrap();
    let took = first_ran(place, &of_b).await.saturating_sub(told);
    assert!(took < SOON, "{took:?}");
    let of_a = notes(place, "a", 5..6).await;
    first_ran(place, &notes(place, "c", 6..9).await).await;
    assert_eq!(place.record(of_a[0]).await.state, State::Enqueued);
    let look = async || {
        let workers = place.client.inspect().workers().await.unwrap();
        workers[0].info.queues.clone()
    };
    until("others see it", PATIENCE, look, |queues| {
        *queues == ["b", "c"]
    })
    .await;
    worker.stop().await;
}

on_each!(a_queue_keeps_to_its_concurrency: memory, sqlite, postgres);

async fn a_queue_keeps_to_its_concurrency(place: &Place) {
    let worker = place
        .start(|worker| {
            worker
                .concurrency(8)
                .queue_concurrency("mail.*", 2)
                .poll_interval(PATIENCE)
        })
        .await;
    let held = hold.enqueue_many(vec!["go"; 12]).queue("mail.bulk");
    let held = held.on(&place.client).await.unwrap();
    place.started(2).await;
    // Others are not kept waiting by those that wait.
    let others = notes(place, "other", 0..50).await;
    first_ran(place, &others).await;
    assert_eq!(place.effects.of("start").len(), 2);
    place.effects.open_gate("go");
    for handle in held.handles() {
        assert_eq!(handle.wait().await.unwrap().state, State::Succeeded);
    }
    let mut at_once = 0;
    for effect in place.effects.all() {
        match &*effect.what {
            "start" => at_once += 1,
            "end" => at_once -= 1,
            _ => {}
        }
        assert!(at_once <= 2);
    }
    worker.stop().await;
}
