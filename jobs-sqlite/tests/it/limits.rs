//! How much may run at once, or start within a time.

use std::time::{Duration, Instant};

use jobs_core::job::{Bound, Excess, LimitRule, LimitUse, NewJob, QueuePattern, Rules, State};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{Control, ControlVerb, Inspect, Scope, Start, Storage, Within};
use jobs_sqlite::SqliteStorage;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::stage::{Folder, PATIENCE, claim, flush, new_job, worker};

const NAME: &str = "api";

fn rule(bound: Bound) -> LimitRule {
    LimitRule {
        name: NAME.into(),
        bound,
        excess: Excess::Wait,
    }
}

fn limited(rule: &LimitRule, key: &str, weight: u32) -> NewJob {
    let mut job = new_job();
    let mut rules = Rules::default();
    rules.limits.push(LimitUse {
        rule: rule.clone(),
        key: key.into(),
        weight,
    });
    job.rules = Some(Box::new(rules));
    job
}

const TWO: Bound = Bound::Concurrency { max: 2 };

async fn enqueued(storage: &SqliteStorage) -> u64 {
    storage.counts().await.unwrap().enqueued
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn no_more_than_allowed_run_at_once_for_each_key() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let two = rule(TWO);
    let jobs: Vec<NewJob> = ["a", "a", "a", "b", "a"]
        .iter()
        .map(|key| limited(&two, key, 1))
        .collect();
    storage.insert(&jobs).await.unwrap();
    assert_eq!(enqueued(&storage).await, 5);
    let record = storage.job(jobs[2].id).await.unwrap().unwrap();
    assert_eq!(record.limited_by.as_deref(), Some(NAME));
    assert_eq!(record.state, State::Enqueued);
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 10).await;
    let got: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
    assert_eq!(got, [jobs[0].id, jobs[1].id, jobs[3].id]);
    let limit = storage.limits().await.unwrap().pop().unwrap();
    assert_eq!((limit.used, limit.waiting), (3, 2));
    let (_, none) = claim(&storage, worker, 10).await;
    assert!(none.jobs.is_empty());

    // One retries, and stands behind the one that has waited.
    let mut flush = flush(worker, id, &claimed.jobs[..1]);
    flush.closed.clear();
    flush.settlements[0].transition = Transition::Retry {
        delay: Duration::ZERO,
        reason: "again".into(),
        how: jobs_core::job::AttemptOutcome::Failed,
        report: jobs_core::job::ErrorReport::new("no"),
    };
    assert_eq!(storage.settle(&flush).await.unwrap(), []);
    let (_, next) = claim(&storage, worker, 10).await;
    assert_eq!(next.jobs.len(), 1);
    assert_eq!(next.jobs[0].id, jobs[2].id);

    // More are allowed: the two that wait are let in.
    let three = rule(Bound::Concurrency { max: 4 });
    storage
        .set_limit(NAME, Some(&three), "ada", None)
        .await
        .unwrap();
    let (_, rest) = claim(&storage, worker, 10).await;
    assert_eq!(rest.jobs.len(), 2);
    let limit = storage.limits().await.unwrap().pop().unwrap();
    assert_eq!(limit.declared, Some((TWO, Excess::Wait)));
    assert_eq!((limit.used, limit.waiting), (5, 0));
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_deleted_or_comes_later_if_it_says_so() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut one = rule(Bound::Concurrency { max: 1 });
    one.excess = Excess::Delete;
    let jobs = [limited(&one, "", 1), limited(&one, "", 1)];
    storage.insert(&jobs).await.unwrap();
    let gone = storage.job(jobs[1].id).await.unwrap().unwrap();
    assert_eq!(gone.state, State::Deleted);
    assert_eq!(gone.reason.as_deref(), Some("Limit api is reached"));
    one.excess = Excess::Reschedule(Duration::from_secs(60));
    let later = limited(&one, "", 1);
    storage.insert(std::slice::from_ref(&later)).await.unwrap();
    let later = storage.job(later.id).await.unwrap().unwrap();
    assert_eq!(later.state, State::Scheduled);
    let why = "Limit api is reached: again in 1 min";
    assert_eq!(later.reason.as_deref(), Some(why));
}

#[tokio::test]
async fn a_worker_that_dies_gives_its_permits_back() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let one = rule(Bound::Concurrency { max: 1 });
    let jobs = [limited(&one, "", 1), limited(&one, "", 1)];
    storage.insert(&jobs).await.unwrap();
    let dead = worker(&storage).await;
    assert_eq!(claim(&storage, dead, 10).await.1.jobs.len(), 1);
    storage.retire(dead).await.unwrap();
    let other = worker(&storage).await;
    let (id, claimed) = claim(&storage, other, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    storage
        .settle(&flush(other, id, &claimed.jobs))
        .await
        .unwrap();
    assert_eq!(claim(&storage, other, 10).await.1.jobs.len(), 1);
}

#[tokio::test]
async fn starts_count_until_their_window_is_over() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let per = Duration::from_millis(400);
    for bound in [
        Bound::SlidingWindow { max: 2, per },
        Bound::TokenBucket {
            max: 2,
            per,
            burst: 2,
        },
        Bound::FixedWindow { max: 2, per },
    ] {
        let folder = Folder::new();
        let storage = folder.open().await;
        let rule = rule(bound);
        let jobs: Vec<NewJob> = (0..5).map(|_| limited(&rule, "", 1)).collect();
        let begun = Instant::now();
        storage.insert(&jobs).await.unwrap();
        let worker = worker(&storage).await;
        let sliding = matches!(bound, Bound::SlidingWindow { .. });
        let mut starts: Vec<Instant> = Vec::new();
        until("all are started", async || {
            let (id, claimed) = claim(&storage, worker, 10).await;
            // Time brings the others more room, whether the first have started or not.
            assert!(claimed.jobs.len() <= 2 || !sliding, "{bound:?}");
            for job in &claimed.jobs {
                let start = Start {
                    worker,
                    claim: id,
                    job: job.id,
                    run: job.run,
                };
                starts.push(Instant::now());
                assert!(storage.start(&start).await.unwrap());
                assert!(storage.start(&start).await.unwrap());
            }
            let ended = flush(worker, id, &claimed.jobs);
            assert_eq!(storage.settle(&ended).await.unwrap(), []);
            starts.len() == 5
        })
        .await;
        let slack = Duration::from_millis(50);
        let (took, least) = match bound {
            // Of three starts the last is not within the time of the first. (The times are taken before.)
            Bound::SlidingWindow { .. } => (starts[4] - starts[0], per),
            // Two tokens were there, and three have come back.
            Bound::TokenBucket { .. } => (starts[4] - begun, per * 3 / 2),
            _ => continue,
        };
        assert!(took + slack > least, "{bound:?}: {took:?}");
    }
    drop(storage);
}

#[tokio::test]
async fn a_queue_may_have_a_limit_that_no_job_names() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let plain = [new_job(), new_job(), new_job()];
    storage.insert(&plain).await.unwrap();
    let one = LimitRule {
        name: "queue:default".into(),
        bound: Bound::Concurrency { max: 1 },
        excess: Excess::Wait,
    };
    storage
        .set_limit("queue:default", Some(&one), "ada", None)
        .await
        .unwrap();
    storage.insert(&[new_job()]).await.unwrap();
    assert_eq!(enqueued(&storage).await, 4);
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    storage
        .settle(&flush(worker, id, &claimed.jobs))
        .await
        .unwrap();
    let (_, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    storage
        .set_limit("queue:default", None, "ada", None)
        .await
        .unwrap();
    let (_, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 2);
    assert!(storage.limits().await.unwrap().is_empty());
    storage.insert(&[new_job()]).await.unwrap();
    assert_eq!(claim(&storage, worker, 10).await.1.jobs.len(), 1);
}

#[tokio::test]
async fn a_job_is_let_in_when_it_falls_due_and_not_before() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let one = rule(Bound::Concurrency { max: 1 });
    let mut later = limited(&one, "", 1);
    // Not sooner: what is seen before that must be seen by then, on a busy machine too.
    later.due = jobs_core::job::Due::In(Duration::from_secs(5));
    let mut wakes = storage.wake();
    storage.insert(&[later.clone()]).await.unwrap();
    let record = storage.job(later.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.limited_by), (State::Scheduled, None));
    // It holds nothing as long as it is not due.
    let now = limited(&one, "", 1);
    storage.insert(&[now]).await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    storage
        .settle(&flush(worker, id, &claimed.jobs))
        .await
        .unwrap();
    // Nobody does anything: the time alone lets it in, and says so.
    while storage.job(later.id).await.unwrap().unwrap().state == State::Scheduled {
        let hint = tokio::time::timeout(PATIENCE, wakes.recv()).await;
        hint.expect("a hint comes").expect("it can be read");
    }
    until("it is let in", async || {
        claim(&storage, worker, 10).await.1.jobs.len() == 1
    })
    .await;
}

#[tokio::test]
async fn jobs_of_a_transaction_are_let_in_with_its_commit() {
    let folder = Folder::new();
    let options = SqliteConnectOptions::new().filename(folder.file());
    let pool = SqlitePool::connect_with(options.create_if_missing(true));
    let pool = pool.await.unwrap();
    let storage = SqliteStorage::builder().pool(pool.clone()).connect().await;
    let storage = storage.unwrap();
    let one = rule(Bound::Concurrency { max: 1 });
    let jobs = [limited(&one, "", 1), limited(&one, "", 1)];
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    Within::insert(&mut tx, &storage, &jobs).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(enqueued(&storage).await, 0);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    Within::insert(&mut tx, &storage, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    let run = crate::stage::succeeded(&claimed.jobs[0], id);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    tx.complete(&storage, worker, &run).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(&storage, worker, 10).await.1.jobs.len(), 1);
}

#[tokio::test]
async fn two_processes_share_a_limit() {
    let folder = Folder::new();
    // Each has a connection of its own to write through, as two processes have.
    let (one, other) = (folder.open().await, folder.open().await);
    let two = rule(TWO);
    let jobs: Vec<NewJob> = (0..20).map(|_| limited(&two, "", 1)).collect();
    one.insert(&jobs[..10]).await.unwrap();
    other.insert(&jobs[10..]).await.unwrap();
    let workers = [worker(&one).await, worker(&other).await];
    let mut ended = 0;
    until("all have run", async || {
        let (mine, theirs) = tokio::join!(claim(&one, workers[0], 5), claim(&other, workers[1], 5));
        assert!(mine.1.jobs.len() + theirs.1.jobs.len() <= 2);
        ended += mine.1.jobs.len() + theirs.1.jobs.len();
        let flushes = [
            flush(workers[0], mine.0, &mine.1.jobs),
            flush(workers[1], theirs.0, &theirs.1.jobs),
        ];
        let settled = tokio::join!(one.settle(&flushes[0]), other.settle(&flushes[1]));
        assert_eq!((settled.0.unwrap(), settled.1.unwrap()), (vec![], vec![]));
        ended == 20
    })
    .await;
}

#[tokio::test]
async fn what_falls_due_when_its_process_has_gone_is_let_in_by_another() {
    let folder = Folder::new();
    let mut later = limited(&rule(TWO), "", 1);
    later.due = jobs_core::job::Due::In(Duration::from_millis(200));
    let storage = folder.open().await;
    storage.insert(&[later]).await.unwrap();
    drop(storage);
    folder.settled().await;
    let storage = folder.open().await;
    let worker = worker(&storage).await;
    until("it is let in", async || {
        storage.tick().await.unwrap();
        claim(&storage, worker, 1).await.1.jobs.len() == 1
    })
    .await;
}

#[tokio::test]
async fn jobs_of_a_paused_queue_hold_nothing_and_come_when_it_goes_on() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let pause = |verb| Control {
        verb,
        actor: "ada".into(),
        reason: None,
    };
    let scope = || Scope::Queues(QueuePattern::new("default").unwrap());
    let control = pause(ControlVerb::Pause(scope(), None));
    storage.control(&control).await.unwrap();
    let one = rule(Bound::Concurrency { max: 1 });
    let still = limited(&one, "", 1);
    let mut moving = limited(&one, "", 1);
    moving.queue = "other".into();
    storage
        .insert(&[still.clone(), moving.clone()])
        .await
        .unwrap();
    let worker = worker(&storage).await;
    let (id, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
    assert_eq!(claimed.jobs[0].id, moving.id);
    storage
        .settle(&flush(worker, id, &claimed.jobs))
        .await
        .unwrap();
    assert_eq!(claim(&storage, worker, 10).await.1.jobs.len(), 0);
    let control = pause(ControlVerb::Resume(scope()));
    storage.control(&control).await.unwrap();
    let (_, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs[0].id, still.id);
}
