//! Jobs that are deleted while they run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::job::{JobDefaults, JobId, NewJob, State};
use jobs_core::storage::{Answer, Command, StorageHandle, Verb};

use tokio::sync::Semaphore;

use crate::setup::{
    Counter, PATIENCE, done, enqueue, eventually, kind, storage, until_state, worker,
};

async fn delete(storage: &StorageHandle, id: JobId) -> Answer {
    let (actor, reason) = ("ana".to_owned(), Some("not needed".to_owned()));
    let command = Command {
        verb: Verb::Delete,
        jobs: vec![id],
        actor,
        reason,
    };
    storage.command(&command).await.unwrap()[0]
}

#[tokio::test]
async fn a_running_job_hears_of_its_deletion_and_its_outcome_is_dropped() {
    let storage = storage();
    let (started, heard) = (Counter::default(), Counter::default());
    let (start, hear) = (started.clone(), heard.clone());
    let job = kind("deleted_while_running", JobDefaults::NONE, move |ctx| {
        let (start, hear) = (start.clone(), hear.clone());
        Box::pin(async move {
            start.add();
            ctx.cancellation().cancelled().await;
            assert!(ctx.is_lost());
            hear.add();
            done()
        })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    for n in 1..=5 {
        let id = enqueue(&storage, "deleted_while_running").await;
        eventually("it runs", || started.get() == n).await;
        let before = Instant::now();
        let to = State::Deleted;
        let answer = delete(&storage, id).await;
        assert!(matches!(answer, Answer::Done { to: is, .. } if is == to));
        eventually("it hears of it", || heard.get() == n).await;
        times.push(before.elapsed());
        ids.push(id);
    }
    running.stop().await;
    for id in ids {
        let record = storage.job(id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Deleted, 0));
    }
    assert_eq!(heard.get(), 5);
    // By a hint: by itself it looks every 800 ms. Most of them: a busy machine may stand still for once.
    times.sort();
    assert!(times[2] < Duration::from_millis(300), "{times:?}");
}

/// One at a time or more than a worker is told one by one.
#[tokio::test]
async fn what_a_worker_has_taken_and_not_started_is_not_started_once_deleted() {
    for count in [20, 600] {
        let mut tries = 0;
        while !none_of_those_held_is_started(count).await {
            tries += 1;
            assert!(tries < 20, "nothing is held, and so nothing shown");
        }
    }
}

/// Deletes what a worker holds and has not started, and sees that none of it is started. Answers whether anything was held
/// then: what a worker cannot start within a second it gives back, and a busy machine may stand still for as long.
async fn none_of_those_held_is_started(count: u64) -> bool {
    let storage = storage();
    let (gate, runs) = (Arc::new(Semaphore::new(0)), Counter::default());
    let (door, ran) = (gate.clone(), runs.clone());
    let quick = kind("taken_quick", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let slow = kind("taken_slow", JobDefaults::NONE, move |_| {
        let door = door.clone();
        Box::pin(async move {
            let _open = door.acquire().await.unwrap();
            done()
        })
    });
    let late = kind("taken_late", JobDefaults::NONE, move |_| {
        ran.add();
        Box::pin(async { done() })
    });
    let new = |kind: &'static str| NewJob::new(JobId::new(), kind, "{}");
    let mut jobs: Vec<NewJob> = (0..2_000).map(|_| new("taken_quick")).collect();
    jobs.push(new("taken_slow"));
    let waiting: Vec<NewJob> = (0..count).map(|_| new("taken_late")).collect();
    jobs.extend(waiting.clone());
    storage.insert(&jobs).await.unwrap();
    let running = worker(&storage, vec![quick, slow, late]).concurrency(1);
    let running = running.start().await.unwrap();
    until_state(&storage, jobs[2_000].id, State::Processing).await;
    let all_quick = async || storage.inspect().counts().await.unwrap().succeeded == 2_000;
    let end = Instant::now() + PATIENCE;
    while !all_quick().await {
        assert!(Instant::now() < end, "the quick ones do not end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let held = storage.inspect().counts().await.unwrap().processing;
    let command = Command {
        verb: Verb::Delete,
        jobs: waiting.iter().map(|job| job.id).collect(),
        actor: "ana".into(),
        reason: None,
    };
    storage.command(&command).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.add_permits(1);
    until_state(&storage, jobs[2_000].id, State::Succeeded).await;
    running.stop().await;
    assert_eq!(runs.get(), 0, "of {held} held");
    let counts = storage.inspect().counts().await.unwrap();
    assert_eq!((counts.deleted, counts.unfinished()), (count, 0));
    held > 1
}

#[tokio::test]
async fn a_deleted_job_that_waits_never_runs() {
    let storage = storage();
    let runs = Counter::default();
    let count = runs.clone();
    let job = kind("deleted_before", JobDefaults::NONE, move |_| {
        count.add();
        Box::pin(async { done() })
    });
    let id = enqueue(&storage, "deleted_before").await;
    assert!(matches!(delete(&storage, id).await, Answer::Done { .. }));
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let other = enqueue(&storage, "deleted_before").await;
    until_state(&storage, other, State::Succeeded).await;
    assert_eq!(runs.get(), 1);
    running.stop().await;
}
