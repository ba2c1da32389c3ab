//! What happens to running jobs when a worker stops. `cargo run --example graceful_shutdown`
//!
//! `Worker::run` does this on Ctrl-C and SIGTERM; here the program tells it to stop.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobs::prelude::*;

/// How many of the two have started. One that a worker has taken and not started yet would go back when it stops.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Is done soon: it may finish.
#[job]
async fn short() -> String {
    STARTED.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    "finished".to_owned()
}

/// Takes long, but listens: it stops where it can go on later.
#[job]
async fn patient(ctx: JobContext) -> anyhow::Result<()> {
    STARTED.fetch_add(1, Ordering::Relaxed);
    for page in 1.. {
        if ctx.is_cancelled() {
            anyhow::bail!("interrupted after page {page}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let storage = jobs::connect("memory:").await?;
    let client = Client::new(storage.clone());
    client.install();
    let worker = Worker::builder(storage)
        .grace(Duration::from_millis(500))
        .start()
        .await?;

    let (first, second) = (short.enqueue().await?, patient.enqueue().await?);
    while STARTED.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("Two jobs run. Stopping.");
    worker.stop().await;

    println!("short: {}", first.result().await?);
    let record = second.record().await?;
    println!(
        "patient: {}, attempts used: {}",
        record.state, record.attempt
    );
    Ok(())
}
