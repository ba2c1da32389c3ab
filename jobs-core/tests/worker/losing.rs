//! Workers that die, lose touch, or come back too late.

use std::sync::Arc;
use std::time::Duration;

use jobs_core::job::{ClaimId, JobDefaults, QueuePattern, State, WorkerId};
use jobs_core::storage::{ClaimRequest, QueueShare, StorageHandle, WorkerInfo};

use crate::setup::{Counter, done, enqueue, eventually, kind, storage, until_state, worker};

/// A worker that takes everything and is never heard of again. As a real one would, it says so before
/// it starts a job that an earlier worker died with.
async fn takes_and_dies(storage: &StorageHandle) -> usize {
    let id = WorkerId::new();
    storage.register(&WorkerInfo::new(id)).await.unwrap();
    let request = ClaimRequest {
        worker: id,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit: 100,
        }],
        limit: 100,
        unknown_kinds: Arc::from([]),
    };
    let jobs = storage.claim(&request).await.unwrap().jobs;
    if let Some(suspect) = jobs.iter().find(|job| job.lost > 1) {
        storage.suspect(id, Some(suspect.id)).await.unwrap();
    }
    jobs.len()
}

fn quick(builder: jobs_core::worker::WorkerBuilder) -> jobs_core::worker::WorkerBuilder {
    builder.liveness(Duration::from_millis(25), Duration::from_millis(200))
}

#[tokio::test]
async fn the_jobs_of_a_dead_worker_run_again() {
    let storage = storage();
    let job = kind("orphaned", JobDefaults::NONE, |ctx| {
        Box::pin(async move {
            assert_eq!((ctx.attempt(), ctx.lost()), (1, 1));
            done()
        })
    });
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(enqueue(&storage, "orphaned").await);
    }
    assert_eq!(takes_and_dies(&storage).await, 10);
    let running = quick(worker(&storage, vec![job])).start().await.unwrap();
    for id in ids {
        let record = until_state(&storage, id, State::Succeeded).await;
        assert_eq!((record.attempt, record.lost), (1, 1));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_was_lost_three_times_is_failed() {
    let storage = storage();
    kind("lost_thrice", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let other = kind("mere_neighbour", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let id = enqueue(&storage, "lost_thrice").await;
    for round in 0..3 {
        assert_eq!(takes_and_dies(&storage).await, 1);
        // Rescued by a worker that serves another queue, so that it stays where it is.
        let rescuer = quick(worker(&storage, vec![other]).queues(["elsewhere"]));
        let running = rescuer.start().await.unwrap();
        let state = if round < 2 {
            State::Enqueued
        } else {
            State::Failed
        };
        let record = until_state(&storage, id, state).await;
        assert_eq!((record.attempt, record.lost), (0, round + 1));
        running.stop().await;
    }
    let record = storage.job(id).await.unwrap().unwrap();
    let words = "its worker died 3 times while running it";
    assert_eq!(record.reason.as_deref(), Some(words));
}

#[tokio::test]
async fn jobs_on_their_last_chance_keep_nobody_waiting() {
    let storage = storage();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let pass = Arc::clone(&gate);
    let (running, most) = (Counter::default(), Counter::default());
    let (starts, seen) = (running.clone(), most.clone());
    let risky = kind("on_its_last_chance", JobDefaults::NONE, move |_| {
        let (pass, starts, seen) = (Arc::clone(&pass), starts.clone(), seen.clone());
        Box::pin(async move {
            let before = starts.get();
            starts.add();
            pass.acquire().await.unwrap().forget();
            // Nobody else has started meanwhile.
            if starts.get() == before + 1 {
                seen.add();
            }
            done()
        })
    });
    let fresh = kind("fresh", JobDefaults::NONE, |_| Box::pin(async { done() }));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(enqueue(&storage, "on_its_last_chance").await);
    }
    for _ in 0..2 {
        assert_eq!(takes_and_dies(&storage).await, 5);
        let rescuer = quick(worker(&storage, vec![fresh]).queues(["elsewhere"]));
        let rescuer = rescuer.start().await.unwrap();
        for id in &ids {
            until_state(&storage, *id, State::Enqueued).await;
        }
        rescuer.stop().await;
    }
    let worker = worker(&storage, vec![risky, fresh]).concurrency(2);
    let worker = worker.start().await.unwrap();
    eventually("one of them runs", || running.get() == 1).await;
    for _ in 0..10 {
        let id = enqueue(&storage, "fresh").await;
        until_state(&storage, id, State::Succeeded).await;
    }
    gate.add_permits(5);
    for id in ids {
        let record = until_state(&storage, id, State::Succeeded).await;
        assert_eq!((record.attempt, record.lost), (1, 2));
    }
    assert_eq!(most.get(), 5, "one at a time");
    worker.stop().await;
}

#[tokio::test]
async fn a_living_worker_is_not_rescued() {
    let storage = storage();
    let job = kind("takes_its_time", JobDefaults::NONE, |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            done()
        })
    });
    // Both stand still while this process does, which on a busy machine it may for some seconds.
    let death = Duration::from_secs(8);
    let lives = || worker(&storage, vec![job]).liveness(Duration::from_millis(25), death);
    let one = lives().start().await.unwrap();
    let two = lives().start().await.unwrap();
    let id = enqueue(&storage, "takes_its_time").await;
    let record = until_state(&storage, id, State::Succeeded).await;
    assert_eq!((record.attempt, record.lost, record.run), (1, 0, 1));
    one.stop().await;
    two.stop().await;
}
