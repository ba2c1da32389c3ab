//! Enqueueing, with nobody who takes the jobs away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jobs::Client;
use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::{Bench, CHUNK};
use crate::Result;
use crate::kinds::{Noop, enqueue_one};
use crate::meter::Meter;
use crate::row::Measured;

/// One producer, many jobs with each call.
pub(super) async fn bulk(bench: &Bench<'_>, jobs: u64) -> Result<Measured> {
    let jobs = bench.scaled(jobs);
    let client = Client::new(bench.database.connect().await?);
    // The connection is opened, and the statement known, before the clock runs.
    client.enqueue_many([Noop::new(jobs, 0)]).await?;
    let mut extra = Map::new();
    let begin = Meter::read(bench.database).await?;
    let mut spent = Duration::ZERO;
    for first in (0..jobs).step_by(CHUNK as usize) {
        let end = jobs.min(first + CHUNK);
        let chunk: Vec<_> = (first..end).map(|id| Noop::new(id, 0)).collect();
        let start = Instant::now();
        client.enqueue_many(chunk).await?;
        spent += start.elapsed();
    }
    let end = Meter::read(bench.database).await?;
    begin.per_job(&end, jobs, &mut extra);
    begin
        .commits_per_job(bench.database, jobs, &mut extra)
        .await?;
    Ok(Measured::rate(jobs, spent.as_secs_f64(), extra))
}

/// So many callers, each with one job at a time.
pub(super) async fn single(
    bench: &Bench<'_>,
    callers: usize,
    jobs: u64,
    limited: bool,
) -> Result<Measured> {
    let jobs = bench.scaled(jobs);
    let client = Client::new(bench.database.connect().await?);
    let mut warm = JoinSet::new();
    for caller in 0..callers as u64 {
        let client = client.clone();
        warm.spawn(async move { enqueue_one(&client, jobs + caller, limited).await });
    }
    while let Some(done) = warm.join_next().await {
        done??;
    }

    let mut extra = Map::new();
    let begin = Meter::read(bench.database).await?;
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                match next.fetch_add(1, Relaxed) {
                    id if id >= jobs => return Ok::<_, jobs::Error>(()),
                    id => enqueue_one(&client, id, limited).await?,
                };
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let end = Meter::read(bench.database).await?;
    begin.per_job(&end, jobs, &mut extra);
    begin
        .commits_per_job(bench.database, jobs, &mut extra)
        .await?;
    extra.insert("callers".into(), json!(callers));
    Ok(Measured::rate(jobs, seconds, extra))
}
