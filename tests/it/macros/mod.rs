//! What `#[job]` makes of functions.

mod direct;
mod forms;
mod injected;
mod names;
mod options;
mod recurring;
mod results;
mod stored;

use jobs::prelude::*;
use jobs::{JobEntry, RunningWorker};

/// A client, and a worker that runs these jobs.
async fn stage(jobs: Vec<&'static JobEntry>) -> (Client, RunningWorker) {
    let client = Client::new(jobs::connect("memory:").await.unwrap());
    let worker = Worker::builder(client.storage().clone()).jobs(jobs);
    let worker = worker.queues(["*"]).start().await.unwrap();
    (client, worker)
}
