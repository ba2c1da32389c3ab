//! Batches: [`Storage::create_batch`](crate::storage::Storage::create_batch), `seal_batch`, how they end
//! and what follows. What is done to one that is under way is in [`members`](mod@super::members).

use std::time::Duration;

use super::stage::{
    Hand, after, after_batch, batch_record, becomes, close, ends, eventually, fail, ids,
    is_refused, member, members, order, record, retry, rules, state, store, store_batch, store_one,
    succeed, tally,
};
use crate::error::Error;
use crate::job::{BatchId, Condition, NewJob, State};
use crate::storage::{JobFilter, NewBatch, Retention, StorageHandle, Verb};

const CONDITIONS: [Condition; 4] = [
    Condition::Success,
    Condition::Failure,
    Condition::Deletion,
    Condition::Any,
];

pub(super) fn unsealed(id: BatchId) -> NewBatch {
    NewBatch {
        sealed: false,
        ..NewBatch::new(id)
    }
}

/// Members run, each end is counted, and what waits for the batch runs once, after the last.
pub async fn what_waits_for_a_batch_runs_after_the_last(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let new = NewBatch {
        name: Some("größe \"x\"".into()),
        keep_for: Some(Duration::from_secs(60)),
        ..NewBatch::new(id)
    };
    let callback = after_batch("then", id, Condition::Success);
    let jobs = [members("a", id, 5), vec![callback.clone()]].concat();
    store_batch(&storage, &new, &jobs).await;
    let found = batch_record(&storage, id).await;
    assert_eq!((found.id, found.name.as_deref()), (id, Some("größe \"x\"")));
    assert!(close(found.created_at, storage.now()) && found.sealed_at.is_some());
    assert_eq!(
        (found.parent, found.finished_at, found.cancelled_at),
        (None, None, None)
    );
    assert_eq!(tally(&found), [5, 5, 0, 0, 0]);
    for n in 1..=5 {
        assert_eq!(state(&storage, callback.id).await, State::Awaiting);
        let run = hand.take_one("a").await;
        hand.end(&run, retry(Duration::ZERO)).await;
        assert_eq!(
            tally(&batch_record(&storage, id).await),
            [5, 6 - n, n - 1, 0, 0]
        );
        let run = hand.take_one("a").await;
        hand.end(&run, succeed()).await;
        assert_eq!(
            tally(&batch_record(&storage, id).await),
            [5, 5 - n, n, 0, 0]
        );
    }
    let found = ends(&storage, id).await;
    assert!(found.finished_at.is_some_and(|at| close(at, storage.now())));
    becomes(&storage, callback.id, State::Enqueued).await;
    let run = hand.take_one("then").await;
    hand.end(&run, succeed()).await;
    hand.finds_nothing("*").await;
    let unknown = storage.batch(BatchId::new()).await.expect("batch");
    assert!(unknown.is_none());
}

/// Each of those that wait runs, waits on or is Deleted as the batch ends: Deleted when it was
/// cancelled, else Failed when a member is Failed, else Succeeded, though all its members are Deleted.
pub async fn a_batch_ends_as_its_members_do(storage: StorageHandle) {
    use State::{Awaiting, Deleted, Enqueued, Failed, Succeeded};
    let hand = Hand::hire(&storage).await;
    let cases = [
        (
            vec![Succeeded, Succeeded],
            false,
            [Enqueued, Deleted, Deleted, Enqueued],
        ),
        (
            vec![Succeeded, Deleted],
            false,
            [Enqueued, Deleted, Deleted, Enqueued],
        ),
        (vec![Deleted], false, [Enqueued, Deleted, Deleted, Enqueued]),
        (
            vec![Failed, Succeeded, Deleted],
            false,
            [Awaiting, Enqueued, Deleted, Enqueued],
        ),
        (
            vec![Succeeded, Failed],
            true,
            [Deleted, Deleted, Enqueued, Enqueued],
        ),
    ];
    for (members_end, cancelled, wanted) in cases {
        let id = BatchId::new();
        let queue = &id.to_string();
        let mut jobs = members(queue, id, members_end.len());
        jobs.extend(cancelled.then(|| member("rest", id)));
        let waiting = CONDITIONS.map(|on| after_batch("then", id, on));
        jobs.extend(waiting.clone());
        store_batch(&storage, &NewBatch::new(id), &jobs).await;
        for end in members_end {
            let run = hand.take_one(queue).await;
            match end {
                Succeeded => hand.end(&run, succeed()).await,
                Failed => hand.end(&run, fail()).await,
                _ => {
                    order(&storage, Verb::Delete, run.id).await;
                }
            }
        }
        if cancelled {
            let gone = storage.cancel_batch(id, "ada", None).await;
            assert_eq!(gone.expect("cancel_batch"), 1);
        }
        let found = ends(&storage, id).await;
        let late = CONDITIONS.map(|on| after_batch("then", id, on));
        store(&storage, &late).await;
        let how = match found.outcome() {
            Succeeded => "succeeded",
            Failed => "failed",
            _ => "was cancelled",
        };
        for waiting in [waiting, late] {
            for (job, wanted) in waiting.iter().zip(wanted) {
                let job = becomes(&storage, job.id, wanted).await;
                let reason = (wanted == Deleted).then(|| format!("its batch {id} {how}"));
                assert_eq!(job.reason, reason, "{found:?}");
                let awaited = storage.awaited(job.id).await.expect("awaited");
                assert_eq!(awaited.len(), usize::from(wanted == Awaiting));
            }
        }
    }
}

/// A batch without members has succeeded as soon as it is complete.
pub async fn an_empty_batch_ends_at_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let callback = after_batch("then", id, Condition::Success);
    store_batch(
        &storage,
        &NewBatch::new(id),
        std::slice::from_ref(&callback),
    )
    .await;
    assert_eq!(tally(&ends(&storage, id).await), [0; 5]);
    becomes(&storage, callback.id, State::Enqueued).await;
    let id = BatchId::new();
    let late = after_batch("then", id, Condition::Any);
    store_batch(&storage, &unsealed(id), std::slice::from_ref(&late)).await;
    assert_eq!(batch_record(&storage, id).await.finished_at, None);
    assert_eq!(state(&storage, late.id).await, State::Awaiting);
    storage.seal_batch(id).await.expect("seal_batch");
    ends(&storage, id).await;
    becomes(&storage, late.id, State::Enqueued).await;
    hand.take("then", 2).await;
    hand.finds_nothing("*").await;
}

/// A member of a complete batch that waits for another member runs after it.
pub async fn members_may_wait_for_each_other(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let first = member("a", id);
    let mut second = after("a", &[(first.id, Condition::Success)]);
    rules(&mut second).batch = Some(id);
    store_batch(&storage, &unsealed(id), &[second.clone(), first.clone()]).await;
    storage.seal_batch(id).await.expect("seal_batch");
    assert_eq!(state(&storage, second.id).await, State::Awaiting);
    for wanted in [first.id, second.id] {
        becomes(&storage, wanted, State::Enqueued).await;
        let run = hand.take_one("a").await;
        assert_eq!(run.id, wanted);
        hand.end(&run, succeed()).await;
    }
    ends(&storage, id).await;
}

/// A batch in another one counts there as one member, as it ended.
pub async fn batches_may_be_nested(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [outer, middle, inner, failing] = [(); 4].map(|()| BatchId::new());
    let within = |id, parent| NewBatch {
        parent: Some(parent),
        ..NewBatch::new(id)
    };
    let last = after_batch("then", outer, Condition::Any);
    store_batch(&storage, &unsealed(outer), std::slice::from_ref(&last)).await;
    store_batch(&storage, &within(middle, outer), &members("m", middle, 1)).await;
    store_batch(&storage, &within(inner, middle), &members("i", inner, 2)).await;
    store_batch(&storage, &within(failing, outer), &members("f", failing, 1)).await;
    storage.seal_batch(outer).await.expect("seal_batch");
    let found = batch_record(&storage, inner).await;
    assert_eq!(found.parent, Some(middle));
    assert_eq!(tally(&batch_record(&storage, outer).await), [2, 2, 0, 0, 0]);
    assert_eq!(
        tally(&batch_record(&storage, middle).await),
        [2, 2, 0, 0, 0]
    );
    let runs = hand.take("i", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    ends(&storage, inner).await;
    assert_eq!(
        tally(&batch_record(&storage, middle).await),
        [2, 1, 1, 0, 0]
    );
    hand.end(&hand.take_one("f").await, fail()).await;
    assert_eq!(ends(&storage, failing).await.outcome(), State::Failed);
    assert_eq!(tally(&batch_record(&storage, outer).await), [2, 1, 0, 1, 0]);
    assert_eq!(state(&storage, last.id).await, State::Awaiting);
    hand.end(&hand.take_one("m").await, succeed()).await;
    assert_eq!(ends(&storage, middle).await.outcome(), State::Succeeded);
    let found = ends(&storage, outer).await;
    assert_eq!(tally(&found), [2, 0, 1, 1, 0]);
    assert_eq!(found.outcome(), State::Failed);
    becomes(&storage, last.id, State::Enqueued).await;
    hand.take_one("then").await;
}

/// The members of a batch can be listed, by state too, those of batches in it not.
pub async fn members_are_listed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [outer, inner] = [(); 2].map(|()| BatchId::new());
    let own = members("a", outer, 3);
    store_batch(&storage, &NewBatch::new(outer), &own).await;
    let new = NewBatch {
        parent: Some(outer),
        ..NewBatch::new(inner)
    };
    store_batch(&storage, &new, &members("b", inner, 2)).await;
    store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    hand.end(&run, succeed()).await;
    let listed = async |state, limit, before| {
        let filter = JobFilter {
            state,
            batch: Some(outer),
            limit,
            before,
            ..JobFilter::default()
        };
        let page = storage.jobs(&filter).await.expect("jobs");
        (
            page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
            page.next,
        )
    };
    let mut wanted = ids(&own);
    wanted.reverse();
    assert_eq!(listed(None, 0, None).await, (wanted.clone(), None));
    let (first, next) = listed(None, 2, None).await;
    assert_eq!((first, next.is_some()), (wanted[..2].to_vec(), true));
    assert_eq!(listed(None, 2, next).await.0, wanted[2..]);
    let done = listed(Some(State::Succeeded), 0, None).await.0;
    assert_eq!(done, [run.id]);
    assert_eq!(record(&storage, run.id).await.rules, own[0].rules);
}

/// A batch goes when its time is up; before one that is Failed is removed, those that still wait for it
/// are Deleted.
pub async fn an_ended_batch_goes_when_its_time_is_up(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [short, running] = [(); 2].map(|()| BatchId::new());
    let new = NewBatch {
        keep_for: Some(Duration::ZERO),
        ..NewBatch::new(short)
    };
    let waiting: NewJob = after_batch("then", short, Condition::Success);
    let jobs = [member("a", short), waiting.clone()];
    store_batch(&storage, &new, &jobs).await;
    let other = NewBatch {
        id: running,
        ..new.clone()
    };
    store_batch(&storage, &other, &members("b", running, 1)).await;
    hand.end(&hand.take_one("a").await, fail()).await;
    ends(&storage, short).await;
    assert_eq!(state(&storage, waiting.id).await, State::Awaiting);
    eventually("the batch is removed", async || {
        storage.retain(&Retention::default()).await.expect("retain");
        let found = storage.batch(short).await.expect("batch");
        found.is_none().then_some(())
    })
    .await;
    let found = becomes(&storage, waiting.id, State::Deleted).await;
    let reason = format!("its batch {short} failed and was removed");
    assert_eq!(found.reason, Some(reason));
    assert_eq!(batch_record(&storage, running).await.finished_at, None);
    let error = is_refused(&storage, &[member("a", short)]).await;
    assert!(matches!(error, Error::UnknownBatch(id) if id == short));
}
