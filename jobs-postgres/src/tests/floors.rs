//! What a claim costs while somebody keeps an old snapshot.

use std::time::{Duration, Instant};

use jobs_core::storage::Storage;
use sqlx::{Executor, PgConnection, Row};

use super::{Home, PATIENCE, claim, flush, new_job, test, worker};
use crate::floor::Key;

/// How many pages a claim that starts here touches.
async fn pages(home: &Home, connection: &mut PgConnection, floor: Key) -> i64 {
    let explain = "explain (analyze, buffers, format json)
        select * from jobs.claim((select id from jobs.worker limit 1), jobs.new_id(), 100, '{}', '{100}', '{1}', '{default}', '{0}',
                                 array[$1::timestamptz], array[$2::uuid])";
    let floor_at = (floor != Key::START).then_some(floor.0);
    let query = sqlx::query(home.sql(explain))
        .persistent(false)
        .bind(floor_at)
        .bind(floor.1);
    let row = query.fetch_one(&mut *connection).await.unwrap();
    let plan: &str = row.get_unchecked(0);
    let plan: serde_json::Value = serde_json::from_str(plan).unwrap();
    plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
        + plan[0]["Plan"]["Shared Read Blocks"].as_i64().unwrap()
}

#[test]
fn claims_do_not_step_over_what_was_taken() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let mut holder = home.connection().await;
        holder
            .execute("begin isolation level repeatable read; select count(*) from pg_class")
            .await
            .unwrap();
        for _ in 0..20 {
            let jobs: Vec<_> = (0..1_000).map(|_| new_job()).collect();
            storage.insert(&jobs).await.unwrap();
            let mut left = 1_000;
            while left > 0 {
                let (id, claimed) = claim(&storage, me, 500).await;
                left -= claimed.jobs.len();
                storage
                    .settle(&flush(me, id, &claimed.jobs, true))
                    .await
                    .unwrap();
            }
        }
        // A few claims of nothing: the first may be a look from the beginning, and two snapshots
        // settle what is before them.
        let deadline = Instant::now() + PATIENCE;
        let mut connection = home.connection().await;
        loop {
            claim(&storage, me, 100).await;
            let lanes = [("default".to_owned(), 0)];
            let floor = storage
                .store
                .memory(me)
                .state()
                .floors
                .plan(&lanes, Instant::now())
                .starts[0];
            if floor != Key::START {
                let from_floor = pages(&home, &mut connection, floor).await;
                let from_start = pages(&home, &mut connection, Key::START).await;
                assert!(
                    from_start > 300,
                    "{from_start} pages: the snapshot was not held"
                );
                // Some pages are those of the claim itself.
                if from_floor < 40 {
                    break;
                }
            }
            assert!(
                Instant::now() < deadline,
                "claims go on stepping over what was taken"
            );
        }
        holder.execute("commit").await.unwrap();
    });
}

#[test]
fn what_is_committed_late_is_found() {
    test(|home| async move {
        use jobs_core::storage::Within;
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let mut slow = home.connection().await;
        let mut late = Vec::new();
        for wait in [0, 30, 400] {
            slow.execute("begin").await.unwrap();
            let job = new_job();
            slow.insert(&storage, std::slice::from_ref(&job))
                .await
                .unwrap();
            late.push(job.id);
            // Meanwhile others come and go, and the floor rises above the one that is not to be
            // seen yet.
            let until = Instant::now() + Duration::from_millis(wait);
            while Instant::now() < until {
                storage.insert(&[new_job()]).await.unwrap();
                let (id, claimed) = claim(&storage, me, 10).await;
                assert!(claimed.jobs.iter().all(|found| found.id != job.id));
                storage
                    .settle(&flush(me, id, &claimed.jobs, true))
                    .await
                    .unwrap();
            }
            slow.execute("commit").await.unwrap();
            let deadline = Instant::now() + PATIENCE;
            let mut found = false;
            while !found {
                assert!(
                    Instant::now() < deadline,
                    "a job that was committed {wait} ms late is not found"
                );
                let (id, claimed) = claim(&storage, me, 10).await;
                found = claimed.jobs.iter().any(|found| found.id == job.id);
                storage
                    .settle(&flush(me, id, &claimed.jobs, true))
                    .await
                    .unwrap();
            }
        }
    });
}
