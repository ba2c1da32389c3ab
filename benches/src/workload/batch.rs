//! A large batch: filled bit by bit, sealed, worked off.

use std::time::{Duration, Instant};

use jobs::prelude::*;
use jobs::{Enqueue, EnqueueMany};
use serde_json::{Map, json};

use super::{Bench, oddities, start_worker};
use crate::Result;
use crate::kinds::{Child, Noop};
use crate::meter::{Meter, peak_memory};
use crate::row::{Measured, round};
use crate::seen::Seen;

/// Members that are added with one call.
const CHUNK: u64 = 10_000;

/// Reported is how fast members are stored; beside it how long sealing takes, how fast the members are worked
/// off, and how long after the last of them the job starts that follows the batch.
pub(super) async fn run(bench: &Bench<'_>, jobs: u64) -> Result<Measured> {
    let (database, jobs) = (bench.database, bench.scaled(jobs));
    let storage = database.connect().await?;
    let client = Client::new(&storage);
    let mut extra = Map::new();
    let begin = Meter::read(database).await?;

    let start = Instant::now();
    let callback = Enqueue::new(Child { id: jobs });
    let batch = Batch::new().on(&client).on_completion(callback);
    let mut batch = batch.open().await?;
    for first in (0..jobs).step_by(CHUNK as usize) {
        let members = (first..jobs.min(first + CHUNK)).map(|id| Noop::new(id, 0));
        batch.add_many(EnqueueMany::new(members)).await?;
    }
    let stored = start.elapsed();
    let sealing = Instant::now();
    let batch = batch.seal().await?;
    let mut add = |name: &str, value: f64| extra.insert(name.into(), json!(round(value)));
    add("seal_seconds", sealing.elapsed().as_secs_f64());
    // Before there is anything else in this process.
    add("peak_mib_stored", peak_memory().unwrap_or(f64::NAN));
    bench.settle_down().await?;

    let seen = Seen::init(jobs + 1);
    let draining = Instant::now();
    let worker = start_worker(&storage).await?;
    let is_late = || draining.elapsed().as_secs_f64() > bench.run.cap;
    while seen.distinct() < jobs && !is_late() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    add(
        "drain_per_s",
        jobs as f64 / draining.elapsed().as_secs_f64(),
    );
    while seen.started(jobs) == 0 && !is_late() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let last = (0..jobs).map(|id| seen.started(id)).max().unwrap_or(0);
    let after = seen.started(jobs).saturating_sub(last) as f64 / 1e6;
    add("callback_after_ms", after);
    let end = Meter::read(database).await?;
    begin.per_job(&end, jobs, &mut extra);
    if is_late() {
        extra.insert("capped".into(), json!(true));
    }
    let succeeded = batch.wait_for(Duration::from_secs(30)).await?;
    let succeeded = succeeded.map_or(0, |record| record.succeeded);
    oddities(seen, jobs + 1, succeeded + 1, &mut extra);
    worker.stop().await;
    Ok(Measured::rate(jobs, stored.as_secs_f64(), extra))
}
