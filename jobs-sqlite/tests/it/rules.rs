//! What jobs ask for beyond a due time.

use std::time::Duration;

use jobs_core::job::{Rules, State};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Inspect, Storage};

use crate::stage::{Folder, claim, flush, new_job, succeeded, worker};

#[tokio::test]
async fn rules_come_back_to_the_letter() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut job = new_job();
    let mut rules = Rules::default();
    rules.expires_in = Some(Duration::from_secs(3_600));
    rules.node = Some("a \"node\"".into());
    job.rules = Some(Box::new(rules));
    storage.insert(&[job.clone(), new_job()]).await.unwrap();
    let stored = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!(stored.rules, job.rules);
    let worker = worker(&storage).await;
    let (_, claimed) = claim(&storage, worker, 2).await;
    assert_eq!(claimed.jobs[0].rules, job.rules);
    assert_eq!(claimed.jobs[1].rules, None);
}

#[tokio::test]
async fn a_job_that_is_not_to_be_started_is_deleted() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let job = new_job();
    storage.insert(std::slice::from_ref(&job)).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    let mut outcome = succeeded(&claimed.jobs[0], id);
    outcome.ran_for = None;
    outcome.transition = Transition::Delete {
        reason: "was not started within 1 h".into(),
    };
    let mut flush = flush(worker, id, &[]);
    flush.settlements.push(outcome);
    assert_eq!(storage.settle(&flush).await.unwrap(), []);
    let ended = storage.job(job.id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.attempt), (State::Deleted, 0));
    assert_eq!(ended.reason.as_deref(), Some("was not started within 1 h"));
    assert!(ended.finished_at.is_some());
    assert_eq!(storage.counts().await.unwrap().deleted, 1);
    assert!(storage.attempts(job.id).await.unwrap().is_empty());
}
