//! What a worker costs that has nothing to do.

use std::time::{Duration, Instant};

use jobs::Worker;
use serde_json::{Map, json};
use tokio::time::sleep;

use super::Bench;
use crate::Result;
use crate::meter::{Meter, memory_now, peak_memory};
use crate::options::Fill;
use crate::row::Measured;

/// What there is in the database that does not concern the worker now.
pub(super) enum Beside {
    Nothing,
    /// Jobs in a queue that it does not serve.
    Waiting(u64),
    /// Jobs that are due tomorrow.
    Scheduled(u64),
}

/// How long the processor time is watched.
const SECONDS: f64 = 30.0;

/// Starts a worker, lets it come to rest, and watches it.
pub(super) async fn run(bench: &Bench<'_>, beside: &Beside) -> Result<Measured> {
    let fill = match beside {
        Beside::Nothing => None,
        Beside::Waiting(jobs) => Some(Fill {
            jobs: bench.scaled(*jobs),
            queue: Some("elsewhere".into()),
            ..Fill::default()
        }),
        Beside::Scheduled(jobs) => Some(Fill {
            jobs: bench.scaled(*jobs),
            scheduled: true,
            ..Fill::default()
        }),
    };
    if let Some(fill) = &fill {
        bench.fill(fill).await?;
    }
    bench.settle_down().await?;

    let storage = bench.database.connect().await?;
    let worker = Worker::builder(&storage)
        .queues(["default"])
        .start()
        .await?;
    sleep(Duration::from_secs(3)).await;
    let mut extra = Map::new();
    let begin = Meter::read(bench.database).await?;
    let start = Instant::now();
    sleep(bench.time(SECONDS)).await;
    let end = Meter::read(bench.database).await?;
    begin.idle(&end, start.elapsed().as_secs_f64(), &mut extra);
    if let Some(now) = memory_now() {
        extra.insert("memory_mib".into(), json!(now));
    }
    let peak = peak_memory().unwrap_or(f64::NAN);
    worker.stop().await;
    Ok(Measured {
        jobs: fill.map_or(0, |fill| fill.jobs),
        value: peak,
        unit: "MiB",
        extra,
    })
}
