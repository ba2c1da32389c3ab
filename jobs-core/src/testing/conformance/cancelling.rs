//! [`Storage::cancel_batch`](crate::storage::Storage::cancel_batch).

use super::members::{batch_of, cancel};
use super::stage::{
    Hand, LATER, after, after_batch, at_most, batch_record, becomes, ends, limit, limit_record,
    member, members, record, retry, rules, store_batch, store_one, store_this, succeed, tally,
};
use crate::error::Error;
use crate::job::{BatchId, Condition, Due, State};
use crate::storage::{NewBatch, Refusal, StorageHandle};

/// Cancelled, all that is not final is Deleted, what runs is cancelled, and what waits for the deletion
/// runs once. The answer says how many were deleted.
pub async fn a_cancelled_batch_deletes_what_is_left(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let parent = store_one(&storage, "p").await;
    let mut awaiting = after("a", &[(parent, Condition::Success)]);
    rules(&mut awaiting).batch = Some(id);
    let mut later = member("a", id);
    later.due = Due::In(LATER);
    let waiting = [Condition::Deletion, Condition::Any, Condition::Success]
        .map(|on| after_batch("then", id, on));
    // One that has been let in by a limit, and one that waits for its turn.
    let limited = [(); 2].map(|()| {
        let mut new = member("l", id);
        limit(&mut new, &at_most("l", 1), "", 1);
        new
    });
    let own = [members("a", id, 4), vec![awaiting, later], limited.to_vec()].concat();
    let jobs = [own.clone(), waiting.to_vec()].concat();
    store_batch(&storage, &NewBatch::new(id), &jobs).await;
    let runs = hand.take("a", 3).await;
    hand.end(&runs[0], succeed()).await;
    hand.end(&runs[1], retry(LATER)).await;
    storage.tick().await.expect("tick");
    assert_eq!(cancel(&storage, id).await, 7);
    let found = ends(&storage, id).await;
    assert_eq!(
        (tally(&found), found.outcome()),
        ([8, 0, 1, 0, 7], State::Deleted)
    );
    let used = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((used.used, used.waiting), (0, 0));
    assert!(found.cancelled_at.is_some());
    for new in own.iter().filter(|new| new.id != runs[0].id) {
        let found = record(&storage, new.id).await;
        assert_eq!(found.state, State::Deleted);
        let reason = "its batch was cancelled by ada: a test";
        assert_eq!(found.reason.as_deref(), Some(reason));
        let events = storage.events(new.id).await.expect("events");
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].verb.as_str(), events[0].actor.as_str()),
            ("delete", "ada")
        );
        assert_eq!(events[0].reason.as_deref(), Some("a test"));
        assert_eq!(events[0].to, State::Deleted);
    }
    hand.is_refused(&runs[2], succeed(), Refusal::Superseded)
        .await;
    let gone = storage.revoked(&[(runs[2].id, runs[2].run)]).await;
    assert_eq!(gone.expect("revoked"), [runs[2].id]);
    for job in &waiting[..2] {
        becomes(&storage, job.id, State::Enqueued).await;
    }
    let found = becomes(&storage, waiting[2].id, State::Deleted).await;
    assert_eq!(found.reason, Some(format!("its batch {id} was cancelled")));
    assert_eq!(cancel(&storage, id).await, 0);
    let runs = hand.take("then", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    hand.end(&hand.take_one("p").await, succeed()).await;
    storage.tick().await.expect("tick");
    hand.finds_nothing("*").await;
}

/// A batch that has ended is not cancelled, and one that nobody knows is an error.
pub async fn an_ended_batch_is_not_cancelled(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 1, Condition::Success).await;
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, id).await;
    assert_eq!(cancel(&storage, id).await, 0);
    let found = batch_record(&storage, id).await;
    assert_eq!(
        (found.cancelled_at, found.outcome()),
        (None, State::Succeeded)
    );
    becomes(&storage, callback, State::Enqueued).await;
    let error = storage.cancel_batch(BatchId::new(), "ada", None).await;
    assert!(matches!(error, Err(Error::UnknownBatch(_))), "{error:?}");
}

/// With a batch those in it are cancelled, but for those that have ended; also when it is not complete, and
/// so none can have ended.
pub async fn batches_in_it_are_cancelled_too(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for sealed in [true, false] {
        let [outer, inner, done] = [(); 3].map(|()| BatchId::new());
        let new = NewBatch {
            sealed,
            ..NewBatch::new(outer)
        };
        let callback = after_batch("then", outer, Condition::Deletion);
        let jobs = [members("a", outer, 2), vec![callback.clone()]].concat();
        store_batch(&storage, &new, &jobs).await;
        let within = |id| NewBatch {
            parent: Some(outer),
            ..NewBatch::new(id)
        };
        store_batch(&storage, &within(inner), &members("b", inner, 3)).await;
        store_batch(&storage, &within(done), &members("c", done, 1)).await;
        if sealed {
            hand.end(&hand.take_one("c").await, succeed()).await;
            ends(&storage, done).await;
        }
        let early = u64::from(sealed);
        assert_eq!(cancel(&storage, outer).await, 6 - early);
        let found = ends(&storage, inner).await;
        assert_eq!(
            (tally(&found), found.outcome()),
            ([3, 0, 0, 0, 3], State::Deleted)
        );
        let found = ends(&storage, outer).await;
        assert_eq!(tally(&found), [4, 0, early, 0, 4 - early]);
        let end = ends(&storage, done).await.outcome();
        assert_eq!(end == State::Succeeded, sealed);
        storage.seal_batch(outer).await.expect("it is cancelled");
        hand.finds_nothing("a").await;
        becomes(&storage, callback.id, State::Enqueued).await;
        hand.end(&hand.take_one("then").await, succeed()).await;
    }
}

/// A cancelled batch may be reopened, too.
pub async fn a_cancelled_batch_may_be_reopened(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (id, callback) = batch_of(&storage, 2, Condition::Success).await;
    assert_eq!(cancel(&storage, id).await, 2);
    ends(&storage, id).await;
    becomes(&storage, callback, State::Deleted).await;
    storage.reopen_batch(id).await.expect("reopen_batch");
    let found = batch_record(&storage, id).await;
    assert_eq!((found.finished_at, found.cancelled_at), (None, None));
    store_this(&storage, member("a", id)).await;
    hand.end(&hand.take_one("a").await, succeed()).await;
    let found = ends(&storage, id).await;
    assert_eq!(
        (tally(&found), found.outcome()),
        ([3, 0, 1, 0, 2], State::Succeeded)
    );
}

/// Two who cancel the same batch, while its members end, delete each of the others once.
pub async fn cancelling_and_ending_at_once_agree(storage: StorageHandle) {
    for _ in 0..10 {
        let hand = Hand::hire(&storage).await;
        let (id, callback) = batch_of(&storage, 60, Condition::Any).await;
        let runs = hand.take("a", 30).await;
        let cancels = (0..2).map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move { cancel(&storage, id).await })
        });
        let cancels: Vec<_> = cancels.collect();
        let mut succeeded = 0;
        for some in runs.chunks(5) {
            let refused = hand.report(some, &succeed()).await;
            succeeded += (some.len() - refused.len()) as u64;
        }
        let mut deleted = 0;
        for cancel in cancels {
            deleted += cancel.await.expect("the operator is well");
        }
        let found = ends(&storage, id).await;
        assert_eq!(tally(&found), [60, 0, succeeded, 0, deleted]);
        assert_eq!(found.total, succeeded + deleted);
        becomes(&storage, callback, State::Enqueued).await;
        hand.end(&hand.take_one("then").await, succeed()).await;
        hand.finds_nothing("*").await;
        assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    }
}
