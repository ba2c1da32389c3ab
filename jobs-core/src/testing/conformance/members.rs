//! What is done to batches that are under way: members are added, run again, cancelled; by many at once.

use std::time::Duration;

use super::stage::{
    Hand, after, after_batch, at_once, batch_record, becomes, ends, eventually, fail, is_refused,
    job, member, members, order, retry, rules, state, store, store_batch, store_one, store_this,
    succeed, tally,
};
use crate::error::Error;
use crate::job::{BatchId, Condition, JobId, NewJob, State};
use crate::storage::{Answer, NewBatch, Refusal, StorageHandle, Verb};

/// A batch that is complete, with so many members in queue `a`, and a job in `then` that waits for it.
pub(super) async fn batch_of(storage: &StorageHandle, n: usize, on: Condition) -> (BatchId, JobId) {
    let id = BatchId::new();
    let callback = after_batch("then", id, on);
    let jobs = [members("a", id, n), vec![callback.clone()]].concat();
    store_batch(storage, &NewBatch::new(id), &jobs).await;
    (id, callback.id)
}

pub(super) async fn cancel(storage: &StorageHandle, id: BatchId) -> u64 {
    let gone = storage.cancel_batch(id, "ada", Some("a test")).await;
    gone.expect("cancel_batch")
}

/// Members may be added to a batch that runs, and it ends after them too.
pub async fn members_may_be_added_while_it_runs(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 1, Condition::Success).await;
    let run = hand.take_one("a").await;
    let added = store_this(&storage, member("b", id)).await;
    assert_eq!(state(&storage, added).await, State::Enqueued);
    hand.end(&run, succeed()).await;
    let found = batch_record(&storage, id).await;
    assert_eq!((tally(&found), found.finished_at), ([2, 1, 1, 0, 0], None));
    assert_eq!(state(&storage, callback).await, State::Awaiting);
    hand.end(&hand.take_one("b").await, succeed()).await;
    assert_eq!(tally(&ends(&storage, id).await), [2, 0, 2, 0, 0]);
    becomes(&storage, callback, State::Enqueued).await;
    hand.take_one("then").await;
}

/// To a batch that has ended, or is cancelled, or that nobody knows, nothing can be added.
pub async fn nothing_is_added_to_an_ended_batch(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (ended, _) = batch_of(&storage, 1, Condition::Any).await;
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, ended).await;
    let (cancelled, _) = batch_of(&storage, 1, Condition::Any).await;
    cancel(&storage, cancelled).await;
    for closed in [ended, cancelled] {
        let error = is_refused(&storage, &[job("a"), member("a", closed)]).await;
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        let inner = BatchId::new();
        let new = NewBatch {
            parent: Some(closed),
            ..NewBatch::new(inner)
        };
        let answer = storage.create_batch(&new, &members("a", inner, 1)).await;
        assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
        assert!(storage.batch(inner).await.expect("batch").is_none());
    }
    let unknown = BatchId::new();
    let error = is_refused(&storage, &[job("a"), member("a", unknown)]).await;
    assert!(matches!(error, Error::UnknownBatch(id) if id == unknown));
    hand.finds_nothing("a").await;
}

/// A member whose insert is sent again is counted once, also when the batch has ended.
pub async fn a_repeated_member_is_counted_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 0, Condition::Deletion).await;
    becomes(&storage, callback, State::Deleted).await;
    storage.reopen_batch(id).await.expect("reopen_batch");
    let new = member("a", id);
    let insert = |_| {
        let (storage, new) = (storage.clone(), new.clone());
        async move { storage.insert(&[new]).await.expect("insert")[0].existing }
    };
    let answers = at_once((0..5).map(insert)).await;
    assert_eq!(answers.iter().filter(|existing| !**existing).count(), 1);
    assert_eq!(tally(&batch_record(&storage, id).await), [1, 1, 0, 0, 0]);
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, id).await;
    assert!(storage.insert(&[new]).await.expect("insert")[0].existing);
    assert_eq!(tally(&batch_record(&storage, id).await), [1, 0, 1, 0, 0]);
}

/// A batch that has ended takes members again when it is reopened, and ends once more; who has run by its
/// first end is not run again.
pub async fn a_reopened_batch_takes_members_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 1, Condition::Any).await;
    storage.reopen_batch(id).await.expect("it is open");
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, id).await;
    becomes(&storage, callback, State::Enqueued).await;
    hand.end(&hand.take_one("then").await, succeed()).await;
    storage.reopen_batch(id).await.expect("reopen_batch");
    assert_eq!(batch_record(&storage, id).await.finished_at, None);
    let second = store_this(&storage, after_batch("then", id, Condition::Success)).await;
    store(&storage, &members("a", id, 2)).await;
    let runs = hand.take("a", 2).await;
    hand.end(&runs[0], succeed()).await;
    storage.tick().await.expect("tick");
    assert_eq!(state(&storage, second).await, State::Awaiting);
    hand.end(&runs[1], succeed()).await;
    assert_eq!(tally(&ends(&storage, id).await), [3, 0, 3, 0, 0]);
    becomes(&storage, second, State::Enqueued).await;
    assert_eq!(hand.take_one("then").await.id, second);
    hand.finds_nothing("*").await;
    let unknown = BatchId::new();
    let error = storage
        .reopen_batch(unknown)
        .await
        .expect_err("nobody knows it");
    assert!(matches!(error, Error::UnknownBatch(id) if id == unknown));
}

/// Waits until a batch tells these counts: of one around another they may follow a moment later.
async fn tells(storage: &StorageHandle, id: BatchId, counts: [u64; 5]) {
    eventually("its counts have followed", async || {
        (tally(&batch_record(storage, id).await) == counts).then_some(())
    })
    .await;
}

/// When a member of an ended batch is requeued the batch is open until it is final again, and counts it
/// as it ends then; what waited for a success runs when there is one.
pub async fn a_requeued_member_opens_the_batch(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let around = BatchId::new();
    store_batch(
        &storage,
        &NewBatch::new(around),
        &members("other", around, 1),
    )
    .await;
    let id = BatchId::new();
    let new = NewBatch {
        parent: Some(around),
        ..NewBatch::new(id)
    };
    let on = [Condition::Success, Condition::Failure, Condition::Any];
    let waiting = on.map(|on| after_batch("then", id, on));
    let jobs = [members("a", id, 2), waiting.to_vec()].concat();
    store_batch(&storage, &new, &jobs).await;
    let runs = hand.take("a", 2).await;
    hand.end(&runs[0], succeed()).await;
    hand.end(&runs[1], fail()).await;
    assert_eq!(tally(&ends(&storage, id).await), [2, 0, 1, 1, 0]);
    tells(&storage, around, [2, 1, 0, 1, 0]).await;
    let failed = runs[1].id;
    for n in 0..2 {
        order(&storage, Verb::Requeue, failed).await;
        let found = batch_record(&storage, id).await;
        assert_eq!((tally(&found), found.finished_at), ([2, 1, 1, 0, 0], None));
        tells(&storage, around, [2, 2, 0, 0, 0]).await;
        let run = hand.take_one("a").await;
        assert_eq!(run.id, failed);
        hand.end(&run, if n == 0 { fail() } else { succeed() })
            .await;
        ends(&storage, id).await;
    }
    assert_eq!(tally(&ends(&storage, id).await), [2, 0, 2, 0, 0]);
    tells(&storage, around, [2, 1, 1, 0, 0]).await;
    for job in &waiting {
        becomes(&storage, job.id, State::Enqueued).await;
    }
    let runs = hand.take("then", 3).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    order(&storage, Verb::Requeue, failed).await;
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, id).await;
    hand.finds_nothing("then").await;
}

/// Whatever door a member ends by, it is counted: an operator, a death, a parent.
pub async fn every_end_of_a_member_counts(storage: StorageHandle) {
    let id = BatchId::new();
    let parent = store_one(&storage, "p").await;
    let mut orphan = after("o", &[(parent, Condition::Success)]);
    rules(&mut orphan).batch = Some(id);
    let jobs = [vec![orphan, member("deleted", id)], members("a", id, 1)].concat();
    store_batch(&storage, &NewBatch::new(id), &jobs).await;
    order(&storage, Verb::Delete, jobs[1].id).await;
    assert_eq!(tally(&batch_record(&storage, id).await), [3, 2, 0, 0, 1]);
    order(&storage, Verb::Delete, parent).await;
    becomes(&storage, jobs[0].id, State::Deleted).await;
    assert_eq!(tally(&batch_record(&storage, id).await), [3, 1, 0, 0, 2]);
    for _ in 0..3 {
        let hand = Hand::hire(&storage).await;
        let run = hand.take_one("a").await;
        let noted = storage.suspect(hand.id, Some(run.id)).await;
        noted.expect("suspect");
        assert_eq!(batch_record(&storage, id).await.finished_at, None);
        hand.dies().await;
    }
    let found = ends(&storage, id).await;
    assert_eq!(
        (tally(&found), found.outcome()),
        ([3, 0, 0, 1, 2], State::Failed)
    );
    let mut stillborn = after("o", &[(parent, Condition::Success)]);
    let late = BatchId::new();
    rules(&mut stillborn).batch = Some(late);
    store_batch(&storage, &NewBatch::new(late), &[stillborn]).await;
    assert_eq!(tally(&ends(&storage, late).await), [1, 0, 0, 0, 1]);
}

/// A member that is stored at the moment when the last one ends is either refused, or the batch ends
/// after it.
pub async fn adding_and_ending_at_once_agree(storage: StorageHandle) {
    for _ in 0..40 {
        let hand = Hand::hire(&storage).await;
        let (id, callback) = batch_of(&storage, 1, Condition::Any).await;
        let run = hand.take_one("a").await;
        let add = |_| {
            let storage = storage.clone();
            tokio::spawn(async move {
                match storage.insert(&[member("late", id)]).await {
                    Ok(_) => 1,
                    Err(Error::Invalid(_)) => 0,
                    Err(other) => panic!("{other:?}"),
                }
            })
        };
        let adds: Vec<_> = (0..3).map(add).collect();
        hand.end(&run, succeed()).await;
        let mut added = 0;
        for add in adds {
            added += add.await.expect("the client is well");
        }
        if added > 0 {
            assert_eq!(state(&storage, callback).await, State::Awaiting);
            assert_eq!(batch_record(&storage, id).await.finished_at, None);
            let runs = hand.take("late", added).await;
            assert_eq!(hand.report(&runs, &succeed()).await, []);
        }
        let found = ends(&storage, id).await;
        assert_eq!(tally(&found), [1 + added as u64, 0, 1 + added as u64, 0, 0]);
        becomes(&storage, callback, State::Enqueued).await;
        hand.end(&hand.take_one("then").await, succeed()).await;
        hand.finds_nothing("*").await;
    }
}

/// Four workers, members that add members, fail, are retried, lost and sent twice: each is counted once,
/// and what waits for the batch runs once, after the last.
pub async fn a_batch_is_exact_under_many_hands(storage: StorageHandle) {
    let (id, callback) = batch_of(&storage, 200, Condition::Failure).await;
    let work = |seed| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut luck = fastrand::Rng::with_seed(seed);
            let mut hand = Hand::hire(&storage).await;
            let (mut added, mut failed, mut idle) = (0, 0, 0);
            while idle < 10 {
                let runs = hand.ask(&[("a", 8)], 8).await;
                idle = if runs.is_empty() { idle + 1 } else { 0 };
                if luck.u8(..20) == 0 {
                    hand.dies().await;
                    hand = Hand::hire(&storage).await;
                    continue;
                }
                let mut ends = Vec::new();
                for run in &runs {
                    if luck.u8(..5) == 0 {
                        store_this(&storage, member("a", id)).await;
                        added += 1;
                    }
                    let fails = luck.u8(..10) == 0;
                    failed += u64::from(fails);
                    ends.push(run.ended(match luck.u8(..4) {
                        _ if fails => fail(),
                        0 => retry(Duration::ZERO),
                        _ => succeed(),
                    }));
                }
                assert_eq!(hand.send(ends.clone(), Vec::new()).await, []);
                let again = hand.send(ends, super::stage::claims(&runs)).await;
                // What was retried may have been run by another since.
                let known = |why| matches!(why, Refusal::AlreadySettled | Refusal::Superseded);
                assert!(again.len() == runs.len() && again.iter().all(|no| known(no.why)));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (added, failed)
        })
    };
    let (mut added, mut failed) = (0, 0);
    for one in (0..4).map(work).collect::<Vec<_>>() {
        let (more, bad) = one
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        added += more;
        failed += bad;
    }
    let hand = Hand::hire(&storage).await;
    eventually("all members are final", async || {
        let runs = hand.ask(&[("a", 50)], 50).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        let found = batch_record(&storage, id).await;
        found.finished_at.is_some().then_some(())
    })
    .await;
    let found = ends(&storage, id).await;
    let total = 200 + added;
    let lost = found.failed - failed;
    assert!(lost < 20, "few are Failed because their workers died");
    let wanted = [total, 0, total - found.failed, found.failed, 0];
    assert_eq!(tally(&found), wanted);
    assert_eq!(storage.counts().await.expect("counts").failed, found.failed);
    becomes(
        &storage,
        callback,
        if found.failed > 0 {
            State::Enqueued
        } else {
            State::Deleted
        },
    )
    .await;
}

/// An operator's deletion of a member that is requeued later counts once each way.
pub async fn deleting_and_requeueing_a_member_balances(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 2, Condition::Success).await;
    let run = hand.take_one("a").await;
    let one: NewJob = member("b", id);
    store(&storage, std::slice::from_ref(&one)).await;
    for _ in 0..3 {
        let answer = order(&storage, Verb::Delete, one.id).await;
        assert!(matches!(answer, Answer::Done { .. }));
        assert_eq!(tally(&batch_record(&storage, id).await), [3, 2, 0, 0, 1]);
        order(&storage, Verb::Requeue, one.id).await;
        assert_eq!(tally(&batch_record(&storage, id).await), [3, 3, 0, 0, 0]);
    }
    hand.end(&run, succeed()).await;
    let runs = [hand.take_one("a").await, hand.take_one("b").await];
    for run in &runs {
        hand.end(run, succeed()).await;
    }
    assert_eq!(tally(&ends(&storage, id).await), [3, 0, 3, 0, 0]);
    becomes(&storage, callback, State::Enqueued).await;
}

/// A Failed member that is Deleted counts as Deleted instead, and the batch, and the one around it, end
/// anew: what waited for a success runs.
pub async fn a_failed_member_may_be_deleted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let around = BatchId::new();
    let last = after_batch("last", around, Condition::Success);
    store_batch(
        &storage,
        &NewBatch::new(around),
        &[last.clone(), member("other", around)],
    )
    .await;
    let id = BatchId::new();
    let new = NewBatch {
        parent: Some(around),
        ..NewBatch::new(id)
    };
    let waiting = [Condition::Success, Condition::Any].map(|on| after_batch("then", id, on));
    let jobs = [members("a", id, 2), waiting.to_vec()].concat();
    store_batch(&storage, &new, &jobs).await;
    hand.end(&hand.take_one("other").await, succeed()).await;
    let runs = hand.take("a", 2).await;
    hand.end(&runs[0], succeed()).await;
    hand.end(&runs[1], fail()).await;
    assert_eq!(tally(&ends(&storage, around).await), [2, 0, 1, 1, 0]);
    assert_eq!(state(&storage, waiting[0].id).await, State::Awaiting);
    becomes(&storage, waiting[1].id, State::Enqueued).await;
    hand.end(&hand.take_one("then").await, succeed()).await;
    order(&storage, Verb::Delete, runs[1].id).await;
    assert_eq!(tally(&ends(&storage, id).await), [2, 0, 1, 0, 1]);
    becomes(&storage, waiting[0].id, State::Enqueued).await;
    assert_eq!(tally(&ends(&storage, around).await), [2, 0, 2, 0, 0]);
    becomes(&storage, last.id, State::Enqueued).await;
    hand.take_one("then").await;
    hand.finds_nothing("then").await;
}
