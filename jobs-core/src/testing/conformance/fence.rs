//! The fence of [`Storage::settle`](crate::storage::Storage::settle): only who owns a run ends it, and
//! only once.

use std::time::Duration;

use super::stage::{
    Hand, LATER, Run, at_once, fail, order, record, release, retry, snooze, state, store_one,
    store_some, succeed,
};
use crate::job::{ClaimId, JobId, State};
use crate::lifecycle::Transition;
use crate::storage::Refusal::{AlreadySettled, Superseded};
use crate::storage::{Refused, StorageHandle, Verb};

async fn taken(storage: &StorageHandle) -> (Hand, Run) {
    let hand = Hand::hire(storage).await;
    store_one(storage, "a").await;
    let run = hand.take_one("a").await;
    (hand, run)
}

fn all_ends() -> [Transition; 6] {
    let zero = Duration::ZERO;
    [
        succeed(),
        fail(),
        retry(zero),
        retry(LATER),
        snooze(zero),
        release(),
    ]
}

/// An outcome that is sent twice is applied once.
pub async fn an_outcome_sent_twice_counts_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for (n, end) in all_ends().into_iter().enumerate() {
        let queue = format!("q{n}");
        let id = store_one(&storage, &queue).await;
        let run = hand.take_one(&queue).await;
        hand.end(&run, end.clone()).await;
        let before = record(&storage, id).await;
        hand.is_refused(&run, end, AlreadySettled).await;
        let after = record(&storage, id).await;
        assert_eq!((after.state, after.run), (before.state, before.run));
        assert_eq!(after.attempt, before.attempt);
    }
}

/// An outcome that is sent many times at once is applied once.
pub async fn an_outcome_sent_many_times_at_once_counts_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for end in all_ends() {
        store_some(&storage, "a", 20).await;
        let runs = hand.take("a", 20).await;
        let send = |_| {
            let (hand, runs, end) = (hand.clone(), runs.clone(), end.clone());
            async move { hand.report(&runs, &end).await }
        };
        let refused = at_once((0..5).map(send)).await.concat();
        assert_eq!(refused.len(), 4 * 20, "each is applied for one sender");
        assert!(
            refused.iter().all(|no| no.why == AlreadySettled),
            "{refused:?}"
        );
        for run in runs {
            assert_eq!(record(&storage, run.id).await.run, run.run + 1);
            order(&storage, Verb::Delete, run.id).await;
        }
    }
}

/// An outcome whose answer was lost and that is sent again after the job was run again, by the same
/// worker or another, is refused.
pub async fn an_outcome_of_an_old_run_is_refused(storage: StorageHandle) {
    let (hand, old) = taken(&storage).await;
    hand.end(&old, retry(Duration::ZERO)).await;
    let other = Hand::hire(&storage).await;
    let new = other.take_one("a").await;
    let refused = hand
        .report(std::slice::from_ref(&old), &retry(Duration::ZERO))
        .await;
    assert_eq!(refused.len(), 1, "the job runs elsewhere");
    assert_eq!(state(&storage, old.id).await, State::Processing);
    other.end(&new, succeed()).await;
    hand.is_refused(&old, retry(Duration::ZERO), Superseded)
        .await;
    let found = record(&storage, old.id).await;
    assert_eq!(
        (found.state, found.attempt, found.run),
        (State::Succeeded, 2, 2)
    );
    other.finds_nothing("*").await;
}

/// An outcome in the name of somebody else's claim is refused.
pub async fn an_outcome_of_another_worker_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let other = Hand::hire(&storage).await;
    other.is_refused(&run, succeed(), Superseded).await;
    Hand::stranger(&storage)
        .is_refused(&run, succeed(), Superseded)
        .await;
    assert_eq!(state(&storage, run.id).await, State::Processing);
    hand.end(&run, succeed()).await;
    other.is_refused(&run, succeed(), Superseded).await;
}

/// An outcome in the name of a claim that does not exist is refused.
pub async fn an_outcome_without_claim_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut stray = run.clone();
    stray.claim = ClaimId::new();
    hand.is_refused(&stray, succeed(), Superseded).await;
    assert_eq!(state(&storage, run.id).await, State::Processing);
    hand.end(&run, succeed()).await;
}

/// An outcome of a run that is still to come is refused.
pub async fn an_outcome_of_a_future_run_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut future = run.ended(succeed());
    future.run += 1;
    let refused = hand.send(vec![future], Vec::new()).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].why, Superseded);
    hand.end(&run, succeed()).await;
}

/// An outcome of a job that does not exist is refused.
pub async fn an_outcome_of_an_unknown_job_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut unknown = run.clone();
    unknown.job.id = JobId::new();
    let outcomes = vec![unknown.ended(succeed()), run.ended(succeed())];
    let refused = hand.send(outcomes, vec![run.claim]).await;
    let (job, run_number, why) = (unknown.id, unknown.run, Superseded);
    let wanted = Refused {
        job,
        run: run_number,
        why,
    };
    assert_eq!(refused, [wanted]);
    assert_eq!(state(&storage, run.id).await, State::Succeeded);
}

/// An outcome of a job that was deleted meanwhile is refused, also when it was requeued since.
pub async fn an_outcome_of_a_deleted_job_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    order(&storage, Verb::Delete, run.id).await;
    hand.is_refused(&run, retry(Duration::ZERO), Superseded)
        .await;
    assert_eq!(state(&storage, run.id).await, State::Deleted);
    order(&storage, Verb::Requeue, run.id).await;
    hand.is_refused(&run, succeed(), Superseded).await;
    assert_eq!(state(&storage, run.id).await, State::Enqueued);
    let again = hand.take_one("a").await;
    hand.is_refused(&run, succeed(), Superseded).await;
    hand.end(&again, succeed()).await;
}

/// A flush may tell of two runs of one job: an operator ended the first, and its worker was handed the job again.
pub async fn two_runs_of_a_job_are_told_apart(storage: StorageHandle) {
    for late in [succeed(), retry(Duration::ZERO)] {
        let (hand, ended) = taken(&storage).await;
        order(&storage, Verb::Delete, ended.id).await;
        order(&storage, Verb::Requeue, ended.id).await;
        let again = hand.take_one("a").await;
        assert_eq!(again.id, ended.id);
        let outcomes = vec![again.ended(succeed()), ended.ended(late)];
        let refused = hand.send(outcomes, vec![ended.claim, again.claim]).await;
        let wanted = Refused {
            job: ended.id,
            run: ended.run,
            why: Superseded,
        };
        assert_eq!(refused, [wanted]);
        let found = record(&storage, again.id).await;
        assert_eq!((found.state, found.attempt), (State::Succeeded, 1));
        let orders = hand.beat(&[ended.claim, again.claim]).await;
        assert_eq!(orders.missing.len(), 2, "both claims were closed");
    }
}

/// A worker that settled the run before is not taken for having settled one that ended otherwise.
pub async fn a_run_taken_away_is_not_already_settled(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    hand.end(&run, retry(Duration::ZERO)).await;
    let deleted = hand.take_one("a").await;
    order(&storage, Verb::Delete, deleted.id).await;
    hand.is_refused(&deleted, succeed(), Superseded).await;

    store_one(&storage, "b").await;
    let run = hand.take_one("b").await;
    hand.end(&run, snooze(Duration::ZERO)).await;
    let lost = hand.take_one("b").await;
    hand.beat(&[]).await;
    hand.is_refused(&lost, succeed(), Superseded).await;

    let run = hand.take_one("b").await;
    hand.end(&run, release()).await;
    let rescued = hand.take_one("b").await;
    hand.dies().await;
    hand.is_refused(&rescued, succeed(), Superseded).await;
    assert_eq!(state(&storage, rescued.id).await, State::Enqueued);
}

/// Of a flush only what must be refused is refused.
pub async fn the_rest_of_a_flush_is_applied(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 30).await;
    let runs = hand.take("a", 30).await;
    for run in runs.iter().step_by(3) {
        order(&storage, Verb::Delete, run.id).await;
    }
    let mut refused = hand.report(&runs, &succeed()).await;
    refused.sort_by_key(|no| no.job);
    let mut wanted: Vec<_> = runs.iter().step_by(3).map(|run| run.id).collect();
    wanted.sort();
    let got: Vec<_> = refused.iter().map(|no| no.job).collect();
    assert_eq!(got, wanted);
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.succeeded, counts.deleted), (20, 10));
    assert_eq!(counts.unfinished(), 0);
}

/// An outcome of a claim that was given back is refused, and the job is run by whoever took it.
pub async fn an_outcome_after_giving_back_is_refused(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    hand.beat(&[]).await;
    hand.is_refused(&run, fail(), Superseded).await;
    let other = Hand::hire(&storage).await;
    let again = other.take_one("a").await;
    hand.is_refused(&run, fail(), Superseded).await;
    other.end(&again, succeed()).await;
}

/// Nobody closes another worker's claim.
pub async fn nobody_closes_anothers_claim(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let other = Hand::hire(&storage).await;
    assert_eq!(other.send(Vec::new(), vec![run.claim]).await, []);
    assert_eq!(hand.beat(&[run.claim]).await.missing, []);
    hand.end(&run, succeed()).await;
}
