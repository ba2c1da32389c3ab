use std::time::Duration;

use super::*;
use crate::handler::JobEntry;
use crate::job::{JobDefaults, JobId, NewJob};
use crate::storage::probe::Probe;
use crate::storage::{Inspect, Storage, StorageHandle};
use crate::worker::Worker;

static ENTRY: JobEntry = JobEntry {
    kind: "dispatched",
    aliases: &[],
    file: file!(),
    line: line!(),
    module: module_path!(),
    defaults: JobDefaults::NONE,
    blocking: false,
    arguments: &[],
    requires: Vec::new,
    retry_if: None,
    recurring: &[],
    perform: |_| Box::pin(async { Outcome::Succeeded(Default::default()) }),
};

/// Stores a job as another process does, past whatever would tell a worker of it, and waits until it has run.
async fn runs_one_more(probe: &Probe) {
    let before = probe.counts().await.unwrap().succeeded;
    let job = NewJob::new(JobId::new(), ENTRY.kind, "{}");
    probe.insert(&[job]).await.unwrap();
    let has_run = async {
        while probe.counts().await.unwrap().succeeded == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), has_run).await;
    in_time.expect("the worker looks no more");
}

#[tokio::test]
async fn without_any_hints_it_goes_on_polling() {
    let probe = Probe::deaf();
    let worker = Worker::builder(StorageHandle::new(probe.clone())).jobs(vec![&ENTRY]);
    let worker = worker.poll_interval(Duration::from_millis(20));
    let worker = worker.start().await.unwrap();
    for _ in 0..3 {
        runs_one_more(&probe).await;
    }
    worker.stop().await;
}
