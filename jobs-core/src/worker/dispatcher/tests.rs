use std::time::Duration;

use crate::handler::JobEntry;
use crate::job::{Due, JobId, NewJob, State};
use crate::storage::probe::Probe;
use crate::storage::{Inspect, Storage, StorageHandle};
use crate::worker::Worker;

static ENTRY: JobEntry = JobEntry {
    kind: "dispatched",
    ..JobEntry::TEST
};

/// Stores a job as another process does, past whatever would tell a worker of it, and waits until it has run.
async fn runs_one_more(probe: &Probe, due: Due) {
    let mut job = NewJob::new(JobId::new(), ENTRY.kind, "{}");
    job.due = due;
    let id = job.id;
    probe.insert(&[job]).await.unwrap();
    let has_run = async {
        while probe.job(id).await.unwrap().unwrap().state != State::Succeeded {
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
        runs_one_more(&probe, Due::Now).await;
    }
    worker.stop().await;
}

/// Whoever serves a quiet queue beside busy ones hears all the time of jobs that are not for it.
#[tokio::test]
async fn hints_of_other_queues_do_not_make_it_late() {
    let probe = Probe::new();
    let worker = Worker::builder(StorageHandle::new(probe.clone())).jobs(vec![&ENTRY]);
    let worker = worker.queues(["default"]);
    let worker = worker.poll_interval(Duration::from_secs(600));
    let worker = worker.start().await.unwrap();
    let others = async {
        loop {
            let mut job = NewJob::new(JobId::new(), ENTRY.kind, "{}");
            job.queue = "busy".into();
            probe.insert(&[job]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let soon = Due::In(Duration::from_millis(100));
    tokio::select! {
        () = others => unreachable!("they never end"),
        () = runs_one_more(&probe, soon) => {}
    }
    worker.stop().await;
}
