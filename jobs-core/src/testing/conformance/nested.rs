//! Batches in batches that are not complete: whole or not at all means all of them.

use std::time::Duration;

use super::batch::unsealed;
use super::stage::{
    Hand, after_batch, at_once, batch_record, becomes, ends, is_refused, member, members, order,
    record, state, store, store_batch, store_this, succeed, tally,
};
use crate::error::Error;
use crate::job::{BatchId, Condition, State};
use crate::storage::{Answer, NewBatch, Retention, StorageHandle, Verb};

fn within(id: BatchId, parent: BatchId, sealed: bool) -> NewBatch {
    NewBatch {
        parent: Some(parent),
        sealed,
        ..NewBatch::new(id)
    }
}

/// As long as the outermost batch is not complete nothing in it is, whatever is said of it or done to it, and
/// nobody runs; to complete that one completes all.
pub async fn all_are_complete_with_the_outermost(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let all = [(); 4].map(|()| BatchId::new());
    let [outer, middle, inner, empty] = all;
    store_batch(&storage, &unsealed(outer), &members("a", outer, 2)).await;
    let last = after_batch("then", middle, Condition::Success);
    let jobs = [members("b", middle, 2), vec![last.clone()]].concat();
    store_batch(&storage, &within(middle, outer, true), &jobs).await;
    store_batch(&storage, &within(inner, middle, false), &[]).await;
    store(&storage, &members("c", inner, 3)).await;
    let early = after_batch("then", empty, Condition::Any);
    let none = within(empty, middle, true);
    store_batch(&storage, &none, std::slice::from_ref(&early)).await;
    let one = store_this(&storage, member("c", inner)).await;

    for id in [inner, empty, middle] {
        storage.seal_batch(id).await.expect("seal_batch");
    }
    let answer = order(&storage, Verb::RunNow, one).await;
    assert_eq!(answer, Answer::WrongState(State::Awaiting));
    storage.tick().await.expect("tick");
    hand.finds_nothing("*").await;
    for id in all {
        let found = batch_record(&storage, id).await;
        assert_eq!((found.sealed_at, found.finished_at), (None, None), "{id}");
    }
    assert_eq!(state(&storage, early.id).await, State::Awaiting);
    assert_eq!(storage.counts().await.expect("counts").awaiting, 10);

    storage.seal_batch(outer).await.expect("seal_batch");
    assert_eq!(tally(&ends(&storage, empty).await), [0; 5]);
    becomes(&storage, early.id, State::Enqueued).await;
    assert_eq!(storage.counts().await.expect("counts").enqueued, 9);
    for id in all {
        assert!(batch_record(&storage, id).await.sealed_at.is_some());
    }
    for (queue, n) in [("a", 2), ("c", 4), ("b", 2)] {
        let runs = hand.take(queue, n).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
    }
    assert_eq!(tally(&ends(&storage, outer).await), [3, 0, 3, 0, 0]);
    assert_eq!(tally(&ends(&storage, middle).await), [4, 0, 4, 0, 0]);
    becomes(&storage, last.id, State::Enqueued).await;
    hand.take("then", 2).await;
    hand.finds_nothing("*").await;
}

/// One in a complete batch is completed by itself, with those in it.
pub async fn one_in_a_complete_batch_is_completed_by_itself(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [outer, middle, inner] = [(); 3].map(|()| BatchId::new());
    store_batch(&storage, &NewBatch::new(outer), &members("a", outer, 1)).await;
    store_batch(&storage, &within(middle, outer, false), &[]).await;
    let three = members("c", inner, 3);
    store_batch(&storage, &within(inner, middle, true), &three).await;
    hand.end(&hand.take_one("a").await, succeed()).await;
    storage.seal_batch(inner).await.expect("seal_batch");
    hand.finds_nothing("*").await;
    storage.seal_batch(middle).await.expect("seal_batch");
    let runs = hand.take("c", 3).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    assert_eq!(tally(&ends(&storage, outer).await), [2, 0, 2, 0, 0]);
}

/// One that is cancelled, and opened again, is complete no earlier than the one around it.
pub async fn one_that_is_reopened_waits_for_the_outermost(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [outer, inner] = [(); 2].map(|()| BatchId::new());
    store_batch(&storage, &unsealed(outer), &[]).await;
    let two = members("a", inner, 2);
    store_batch(&storage, &within(inner, outer, true), &two).await;
    let gone = storage.cancel_batch(inner, "ada", None).await;
    assert_eq!(gone.expect("cancel_batch"), 2);
    assert_eq!(ends(&storage, inner).await.outcome(), State::Deleted);
    assert_eq!(tally(&batch_record(&storage, outer).await), [1, 0, 0, 0, 1]);
    let error = is_refused(&storage, &[member("a", inner)]).await;
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    storage.reopen_batch(inner).await.expect("reopen_batch");
    let late = store_this(&storage, member("a", inner)).await;
    order(&storage, Verb::Requeue, two[0].id).await;
    assert_eq!(record(&storage, late).await.state, State::Awaiting);
    hand.finds_nothing("*").await;
    storage.seal_batch(outer).await.expect("seal_batch");
    let runs = hand.take("a", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    assert_eq!(tally(&ends(&storage, outer).await), [1, 0, 1, 0, 0]);
}

/// A batch that was cancelled and reopened is completed with the one around it, also if one in it has been
/// removed meanwhile.
pub async fn one_of_which_a_part_is_gone_is_completed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [outer, middle, inner] = [(); 3].map(|()| BatchId::new());
    store_batch(&storage, &unsealed(outer), &[]).await;
    store_batch(&storage, &within(middle, outer, true), &[]).await;
    let short = NewBatch {
        keep_for: Some(Duration::ZERO),
        ..within(inner, middle, true)
    };
    store_batch(&storage, &short, &[]).await;
    let gone = storage.cancel_batch(middle, "ada", None).await;
    assert_eq!(gone.expect("cancel_batch"), 0);
    ends(&storage, middle).await;
    super::stage::eventually("the inner batch is removed", async || {
        storage.retain(&Retention::default()).await.expect("retain");
        let found = storage.batch(inner).await.expect("batch");
        found.is_none().then_some(())
    })
    .await;
    storage.reopen_batch(middle).await.expect("reopen_batch");
    store(&storage, &members("a", middle, 1)).await;
    storage.seal_batch(outer).await.expect("seal_batch");
    hand.end(&hand.take_one("a").await, succeed()).await;
    assert_eq!(tally(&ends(&storage, outer).await), [1, 0, 1, 0, 0]);
}

/// What is put into a batch by many hands while it is completed runs: none stays behind, and none is
/// counted twice.
pub async fn completing_and_adding_at_once_agree(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for _ in 0..15 {
        let [outer, middle] = [(); 2].map(|()| BatchId::new());
        store_batch(&storage, &unsealed(outer), &members("a", outer, 1)).await;
        store_batch(&storage, &within(middle, outer, true), &[]).await;
        let hands = (0..4).map(|n| {
            let storage = storage.clone();
            async move {
                let pause = Duration::from_micros(fastrand::u64(..3_000));
                tokio::time::sleep(pause).await;
                if n == 0 {
                    return storage.seal_batch(outer).await.expect("seal_batch");
                }
                let inner = BatchId::new();
                let around = if n == 1 { outer } else { middle };
                let new = within(inner, around, n < 3);
                let stored = storage.create_batch(&new, &members("a", inner, 2)).await;
                match stored {
                    Ok(_) => {
                        store(&storage, &members("a", inner, 2)).await;
                        storage.seal_batch(inner).await.expect("seal_batch");
                    }
                    // The one around it is complete, and had no other member: it has ended.
                    Err(Error::Invalid(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        at_once(hands).await;
        let runs = async || hand.ask(&[("a", 20)], 20).await;
        super::stage::eventually("all have run", async || {
            assert_eq!(hand.report(&runs().await, &succeed()).await, []);
            storage.tick().await.expect("tick");
            let counts = storage.counts().await.expect("counts");
            (counts.unfinished() == 0).then_some(())
        })
        .await;
        let found = ends(&storage, outer).await;
        assert_eq!(found.total, found.succeeded);
        ends(&storage, middle).await;
    }
}
