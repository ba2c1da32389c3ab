//! Producers and a worker at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jobs::Client;
use serde_json::{Map, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Bench, oddities, start_worker};
use crate::Result;
use crate::kinds::Noop;
use crate::meter::Meter;
use crate::row::{Measured, percentiles, round};
use crate::seen::Seen;

const PRODUCERS: usize = 10;
const SECONDS: f64 = 15.0;
const ROOM: u64 = 5_000_000;

/// Ten producers enqueue one by one, each awaiting its own; reported is what was finished meanwhile.
pub(super) async fn run(bench: &Bench<'_>) -> Result<Measured> {
    let database = bench.database;
    let seen = Seen::init(ROOM);
    let storage = database.connect().await?;
    let worker = start_worker(&storage).await?;
    let client = Client::new(&storage);
    sleep(Duration::from_secs(1)).await;

    let mut extra = Map::new();
    let next = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Meter::read(database).await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..PRODUCERS {
        let (client, next, stop) = (client.clone(), Arc::clone(&next), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut jobs = 0;
            while !stop.load(Relaxed) {
                let id = next.fetch_add(1, Relaxed);
                if id >= ROOM {
                    break;
                }
                seen.enqueueing(id);
                client.enqueue(Noop::new(id, 0)).await?;
                jobs += 1;
            }
            Ok::<_, jobs::Error>(jobs)
        });
    }
    sleep(bench.time(SECONDS)).await;
    stop.store(true, Relaxed);
    let mut enqueued = 0;
    while let Some(done) = tasks.join_next().await {
        enqueued += done??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let finished = database.succeeded(&storage).await?.min(enqueued);
    let end = Meter::read(database).await?;
    begin.per_job(&end, finished, &mut extra);
    let rate = enqueued as f64 / seconds;
    extra.insert("enqueued_per_s".into(), json!(round(rate)));
    // What the producers' last calls put there is no backlog.
    if enqueued - finished > 10 * PRODUCERS as u64 {
        extra.insert("backlog_at_end".into(), json!(enqueued - finished));
    }

    let draining = Instant::now();
    while !database.all_finished(&storage, 0).await? {
        if draining.elapsed() > Duration::from_secs(30) {
            extra.insert("capped".into(), json!(true));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let succeeded = database.succeeded(&storage).await?;
    oddities(seen, enqueued, succeeded, &mut extra);
    percentiles(seen.latencies(), &mut extra);
    worker.stop().await;
    begin
        .commits_per_job(database, enqueued, &mut extra)
        .await?;
    Ok(Measured::rate(finished, seconds, extra))
}
