//! Rows that count no more go; those that count stay.

use std::time::Duration;

use jobs_core::job::{LimitRule, LimitUse, NewJob, OnConflict, Rules, Unique, UniqueUntil};
use jobs_core::storage::{Inspect, Storage};

use super::super::{claim, flush, new_job, test, worker};
use super::{Home, number, pass, run};
use crate::PgStorage;

/// About a year: it does not end while a test runs.
const WINDOW: LimitRule = LimitRule::fixed("window", 5, Duration::from_secs(30_000_540));
const SLIDING: LimitRule = LimitRule::sliding("sliding", 5, Duration::from_secs(3_600));
const BUCKET: LimitRule = LimitRule::bucket("bucket", 5, Duration::from_secs(3_600), 5);

fn with(change: impl FnOnce(&mut Rules)) -> NewJob {
    let mut rules = Rules::default();
    change(&mut rules);
    let mut job = new_job();
    job.rules = Some(Box::new(rules));
    job
}

fn held_for(key: &str, period: Duration) -> NewJob {
    with(|rules| {
        rules.unique = Some(Unique {
            key: key.into(),
            until: UniqueUntil::Period(period),
            on_conflict: OnConflict::Skip,
        });
    })
}

/// Stores a job with these limits, and runs it.
async fn run_one(storage: &PgStorage, limits: impl IntoIterator<Item = LimitUse>) {
    let job = with(|rules| rules.limits.extend(limits));
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    storage.tick().await.unwrap();
    let me = worker(storage).await;
    let (id, claimed) = claim(storage, me, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    let done = flush(me, id, &claimed.jobs, true);
    assert_eq!(storage.settle(&done).await.unwrap(), []);
}

async fn used(storage: &PgStorage) -> Vec<u64> {
    let limits = storage.limits().await.unwrap();
    limits.iter().map(|limit| limit.used).collect()
}

async fn rows(home: &Home) -> [i64; 2] {
    [
        number(home, "select count(*) from jobs.bucket").await,
        number(home, "select count(*) from jobs.permit").await,
    ]
}

#[test]
fn keys_whose_period_is_over_go() {
    test(|home| async move {
        let storage = home.storage().await;
        let short = (0..5).map(|n| held_for(&format!("short {n}"), Duration::from_millis(1)));
        let jobs: Vec<_> = short
            .chain([held_for("long", Duration::from_secs(3_600))])
            .collect();
        storage.insert(&jobs).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let keys = "select count(*) from jobs.unique_key";
        assert_eq!(number(&home, keys).await, 6);
        pass(&storage).await;
        assert_eq!(number(&home, keys).await, 1);
        let again = [held_for("long", Duration::from_secs(1))];
        assert!(storage.insert(&again).await.unwrap()[0].existing);
    });
}

#[test]
fn starts_and_tokens_that_count_no_more_go() {
    test(|home| async move {
        let storage = home.storage().await;
        run_one(&storage, [WINDOW.by("a"), SLIDING.by("a"), BUCKET.by("a")]).await;
        assert_eq!(rows(&home).await, [2, 1]);
        pass(&storage).await;
        assert_eq!(rows(&home).await, [2, 1], "they count");
        assert_eq!(used(&storage).await, [1, 1, 1]);
        // A token comes back in a fifth of an hour.
        let age =
            "update jobs.bucket set at = at - interval '11 minutes' where limit_name = 'bucket'";
        run(&home, age).await;
        pass(&storage).await;
        assert_eq!(rows(&home).await, [2, 1], "they count");
        run(&home, "update jobs.bucket set at = at - interval '1 year'").await;
        run(
            &home,
            "update jobs.permit set started_at = started_at - interval '59 minutes'",
        )
        .await;
        pass(&storage).await;
        assert_eq!(rows(&home).await, [0, 1]);
        run(
            &home,
            "update jobs.permit set started_at = started_at - interval '1 minute'",
        )
        .await;
        pass(&storage).await;
        assert_eq!(rows(&home).await, [0, 0]);
        assert_eq!(used(&storage).await, [0, 0, 0]);
    });
}

#[test]
fn what_a_limit_has_left_behind_goes() {
    test(|home| async move {
        let storage = home.storage().await;
        run_one(&storage, [WINDOW.by("a"), SLIDING.by("a"), BUCKET.by("a")]).await;
        // As if a run had ended while its limit was taken away.
        run(&home, "delete from jobs.limit_def").await;
        pass(&storage).await;
        assert_eq!(rows(&home).await, [0, 0]);
    });
}

/// Starts of a window are ones of the longer window around it too, and a start after the change counts in any case.
#[test]
fn a_limit_that_is_set_to_a_longer_window_goes_on_counting() {
    test(|home| async move {
        let storage = home.storage().await;
        // About one year, and two: no window ends while this runs, and the short one began later.
        const SHORT: LimitRule = LimitRule::fixed("window", 5, Duration::from_secs(30_000_540));
        const LONG: LimitRule = LimitRule::fixed("window", 5, Duration::from_secs(60_000_180));
        run_one(&storage, [SHORT.by("")]).await;
        assert_eq!(used(&storage).await, [1]);
        storage
            .set_limit("window", Some(&LONG), "ada", None)
            .await
            .unwrap();
        assert_eq!(used(&storage).await, [1]);
        run_one(&storage, [SHORT.by("")]).await;
        assert_eq!(used(&storage).await, [2]);
        // As a bucket it is full, and as a window again it is new.
        let bucket = LimitRule::bucket("window", 5, Duration::from_secs(3_600), 5);
        storage
            .set_limit("window", Some(&bucket), "ada", None)
            .await
            .unwrap();
        run_one(&storage, [SHORT.by("")]).await;
        assert_eq!(used(&storage).await, [1]);
        storage
            .set_limit("window", Some(&LONG), "ada", None)
            .await
            .unwrap();
        run_one(&storage, [SHORT.by("")]).await;
        assert_eq!(used(&storage).await, [1]);
    });
}

/// What somebody has locked is not waited for, and more than one statement removes at once goes too.
#[test]
fn nobody_is_waited_for() {
    test(|home| async move {
        let storage = home.storage().await;
        run(&home, "insert into jobs.unique_key (kind, key, job_id, until, expires_at) select 'k', n::text, jobs.new_id(), 2, now() from generate_series(1, 2500) n").await;
        run(&home, "insert into jobs.bucket (limit_name, key, at, amount) select 'gone', n::text, now(), 1 from generate_series(1, 2500) n").await;
        run(&home, "insert into jobs.permit (limit_name, key, job_id, run, weight, started_at, ended) select 'gone', n::text, jobs.new_id(), 0, 1, now(), true from generate_series(1, 2500) n").await;
        let mut connection = home.connection().await;
        let lock = "begin; select from jobs.unique_key where key = '7' for update; select from jobs.bucket where key = '7' for update;
                    select from jobs.permit where key = '7' for update";
        sqlx::raw_sql(home.sql(lock))
            .execute(&mut connection)
            .await
            .unwrap();
        pass(&storage).await;
        assert_eq!(rows(&home).await, [1, 1]);
        assert_eq!(
            number(&home, "select count(*) from jobs.unique_key").await,
            1
        );
        sqlx::raw_sql("rollback")
            .execute(&mut connection)
            .await
            .unwrap();
        pass(&storage).await;
        assert_eq!(rows(&home).await, [0, 0]);
        assert_eq!(
            number(&home, "select count(*) from jobs.unique_key").await,
            0
        );
    });
}
