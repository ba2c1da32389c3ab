//! Which job runs next.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jobs_core::client::Client;
use jobs_core::job::{JobDefaults, JobId, NewJob, Priority, State};
use jobs_core::storage::StorageHandle;

use crate::setup::{
    Counter, PATIENCE, done, enqueue_with, eventually, kind, storage, until_state, worker,
};

fn job(kind: &'static str, queue: &'static str, priority: i16) -> NewJob {
    let mut job = NewJob::new(JobId::new(), kind, "{}");
    job.queue = queue.into();
    job.priority = Priority::new(priority);
    job
}

type Log = Arc<Mutex<Vec<(String, i16)>>>;

/// A kind that writes down in what order its jobs run.
fn logging(name: &'static str) -> (&'static jobs_core::handler::JobEntry, Log) {
    let log = Log::default();
    let mine = Arc::clone(&log);
    let entry = kind(name, JobDefaults::NONE, move |ctx| {
        mine.lock()
            .unwrap()
            .push((ctx.queue().to_owned(), ctx.priority().get()));
        Box::pin(async { done() })
    });
    (entry, log)
}

async fn all_done(log: &Log, jobs: usize) {
    eventually("all ran", || log.lock().unwrap().len() == jobs).await;
}

#[tokio::test]
async fn smaller_priorities_run_first_and_equals_in_order() {
    let storage = storage();
    let (entry, log) = logging("by_priority");
    let jobs = [5, -1, 5, 0, -10].map(|priority| job("by_priority", "default", priority));
    storage.insert(&jobs).await.unwrap();
    let running = worker(&storage, vec![entry])
        .concurrency(1)
        .start()
        .await
        .unwrap();
    all_done(&log, 5).await;
    let order: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|(_, priority)| *priority)
        .collect();
    assert_eq!(order, [-10, -1, 0, 5, 5]);
    running.stop().await;
}

#[tokio::test]
async fn a_strict_order_empties_one_queue_after_the_other() {
    let storage = storage();
    let (entry, log) = logging("strictly");
    let jobs: Vec<_> = (0..40)
        .map(|n| job("strictly", ["b", "a"][n % 2], -((n % 2) as i16)))
        .collect();
    storage.insert(&jobs).await.unwrap();
    let worker = worker(&storage, vec![entry])
        .queues(["a", "b"])
        .concurrency(1);
    let running = worker.start().await.unwrap();
    all_done(&log, 40).await;
    let order = log.lock().unwrap().clone();
    assert!(
        order[..20].iter().all(|(queue, _)| queue == "a"),
        "{order:?}"
    );
    running.stop().await;
}

#[tokio::test]
async fn queues_that_are_not_served_are_left_alone() {
    let storage = storage();
    let (entry, log) = logging("only_some");
    let jobs = ["a", "c", "mail.bulk"].map(|queue| job("only_some", queue, 0));
    storage.insert(&jobs).await.unwrap();
    let running = worker(&storage, vec![entry])
        .queues(["a", "mail.*"])
        .start()
        .await
        .unwrap();
    all_done(&log, 2).await;
    assert_eq!(
        storage.job(jobs[1].id).await.unwrap().unwrap().state,
        State::Enqueued
    );
    running.stop().await;
}

#[tokio::test]
async fn weights_share_out_the_work() {
    let storage = storage();
    let (entry, log) = logging("by_weight");
    let jobs: Vec<_> = (0..2_000)
        .map(|n| job("by_weight", ["light", "heavy"][n % 2], 0))
        .collect();
    storage.insert(&jobs).await.unwrap();
    let worker = worker(&storage, vec![entry]).weighted_queues([("heavy", 3), ("light", 1)]);
    let running = worker.concurrency(4).start().await.unwrap();
    all_done(&log, 2_000).await;
    let heavy = log.lock().unwrap()[..800]
        .iter()
        .filter(|(queue, _)| queue == "heavy")
        .count();
    assert!(
        (500..=700).contains(&heavy),
        "{heavy} of the first 800 were heavy"
    );
    running.stop().await;
}

async fn pause(storage: &StorageHandle, queue: &str) {
    Client::new(storage).queue(queue).pause().await.unwrap();
}

#[tokio::test]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let storage = storage();
    let runs = Counter::default();
    let count = runs.clone();
    let entry = kind("pausable", JobDefaults::NONE, move |_| {
        count.add();
        Box::pin(async { done() })
    });
    let running = worker(&storage, vec![entry]).start().await.unwrap();
    pause(&storage, "default").await;
    let waiting = enqueue_with(&storage, "pausable", |_| {}).await;
    let other = enqueue_with(&storage, "pausable", |job| job.queue = "other".into()).await;
    until_state(&storage, other, State::Succeeded).await;
    // Several looks later it still waits.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        storage.job(waiting).await.unwrap().unwrap().state,
        State::Enqueued
    );
    Client::new(&storage)
        .queue("default")
        .resume()
        .await
        .unwrap();
    until_state(&storage, waiting, State::Succeeded).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_held_of_a_paused_queue_goes_back() {
    let storage = storage();
    let (started, release) = (Counter::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let (count, gate) = (started.clone(), Arc::clone(&release));
    let entry = kind("held_back", JobDefaults::NONE, move |_| {
        count.add();
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            done()
        })
    });
    let jobs: Vec<_> = (0..10).map(|_| job("held_back", "default", 0)).collect();
    storage.insert(&jobs).await.unwrap();
    let running = worker(&storage, vec![entry])
        .concurrency(2)
        .start()
        .await
        .unwrap();
    eventually("two run", || started.get() == 2).await;
    pause(&storage, "default").await;
    release.add_permits(10);
    let end = Instant::now() + PATIENCE;
    while storage.counts().await.unwrap().processing > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let counts = storage.counts().await.unwrap();
    assert!(
        counts.processing == 0 && counts.succeeded <= 3,
        "{counts:?}"
    );
    running.stop().await;
}
