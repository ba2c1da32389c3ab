//! [`Storage::rescue`](crate::storage::Storage::rescue) and `suspect`.

use super::stage::{Hand, Run, at_once, eventually, record, state, store_one, store_some, succeed};
use crate::job::{AttemptOutcome, JobId, State};
use crate::lifecycle::{LOST_LIMIT, LOST_REASON, is_last_chance};
use crate::storage::{Refusal, Rescued, StorageHandle};

async fn suspect(hand: &Hand, job: Option<JobId>) {
    let noted = hand.storage.suspect(hand.id, job).await;
    noted.expect("suspect");
}

async fn lost(storage: &StorageHandle, id: JobId) -> u32 {
    record(storage, id).await.lost
}

/// A dead worker's jobs go back to their queues, counted as lost; no attempt is used.
pub async fn a_dead_workers_jobs_go_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", 100).await;
    hand.take("a", 60).await;
    hand.take("a", 40).await;
    let rescued = hand.dies().await;
    assert_eq!((rescued.released, rescued.failed), (100, 0));
    for &id in &ids {
        let found = record(&storage, id).await;
        assert_eq!(found.state, State::Enqueued);
        assert_eq!((found.lost, found.attempt, found.run), (1, 0, 1));
        assert!(found.reason.is_some(), "it says that its worker died");
    }
    let attempts = storage.attempts(ids[0]).await.expect("attempts");
    let [attempt] = &attempts[..] else {
        panic!("one attempt row, not {attempts:?}")
    };
    assert_eq!(attempt.outcome, AttemptOutcome::Lost);
    assert_eq!((attempt.run, attempt.number), (0, 1));
    assert_eq!(attempt.worker, Some(hand.id));
    assert_eq!(attempt.error, None);
    let other = Hand::hire(&storage).await;
    let again = other.take("a", 100).await;
    assert!(again.iter().all(|run| (run.run, run.lost) == (1, 1)));
    other.finds_nothing("a").await;
}

/// A worker whose beat has moved lives, and keeps its jobs.
pub async fn a_worker_that_beats_is_left_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    let seen = hand.last_beat().await.expect("listed");
    hand.beat(&[run.claim]).await;
    for beat in [seen, seen + 17] {
        let request = hand.rescue_request(beat);
        let rescued = storage.rescue(&request).await.expect("rescue");
        assert_eq!(rescued, Rescued::default());
    }
    assert!(hand.beat(&[run.claim]).await.alive);
    hand.end(&run, succeed()).await;
}

/// A rescue that is repeated finds nothing left to do.
pub async fn a_rescue_may_be_repeated(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    hand.take_one("a").await;
    let beat = hand.last_beat().await.expect("listed");
    hand.dies().await;
    let request = hand.rescue_request(beat);
    for _ in 0..3 {
        let again = storage.rescue(&request).await.expect("rescue");
        assert_eq!(again, Rescued::default());
    }
    assert_eq!(lost(&storage, id).await, 1);
    let other = Hand::hire(&storage).await;
    let run = other.take_one("a").await;
    storage.rescue(&request).await.expect("rescue");
    other.end(&run, succeed()).await;
}

/// Many rescuers at once take each job back once.
pub async fn many_rescuers_take_each_job_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", 300).await;
    for _ in 0..6 {
        hand.take("a", 50).await;
    }
    let beat = hand.last_beat().await.expect("listed");
    let rescue = |_| {
        let (hand, mut request) = (hand.clone(), hand.rescue_request(beat));
        request.limit = 40;
        async move { hand.is_rescued(&request).await.released }
    };
    let released: u64 = at_once((0..5).map(rescue)).await.into_iter().sum();
    assert_eq!(released, 300);
    for id in ids {
        let found = record(&storage, id).await;
        assert_eq!(
            (found.state, found.lost, found.run),
            (State::Enqueued, 1, 1)
        );
    }
}

/// A rescue takes back no more than its limit, and says that there is more.
pub async fn a_limit_holds(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 25).await;
    hand.take("a", 25).await;
    let beat = hand.last_beat().await.expect("listed");
    let mut request = hand.rescue_request(beat);
    request.limit = 10;
    let first = storage.rescue(&request).await.expect("rescue");
    assert!(first.released <= 10 && first.more, "{first:?}");
    assert!(
        !hand.beat(&[]).await.alive,
        "it is dead from the first call on"
    );
    let total = first.released + hand.is_rescued(&request).await.released;
    assert_eq!(total, 25);
    Hand::hire(&storage).await.take("a", 25).await;
}

/// The dead are listed while they hold something, so that rescuers go on with them.
pub async fn the_dead_are_listed_while_they_hold_jobs(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 4).await;
    hand.take("a", 4).await;
    let beat = hand.last_beat().await.expect("listed");
    let mut request = hand.rescue_request(beat);
    request.limit = 1;
    storage.rescue(&request).await.expect("rescue");
    let presences = storage.presences().await.expect("presences");
    assert_eq!(presences.len(), 1);
    assert_eq!((presences[0].worker, presences[0].dead), (hand.id, true));
    request.beat = presences[0].beat;
    request.limit = 100;
    storage.rescue(&request).await.expect("rescue");
    assert_eq!(hand.last_beat().await, None, "it holds nothing any more");
    let workers = storage.workers().await.expect("workers");
    assert_eq!(workers.len(), 1, "people still see it");
    assert!(workers[0].dead_at.is_some());
}

/// A worker without jobs can die too.
pub async fn a_worker_without_jobs_dies_too(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    assert_eq!(hand.dies().await, Rescued::default());
    assert!(!hand.beat(&[]).await.alive);
    assert_eq!(hand.last_beat().await, None);
    store_one(&storage, "a").await;
    hand.finds_nothing("a").await;
    Hand::hire(&storage).await.take_one("a").await;
}

/// A claim that was under way when its worker was declared dead loses nothing.
pub async fn a_claim_after_death_loses_nothing(storage: StorageHandle) {
    for round in 0..10 {
        let hand = Hand::hire(&storage).await;
        store_some(&storage, "a", 20).await;
        let beat = hand.last_beat().await.expect("listed");
        let request = hand.rescue_request(beat);
        let claim = {
            let hand = hand.clone();
            tokio::spawn(async move { hand.ask(&[("a", 20)], 20).await.len() })
        };
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        storage.rescue(&request).await.expect("rescue");
        claim.await.expect("the claim is answered");
        eventually("no dead worker holds anything", async || {
            storage.rescue(&request).await.expect("rescue");
            hand.last_beat().await.is_none().then_some(())
        })
        .await;
        let other = Hand::hire(&storage).await;
        let runs = other.take("a", 20).await;
        assert_eq!(other.report(&runs, &succeed()).await, []);
        other.finds_nothing("a").await;
    }
}

/// What was settled before the rescue stays settled.
pub async fn what_was_settled_stays_settled(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 10).await;
    let runs = hand.take("a", 10).await;
    let outcomes = runs[..4].iter().map(|run| run.ended(succeed()));
    assert_eq!(hand.send(outcomes.collect(), Vec::new()).await, []);
    assert_eq!(hand.dies().await.released, 6);
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.succeeded, counts.enqueued), (4, 6));
    for run in &runs[..4] {
        assert_eq!(lost(&storage, run.id).await, 0);
    }
}

/// An outcome that comes after the rescue is refused; the second run's outcome stands.
pub async fn a_late_outcome_is_refused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let late = hand.take_one("a").await;
    hand.dies().await;
    hand.is_refused(&late, succeed(), Refusal::Superseded).await;
    assert_eq!(state(&storage, id).await, State::Enqueued);
    let other = Hand::hire(&storage).await;
    let second = other.take_one("a").await;
    hand.is_refused(&late, succeed(), Refusal::Superseded).await;
    let done = crate::lifecycle::Transition::Succeed {
        result: Some("2".into()),
        note: None,
    };
    other.end(&second, done).await;
    hand.is_refused(&late, succeed(), Refusal::Superseded).await;
    let found = record(&storage, id).await;
    assert_eq!(
        (found.state, found.worker),
        (State::Succeeded, Some(other.id))
    );
    assert_eq!(found.result.as_deref(), Some("2"));
}

/// Outcomes and a rescue at the same moment: each job has one or the other, none both.
pub async fn a_rescue_and_outcomes_at_once_agree(storage: StorageHandle) {
    for _ in 0..5 {
        let hand = Hand::hire(&storage).await;
        store_some(&storage, "a", 100).await;
        let runs = hand.take("a", 100).await;
        let report = {
            let (hand, runs) = (hand.clone(), runs.clone());
            async move {
                let mut refused = 0;
                for some in runs.chunks(10) {
                    refused += hand.report(some, &succeed()).await.len() as u64;
                }
                refused
            }
        };
        let report = tokio::spawn(report);
        let rescued = hand.dies().await.released;
        let refused = report.await.expect("the outcomes are answered");
        // A rescue that skipped what was being settled says `more`, so that none is forgotten.
        assert_eq!(refused, rescued);
        let other = Hand::hire(&storage).await;
        let again = other.take("a", rescued as usize).await;
        assert_eq!(other.report(&again, &succeed()).await, []);
        assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    }
}

/// A job that killed as many workers as it may is Failed, with the reason given.
pub async fn a_job_that_kills_its_workers_is_failed(storage: StorageHandle) {
    let id = store_one(&storage, "a").await;
    for death in 1..=LOST_LIMIT {
        let hand = Hand::hire(&storage).await;
        hand.take_one("a").await;
        suspect(&hand, Some(id)).await;
        let rescued = hand.dies().await;
        let fatal = death == LOST_LIMIT;
        let failed = u64::from(fatal);
        assert_eq!((rescued.released, rescued.failed), (1 - failed, failed));
        assert_eq!(lost(&storage, id).await, death);
    }
    let found = record(&storage, id).await;
    assert_eq!((found.state, found.attempt), (State::Failed, 0));
    assert_eq!(found.reason.as_deref(), Some(LOST_REASON));
    assert!(found.finished_at.is_some());
    let attempts = storage.attempts(id).await.expect("attempts");
    assert_eq!(attempts.len(), LOST_LIMIT as usize);
    assert!(
        attempts
            .iter()
            .all(|one| one.outcome == AttemptOutcome::Lost)
    );
    assert_eq!(attempts.last().expect("three").reason, LOST_REASON);
    Hand::hire(&storage).await.finds_nothing("*").await;
}

/// The limit and the reason are the caller's.
pub async fn the_limit_of_deaths_is_the_callers(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    hand.take_one("a").await;
    let mut request = hand.rescue_request(hand.last_beat().await.expect("listed"));
    request.lost_limit = 1;
    request.lost_reason = "once is enough";
    let rescued = storage.rescue(&request).await.expect("rescue");
    assert_eq!((rescued.released, rescued.failed), (0, 1));
    let found = record(&storage, id).await;
    assert_eq!(found.state, State::Failed);
    assert_eq!(found.reason.as_deref(), Some("once is enough"));
}

/// If the worker noted a suspect, that job alone is to blame; the others go back as they were.
pub async fn only_the_suspect_is_to_blame(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", 5).await;
    hand.take("a", 5).await;
    suspect(&hand, Some(ids[3])).await;
    suspect(&hand, Some(ids[2])).await;
    assert_eq!(hand.dies().await.released, 5);
    for (n, &id) in ids.iter().enumerate() {
        let found = record(&storage, id).await;
        assert_eq!(found.state, State::Enqueued);
        assert_eq!((found.lost, found.run), (u32::from(n == 2), 1));
        let rows = storage.attempts(id).await.expect("attempts").len();
        assert_eq!(rows, usize::from(n == 2));
    }
}

/// A suspect that was cleared again is nothing special.
pub async fn a_cleared_suspect_is_forgotten(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", 2).await;
    hand.take("a", 2).await;
    suspect(&hand, Some(ids[0])).await;
    suspect(&hand, None).await;
    hand.dies().await;
    for id in ids {
        assert_eq!(lost(&storage, id).await, 1);
    }
}

/// A job that one more death would fail is not blamed for it unless it was noted: it was not being run.
pub async fn who_is_on_its_last_chance_is_blamed_only_if_noted(storage: StorageHandle) {
    let ids = store_some(&storage, "a", 3).await;
    for death in 1..=LOST_LIMIT + 2 {
        let hand = Hand::hire(&storage).await;
        hand.take("a", 3).await;
        assert_eq!(hand.dies().await.released, 3);
        for &id in &ids {
            assert_eq!(lost(&storage, id).await, death.min(LOST_LIMIT - 1));
        }
    }
}

/// Of a poisoned job and a hundred that merely stood beside it, only the poisoned one is failed.
pub async fn bystanders_survive_a_poisoned_job(storage: StorageHandle) {
    let ids = store_some(&storage, "a", 101).await;
    let poison = ids[50];
    let mut deaths = 0;
    while state(&storage, poison).await != State::Failed {
        deaths += 1;
        assert!(
            deaths <= LOST_LIMIT,
            "it was stopped after {LOST_LIMIT} deaths"
        );
        let hand = Hand::hire(&storage).await;
        let runs = hand.take("a", 101).await;
        let poisoned = runs.iter().find(|run| run.id == poison);
        let run: &Run = poisoned.expect("it was taken");
        if is_last_chance(run.lost, LOST_LIMIT) {
            suspect(&hand, Some(run.id)).await;
        }
        hand.dies().await;
    }
    let last = Hand::hire(&storage).await;
    let runs = last.take("a", 100).await;
    assert!(
        runs.iter()
            .all(|run| run.lost < LOST_LIMIT && run.attempt == 0)
    );
    assert_eq!(last.report(&runs, &succeed()).await, []);
}

/// The death of one worker does not touch another's jobs.
pub async fn others_jobs_are_left_alone(storage: StorageHandle) {
    let (hand, other) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    store_some(&storage, "a", 2).await;
    hand.take_one("a").await;
    let run = other.take_one("a").await;
    assert_eq!(hand.dies().await.released, 1);
    assert!(other.beat(&[run.claim]).await.alive);
    other.end(&run, succeed()).await;
}

/// There is nothing to rescue of a worker that nobody knows.
pub async fn a_stranger_holds_nothing(storage: StorageHandle) {
    let request = Hand::stranger(&storage).rescue_request(0);
    let rescued = storage.rescue(&request).await.expect("rescue");
    assert_eq!(rescued, Rescued::default());
}
