//! Partitions: made ahead, emptied, dropped.

use chrono::{TimeDelta, Utc};
use jobs_core::job::{JobId, NewJob};
use jobs_core::storage::{Command, Inspect, Retention, Storage, Verb};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Home, claim, flush, new_job, test, worker};
use crate::PgStorage;

/// Not by `JobId::at`, which never goes back, nor lets others after it.
fn of_day(days_ago: i64) -> NewJob {
    let floor = JobId::floor(Utc::now() - TimeDelta::days(days_ago)).as_uuid();
    let random = Uuid::new_v4().as_u128() & 0x3fff_ffff_ffff_ffff;
    let mut job = new_job();
    job.id = Uuid::from_u128(floor.as_u128() | random).into();
    job
}

async fn number(home: &Home, connection: &mut PgConnection, sql: &str) -> i64 {
    let row = sqlx::query(home.sql(sql)).fetch_one(connection).await;
    row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
}

/// Empties the partition of a day; none if its locks were not to be had at once.
async fn emptied_day(home: &Home, days_ago: i64) -> Option<i64> {
    let empty = format!(
        "select jobs.empty_day((now() at time zone 'UTC')::date - {days_ago}, now(), now(), now())"
    );
    let mut connection = home.connection().await;
    match sqlx::query(home.sql(&empty))
        .fetch_one(&mut connection)
        .await
    {
        Ok(row) => Some(row.get(0)),
        Err(error) if crate::error::code(&error).as_deref() == Some("55P03") => None,
        Err(error) => panic!("{empty}: {error}"),
    }
}

/// Stores jobs of a day, runs all, and has it that they ended on that day.
async fn finished_day(storage: &PgStorage, home: &Home, days_ago: i64, jobs: usize) -> Vec<NewJob> {
    let mut connection = home.connection().await;
    let make = format!("select jobs.make_day((now() at time zone 'UTC')::date - {days_ago})");
    home.run(&mut connection, &make).await;
    let jobs: Vec<_> = (0..jobs).map(|_| of_day(days_ago)).collect();
    storage.insert(&jobs).await.unwrap();
    let me = worker(storage).await;
    let (id, claimed) = claim(storage, me, jobs.len()).await;
    assert_eq!(claimed.jobs.len(), jobs.len());
    storage
        .settle(&flush(me, id, &claimed.jobs, true))
        .await
        .unwrap();
    let aged = format!(
        "update jobs.job set finished_at = finished_at - interval '{days_ago} days' where state = 2"
    );
    home.run(&mut connection, &aged).await;
    jobs
}

#[test]
fn a_day_that_is_over_is_emptied_and_dropped() {
    test(|home| async move {
        let storage = home.storage().await;
        finished_day(&storage, &home, 20, 50).await;
        let mut connection = home.connection().await;
        let days = "select count(*) from pg_inherits where inhparent = 'jobs.job'::regclass";
        let before = number(&home, &mut connection, days).await;
        assert_eq!(storage.retain(&Retention::default()).await.unwrap(), 50);
        assert_eq!(number(&home, &mut connection, days).await, before - 1);
        assert_eq!(storage.counts().await.unwrap().succeeded, 0);
        assert_eq!(storage.retain(&Retention::default()).await.unwrap(), 0);
    });
}

#[test]
fn what_is_not_over_is_put_back() {
    test(|home| async move {
        let storage = home.storage().await;
        finished_day(&storage, &home, 20, 50).await;
        // One waits, one runs, one failed and is kept for longer, one says itself for how long.
        let mut kept = of_day(20);
        kept.options.keep_for = Some(std::time::Duration::from_secs(86_400 * 100));
        let (waits, runs, failed) = (of_day(20), of_day(20), of_day(20));
        let me = worker(&storage).await;
        storage
            .insert(&[runs.clone(), kept.clone(), failed.clone()])
            .await
            .unwrap();
        let (_, claimed) = claim(&storage, me, 3).await;
        assert_eq!(claimed.jobs.len(), 3);
        storage.insert(std::slice::from_ref(&waits)).await.unwrap();
        let mut connection = home.connection().await;
        for (job, state) in [(&kept, 2), (&failed, 3)] {
            let end = format!(
                "update jobs.job set state = {state}, run = run + 1, finished_at = now() - interval '20 days' where id = '{}'",
                job.id
            );
            home.run(&mut connection, &end).await;
        }
        assert_eq!(storage.retain(&Retention::default()).await.unwrap(), 50);
        for job in [&waits, &runs, &failed, &kept] {
            let record = storage.job(job.id).await.unwrap().unwrap();
            assert_eq!(record.args, job.args);
        }
        // What was put back can go on.
        let (_, claimed) = claim(&storage, me, 10).await;
        assert_eq!(claimed.jobs[0].id, waits.id);
    });
}

#[test]
fn who_was_just_put_back_by_an_operator_is_not_removed() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs = finished_day(&storage, &home, 20, 5).await;
        let command = Command {
            verb: Verb::Requeue,
            jobs: vec![jobs[0].id],
            actor: "ada".into(),
            reason: None,
        };
        storage.command(&command).await.unwrap();
        storage.retain(&Retention::default()).await.unwrap();
        assert!(storage.job(jobs[0].id).await.unwrap().is_some());
    });
}

#[test]
fn strays_move_into_the_partition_of_their_day() {
    test(|home| async move {
        let storage = home.storage().await;
        let stray = of_day(-30);
        storage.insert(std::slice::from_ref(&stray)).await.unwrap();
        let mut connection = home.connection().await;
        let strays = "select count(*) from jobs.job_default";
        assert_eq!(number(&home, &mut connection, strays).await, 1);
        home.run(
            &mut connection,
            "select jobs.make_day((now() at time zone 'UTC')::date + 30)",
        )
        .await;
        assert_eq!(number(&home, &mut connection, strays).await, 0);
        assert!(storage.job(stray.id).await.unwrap().is_some());
    });
}

#[test]
fn room_is_made_beside_open_transactions() {
    test(|home| async move {
        use jobs_core::storage::Within;
        use sqlx::Executor;
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        connection.execute("begin").await.unwrap();
        connection.insert(&storage, &[new_job()]).await.unwrap();
        let mut other = home.connection().await;
        home.run(&mut other, "select jobs.make_day('2099-12-31')")
            .await;
        connection.execute("commit").await.unwrap();
        let made = "select count(*) from pg_class where oid = to_regclass('jobs.job_20991231')";
        assert_eq!(number(&home, &mut other, made).await, 1);
    });
}

/// A transaction may have been open for longer than jobs are kept. If it commits after a day was looked at, and before that
/// day is locked, its job was seen by nobody: it must stay all the same.
#[test]
fn what_is_stored_while_a_day_is_looked_at_stays() {
    test(|home| async move {
        use jobs_core::storage::Within;
        use sqlx::Executor;
        let storage = home.storage().await;
        finished_day(&storage, &home, 20, 50).await;
        let mut open = home.connection().await;
        open.execute("begin").await.unwrap();
        let late = of_day(20);
        open.insert(&storage, std::slice::from_ref(&late))
            .await
            .unwrap();
        // Who looks says so, and goes on once he may.
        let slowly = "create or replace function jobs.is_over(state smallint, finished_at timestamptz, options json,
                 succeeded_before timestamptz, failed_before timestamptz, deleted_before timestamptz) returns boolean
             language plpgsql volatile as $fn$
             begin
                 perform pg_advisory_xact_lock(20, hashtext('jobs:jobs'));
                 while not pg_try_advisory_xact_lock(21, hashtext('jobs:jobs')) loop
                     perform pg_sleep(0.01);
                 end loop;
                 return state = 2;
             end
             $fn$";
        let mut holder = home.connection().await;
        home.run(&mut holder, slowly).await;
        home.run(
            &mut holder,
            "select pg_advisory_lock(21, hashtext('jobs:jobs'))",
        )
        .await;
        let emptied = {
            let home = home.clone();
            tokio::spawn(async move { emptied_day(&home, 20).await })
        };
        let looks = "select count(*) from pg_locks
                      where locktype = 'advisory' and classid = 20 and objid::bigint = hashtext('jobs:jobs')::bigint & 4294967295";
        while number(&home, &mut holder, looks).await == 0 {
            assert!(!emptied.is_finished(), "it looks first");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        open.execute("commit").await.unwrap();
        home.run(
            &mut holder,
            "select pg_advisory_unlock(21, hashtext('jobs:jobs'))",
        )
        .await;
        assert_eq!(emptied.await.unwrap().unwrap_or(0), 0, "another time");
        assert!(storage.job(late.id).await.unwrap().is_some());
        let gone = loop {
            if let Some(gone) = emptied_day(&home, 20).await {
                break gone;
            }
        };
        assert_eq!(gone, 50);
        let (_, claimed) = claim(&storage, worker(&storage).await, 10).await;
        assert_eq!(claimed.jobs[0].id, late.id);
    });
}
