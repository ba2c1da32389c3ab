//! Jobs in transactions of the application's own.

use jobs_core::Error;
use jobs_core::job::State;
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inspect, Refusal, Storage, Within};
use jobs_sqlite::SqliteStorage;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::stage::{Folder, claim, flush, new_job, succeeded, worker};

/// The application's pool, with a table of its own, and the storage on it.
async fn application(folder: &Folder) -> (SqlitePool, SqliteStorage) {
    let options = SqliteConnectOptions::new().filename(folder.file());
    let pool = SqlitePool::connect_with(options.create_if_missing(true));
    let pool = pool.await.unwrap();
    let table = sqlx::query("create table account (id integer primary key, balance integer)");
    table.execute(&pool).await.unwrap();
    let storage = SqliteStorage::builder().pool(pool.clone()).connect().await;
    (pool, storage.unwrap())
}

async fn accounts(pool: &SqlitePool) -> i64 {
    let count = sqlx::query_scalar("select count(*) from account");
    count.fetch_one(pool).await.unwrap()
}

const ADD: &str = "insert into account (balance) values (7)";

#[tokio::test]
async fn a_job_comes_with_the_commit() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let job = new_job();
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query(ADD).execute(&mut *tx).await.unwrap();
    let jobs = std::slice::from_ref(&job);
    let stored = Within::insert(&mut tx, &storage, jobs).await.unwrap();
    assert!(!stored[0].existing);
    assert!(storage.job(job.id).await.unwrap().is_none(), "not before");
    tx.commit().await.unwrap();
    let stored = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!(stored.state, State::Enqueued);
    assert_eq!(accounts(&pool).await, 1);
}

#[tokio::test]
async fn a_rollback_leaves_no_trace() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let job = new_job();
    let mut tx = pool.begin().await.unwrap();
    let jobs = std::slice::from_ref(&job);
    Within::insert(&mut tx, &storage, jobs).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(storage.job(job.id).await.unwrap().is_none());
    assert_eq!(storage.counts().await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn a_job_that_is_stored_already_does_not_disturb() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let (old, new) = (new_job(), new_job());
    storage.insert(std::slice::from_ref(&old)).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let stored = Within::insert(&mut tx, &storage, &[old.clone(), new.clone()]).await;
    let existing: Vec<bool> = stored
        .unwrap()
        .iter()
        .map(|answer| answer.existing)
        .collect();
    assert_eq!(existing, [true, false]);
    sqlx::query(ADD).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(storage.counts().await.unwrap().enqueued, 2);
}

#[tokio::test]
async fn a_connection_will_do_as_well() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let mut pooled = pool.acquire().await.unwrap();
    Within::insert(&mut pooled, &storage, &[new_job()])
        .await
        .unwrap();
    Within::insert(&mut *pooled, &storage, &[new_job()])
        .await
        .unwrap();
    assert_eq!(storage.counts().await.unwrap().enqueued, 2);
}

#[tokio::test]
async fn a_run_is_completed_with_its_effects() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let job = new_job();
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    let run = succeeded(&claimed.jobs[0], id);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query(ADD).execute(&mut *tx).await.unwrap();
    tx.complete(&storage, worker, &run).await.unwrap();
    tx.commit().await.unwrap();

    let ended = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.attempt, ended.run),
        (State::Succeeded, 1, 1)
    );
    assert_eq!(ended.result.as_deref(), Some("7"));
    assert_eq!(accounts(&pool).await, 1);
    assert_eq!(storage.counts().await.unwrap().succeeded, 1);
    let now = storage.now();
    let (from, to) = (
        now - chrono::TimeDelta::hours(1),
        now + chrono::TimeDelta::hours(1),
    );
    let stats = storage.stats(from, to).await.unwrap();
    assert_eq!(stats.iter().map(|stat| stat.succeeded).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|stat| stat.run_millis).sum::<u64>(), 5);

    // The settler does not know and reports it too: applied once, and nothing is amiss.
    let refused = storage
        .settle(&flush(worker, id, &claimed.jobs))
        .await
        .unwrap();
    assert_eq!(refused[0].why, Refusal::AlreadySettled);
    assert_eq!(storage.counts().await.unwrap().succeeded, 1);
}

#[tokio::test]
async fn a_completion_that_is_rolled_back_did_not_happen() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    storage.insert(&[new_job()]).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    let mut tx = pool.begin().await.unwrap();
    let run = succeeded(&claimed.jobs[0], id);
    tx.complete(&storage, worker, &run).await.unwrap();
    tx.rollback().await.unwrap();
    let refused = storage.settle(&flush(worker, id, &claimed.jobs)).await;
    assert_eq!(refused.unwrap(), []);
}

#[tokio::test]
async fn a_run_of_somebody_else_cannot_be_completed() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let job = new_job();
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    let (mine, other) = (worker(&storage).await, worker(&storage).await);
    let (id, claimed) = claim(&storage, mine, 1).await;
    let run = succeeded(&claimed.jobs[0], id);
    let mut old = run.clone();
    old.run -= 1;
    for (worker, run) in [(other, &run), (mine, &old)] {
        let mut tx = pool.begin().await.unwrap();
        sqlx::query(ADD).execute(&mut *tx).await.unwrap();
        let error = tx.complete(&storage, worker, run).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
        assert!(error.to_string().contains("roll back"), "{error}");
        drop(tx);
    }
    assert_eq!(accounts(&pool).await, 0);
    let held = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!((held.state, held.run), (State::Processing, 0));
    assert_eq!(storage.counts().await.unwrap().succeeded, 0);
}

#[tokio::test]
async fn only_successes_are_completed_within_a_transaction() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    storage.insert(&[new_job()]).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    let mut run = succeeded(&claimed.jobs[0], id);
    run.transition = Transition::Release {
        reason: "because".into(),
    };
    let mut tx = pool.begin().await.unwrap();
    let error = tx.complete(&storage, worker, &run).await.unwrap_err();
    assert!(error.to_string().contains("succeeded"), "{error}");
}

#[tokio::test]
async fn another_database_is_named_as_such() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let storage = folder.open().await;
    let options = SqliteConnectOptions::new().filename(elsewhere.file());
    let pool = SqlitePool::connect_with(options.create_if_missing(true));
    let mut tx = pool.await.unwrap().begin().await.unwrap();
    let error = Within::insert(&mut tx, &storage, &[new_job()]).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("another database"), "{error}");
}
