//! A worker process that is asked to stop.

use std::time::Duration;

use jobs::State;

use crate::kinds::{heeds, hold, ignores};
use crate::setup::{Orders, PATIENCE, Place, on_all, until};

on_all!(running_jobs_may_end_and_others_go_back_at_once: sqlite, postgres);

async fn running_jobs_may_end_and_others_go_back_at_once(place: &Place) {
    // It does not cancel them before the gate is opened, however slow this machine is.
    let patient = |orders: &mut Orders| (orders.concurrency, orders.grace) = (2, PATIENCE * 10);
    let worker = place.process(patient).await;
    let running = hold
        .enqueue_many(["go"; 2])
        .on(&place.client)
        .await
        .unwrap();
    place.started(2).await;
    let waiting = hold
        .enqueue_many(["go"; 3])
        .on(&place.client)
        .await
        .unwrap();
    place.tell_to_stop(&worker).await;
    // What it has not started is due for others, while it still runs the rest.
    for handle in waiting.handles() {
        place.until_state(handle.id(), State::Enqueued).await;
    }
    for handle in running.handles() {
        assert_eq!(handle.state().await.unwrap(), State::Processing);
    }
    place.effects.open_gate("go");
    assert!(worker.ended(PATIENCE).await.success());
    for handle in running.handles() {
        let record = handle.record().await.unwrap();
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, 1, 0)
        );
    }
    for handle in waiting.handles() {
        let record = handle.record().await.unwrap();
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Enqueued, 0, 0)
        );
    }
    assert!(place.storage.inspect().workers().await.unwrap().is_empty());
}

on_all!(jobs_that_do_not_end_are_told_and_then_released: sqlite, postgres);

async fn jobs_that_do_not_end_are_told_and_then_released(place: &Place) {
    let worker = place
        .process(|orders| {
            (orders.grace, orders.stop_grace) = (Duration::from_millis(700), Duration::from_secs(3))
        })
        .await;
    let heeding = heeds.enqueue().on(&place.client).await.unwrap();
    let deaf = ignores.enqueue("never").on(&place.client).await.unwrap();
    place.started(2).await;
    let began = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    worker.signal("TERM");
    assert!(worker.ended(PATIENCE).await.success());
    // Told only after the grace, and told that it is a shutdown and no loss.
    let told = place.effects.of("cancelled");
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|effect| effect.at - began >= Duration::from_millis(690))
    );
    for handle in [heeding.id(), deaf.id()] {
        let record = place.record(handle).await;
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Enqueued, 0, 0),
            "{record:?}"
        );
    }
    // Another one takes them: nobody waits for anybody's death.
    let next = place.process(|_| {}).await;
    place.started(4).await;
    for id in [heeding.id(), deaf.id()] {
        assert_eq!(place.record(id).await.lost, 0);
    }
    drop(next);
}

on_all!(a_second_signal_cuts_the_grace_short: sqlite, postgres);

/// As who presses Ctrl-C again means it. Twice at once is once: a terminal and a program in it may both tell.
async fn a_second_signal_cuts_the_grace_short(place: &Place) {
    let worker = place
        .process(|orders| (orders.grace, orders.stop_grace) = (PATIENCE * 10, PATIENCE))
        .await;
    let job = heeds.enqueue().on(&place.client).await.unwrap();
    place.started(1).await;
    worker.signal_times("INT", 3);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(place.effects.of("cancelled").len(), 0);
    let again = async || {
        worker.signal("INT");
        tokio::time::sleep(Duration::from_millis(200)).await;
        place.effects.of("cancelled").len()
    };
    until("it is cancelled", PATIENCE, again, |told| *told == 1).await;
    assert!(worker.ended(PATIENCE).await.success());
    let record = place.record(job.id()).await;
    assert_eq!((record.state, record.lost), (State::Enqueued, 0));
}
