//! A worker that is told to stop.

use std::sync::Arc;
use std::time::Duration;

use jobs_core::job::{ErrorReport, JobDefaults, State};
use jobs_core::lifecycle::{Advice, Failure, Outcome};

use crate::setup::{Counter, done, enqueue, eventually, kind, storage, until_state, worker};

#[tokio::test]
async fn running_jobs_may_finish_and_others_go_back() {
    let storage = storage();
    let (started, gate) = (Counter::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let (start, wait) = (started.clone(), Arc::clone(&gate));
    let job = kind("finishes", JobDefaults::NONE, move |_| {
        let (start, wait) = (start.clone(), Arc::clone(&wait));
        Box::pin(async move {
            start.add();
            wait.acquire().await.unwrap().forget();
            done()
        })
    });
    let running = worker(&storage, vec![job])
        .concurrency(1)
        .start()
        .await
        .unwrap();
    let first = enqueue(&storage, "finishes").await;
    eventually("it runs", || started.get() == 1).await;
    let second = enqueue(&storage, "finishes").await;
    let stopping = tokio::spawn(running.stop());
    gate.add_permits(2);
    stopping.await.unwrap();
    assert_eq!(
        storage.job(first).await.unwrap().unwrap().state,
        State::Succeeded
    );
    let second = storage.job(second).await.unwrap().unwrap();
    assert_eq!(
        (second.state, second.attempt, second.lost),
        (State::Enqueued, 0, 0)
    );
    assert!(storage.presences().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_that_heeds_its_token_is_released_without_an_attempt() {
    let storage = storage();
    let started = Counter::default();
    let start = started.clone();
    let job = kind("heeds", JobDefaults::NONE, move |ctx| {
        let start = start.clone();
        Box::pin(async move {
            start.add();
            ctx.cancellation().cancelled().await;
            let report = ErrorReport::new("interrupted");
            let how = jobs_core::job::AttemptOutcome::Failed;
            Outcome::Failed(Failure {
                report,
                how,
                advice: Advice::Policy,
            })
        })
    });
    let worker = worker(&storage, vec![job]).grace(Duration::from_millis(10));
    let running = worker.start().await.unwrap();
    let id = enqueue(&storage, "heeds").await;
    eventually("it runs", || started.get() == 1).await;
    running.stop().await;
    let record = storage.job(id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.attempt, record.lost),
        (State::Enqueued, 0, 0)
    );
}

#[tokio::test]
async fn a_job_that_does_not_is_dropped_and_released() {
    let storage = storage();
    let started = Counter::default();
    let start = started.clone();
    let job = kind("deaf", JobDefaults::NONE, move |_| {
        start.add();
        Box::pin(std::future::pending())
    });
    let worker = worker(&storage, vec![job])
        .grace(Duration::from_millis(10))
        .stop_grace(Duration::from_millis(10));
    let running = worker.start().await.unwrap();
    let id = enqueue(&storage, "deaf").await;
    eventually("it runs", || started.get() == 1).await;
    running.stop().await;
    let record = storage.job(id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.attempt, record.lost),
        (State::Enqueued, 0, 0)
    );
}

#[tokio::test]
async fn a_stopped_worker_can_be_followed_by_another() {
    let storage = storage();
    let job = kind("twice_served", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    for _ in 0..2 {
        let running = worker(&storage, vec![job]).start().await.unwrap();
        let id = enqueue(&storage, "twice_served").await;
        until_state(&storage, id, State::Succeeded).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn for_ever_is_a_time_too() {
    let storage = storage();
    let started = Counter::default();
    let start = started.clone();
    let job = kind("served_for_ever", JobDefaults::NONE, move |_| {
        start.add();
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            done()
        })
    });
    let running = worker(&storage, vec![job])
        .poll_interval(Duration::MAX)
        .liveness(Duration::from_secs(1), Duration::MAX)
        .timeout(Duration::MAX)
        .grace(Duration::MAX)
        .stop_grace(Duration::MAX);
    let running = running.start().await.unwrap();
    for _ in 0..3 {
        let id = enqueue(&storage, "served_for_ever").await;
        until_state(&storage, id, State::Succeeded).await;
        // Its queues are empty, and it looks again when it is told to, or never.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = enqueue(&storage, "served_for_ever").await;
    eventually("the last one runs", || started.get() == 4).await;
    running.stop().await;
    let record = storage.job(last).await.unwrap().unwrap();
    assert_eq!(record.state, State::Succeeded);
}

#[tokio::test]
async fn a_wrong_setup_is_refused_with_all_its_mistakes() {
    let storage = storage();
    let job = kind("for_a_wrong_setup", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let worker = worker(&storage, vec![job])
        .queues(["Mail", "mail", "mail"])
        .concurrency(0)
        .timeout(Duration::ZERO);
    let error = worker.build().unwrap_err().to_string();
    for mistake in [
        "\"Mail\"",
        "named twice",
        "concurrency 0",
        "timeout of zero",
    ] {
        assert!(error.contains(mistake), "{error} should name {mistake}");
    }
}
