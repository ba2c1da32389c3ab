//! Disks that are full, files that are locked or broken, runtimes that end.

use std::time::Duration;

use jobs_core::Error;
use jobs_core::job::{JobId, NewJob};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inspect, Storage};
use jobs_sqlite::SqliteStorage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlitePool};

use crate::stage::{Folder, PATIENCE, claim, flush, new_job, worker};

fn options(folder: &Folder) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(folder.file())
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_named() {
    let folder = Folder::new();
    drop(folder.open().await);
    // The file may not grow beyond 60 pages of 4 KiB.
    let small = options(&folder).pragma("max_page_count", "60");
    let pool = SqlitePool::connect_with(small).await.unwrap();
    let storage = SqliteStorage::builder().pool(pool).connect().await.unwrap();
    let mut stored = Vec::new();
    let error = loop {
        let job = NewJob::new(JobId::new(), "noop", format!("\"{}\"", "x".repeat(10_000)));
        match storage.insert(std::slice::from_ref(&job)).await {
            Ok(_) => stored.push(job.id),
            Err(error) => break error,
        }
        assert!(stored.len() < 100, "60 pages hold less than that");
    };
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(!stored.is_empty());
    for id in &stored {
        assert!(storage.job(*id).await.unwrap().is_some());
    }
    drop(storage);

    // There is room again: the same file goes on.
    let storage = folder.open().await;
    storage.insert(&[new_job()]).await.unwrap();
    let counts = storage.counts().await.unwrap();
    assert_eq!(counts.enqueued as usize, stored.len() + 1);
}

#[tokio::test]
async fn one_failing_request_fails_alone() {
    let folder = Folder::new();
    drop(folder.open().await);
    let small = options(&folder).pragma("max_page_count", "100");
    let pool = SqlitePool::connect_with(small).await.unwrap();
    let storage = SqliteStorage::builder().pool(pool).connect().await.unwrap();
    let large = NewJob::new(JobId::new(), "noop", format!("\"{}\"", "x".repeat(900_000)));
    let inserts = (0..20).map(|at| {
        let (storage, large) = (storage.clone(), large.clone());
        tokio::spawn(async move {
            let job = if at == 10 { large } else { new_job() };
            storage.insert(&[job]).await.map(|answers| answers[0].id)
        })
    });
    let mut stored = 0;
    for (at, insert) in inserts.collect::<Vec<_>>().into_iter().enumerate() {
        match insert.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(at, 10, "{error}"),
        }
    }
    assert_eq!(stored, 19);
    assert_eq!(storage.counts().await.unwrap().enqueued, 19);
}

#[tokio::test]
async fn a_file_that_others_keep_locked_is_a_conflict() {
    let folder = Folder::new();
    let patience = Duration::from_millis(50);
    let builder = SqliteStorage::builder().path(folder.file());
    let storage = builder.busy_timeout(patience).connect().await.unwrap();
    let mut other = options(&folder).connect().await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let job = new_job();
    let error = storage
        .insert(std::slice::from_ref(&job))
        .await
        .unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    // Reading does not wait for anybody.
    assert!(storage.job(job.id).await.unwrap().is_none());
    lock.rollback().await.unwrap();
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_given_up_in_time_is_waited_for() {
    let folder = Folder::new();
    let builder = SqliteStorage::builder().path(folder.file());
    let storage = builder.busy_timeout(PATIENCE).connect().await.unwrap();
    let mut other = options(&folder).connect().await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let insert = tokio::spawn(async move { storage.insert(&[new_job()]).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!insert.is_finished(), "nothing is written beside a writer");
    lock.commit().await.unwrap();
    insert.await.unwrap().unwrap();
}

#[tokio::test]
async fn options_that_cannot_be_read_keep_nobody_from_the_jobs() {
    let folder = Folder::new();
    let storage = folder.open().await;
    storage.insert(&[new_job(), new_job()]).await.unwrap();
    let mut other = options(&folder).connect().await.unwrap();
    let spoil = "update jobs_job set options = '{\"backoff\": \"of a later version\"}'";
    let spoiled = sqlx::query(spoil).execute(&mut other).await.unwrap();
    assert_eq!(spoiled.rows_affected(), 2);
    let (_, claimed) = claim(&storage, worker(&storage).await, 10).await;
    assert_eq!(claimed.jobs.len(), 2);
}

#[tokio::test]
async fn a_text_that_cannot_be_kept_is_refused() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let bad = NewJob::new(JobId::new(), "noop", "{\"text\":\"a\0b\"}");
    let error = storage.insert(&[new_job(), bad]).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    assert!(error.to_string().contains("NUL"), "{error}");
    assert_eq!(storage.counts().await.unwrap().enqueued, 0);

    let job = NewJob::new(JobId::new(), "noop", r#"{"text":"a\u0000b\\u0000\u001f"}"#);
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    assert_eq!(claimed.jobs[0].args, job.args, "an escaped one is fine");
    let mut flush = flush(worker, id, &claimed.jobs);
    flush.settlements[0].transition = Transition::Snooze {
        delay: Duration::ZERO,
        reason: "a\0b".into(),
    };
    let error = storage.settle(&flush).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
    assert_eq!(storage.counts().await.unwrap().processing, 1);
}

#[tokio::test]
async fn a_broken_file_is_an_error() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let jobs: Vec<_> = (0..2_000).map(|_| new_job()).collect();
    storage.insert(&jobs).await.unwrap();
    drop(storage);
    folder.settled().await;
    let mut bytes = std::fs::read(folder.file()).unwrap();
    let half = bytes.len() / 2;
    bytes[8_192..half].fill(0xa5);
    std::fs::write(folder.file(), bytes).unwrap();

    let storage = SqliteStorage::builder().path(folder.file());
    let storage = storage.auto_migrate(false).connect().await;
    let error = match storage {
        Ok(storage) => {
            let jobs = storage.jobs(&Default::default()).await;
            jobs.map(drop)
                .and(storage.insert(&[new_job()]).await.map(drop))
        }
        Err(error) => Err(error),
    };
    let error = error.unwrap_err();
    assert!(
        !error.is_transient(),
        "trying again would not help: {error:?}"
    );
}

#[tokio::test]
async fn tables_that_are_gone_are_named() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut other = options(&folder).connect().await.unwrap();
    let drop = sqlx::query("drop table jobs_job").execute(&mut other).await;
    drop.unwrap();
    let error = storage.insert(&[new_job()]).await.unwrap_err();
    assert!(matches!(error, Error::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("run the migrations"), "{error}");
}

#[test]
fn a_runtime_that_is_gone_is_named() {
    let folder = Folder::new();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let storage = first.block_on(folder.open());
    drop(first);
    let inserted = runtime().block_on(storage.insert(&[new_job()]));
    let error = inserted.unwrap_err();
    assert!(error.to_string().contains("the runtime"), "{error}");
}
