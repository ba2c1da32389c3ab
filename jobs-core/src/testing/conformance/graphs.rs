//! [Parents](crate::job::Rules::parents) and children that are stored together, or again, or not at all.

use std::time::Duration;

use super::parents::end_it;
use super::stage::{
    Hand, LATER, after, becomes, eventually, is_refused, job, order, rules, state, store,
    store_one, succeed,
};
use crate::error::Error;
use crate::job::{BatchId, Condition, Input, JobId, Parent, ParentId, State};
use crate::storage::{Retention, StorageHandle, Verb};

/// A parent that nobody knows is refused, and nothing of the request is stored.
pub async fn an_unknown_parent_is_refused(storage: StorageHandle) {
    let unknown = JobId::new();
    let batch = [
        job("a"),
        after("a", &[(unknown, Condition::Success)]),
        job("a"),
    ];
    let error = is_refused(&storage, &batch).await;
    assert!(
        matches!(error, Error::UnknownJob(id) if id == unknown),
        "{error:?}"
    );
    let unknown = BatchId::new();
    let mut new = job("a");
    rules(&mut new).parents = vec![Parent {
        of: ParentId::Batch(unknown),
        on: Condition::Any,
    }];
    let error = is_refused(&storage, &[job("a"), new]).await;
    assert!(
        matches!(error, Error::UnknownBatch(id) if id == unknown),
        "{error:?}"
    );
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// Parents may be in the request, before or after their children.
pub async fn parents_may_be_in_the_request(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = job("p");
    let early = after("c", &[(parent.id, Condition::Success)]);
    let late = after(
        "c",
        &[(early.id, Condition::Any), (parent.id, Condition::Any)],
    );
    store(&storage, &[late.clone(), early.clone(), parent.clone()]).await;
    assert_eq!(state(&storage, late.id).await, State::Awaiting);
    assert_eq!(state(&storage, parent.id).await, State::Enqueued);
    for wanted in [&parent, &early, &late] {
        becomes(&storage, wanted.id, State::Enqueued).await;
        let run = hand.take_one("*").await;
        assert_eq!(run.id, wanted.id);
        hand.end(&run, succeed()).await;
    }
    hand.finds_nothing("*").await;
}

/// A job that waits for itself, jobs that wait for each other in a circle, a parent that is given twice,
/// an input of one that is no parent: all refused, and nothing stored.
pub async fn what_waits_for_itself_is_refused(storage: StorageHandle) {
    let known = store_one(&storage, "a").await;
    let mut own = job("a");
    own.rules = after("a", &[(own.id, Condition::Any)]).rules;
    let mut first = job("a");
    let second = after("a", &[(first.id, Condition::Success)]);
    first.rules = after("a", &[(second.id, Condition::Success)]).rules;
    let twice = after("a", &[(known, Condition::Any), (known, Condition::Success)]);
    let mut input = after("a", &[(known, Condition::Success)]);
    rules(&mut input).input = Some(Input {
        parent: JobId::new(),
        field: "n".into(),
    });
    for wrong in [vec![own], vec![first, second], vec![twice], vec![input]] {
        let error = is_refused(&storage, &wrong).await;
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

/// A child whose insert is sent again is left as it is, though its parents have ended or are gone.
pub async fn a_repeated_insert_of_a_child_changes_nothing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = job("p");
    let mut child = after("c", &[(parent.id, Condition::Success)]);
    child.options.keep_for = Some(LATER);
    let request = [child.clone(), parent.clone()];
    store(&storage, &request).await;
    let again = async || {
        let answers = storage.insert(&request).await.expect("insert");
        assert!(answers.iter().all(|one| one.existing));
    };
    again().await;
    assert_eq!(storage.awaited(child.id).await.expect("awaited").len(), 1);
    end_it(&hand, parent.id, "p", State::Succeeded).await;
    again().await;
    let run = hand.take_one("c").await;
    again().await;
    hand.end(&run, succeed()).await;
    again().await;
    hand.finds_nothing("*").await;
    let gone = Retention {
        succeeded: Duration::ZERO,
        ..Retention::default()
    };
    eventually("the parent is removed", async || {
        storage.retain(&gone).await.expect("retain");
        let parent = storage.job(parent.id).await.expect("job");
        parent.is_none().then_some(())
    })
    .await;
    let answers = storage.insert(&[child]).await.expect("insert");
    assert!(answers[0].existing);
    hand.finds_nothing("*").await;
}

/// A child does not wait again for a parent that has ended as it wants, though the parent be requeued
/// and the child's insert sent again.
pub async fn a_repeated_insert_does_not_wait_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents = [
        store_one(&storage, "p").await,
        store_one(&storage, "q").await,
    ];
    let child = after("c", &parents.map(|id| (id, Condition::Success)));
    store(&storage, std::slice::from_ref(&child)).await;
    end_it(&hand, parents[0], "p", State::Succeeded).await;
    order(&storage, Verb::Requeue, parents[0]).await;
    let answer = storage.insert(std::slice::from_ref(&child)).await;
    assert!(answer.expect("insert")[0].existing);
    let awaited = storage.awaited(child.id).await.expect("awaited");
    assert_eq!(awaited.len(), 1);
    end_it(&hand, parents[1], "q", State::Succeeded).await;
    becomes(&storage, child.id, State::Enqueued).await;
}
