//! How fast the storage alone is: raw calls, no worker. `TEST_DATABASE_URL=… cargo run --release
//! --example storage_speed -- [jobs]`
//!
//! Each line is one measurement; the schema that it makes is removed at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{ClaimRequest, Flush, QueueShare, Settlement, Storage, WorkerInfo};
use jobs_postgres::PgStorage;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

const BATCH: usize = 1_000;

fn jobs(count: usize, storage: &PgStorage) -> Vec<NewJob> {
    let job = |n| {
        NewJob::new(
            JobId::at(storage.now()),
            "noop",
            format!(r#"{{"number":{n}}}"#),
        )
    };
    (0..count).map(job).collect()
}

fn request(worker: WorkerId, limit: usize) -> ClaimRequest {
    ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::new("default").unwrap(),
            limit,
        }],
        limit,
        unknown_kinds: Arc::default(),
    }
}

async fn take_and_settle(storage: &PgStorage, worker: WorkerId, limit: usize) -> usize {
    let request = request(worker, limit);
    let claimed = storage.claim(&request).await.unwrap();
    let settlement = |job: &jobs_core::storage::ClaimedJob| Settlement {
        job: job.id,
        run: job.run,
        claim: request.claim,
        kind: job.kind.clone(),
        queue: job.queue.clone(),
        attempt: job.attempt,
        ran_for: Some(Duration::from_micros(10)),
        ended_ago: Duration::from_micros(10),
        transition: Transition::Succeed {
            result: None,
            note: None,
        },
    };
    let flush = Flush {
        worker,
        settlements: claimed.jobs.iter().map(settlement).collect(),
        closed: vec![request.claim],
    };
    if !claimed.jobs.is_empty() {
        assert!(storage.settle(&flush).await.unwrap().is_empty());
    }
    claimed.jobs.len()
}

async fn drain(storage: &PgStorage, worker: WorkerId, lanes: usize, limit: usize) -> usize {
    let one = |_| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let (mut total, mut idle) = (0, 0);
            while idle < 20 {
                let took = take_and_settle(&storage, worker, limit).await;
                total += took;
                idle = if took == 0 { idle + 1 } else { 0 };
            }
            total
        })
    };
    let mut total = 0;
    for task in (0..lanes).map(one).collect::<Vec<_>>() {
        total += task.await.unwrap();
    }
    total
}

fn report(what: &str, count: usize, took: Duration, unit: &str) {
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{what:<34} {rate:>10.0} {unit}/s   ({count} in {:.2} s)",
        took.as_secs_f64()
    );
}

async fn wal(connection: &mut PgConnection) -> i64 {
    let look = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    sqlx::query(look)
        .fetch_one(connection)
        .await
        .unwrap()
        .get(0)
}

#[tokio::main]
async fn main() {
    let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a server");
    let count: usize = std::env::args()
        .nth(1)
        .map_or(100_000, |n| n.parse().unwrap());
    let schema = format!("speed_{}", std::process::id());
    let storage = PgStorage::builder()
        .url(&url)
        .schema(&schema)
        .connect()
        .await
        .unwrap();
    let mut side = PgConnection::connect(&url).await.unwrap();
    let worker = WorkerId::new();
    storage.register(&WorkerInfo::new(worker)).await.unwrap();

    for round in 1..=3 {
        println!("round {round}");
        let before = wal(&mut side).await;
        let all = jobs(count, &storage);
        let started = Instant::now();
        for some in all.chunks(BATCH) {
            storage.insert(some).await.unwrap();
        }
        report(
            "insert, 1,000 a call, one caller",
            count,
            started.elapsed(),
            "jobs",
        );
        let inserted = wal(&mut side).await;
        let started = Instant::now();
        let drained = drain(&storage, worker, 2, BATCH).await;
        report(
            "claim and settle, 1,000, two tasks",
            drained,
            started.elapsed(),
            "jobs",
        );
        assert_eq!(drained, count);
        let after = wal(&mut side).await;
        println!(
            "WAL bytes a job: insert {}, claim and settle {}",
            (inserted - before) / count as i64,
            (after - inserted) / count as i64
        );

        let all = jobs(count, &storage);
        let started = Instant::now();
        storage.insert(&all).await.unwrap();
        report("insert, all in one call", count, started.elapsed(), "jobs");
        let started = Instant::now();
        let drained = drain(&storage, worker, 1, BATCH).await;
        report(
            "claim and settle, 1,000, one task",
            drained,
            started.elapsed(),
            "jobs",
        );

        let singles = jobs(3_000, &storage);
        let started = Instant::now();
        for one in singles.chunks(1) {
            storage.insert(one).await.unwrap();
        }
        report(
            "insert, one a call, one caller",
            singles.len(),
            started.elapsed(),
            "jobs",
        );
        let mut took = Vec::new();
        for _ in 0..1_000 {
            let started = Instant::now();
            assert_eq!(take_and_settle(&storage, worker, 1).await, 1);
            took.push(started.elapsed());
        }
        took.sort_unstable();
        println!(
            "claim and settle of one job: median {:?}, p99 {:?}",
            took[500], took[990]
        );
        let mut took = Vec::new();
        while take_and_settle(&storage, worker, BATCH).await > 0 {}
        for _ in 0..1_000 {
            let started = Instant::now();
            storage.claim(&request(worker, 100)).await.unwrap();
            took.push(started.elapsed());
        }
        took.sort_unstable();
        println!(
            "claim of nothing: median {:?}, p99 {:?}",
            took[500], took[990]
        );
    }
    let hot = format!(
        "select sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint from pg_stat_user_tables where schemaname = '{schema}' and relname like 'job_2%'"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let row = sqlx::query(AssertSqlSafe(hot))
        .fetch_one(&mut side)
        .await
        .unwrap();
    println!(
        "updates {}, of them HOT {}",
        row.get::<i64, _>(0),
        row.get::<i64, _>(1)
    );
    let drop = format!("drop schema {schema} cascade");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut side)
        .await
        .unwrap();
}
