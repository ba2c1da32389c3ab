//! A job, a client, a worker: the whole of it. `cargo run --example hello`

use jobs::prelude::*;

/// Says hello, and how often it has to.
#[job]
async fn greet(name: String, times: u32) -> String {
    format!("Hello, {name}! ").repeat(times as usize)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let storage = jobs::connect("memory:").await?; // sqlite://jobs.db, postgres://localhost/app
    Client::new(storage.clone()).install();

    let greeting = greet.enqueue("world", 3).await?;

    let worker = Worker::builder(storage).start().await?;
    println!("{}", greeting.result().await?);
    worker.stop().await;
    Ok(())
}
