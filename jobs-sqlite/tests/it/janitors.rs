//! Rows that count no more go, a handful at a time; those that count stay.

use std::time::Duration;

use jobs_core::job::{LimitRule, LimitUse, NewJob, OnConflict, Rules, Unique, UniqueUntil};
use jobs_core::storage::{Inspect, Retention, Storage};
use jobs_sqlite::SqliteStorage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::stage::{Folder, claim, flush, new_job, worker};

const HOUR: Duration = Duration::from_secs(3_600);
/// About a year: it does not end while a test runs.
const WINDOW: LimitRule = LimitRule::fixed("window", 5, Duration::from_secs(30_000_540));
const SLIDING: LimitRule = LimitRule::sliding("sliding", 5, HOUR);
const BUCKET: LimitRule = LimitRule::bucket("bucket", 5, HOUR, 5);

/// Runs statements beside the storage; answers how many rows a table has then.
async fn rows(folder: &Folder, sql: &str, table: &str) -> i64 {
    let options = SqliteConnectOptions::new()
        .filename(folder.file())
        .busy_timeout(Duration::from_secs(20));
    let mut beside = options.connect().await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
    let count = AssertSqlSafe(format!("select count(*) from jobs_{table}"));
    let row = sqlx::query(count).fetch_one(&mut beside).await.unwrap();
    row.get(0)
}

async fn run_one(storage: &SqliteStorage, limits: impl IntoIterator<Item = LimitUse>) {
    let mut rules = Rules::default();
    rules.limits.extend(limits);
    let mut job = new_job();
    job.rules = Some(Box::new(rules));
    storage.insert(&[job]).await.unwrap();
    let worker = worker(storage).await;
    let (id, claimed) = claim(storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    let ended = flush(worker, id, &claimed.jobs);
    assert_eq!(storage.settle(&ended).await.unwrap(), []);
}

async fn used(storage: &SqliteStorage) -> Vec<u64> {
    let limits = storage.limits().await.unwrap();
    limits.iter().map(|limit| limit.used).collect()
}

#[tokio::test]
async fn starts_and_tokens_that_count_no_more_go() {
    let folder = Folder::new();
    let storage = folder.open().await;
    run_one(&storage, [WINDOW.by(""), SLIDING.by(""), BUCKET.by("")]).await;
    let retain = async || storage.retain(&Retention::default()).await.unwrap();
    retain().await;
    assert_eq!(used(&storage).await, [1, 1, 1]);
    // A token comes back in a fifth of an hour.
    let age = "update jobs_bucket set at = at - 660000000";
    assert_eq!(rows(&folder, age, "bucket").await, 1);
    retain().await;
    assert_eq!(rows(&folder, "", "bucket").await, 1, "it counts");
    let age = "update jobs_bucket set at = at - 61000000";
    rows(&folder, age, "bucket").await;
    retain().await;
    assert_eq!(rows(&folder, "", "bucket").await, 0);
    let starts = rows(&folder, "", "permit").await;
    assert!(starts > 0, "they count");
    let age = "update jobs_permit set started_at = started_at - 40000000000000";
    rows(&folder, age, "permit").await;
    retain().await;
    assert_eq!(rows(&folder, "", "permit").await, 0);
    assert_eq!(used(&storage).await, [0, 0, 0]);
}

#[tokio::test]
async fn what_a_bucket_has_left_behind_goes() {
    let folder = Folder::new();
    let storage = folder.open().await;
    // It is set to be another kind of limit.
    run_one(&storage, [BUCKET.by("")]).await;
    assert_eq!(rows(&folder, "", "bucket").await, 1);
    let other = LimitRule::concurrency("bucket", 2);
    storage
        .set_limit("bucket", Some(&other), "ada", None)
        .await
        .unwrap();
    storage.retain(&Retention::default()).await.unwrap();
    assert_eq!(rows(&folder, "", "bucket").await, 0);
    // It was only set, and is taken away.
    let queue = LimitRule::bucket("queue:default", 1, HOUR, 5);
    storage
        .set_limit("queue:default", Some(&queue), "ada", None)
        .await
        .unwrap();
    run_one(&storage, []).await;
    assert_eq!(rows(&folder, "", "bucket").await, 1);
    storage
        .set_limit("queue:default", None, "ada", None)
        .await
        .unwrap();
    assert_eq!(rows(&folder, "", "bucket").await, 0);
}

#[tokio::test]
async fn more_than_a_handful_go_too() {
    let folder = Folder::new();
    let storage = folder.open().await;
    run_one(&storage, [BUCKET.by(""), SLIDING.by("")]).await;
    let fill = "with recursive n (n) as (select 1 union all select n + 1 from n where n < 1200)
        insert into jobs_bucket (limit_name, key, tokens, at) select 'bucket', 'k' || n, 5, 0 from n;
        with recursive n (n) as (select 1 union all select n + 1 from n where n < 1200)
        insert into jobs_permit (limit_name, key, job_id, run, weight, started_at) select 'sliding', 'k' || n, randomblob(16), 0, 1, 0 from n;";
    assert_eq!(rows(&folder, fill, "bucket").await, 1_201);
    storage.retain(&Retention::default()).await.unwrap();
    assert_eq!(rows(&folder, "", "bucket").await, 1);
    // One start each.
    assert_eq!(rows(&folder, "", "permit").await, 2);
}

#[tokio::test]
async fn keys_whose_period_is_over_go() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let held_for = |key: usize, period| {
        let mut rules = Rules::default();
        rules.unique = Some(Unique {
            key: key.to_string(),
            until: UniqueUntil::Period(period),
            on_conflict: OnConflict::Skip,
        });
        let mut job = new_job();
        job.rules = Some(Box::new(rules));
        job
    };
    let mut jobs: Vec<NewJob> = (0..1_500)
        .map(|key| held_for(key, Duration::from_millis(1)))
        .collect();
    jobs.push(held_for(1_500, HOUR));
    storage.insert(&jobs).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for left in [501, 1] {
        storage.tick().await.unwrap();
        assert_eq!(rows(&folder, "", "unique_key").await, left);
    }
}
