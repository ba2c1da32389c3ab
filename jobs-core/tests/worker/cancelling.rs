//! Jobs that are deleted while they run.

use std::time::{Duration, Instant};

use jobs_core::job::{JobDefaults, JobId, State};
use jobs_core::storage::{Answer, Command, StorageHandle, Verb};

use crate::setup::{Counter, done, enqueue, eventually, kind, storage, until_state, worker};

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
    let id = enqueue(&storage, "deleted_while_running").await;
    eventually("it runs", || started.get() == 1).await;
    let before = Instant::now();
    assert!(matches!(
        delete(&storage, id).await,
        Answer::Done {
            to: State::Deleted,
            ..
        }
    ));
    eventually("it hears of it", || heard.get() == 1).await;
    assert!(
        before.elapsed() < Duration::from_millis(100),
        "{:?}",
        before.elapsed()
    );
    running.stop().await;
    let record = storage.job(id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.attempt, heard.get()),
        (State::Deleted, 0, 1)
    );
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
