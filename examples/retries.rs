//! What may happen to a job that fails. `cargo run --example retries`

use std::io;

use jobs::prelude::*;

/// Fails twice, then works. Retried after 50 ms, then after 100 ms.
#[job(retries = 5, backoff = ["50ms", "100ms"])]
async fn unreliable(ctx: JobContext) -> io::Result<String> {
    match ctx.attempt() {
        1 | 2 => Err(io::Error::other("connection refused")),
        _ => Ok("third time lucky".to_owned()),
    }
}

/// Knows itself when to try again: the error says so, whatever the backoff is.
#[job]
async fn rate_limited(ctx: JobContext) -> anyhow::Result<()> {
    if ctx.attempt() == 1 {
        Err(JobError::retry_after(seconds(1)))?;
    }
    Ok(())
}

/// Knows that no retry will help.
#[job(retries = 100)]
async fn hopeless(user_id: i64) -> anyhow::Result<()> {
    Err(JobError::discard(format!("user {user_id} has left")))?
}

/// Takes too long, every time.
#[job(timeout = "50ms", retries = 1, backoff = ["0s"])]
async fn slow() {
    std::future::pending().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let storage = jobs::connect("memory:").await?;
    let client = Client::new(storage.clone());
    client.install();
    let worker = Worker::builder(storage).start().await?;

    println!("{}", unreliable.enqueue().await?.result().await?);
    rate_limited.enqueue().await?.result().await?;
    println!(
        "{}",
        hopeless.enqueue(42).await?.result().await.unwrap_err()
    );
    let late = slow.enqueue().await?;
    println!("{}", late.result().await.unwrap_err());
    for attempt in client.inspect().attempts(late.id()).await? {
        println!("  attempt {}: {}", attempt.number, attempt.reason);
    }

    worker.stop().await;
    Ok(())
}
