//! What happens to running jobs when a worker stops. `cargo run --example graceful_shutdown`
//!
//! `Worker::run` does this on Ctrl-C and SIGTERM; here the program tells it to stop.

use std::time::Duration;

use jobs::prelude::*;

/// Is done soon: it may finish.
#[job]
async fn short() -> String {
    tokio::time::sleep(Duration::from_millis(200)).await;
    "finished".to_owned()
}

/// Takes long, but listens: it stops where it can go on later.
#[job]
async fn patient(ctx: JobContext) -> anyhow::Result<()> {
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
    while client.inspect().counts().await?.processing < 2 {
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
