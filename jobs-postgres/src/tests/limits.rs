//! What it costs that jobs wait before limits.

use std::time::{Duration, Instant};

use jobs_core::job::{LimitRule, LimitUse, Rules};
use jobs_core::storage::{Inspect, Storage};
use sqlx::{Executor, Row};

use super::command::{pid, waits_for};
use super::{PATIENCE, new_job, test, worker};
use crate::PgStorage;

/// How many keys the jobs have, and how many jobs each.
const KEYS: usize = 40;
const EACH: usize = 50;

/// Stores jobs of which one runs of each key.
async fn store(storage: &PgStorage) {
    let job = |at: usize| {
        let mut rules = Rules::default();
        rules.limits = vec![LimitUse {
            rule: LimitRule::concurrency("l", 1),
            key: format!("k{}", at % KEYS),
            weight: 1,
        }];
        let mut job = new_job();
        job.rules = Some(Box::new(rules));
        job
    };
    let jobs: Vec<_> = (0..KEYS * EACH).map(job).collect();
    storage.insert(&jobs).await.unwrap();
}

/// Waits until one job of each key was let in.
async fn let_in(storage: &PgStorage) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        crate::upkeep::upkeep(&storage.store).await.unwrap();
        let limits = storage.store.row(
            "count permits",
            sqlx::query(sqlx::AssertSqlSafe(
                storage
                    .store
                    .schema
                    .render("select count(*) from jobs.permit"),
            )),
        );
        if limits.await.unwrap().get::<i64, _>(0) == KEYS as i64 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not all were let in");
}

/// Where only the end of a run makes room, nobody looks again before one has ended, or the next second.
#[test]
fn a_full_limit_is_left_alone() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        store(&storage).await;
        let_in(&storage).await;
        // The storage may be at it by itself: then there is another look after that.
        let end = Instant::now() + PATIENCE;
        while let Some(again) = crate::upkeep::upkeep(&storage.store).await.unwrap() {
            assert!(Instant::now() < end, "there is another look in {again:?}");
        }
    });
}

/// To find out that there is no room takes a look at the first job of each key, however many wait behind it.
#[test]
fn who_waits_behind_others_is_not_read() {
    test(|home| async move {
        let storage = home.storage().await;
        worker(&storage).await;
        store(&storage).await;
        let_in(&storage).await;
        let mut connection = home.connection().await;
        // Somebody may still be at it, of those who were told of the jobs.
        let mut busy = true;
        while busy {
            connection.execute("rollback; begin").await.unwrap();
            let admit = sqlx::query(home.sql("select busy from jobs.admit(10)"));
            busy = admit.fetch_one(&mut connection).await.unwrap().get(0);
        }
        let look = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables
                     where schemaname = $1 and relname = 'blocked'";
        let row = sqlx::query(look)
            .bind(&home.schema)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.execute("commit").await.unwrap();
        // The server reads the first ten rows of a loop at once.
        let read: i64 = row.get(0);
        assert!(read <= 15 * KEYS as i64, "{read} rows were read");
    });
}

/// A program declares a limit for the first time while an operator sets it: neither is lost, whoever comes first.
#[test]
fn what_is_declared_and_set_at_once_is_both() {
    test(|home| async move {
        let storage = home.storage().await;
        let rule = |max: u64| {
            format!(r#"'{{"bound":{{"concurrency":{{"max":{max}}}}},"excess":"wait"}}'"#)
        };
        let declare = |name: &str| {
            format!(
                "begin; select jobs.write_limit('{name}', {}, null, false)",
                rule(3)
            )
        };
        let set = |name: &str| {
            format!(
                "begin; select jobs.write_limit('{name}', null, {}, false, 'ada')",
                rule(1)
            )
        };
        for (name, first, second) in [("a", declare("a"), set("a")), ("b", set("b"), declare("b"))]
        {
            let (mut one, mut looking) = (home.connection().await, home.connection().await);
            home.run(&mut one, &first).await;
            let session = pid(&mut one).await;
            let other = tokio::spawn({
                let home = home.clone();
                async move { home.run_alone(&format!("{second}; commit")).await }
            });
            waits_for(session, &mut looking).await;
            home.run(&mut one, "commit").await;
            other.await.unwrap();
            let limits = storage.limits().await.unwrap();
            let limit = limits
                .iter()
                .find(|limit| &*limit.rule.name == name)
                .unwrap();
            assert_eq!(limit.rule, LimitRule::concurrency(name, 1));
            let declared = LimitRule::concurrency(name, 3);
            assert_eq!(limit.declared, Some((declared.bound, declared.excess)));
        }
    });
}

/// Where thousands of keys are full, the one that is not is found at once, and not when its turn among them all has come.
#[test]
fn a_free_key_is_found_among_thousands_that_are_full() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        let full = r#"select jobs.write_limit('l', '{"bound":{"concurrency":{"max":1}},"excess":"wait"}', null, false);
            insert into jobs.job (id, run_at, kind, queue, args, rules)
            select jobs.new_id(), now(), 'add', 'default', '{}',
                   json_build_object('limits', json_build_array(json_build_object(
                       'rule', json_build_object('name', 'l'), 'key', 'k' || i, 'weight', 1)))
              from generate_series(10001, 16000) i;
            insert into jobs.blocked (job_id, limit_name, key, priority, run_at, queue, ready)
            select id, 'l', rules -> 'limits' -> 0 ->> 'key', 0, run_at, queue, true from jobs.job;
            insert into jobs.permit (limit_name, key, job_id, run, weight)
            select 'l', 'k' || i, jobs.new_id(), 0, 1 from generate_series(10001, 15999) i"#;
        home.run(&mut connection, full).await;
        let row = sqlx::query(sqlx::AssertSqlSafe(storage.store.sql.admit.clone()));
        let row = row.bind(10).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<i64, _>("admitted"), 1);
    });
}
