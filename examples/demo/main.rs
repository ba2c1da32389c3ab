//! Analyses every file below a folder, as jobs. Needs no server:
//!
//! ```text
//! cargo run --release --example demo [-- DIR] [--workers N]
//! ```
//!
//! Jobs are kept in a SQLite file, or in PostgreSQL if `DATABASE_URL` names one. Kill it in the middle
//! and start it again: it finishes the rest.

mod analyse;
mod options;
mod progress;
mod report;
mod store;
mod workers;

use jobs::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = options::Options::parse()?;
    let store = store::open(&options).await?;
    let client = Client::new(store.storage.clone());
    client.install();
    if options.is_worker {
        return workers::serve_until_the_parent_ends(store.storage).await;
    }

    let run = start_or_continue(&client, &options, &store).await?;
    let crew = workers::start(&options, &store).await?;
    let took = progress::until_all_is_done(&client).await?;
    crew.stop().await?;
    report::print(&client, &run, took).await
}

/// The name of the run: a new one, or that of the run that was interrupted.
async fn start_or_continue(
    client: &Client,
    options: &options::Options,
    store: &store::Store,
) -> anyhow::Result<String> {
    println!(
        "Analysing {} as jobs, kept in {}",
        options.dir.display(),
        store.place
    );
    if let Some(run) = store::interrupted_run(client).await? {
        let left = client.inspect().counts().await?.unfinished();
        println!("Continuing a run that was interrupted: {left} jobs are left.");
        return Ok(run);
    }
    let run = JobId::new().to_string();
    let tag = analyse::tag(&run);
    let dir = options.dir.to_str().expect("checked when it was parsed");
    analyse::scan.enqueue(dir, &run).tag(&tag).await?;
    analyse::look_back
        .enqueue(&run)
        .tag(&tag)
        .delay(seconds(1))
        .await?;
    Ok(run)
}
