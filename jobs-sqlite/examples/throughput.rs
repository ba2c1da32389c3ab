//! How fast is the bare storage on this machine?
//! `cargo run --release -p jobs-sqlite --example throughput [-- JOBS [CALLERS..]]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs_core::Result;
use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    ClaimRequest, ClaimedJob, Flush, Inspect, QueueShare, Settlement, Storage, WorkerInfo,
};
use jobs_sqlite::SqliteStorage;

const BATCH: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let number = |text: String| text.parse().expect("numbers: JOBS [CALLERS..]");
    let mut arguments = std::env::args().skip(1).map(number);
    let jobs = arguments.next().unwrap_or(200_000);
    let mut callers: Vec<usize> = arguments.collect();
    if callers.is_empty() {
        callers = vec![1, 16, 64, 256];
    }
    let file = std::env::temp_dir().join(format!("jobs-throughput-{}", JobId::new()));
    let storage = SqliteStorage::builder().path(&file).connect().await?;

    insert_many(&storage, jobs).await?;
    drain(&storage).await?;
    for callers in callers {
        insert_one_by_one(&storage, callers).await?;
    }
    let left = storage.counts().await?;
    println!("{left:?}");
    drop(storage);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    Ok(())
}

fn job() -> NewJob {
    NewJob::new(JobId::new(), "noop", r#"{"user_id":42,"template":"hello"}"#)
}

fn rate(n: usize, since: Instant) -> String {
    format!("{:.0}/s", n as f64 / since.elapsed().as_secs_f64())
}

async fn insert_many(storage: &SqliteStorage, jobs: usize) -> Result<()> {
    let start = Instant::now();
    for _ in 0..jobs / BATCH {
        let batch: Vec<NewJob> = (0..BATCH).map(|_| job()).collect();
        storage.insert(&batch).await?;
    }
    println!("insert, {BATCH} at a time: {}", rate(jobs, start));
    Ok(())
}

/// One task claims, two settle, as a worker does it, with two batches on their way at most.
async fn drain(storage: &SqliteStorage) -> Result<()> {
    let worker = WorkerId::new();
    storage.register(&WorkerInfo::new(worker)).await?;
    let start = Instant::now();
    let (claimed, batches) = tokio::sync::mpsc::channel::<(ClaimId, Vec<ClaimedJob>)>(2);
    let batches = Arc::new(tokio::sync::Mutex::new(batches));
    let settlers = [0, 1].map(|_| {
        let (storage, batches) = (storage.clone(), Arc::clone(&batches));
        tokio::spawn(async move {
            let mut settled = 0;
            loop {
                let next = batches.lock().await.recv().await;
                let Some((claim, jobs)) = next else {
                    return Ok::<_, jobs_core::Error>(settled);
                };
                settled += jobs.len();
                let refused = storage.settle(&flush(worker, claim, &jobs)).await?;
                assert!(refused.is_empty(), "nobody else works here");
            }
        })
    });
    loop {
        let request = request(worker);
        let jobs = storage.claim(&request).await?.jobs;
        if jobs.is_empty() {
            break;
        }
        let sent = claimed.send((request.claim, jobs)).await;
        sent.expect("the settlers wait");
    }
    drop(claimed);
    let mut settled = 0;
    for settler in settlers {
        settled += settler.await.expect("no panic")?;
    }
    println!(
        "claim and settle, {BATCH} at a time: {}",
        rate(settled, start)
    );
    Ok(())
}

fn request(worker: WorkerId) -> ClaimRequest {
    ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit: BATCH,
        }],
        limit: BATCH,
        unknown_kinds: Arc::from([]),
    }
}

fn flush(worker: WorkerId, claim: ClaimId, jobs: &[ClaimedJob]) -> Flush {
    let settlement = |job: &ClaimedJob| Settlement {
        job: job.id,
        run: job.run,
        claim,
        kind: Arc::clone(&job.kind),
        queue: Arc::clone(&job.queue),
        attempt: job.attempt,
        ran_for: Some(Duration::from_micros(10)),
        ended_ago: Duration::ZERO,
        transition: Transition::Succeed {
            result: None,
            note: None,
        },
    };
    Flush {
        worker,
        settlements: jobs.iter().map(settlement).collect(),
        closed: vec![claim],
    }
}

async fn insert_one_by_one(storage: &SqliteStorage, callers: usize) -> Result<()> {
    let start = Instant::now();
    let until = start + Duration::from_secs(3);
    let caller = || {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut stored = 0;
            while Instant::now() < until {
                storage.insert(&[job()]).await?;
                stored += 1;
            }
            Ok::<usize, jobs_core::Error>(stored)
        })
    };
    let callers: Vec<_> = (0..callers).map(|_| caller()).collect();
    let n = callers.len();
    let mut stored = 0;
    for caller in callers {
        stored += caller.await.expect("no panic")?;
    }
    println!("insert one at a time, {n} callers: {}", rate(stored, start));
    Ok(())
}
