//! How does a job recur, and how is it changed while the program runs?
//!
//! `cargo run --example recurring`

use jobs::prelude::*;

/// Declared: it recurs as soon as a worker has started.
#[recurring("* * * * * *", id = "heartbeat", args(name = "declared"))]
#[job]
async fn beat(name: String, ctx: JobContext) {
    if let Some(occurrence) = ctx.occurrence() {
        println!("{name}: the run of {}", occurrence.at);
    }
}

#[tokio::main]
async fn main() -> jobs::Result<()> {
    let client = Client::new(jobs::connect("memory:").await?);
    let worker = Worker::builder(client.storage().clone()).jobs(jobs![beat]);
    let worker = worker.start().await?;

    // Made at run time: the same job with other arguments.
    let daily = client.recurring("daily");
    let made = daily
        .create("0 3 * * MON-FRI", beat.enqueue("made"))
        .tz("Europe/Berlin")
        .await?;
    println!("daily runs {}; next: {:?}", made.describe(), made.next);

    // Once now, whatever its schedule says.
    let run = daily.trigger().await?;
    client.handle::<()>(run.job).result().await?;

    // The declared one has run by itself meanwhile, or does within a second.
    let heartbeat = client.recurring("heartbeat");
    let run = loop {
        if let Some(run) = heartbeat.get().await?.and_then(|it| it.last_run) {
            break run;
        }
        tokio::time::sleep(seconds(1) / 10).await;
    };
    client.handle::<()>(run.job).result().await?;
    heartbeat.pause().because("that was enough").await?;
    for record in client.all_recurring().await? {
        let paused = if record.pause.is_some() {
            ", paused"
        } else {
            ""
        };
        println!("{}: {}{paused}", record.id, record.describe());
    }
    worker.stop().await;
    Ok(())
}
