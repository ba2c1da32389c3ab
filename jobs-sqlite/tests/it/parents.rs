//! Jobs that wait for jobs.

use std::time::Duration;

use jobs_core::Error;
use jobs_core::job::{Condition, JobId, NewJob, Parent, ParentId, Rules, State};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Command, Inspect, Retention, Settlement, Storage, Verb, Within};
use jobs_core::testing::conformance;
use jobs_sqlite::SqliteStorage;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::stage::{Folder, claim, flush, new_job, succeeded, worker};

fn after(parents: &[(JobId, Condition)]) -> NewJob {
    let mut job = new_job();
    let mut rules = Rules::default();
    let parent = |(id, on): &(JobId, Condition)| Parent {
        of: ParentId::Job(*id),
        on: *on,
    };
    rules.parents = parents.iter().map(parent).collect();
    job.rules = Some(Box::new(rules));
    job
}

async fn state(storage: &SqliteStorage, job: &NewJob) -> State {
    let found = storage.job(job.id).await.unwrap();
    found.expect("it is stored").state
}

async fn reason(storage: &SqliteStorage, job: &NewJob) -> String {
    let found = storage.job(job.id).await.unwrap().unwrap();
    found.reason.unwrap_or_default()
}

async fn order(storage: &SqliteStorage, verb: Verb, job: &NewJob) {
    let command = Command {
        verb,
        jobs: vec![job.id],
        actor: "ada".into(),
        reason: None,
    };
    storage.command(&command).await.unwrap();
}

/// Takes all that is due and ends it so.
async fn end_all(storage: &SqliteStorage, transition: impl Fn(&Settlement) -> Transition) {
    let worker = worker(storage).await;
    let (id, claimed) = claim(storage, worker, 100).await;
    let mut flush = flush(worker, id, &claimed.jobs);
    for settlement in &mut flush.settlements {
        settlement.transition = transition(settlement);
    }
    assert_eq!(storage.settle(&flush).await.unwrap(), []);
}

fn success(_: &Settlement) -> Transition {
    Transition::Succeed {
        result: None,
        note: None,
    }
}

fn failure(_: &Settlement) -> Transition {
    Transition::Fail {
        reason: "no".into(),
        how: jobs_core::job::AttemptOutcome::Failed,
        report: jobs_core::job::ErrorReport::new("no"),
    }
}

#[tokio::test]
async fn a_child_waits_for_all_its_parents_and_is_then_due() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let (one, other) = (new_job(), new_job());
    let child = after(&[(one.id, Condition::Success), (other.id, Condition::Any)]);
    let jobs = [child.clone(), one.clone(), other.clone()];
    storage.insert(&jobs).await.unwrap();
    assert_eq!(state(&storage, &child).await, State::Awaiting);
    assert_eq!(storage.counts().await.unwrap().awaiting, 1);
    assert_eq!(storage.awaited(child.id).await.unwrap().len(), 2);
    end_all(&storage, success).await;
    assert_eq!(state(&storage, &child).await, State::Enqueued);
    assert!(storage.awaited(child.id).await.unwrap().is_empty());
    end_all(&storage, success).await;
    assert_eq!(state(&storage, &child).await, State::Succeeded);
    order(&storage, Verb::Requeue, &one).await;
    end_all(&storage, success).await;
    assert_eq!(state(&storage, &child).await, State::Succeeded, "not again");
}

#[tokio::test]
async fn what_cannot_happen_any_more_is_deleted_with_all_that_waits_for_it() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let parent = new_job();
    let child = after(&[(parent.id, Condition::Success)]);
    let grandchild = after(&[(child.id, Condition::Success)]);
    let heir = after(&[(grandchild.id, Condition::Deletion)]);
    let jobs = [
        parent.clone(),
        child.clone(),
        grandchild.clone(),
        heir.clone(),
    ];
    storage.insert(&jobs).await.unwrap();
    order(&storage, Verb::Delete, &parent).await;
    assert_eq!(state(&storage, &grandchild).await, State::Deleted);
    let why = format!("its parent {} was deleted", parent.id);
    assert_eq!(reason(&storage, &child).await, why);
    assert_eq!(state(&storage, &heir).await, State::Enqueued);
    assert_eq!(storage.counts().await.unwrap().deleted, 3);

    let late = after(&[(parent.id, Condition::Success)]);
    let later = after(&[(late.id, Condition::Any)]);
    storage
        .insert(&[later.clone(), late.clone()])
        .await
        .unwrap();
    assert_eq!(reason(&storage, &late).await, why);
    assert_eq!(state(&storage, &later).await, State::Enqueued);
}

#[tokio::test]
async fn the_children_of_a_failed_job_wait_for_its_next_run() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let parent = new_job();
    let (child, other) = (
        after(&[(parent.id, Condition::Success)]),
        after(&[(parent.id, Condition::Failure)]),
    );
    let jobs = [parent.clone(), child.clone(), other.clone()];
    storage.insert(&jobs).await.unwrap();
    end_all(&storage, failure).await;
    assert_eq!(state(&storage, &child).await, State::Awaiting);
    assert_eq!(state(&storage, &other).await, State::Enqueued);
    end_all(&storage, success).await;
    order(&storage, Verb::Requeue, &parent).await;
    end_all(&storage, success).await;
    assert_eq!(state(&storage, &child).await, State::Enqueued);

    let lost = new_job();
    let orphan = after(&[(lost.id, Condition::Success)]);
    storage
        .insert(&[lost.clone(), orphan.clone()])
        .await
        .unwrap();
    end_all(&storage, failure).await;
    let mut retention = Retention::FOREVER;
    retention.failed = Duration::ZERO;
    storage.retain(&retention).await.unwrap();
    let why = format!("its parent {} failed and was removed", lost.id);
    assert_eq!(reason(&storage, &orphan).await, why);
}

#[tokio::test]
async fn an_unknown_parent_is_an_error_and_nothing_is_stored() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let nobody = JobId::new();
    let child = after(&[(nobody, Condition::Success)]);
    let error = storage.insert(&[new_job(), child]).await.unwrap_err();
    assert!(matches!(error, Error::UnknownJob(id) if id == nobody));
    let mut own = after(&[]);
    own.rules = after(&[(own.id, Condition::Any)]).rules;
    let error = storage.insert(&[own]).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(storage.counts().await.unwrap().unfinished(), 0);
}

async fn application(folder: &Folder) -> (SqlitePool, SqliteStorage) {
    let options = SqliteConnectOptions::new().filename(folder.file());
    let pool = SqlitePool::connect_with(options.create_if_missing(true));
    let pool = pool.await.unwrap();
    let storage = SqliteStorage::builder().pool(pool.clone()).connect().await;
    (pool, storage.unwrap())
}

#[tokio::test]
async fn a_child_in_a_transaction_comes_and_goes_with_it() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let parent = new_job();
    storage.insert(std::slice::from_ref(&parent)).await.unwrap();
    let child = after(&[(parent.id, Condition::Success)]);
    let mut tx = pool.begin().await.unwrap();
    Within::insert(&mut tx, &storage, std::slice::from_ref(&child))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert!(storage.job(child.id).await.unwrap().is_none());

    // A refusal leaves the transaction good for more.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let stranger = after(&[(JobId::new(), Condition::Success)]);
    let refused = Within::insert(&mut tx, &storage, &[stranger]).await;
    assert!(matches!(refused, Err(Error::UnknownJob(_))));
    Within::insert(&mut tx, &storage, std::slice::from_ref(&child))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(state(&storage, &child).await, State::Awaiting);

    // Without a transaction, and in one that was begun by hand.
    let mut connection = pool.acquire().await.unwrap();
    let second = after(&[(parent.id, Condition::Any)]);
    Within::insert(&mut connection, &storage, std::slice::from_ref(&second))
        .await
        .unwrap();
    assert_eq!(state(&storage, &second).await, State::Awaiting);
    let third = after(&[(parent.id, Condition::Any)]);
    sqlx::query("begin")
        .execute(&mut *connection)
        .await
        .unwrap();
    Within::insert(&mut connection, &storage, std::slice::from_ref(&third))
        .await
        .unwrap();
    sqlx::query("commit")
        .execute(&mut *connection)
        .await
        .unwrap();
    assert_eq!(state(&storage, &third).await, State::Awaiting);
}

#[tokio::test]
async fn a_run_that_is_completed_in_a_transaction_frees_its_children() {
    let folder = Folder::new();
    let (pool, storage) = application(&folder).await;
    let parent = new_job();
    let child = after(&[(parent.id, Condition::Success)]);
    storage.insert(&[parent, child.clone()]).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 1).await;
    let run = succeeded(&claimed.jobs[0], id);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    tx.complete(&storage, worker, &run).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(state(&storage, &child).await, State::Awaiting);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    tx.complete(&storage, worker, &run).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(state(&storage, &child).await, State::Enqueued);
}

#[test]
fn both_parents_may_end_at_once_on_two_workers() {
    let folder = Folder::new();
    let open = async { (folder.open().await, ()) };
    conformance::run(open, async |storage| {
        for _ in 0..50 {
            let (one, other) = (new_job(), new_job());
            let child = after(&[(one.id, Condition::Success), (other.id, Condition::Success)]);
            storage.insert(&[one, other, child.clone()]).await.unwrap();
            let end = |worker, (id, claimed): (_, jobs_core::storage::Claimed)| {
                let (storage, flush) = (storage.clone(), flush(worker, id, &claimed.jobs));
                async move { storage.settle(&flush).await.unwrap() }
            };
            let mut ends = Vec::new();
            for _ in 0..2 {
                let worker = jobs_core::job::WorkerId::new();
                let info = jobs_core::storage::WorkerInfo::new(worker);
                storage.register(&info).await.unwrap();
                let request = crate::stage::request(worker, 1);
                let claimed = storage.claim(&request).await.unwrap();
                assert_eq!(claimed.jobs.len(), 1);
                ends.push(tokio::spawn(end(worker, (request.claim, claimed))));
            }
            for end in ends {
                end.await.unwrap();
            }
            let found = storage.job(child.id).await.unwrap().unwrap();
            assert_eq!(found.state, State::Enqueued);
            let command = Command {
                verb: Verb::Delete,
                jobs: vec![child.id],
                actor: "ada".into(),
                reason: None,
            };
            storage.command(&command).await.unwrap();
        }
    });
}
