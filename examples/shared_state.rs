//! What handlers share: a value of the worker's, and one made for each run.
//! `cargo run --example shared_state`

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jobs::prelude::*;

/// Given to the worker once. A type that is not `Clone` goes into an `Arc`.
#[derive(Clone, Default)]
struct Mailer {
    sent: Arc<AtomicU32>,
}

impl Mailer {
    fn send(&self, to: &str, words: &str) -> u32 {
        println!("to {to}: {words}");
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Made for each run, from what the job was enqueued with.
struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        let tenant = ctx
            .tags()
            .iter()
            .find_map(|tag| tag.strip_prefix("tenant:"));
        Ok(Self(tenant.unwrap_or("nobody").to_owned()))
    }
}

/// Only `to` is an argument and stored; the others are injected. A worker without a `Mailer` says so
/// when it starts.
#[job]
async fn welcome(to: String, mailer: Data<Mailer>, #[inject] tenant: Tenant) -> u32 {
    mailer.send(&to, &format!("welcome to {}", tenant.0))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let storage = jobs::connect("memory:").await?;
    Client::new(storage.clone()).install();

    if let Err(error) = Worker::builder(storage.clone()).build() {
        println!("Refused, as it should be: {error}");
    }
    let worker = Worker::builder(storage)
        .data(Mailer::default())
        .start()
        .await?;

    welcome
        .enqueue("ana@example.org")
        .tag("tenant:acme")
        .await?
        .result()
        .await?;
    let sent = welcome.enqueue("bo@example.org").await?.result().await?;
    println!("{sent} mails were sent");

    // In a test, just call it.
    let mailer = Data(Mailer::default());
    assert_eq!(
        welcome("cy@example.org".into(), mailer, Tenant("test".into())).await,
        1
    );

    worker.stop().await;
    Ok(())
}
