//! How batches come to be: at once or piece by piece, whole or not at all.

use std::time::Duration;

use super::batch::unsealed;
use super::stage::{
    Hand, after, after_batch, at_once, batch_record, becomes, ends, is_refused, member, members,
    order, rules, state, store, store_batch, store_one, store_this, succeed, tally,
};
use super::unique::unique;
use crate::error::Error;
use crate::job::{BatchId, Condition, JobId, OnConflict, State, UniqueUntil};
use crate::storage::{Answer, NewBatch, StorageHandle, Verb};

/// As long as a batch is not complete its members wait, whatever else; then all run.
pub async fn members_wait_until_the_batch_is_complete(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let parent = store_one(&storage, "p").await;
    let mut child = after("a", &[(parent, Condition::Success)]);
    rules(&mut child).batch = Some(id);
    store_batch(&storage, &unsealed(id), &members("a", id, 3)).await;
    store(&storage, &members("a", id, 3)).await;
    store(&storage, &[child.clone(), member("a", id)]).await;
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    storage.tick().await.expect("tick");
    hand.finds_nothing("a").await;
    let found = batch_record(&storage, id).await;
    assert_eq!((found.sealed_at, found.finished_at), (None, None));
    assert_eq!(tally(&found), [8, 8, 0, 0, 0]);
    assert_eq!(storage.counts().await.expect("counts").awaiting, 8);
    let answer = order(&storage, Verb::RunNow, child.id).await;
    assert_eq!(answer, Answer::WrongState(State::Awaiting));
    let answer = order(&storage, Verb::Delete, child.id).await;
    assert!(matches!(answer, Answer::Done { .. }));
    for _ in 0..2 {
        storage.seal_batch(id).await.expect("seal_batch");
        assert_eq!(storage.counts().await.expect("counts").enqueued, 7);
    }
    let runs = hand.take("a", 7).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    let found = ends(&storage, id).await;
    assert_eq!(tally(&found), [8, 0, 7, 0, 1]);
    let unknown = BatchId::new();
    let error = storage
        .seal_batch(unknown)
        .await
        .expect_err("nobody knows it");
    assert!(matches!(error, Error::UnknownBatch(id) if id == unknown));
}

/// A batch may be large, stored piece by piece by many at once, and complete in one step.
pub async fn a_batch_may_be_large(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let callback = after_batch("then", id, Condition::Success);
    store_batch(&storage, &unsealed(id), std::slice::from_ref(&callback)).await;
    let pieces = (0..10).map(|_| {
        let storage = storage.clone();
        async move { store(&storage, &members("a", id, 1_000)).await }
    });
    at_once(pieces).await;
    assert_eq!(tally(&batch_record(&storage, id).await)[0], 10_000);
    hand.finds_nothing("*").await;
    storage.seal_batch(id).await.expect("seal_batch");
    assert_eq!(storage.counts().await.expect("counts").enqueued, 10_000);
    let mut left = 10_000;
    while left > 0 {
        let runs = hand.take("a", 1_000).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        left -= runs.len();
    }
    assert_eq!(tally(&ends(&storage, id).await), [10_000, 0, 10_000, 0, 0]);
    becomes(&storage, callback.id, State::Enqueued).await;
}

/// If a job of it is refused, nothing of the batch is there.
pub async fn a_batch_is_created_whole_or_not_at_all(storage: StorageHandle) {
    let id = BatchId::new();
    let wrong = after("a", &[(JobId::new(), Condition::Success)]);
    let jobs = [members("a", id, 3), vec![wrong]].concat();
    let error = storage.create_batch(&NewBatch::new(id), &jobs).await;
    assert!(matches!(error, Err(Error::UnknownJob(_))), "{error:?}");
    assert!(storage.batch(id).await.expect("batch").is_none());
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    for wait in [0, 300, 1_500, 6_000] {
        let id = BatchId::new();
        let queue = id.to_string();
        let (new, jobs) = (NewBatch::new(id), members(&queue, id, 1_000));
        let create = storage.create_batch(&new, &jobs);
        drop(tokio::time::timeout(Duration::from_micros(wait), create).await);
        let again = storage.create_batch(&new, &jobs).await;
        let again = again.expect("create_batch");
        let existing = again.iter().filter(|one| one.existing).count();
        assert!(existing == 0 || existing == 1_000, "{existing} of 1,000");
        assert_eq!(
            tally(&batch_record(&storage, id).await),
            [1_000, 1_000, 0, 0, 0]
        );
    }
}

/// A batch that is sent many times is stored once, also when it has ended by then.
pub async fn a_repeated_batch_is_stored_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = BatchId::new();
    let around = BatchId::new();
    store_batch(&storage, &NewBatch::new(around), &[member("b", around)]).await;
    let mut new = NewBatch::new(id);
    new.parent = Some(around);
    let callback = after_batch("then", id, Condition::Success);
    let jobs = [members("a", id, 20), vec![callback]].concat();
    let create = |_| {
        let (storage, new, jobs) = (storage.clone(), new.clone(), jobs.clone());
        async move {
            let answers = storage.create_batch(&new, &jobs).await;
            let answers = answers.expect("create_batch");
            answers.iter().filter(|one| !one.existing).count()
        }
    };
    let stored: usize = at_once((0..6).map(create)).await.into_iter().sum();
    assert_eq!(stored, 21);
    assert_eq!(tally(&batch_record(&storage, id).await), [20, 20, 0, 0, 0]);
    assert_eq!(
        tally(&batch_record(&storage, around).await),
        [2, 2, 0, 0, 0]
    );
    let runs = hand.take("a", 20).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    ends(&storage, id).await;
    let again = storage.create_batch(&new, &jobs).await;
    assert!(again.expect("create_batch").iter().all(|one| one.existing));
    assert_eq!(tally(&ends(&storage, id).await), [20, 0, 20, 0, 0]);
    assert_eq!(
        tally(&batch_record(&storage, around).await),
        [2, 1, 1, 0, 0]
    );
    hand.take_one("then").await;
    hand.finds_nothing("then").await;
}

/// A job that waits for a batch that it is in, however deep, and a batch in itself, are refused.
pub async fn what_waits_for_its_own_batch_is_refused(storage: StorageHandle) {
    let [outer, inner] = [(); 2].map(|()| BatchId::new());
    store_batch(&storage, &NewBatch::new(outer), &members("a", outer, 1)).await;
    let new = NewBatch {
        parent: Some(outer),
        ..NewBatch::new(inner)
    };
    let waits = |of, batch| {
        let mut new = after_batch("a", of, Condition::Any);
        rules(&mut new).batch = Some(batch);
        new
    };
    let wrong = storage.create_batch(&new, &[waits(inner, inner)]).await;
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    let wrong = storage.create_batch(&new, &[waits(outer, inner)]).await;
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    assert!(storage.batch(inner).await.expect("batch").is_none());
    assert_eq!(tally(&batch_record(&storage, outer).await), [1, 1, 0, 0, 0]);
    store_batch(&storage, &new, &members("a", inner, 1)).await;
    for (of, batch) in [(inner, inner), (outer, inner), (outer, outer)] {
        let error = is_refused(&storage, &[member("a", inner), waits(of, batch)]).await;
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
    // The other way round is no circle.
    store_this(&storage, waits(inner, outer)).await;
    let own = BatchId::new();
    let new = NewBatch {
        parent: Some(own),
        ..NewBatch::new(own)
    };
    let wrong = storage.create_batch(&new, &[]).await;
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    let unknown = BatchId::new();
    let new = NewBatch {
        parent: Some(unknown),
        ..NewBatch::new(own)
    };
    let wrong = storage.create_batch(&new, &members("a", own, 1)).await;
    assert!(
        matches!(wrong, Err(Error::UnknownBatch(id)) if id == unknown),
        "{wrong:?}"
    );
    assert!(storage.batch(own).await.expect("batch").is_none());
}

/// A job that is not stored, because another holds its key, is no member.
pub async fn who_is_not_stored_is_no_member(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let key = || unique("a", "k", UniqueUntil::Done, OnConflict::Skip);
    let holder = store_this(&storage, key()).await;
    let id = BatchId::new();
    let in_batch = || {
        let mut new = key();
        rules(&mut new).batch = Some(id);
        new
    };
    let jobs = [in_batch(), member("b", id), in_batch()];
    let answers = storage.create_batch(&NewBatch::new(id), &jobs).await;
    let answers = answers.expect("create_batch");
    assert_eq!((answers[0].id, answers[2].id), (holder, holder));
    assert_eq!(tally(&batch_record(&storage, id).await), [1, 1, 0, 0, 0]);
    hand.end(&hand.take_one("b").await, succeed()).await;
    ends(&storage, id).await;
    assert_eq!(state(&storage, holder).await, State::Enqueued);
}
