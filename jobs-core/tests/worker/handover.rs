//! Jobs that go straight from who stores them to an idle worker of the same process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobs_core::client::Client;
use jobs_core::job::{JobDefaults, JobId, NewJob, State};
use jobs_core::storage::StorageHandle;

use crate::setup::{Counter, done, enqueue, eventually, kind, storage, until_state, worker};

/// Stores a job and tells whether it was taken in the same step.
async fn is_taken_at_once(storage: &StorageHandle, kind: &'static str) -> bool {
    let id = enqueue(storage, kind).await;
    let state = storage.job(id).await.unwrap().unwrap().state;
    until_state(storage, id, State::Succeeded).await;
    state != State::Enqueued
}

#[tokio::test]
async fn an_idle_worker_gets_jobs_without_asking() {
    let storage = storage();
    let job = kind("handed", JobDefaults::NONE, |_| Box::pin(async { done() }));
    let running = worker(&storage, vec![job])
        .poll_interval(Duration::from_secs(60))
        .start()
        .await
        .unwrap();
    // The first may come before the worker has looked around.
    let mut taken = 0;
    for _ in 0..200 {
        taken += usize::from(is_taken_at_once(&storage, "handed").await);
    }
    assert!(taken > 100, "only {taken} of 200");
    running.stop().await;
}

/// Whoever stores a job may do so on a runtime of its own that ends with the call, or on none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_where_their_worker_runs_and_not_where_they_were_stored() {
    let storage = storage();
    let job = kind("far_from_home", JobDefaults::NONE, |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            done()
        })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let client = Client::new(storage.clone());
    let mut taken = 0;
    for n in 0..20 {
        let new = NewJob::new(JobId::new(), "far_from_home", "{}");
        let (id, theirs) = (new.id, client.clone());
        let stored = std::thread::spawn(move || {
            let insert = async { theirs.storage().insert(&[new]).await.map(drop) };
            match n % 2 {
                0 => tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(insert),
                _ => {
                    let waker = std::task::Waker::noop();
                    let mut context = std::task::Context::from_waker(waker);
                    match Box::pin(insert).as_mut().poll(&mut context) {
                        std::task::Poll::Ready(stored) => stored,
                        std::task::Poll::Pending => unreachable!("memory does not wait"),
                    }
                }
            }
        });
        stored.join().unwrap().unwrap();
        taken += usize::from(storage.job(id).await.unwrap().unwrap().state != State::Enqueued);
        until_state(&storage, id, State::Succeeded).await;
    }
    assert!(taken > 5, "only {taken} of 20 were handed over");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_are_never_more_at_once_than_slots() {
    let storage = storage();
    let (now, most, ended) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Counter::default(),
    );
    let (n, m, e) = (Arc::clone(&now), Arc::clone(&most), ended.clone());
    let job = kind("crowd", JobDefaults::NONE, move |_| {
        let (now, most, ended) = (Arc::clone(&n), Arc::clone(&m), e.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            ended.add();
            done()
        })
    });
    let running = worker(&storage, vec![job])
        .concurrency(3)
        .start()
        .await
        .unwrap();
    let producers = (0..8).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                enqueue(&storage, "crowd").await;
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    eventually("all have run", || ended.get() == 400).await;
    assert!(most.load(Ordering::SeqCst) <= 3);
    running.stop().await;
}

#[tokio::test]
async fn what_a_worker_does_not_serve_waits_for_another() {
    let storage = storage();
    let job = kind("served", JobDefaults::NONE, |_| Box::pin(async { done() }));
    let running = worker(&storage, vec![job])
        .queues(["mine"])
        .start()
        .await
        .unwrap();
    let of = |kind: &'static str, queue: &'static str| {
        let mut job = NewJob::new(JobId::new(), kind, "{}");
        job.queue = queue.into();
        job
    };
    let jobs = [of("served", "theirs"), of("unheard_of", "theirs")];
    for _ in 0..20 {
        let probe = of("served", "mine");
        storage.insert(std::slice::from_ref(&probe)).await.unwrap();
        until_state(&storage, probe.id, State::Succeeded).await;
    }
    storage.insert(&jobs).await.unwrap();
    for job in jobs {
        let found = storage.job(job.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.run), (State::Enqueued, 0));
    }
    running.stop().await;
}
