//! Jobs in a transaction of the user's.

mod home;

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use home::{Home, url};
use jobs_core::Error;
use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, State, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    ClaimRequest, Flush, Inspect, QueueShare, Refusal, Settlement, Storage, Within, WorkerInfo,
};
use jobs_postgres::PgStorage;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};

fn job() -> NewJob {
    NewJob::new(JobId::new(), "add", r#"{"a":1}"#)
}

async fn exists(storage: &PgStorage, job: &NewJob) -> bool {
    storage.job(job.id).await.unwrap().is_some()
}

#[tokio::test]
async fn a_job_comes_with_the_commit() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let (kept, dropped) = (job(), job());

    let mut transaction = connection.begin().await.unwrap();
    let stored = transaction
        .insert(&storage, slice::from_ref(&kept))
        .await
        .unwrap();
    assert!(!stored[0].existing);
    assert!(!exists(&storage, &kept).await, "not before the commit");
    transaction.commit().await.unwrap();
    assert!(exists(&storage, &kept).await);

    let mut transaction = connection.begin().await.unwrap();
    transaction
        .insert(&storage, slice::from_ref(&dropped))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert!(!exists(&storage, &dropped).await);
}

#[tokio::test]
async fn a_repetition_does_not_abort_the_transaction() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let pool = PgPoolOptions::new().connect(&url()).await.unwrap();
    let (first, second) = (job(), job());
    storage.insert(slice::from_ref(&first)).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let jobs = [first, second.clone()];
    let stored = transaction.insert(&storage, &jobs).await.unwrap();
    assert!(stored[0].existing && !stored[1].existing);
    transaction.commit().await.unwrap();
    assert!(exists(&storage, &second).await);
}

#[tokio::test]
async fn connections_of_all_kinds_will_do() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let pool = PgPoolOptions::new().connect(&url()).await.unwrap();
    let jobs: Vec<_> = (0..3).map(|_| job()).collect();
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    connection.insert(&storage, &jobs[..1]).await.unwrap();
    pool.acquire()
        .await
        .unwrap()
        .insert(&storage, &jobs[1..2])
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let mut borrowed = &mut transaction;
    Within::insert(&mut borrowed, &storage, &jobs[2..])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    for job in &jobs {
        assert!(exists(&storage, job).await);
    }
}

async fn run(storage: &PgStorage) -> (WorkerId, Settlement) {
    let worker = WorkerId::new();
    storage.register(&WorkerInfo::new(worker)).await.unwrap();
    storage.insert(&[job()]).await.unwrap();
    let request = ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit: 1,
        }],
        limit: 1,
        unknown_kinds: Arc::default(),
    };
    let job = storage.claim(&request).await.unwrap().jobs.remove(0);
    let settlement = Settlement {
        job: job.id,
        run: job.run,
        claim: request.claim,
        kind: job.kind,
        queue: job.queue,
        attempt: job.attempt,
        ran_for: Some(Duration::from_millis(1)),
        ended_ago: Duration::ZERO,
        transition: Transition::Succeed {
            result: Some("3".into()),
            note: None,
        },
    };
    (worker, settlement)
}

fn flush(worker: WorkerId, run: &Settlement) -> Flush {
    Flush {
        worker,
        settlements: vec![run.clone()],
        closed: vec![run.claim],
    }
}

#[tokio::test]
async fn a_completion_comes_with_the_commit() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let (worker, run) = run(&storage).await;
    let mut transaction = connection.begin().await.unwrap();
    transaction.complete(&storage, worker, &run).await.unwrap();
    // While it is open the settler is told to come again, and does not wait.
    let refused = storage.settle(&flush(worker, &run)).await.unwrap();
    assert_eq!(refused[0].why, Refusal::Busy);
    transaction.commit().await.unwrap();
    let refused = storage.settle(&flush(worker, &run)).await.unwrap();
    assert_eq!(refused[0].why, Refusal::AlreadySettled);
    let record = storage.job(run.job).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.result.as_deref()),
        (State::Succeeded, Some("3"))
    );
    assert_eq!(storage.counts().await.unwrap().succeeded, 1);
}

#[tokio::test]
async fn a_completion_goes_with_the_rollback() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let (worker, run) = run(&storage).await;
    let mut transaction = connection.begin().await.unwrap();
    transaction.complete(&storage, worker, &run).await.unwrap();
    transaction.rollback().await.unwrap();
    let state = storage.job(run.job).await.unwrap().unwrap().state;
    assert_eq!(state, State::Processing);
    assert!(
        storage
            .settle(&flush(worker, &run))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn who_lost_the_run_cannot_complete_it() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let (worker, run) = run(&storage).await;
    storage.retire(worker).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let error = transaction
        .complete(&storage, worker, &run)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("roll back"), "{error}");
}
