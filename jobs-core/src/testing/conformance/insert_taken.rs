//! [`Storage::insert_taken`](crate::storage::Storage::insert_taken). A storage that never does it passes.

use super::control::{pause, resume};
use super::stage::{Hand, close, job, record, state, store, succeed};
use crate::job::{Bound, ClaimId, Excess, JobId, LimitRule, NewJob, QueuePattern, State};
use crate::lifecycle::Transition;
use crate::storage::{Flush, HandedOver, Scope, Settlement, StorageHandle};

async fn insert_taken(hand: &Hand, jobs: &[NewJob], claim: ClaimId) -> Option<HandedOver> {
    let answer = hand.storage.insert_taken(jobs, hand.id, claim).await;
    answer.expect("insert_taken")
}

fn ids(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn settled(job: &NewJob, claim: ClaimId, transition: Transition) -> Settlement {
    Settlement {
        job: job.id,
        run: 0,
        claim,
        kind: "work".into(),
        queue: "a".into(),
        attempt: 0,
        ran_for: Some(std::time::Duration::from_millis(4)),
        ended_ago: std::time::Duration::ZERO,
        transition,
    }
}

/// What was taken is Processing, nobody else gets it, and its outcome is applied like any other.
pub async fn what_was_taken_is_the_workers(storage: StorageHandle) {
    let (hand, other) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    let (jobs, claim) = ([job("a"), job("b")], ClaimId::new());
    let Some(handed) = insert_taken(&hand, &jobs, claim).await else {
        return;
    };
    assert_eq!(handed.taken, ids(&jobs));
    for id in handed.taken {
        let found = record(&storage, id).await;
        assert_eq!((found.state, found.run), (State::Processing, 0));
        let (due, told) = (found.due_at, handed.due_at);
        assert!(due <= told && close(due, told), "{due} {told}");
    }
    other.finds_nothing("*").await;
    assert_eq!(hand.beat(&[claim]).await.missing, []);
    let flush = Flush {
        worker: hand.id,
        settlements: jobs
            .iter()
            .map(|job| settled(job, claim, succeed()))
            .collect(),
        closed: vec![claim],
    };
    assert_eq!(storage.settle(&flush).await.expect("settle"), []);
    for id in ids(&jobs) {
        assert_eq!(state(&storage, id).await, State::Succeeded);
    }
    assert_eq!(hand.beat(&[claim]).await.missing, [claim]);
}

/// If the worker does not know of the claim, because the answer was lost, its next beat gives the jobs back.
pub async fn a_lost_answer_is_healed_by_a_beat(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (jobs, claim) = ([job("a")], ClaimId::new());
    if insert_taken(&hand, &jobs, claim).await.is_none() {
        return;
    }
    // Who stored it tries again, and is told that it is there.
    let again = storage.insert(&jobs).await.expect("insert");
    assert!(again[0].existing);
    assert_eq!(state(&storage, jobs[0].id).await, State::Processing);
    hand.beat(&[]).await;
    let run = hand.take_one("a").await;
    assert_eq!((run.id, run.attempt, run.lost), (jobs[0].id, 0, 0));
}

/// A worker that dies with it is rescued from as after any claim.
pub async fn a_dead_workers_jobs_come_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let jobs = [job("a"), job("a")];
    if insert_taken(&hand, &jobs, ClaimId::new()).await.is_none() {
        return;
    }
    assert_eq!(hand.dies().await.released, 2);
    let heir = Hand::hire(&storage).await;
    assert_eq!(heir.take("a", 2).await.len(), 2);
}

/// Jobs of a paused queue are stored, and wait.
pub async fn nothing_is_taken_that_is_paused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (queue, kind) = (
        QueuePattern::new("a*").expect("a pattern"),
        "work".to_owned(),
    );
    for scope in [Scope::Queues(queue), Scope::Kind(kind)] {
        waits_while_paused(&hand, scope).await;
    }
}

async fn waits_while_paused(hand: &Hand, scope: Scope) {
    let storage = &hand.storage;
    pause(storage, scope.clone()).await;
    let jobs = [job("a")];
    let Some(handed) = insert_taken(hand, &jobs, ClaimId::new()).await else {
        return;
    };
    assert_eq!(handed.taken, []);
    assert_eq!(state(storage, jobs[0].id).await, State::Enqueued);
    resume(storage, scope).await;
    assert_eq!(hand.take_one("a").await.id, jobs[0].id);
}

/// Jobs of a queue with a limit wait until they are let in.
pub async fn nothing_is_taken_of_a_limited_queue(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rule = LimitRule {
        name: "queue:a".into(),
        bound: Bound::Concurrency { max: 1 },
        excess: Excess::Wait,
    };
    let set = storage.set_limit("queue:a", Some(&rule), "ada", None).await;
    set.expect("set_limit");
    let jobs = [job("a"), job("a")];
    let Some(handed) = insert_taken(&hand, &jobs, ClaimId::new()).await else {
        return;
    };
    assert_eq!(handed.taken, []);
    let first = hand.take_one("a").await;
    hand.finds_nothing("a").await;
    hand.end(&first, succeed()).await;
    hand.take_one("a").await;
}

/// A worker that nobody knows, or that was declared dead, gets nothing; the jobs wait for others.
pub async fn the_dead_get_nothing(storage: StorageHandle) {
    let (stranger, dead) = (Hand::stranger(&storage), Hand::hire(&storage).await);
    // It holds something, so that it is still listed.
    store(&storage, &[job("b")]).await;
    dead.take_one("b").await;
    dead.dies().await;
    let living = Hand::hire(&storage).await;
    for hand in [stranger, dead] {
        let jobs = [job("a")];
        let Some(handed) = insert_taken(&hand, &jobs, ClaimId::new()).await else {
            return;
        };
        assert_eq!(handed.taken, []);
        assert_eq!(living.take_one("a").await.id, jobs[0].id);
    }
}

/// If one of them is stored already, nothing is done.
pub async fn what_is_stored_already_is_left_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let jobs = [job("a"), job("a")];
    store(&storage, &jobs[..1]).await;
    assert!(insert_taken(&hand, &jobs, ClaimId::new()).await.is_none());
    assert_eq!(hand.take("a", 1).await[0].id, jobs[0].id);
    hand.finds_nothing("a").await;
    assert!(storage.job(jobs[1].id).await.expect("job").is_none());
}
