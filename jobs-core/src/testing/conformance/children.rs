//! What follows for those who wait when a [parent](crate::job::Rules::parents) ends, by whichever door.

use std::time::Duration;

use super::stage::{
    Hand, LATER, after, at_once, becomes, eventually, fail, ids, job, order, order_all, record,
    release, retry, snooze, state, store, store_one, store_some, store_this, succeed,
};
use crate::job::{Condition, Due, JobId, NewJob, ParentId, State};
use crate::storage::{Answer, Refusal, Retention, StorageHandle, Verb};

/// Each of these jobs is to be had, once.
pub(super) async fn each_is_there_once(hand: &Hand, children: &[JobId]) {
    let mut taken = Vec::new();
    eventually("all children are to be had", async || {
        hand.storage.tick().await.expect("tick");
        let runs = hand.ask(&[("child", 500)], 500).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        taken.extend(runs.iter().map(|run| run.id));
        (taken.len() >= children.len()).then_some(())
    })
    .await;
    hand.finds_nothing("child").await;
    let mut wanted = children.to_vec();
    wanted.sort_unstable();
    taken.sort_unstable();
    assert!(taken == wanted, "each child once");
}

/// While its parent is Failed a child waits: the parent may be run again, and when it succeeds the child
/// runs, once.
pub async fn a_failed_parent_may_be_run_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let child = store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    for _ in 0..2 {
        let run = hand.take_one("p").await;
        hand.end(&run, fail()).await;
        storage.tick().await.expect("tick");
        assert_eq!(state(&storage, child).await, State::Awaiting);
        let awaited = storage.awaited(child).await.expect("awaited");
        assert_eq!(
            awaited[0].of,
            ParentId::Job(parent),
            "it says what blocks it"
        );
        order(&storage, Verb::Requeue, parent).await;
    }
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    becomes(&storage, child, State::Enqueued).await;
    let run = hand.take_one("c").await;
    hand.end(&run, succeed()).await;
    hand.finds_nothing("*").await;
}

/// A parent that is requeued after it ended does not run its children again, however it ends now.
pub async fn a_requeued_parent_does_not_run_its_children_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let children = [
        after("c", &[(parent, Condition::Success)]),
        after("c", &[(parent, Condition::Any)]),
    ];
    store(&storage, &children).await;
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    let runs = hand.take("c", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    for end in [succeed(), fail(), succeed()] {
        order(&storage, Verb::Requeue, parent).await;
        let run = hand.take_one("p").await;
        hand.end(&run, end).await;
        storage.tick().await.expect("tick");
        hand.finds_nothing("c").await;
    }
    // A child that is still waiting in its queue is not doubled either.
    let waiting = store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    becomes(&storage, waiting, State::Enqueued).await;
    order(&storage, Verb::Requeue, parent).await;
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    storage.tick().await.expect("tick");
    assert_eq!(hand.take_one("c").await.id, waiting);
    hand.finds_nothing("c").await;
}

/// An outcome that is sent many times, at once and later, makes the children ready once.
pub async fn a_repeated_outcome_does_not_run_them_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents = store_some(&storage, "p", 20).await;
    let child = |&id: &JobId| after("child", &[(id, Condition::Any)]);
    let children: Vec<_> = parents.iter().map(child).collect();
    store(&storage, &children).await;
    let runs = hand.take("p", 20).await;
    let send = |_| {
        let (hand, runs) = (hand.clone(), runs.clone());
        async move { hand.report(&runs, &succeed()).await }
    };
    at_once((0..4).map(send)).await;
    each_is_there_once(&hand, &ids(&children)).await;
    let refused = hand.report(&runs, &fail()).await;
    assert!(refused.iter().all(|no| no.why == Refusal::AlreadySettled));
    hand.finds_nothing("*").await;
}

/// A retry, a snooze and a release end a run, not the job: children wait on.
pub async fn a_parent_that_goes_on_has_not_ended(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let child = store_this(&storage, after("c", &[(parent, Condition::Any)])).await;
    for end in [retry(Duration::ZERO), snooze(Duration::ZERO), release()] {
        let run = hand.take_one("p").await;
        hand.end(&run, end).await;
        storage.tick().await.expect("tick");
        assert_eq!(state(&storage, child).await, State::Awaiting);
    }
    let run = hand.take_one("p").await;
    hand.end(&run, fail()).await;
    becomes(&storage, child, State::Enqueued).await;
}

/// A deletion is passed on from child to child, with the reason; those that wait for a deletion run.
pub async fn deletions_are_passed_on(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut line = vec![job("line")];
    for _ in 0..6 {
        let last = line.last().expect("one").id;
        line.push(after("line", &[(last, Condition::Success)]));
    }
    let watch = |job: &NewJob| after("watch", &[(job.id, Condition::Deletion)]);
    let watchers: Vec<_> = line.iter().map(watch).collect();
    store(&storage, &[line.clone(), watchers.clone()].concat()).await;
    order(&storage, Verb::Delete, line[0].id).await;
    for pair in line.windows(2) {
        let found = becomes(&storage, pair[1].id, State::Deleted).await;
        let reason = format!("its parent {} was deleted", pair[0].id);
        assert_eq!(found.reason.as_deref(), Some(&*reason));
    }
    for watcher in &watchers {
        becomes(&storage, watcher.id, State::Enqueued).await;
    }
    hand.finds_nothing("line").await;
    hand.take("watch", watchers.len()).await;
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.awaiting, counts.deleted), (0, line.len() as u64));
}

/// A job that is Failed because it killed its workers is a parent that failed; one that is taken back
/// has not ended.
pub async fn the_death_of_a_worker_ends_a_parent_too(storage: StorageHandle) {
    let parent = store_one(&storage, "p").await;
    let children = [
        after("c", &[(parent, Condition::Failure)]),
        after("c", &[(parent, Condition::Success)]),
    ];
    store(&storage, &children).await;
    for deaths in 1..=3 {
        let hand = Hand::hire(&storage).await;
        let run = hand.take_one("p").await;
        let noted = storage.suspect(hand.id, Some(run.id)).await;
        noted.expect("suspect");
        assert_eq!(state(&storage, children[0].id).await, State::Awaiting);
        let rescued = hand.dies().await;
        assert_eq!(rescued.failed, u64::from(deaths == 3));
    }
    assert_eq!(state(&storage, parent).await, State::Failed);
    becomes(&storage, children[0].id, State::Enqueued).await;
    assert_eq!(state(&storage, children[1].id).await, State::Awaiting);
}

/// An operator may run a job at once that waits for others: it waits for nobody any more, and what they
/// do later is nothing to it.
pub async fn run_now_waits_for_nobody(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents = [
        store_one(&storage, "p").await,
        store_one(&storage, "p").await,
    ];
    let mut new = after("c", &parents.map(|id| (id, Condition::Success)));
    new.due = Due::In(LATER);
    let child = store_this(&storage, new).await;
    let answer = order(&storage, Verb::RunNow, child).await;
    let (from, to) = (State::Awaiting, State::Enqueued);
    assert_eq!(answer, Answer::Done { from, to });
    assert_eq!(storage.awaited(child).await.expect("awaited"), []);
    let events = storage.events(child).await.expect("events");
    assert_eq!((events.len(), events[0].from), (1, State::Awaiting));
    let run = hand.take_one("c").await;
    let ends = hand.take("p", 2).await;
    hand.end(&ends[0], succeed()).await;
    order(&storage, Verb::Delete, ends[1].id).await;
    storage.tick().await.expect("tick");
    assert_eq!(state(&storage, child).await, State::Processing);
    hand.end(&run, succeed()).await;
    hand.finds_nothing("*").await;
}

/// A job that waits for others can be deleted; its own children hear of it.
pub async fn a_waiting_child_can_be_deleted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let child = store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    let heir = store_this(&storage, after("d", &[(child, Condition::Deletion)])).await;
    let answer = order(&storage, Verb::Delete, child).await;
    let (from, to) = (State::Awaiting, State::Deleted);
    assert_eq!(answer, Answer::Done { from, to });
    let found = record(&storage, child).await;
    assert_eq!(found.reason.as_deref(), Some("Deleted by ada: a test"));
    becomes(&storage, heir, State::Enqueued).await;
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    storage.tick().await.expect("tick");
    assert_eq!(state(&storage, child).await, State::Deleted);
    hand.finds_nothing("c").await;
}

/// A job that was Deleted while it waited, by whomever, is due at once when it is requeued: it waits for
/// nobody any more.
pub async fn a_deleted_child_can_be_requeued(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents = [
        store_one(&storage, "p").await,
        store_one(&storage, "q").await,
    ];
    let child = |id| after("c", &[(id, Condition::Success)]);
    let children = parents.map(child);
    store(&storage, &children).await;
    order(&storage, Verb::Delete, children[0].id).await;
    order(&storage, Verb::Delete, parents[1]).await;
    becomes(&storage, children[1].id, State::Deleted).await;
    let answers = order_all(&storage, Verb::Requeue, &ids(&children)).await;
    let (from, to) = (State::Deleted, State::Enqueued);
    assert_eq!(answers, [Answer::Done { from, to }; 2]);
    assert_eq!(hand.take("c", 2).await.len(), 2);
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    storage.tick().await.expect("tick");
    hand.finds_nothing("*").await;
}

/// A job that waits for others has no time to be moved.
pub async fn a_waiting_child_is_not_rescheduled(storage: StorageHandle) {
    let parent = store_one(&storage, "p").await;
    let child = store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    for verb in [Verb::Reschedule(Due::Now), Verb::Requeue] {
        let answer = order(&storage, verb, child).await;
        assert_eq!(answer, Answer::WrongState(State::Awaiting), "{verb:?}");
    }
    assert_eq!(storage.events(child).await.expect("events").len(), 0);
}

/// Before a parent that is Failed is removed, those that waited for it to be run again are Deleted.
pub async fn removing_a_failed_parent_ends_the_waiting(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let child = store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    let heir = store_this(&storage, after("d", &[(child, Condition::Deletion)])).await;
    let run = hand.take_one("p").await;
    hand.end(&run, fail()).await;
    let retention = Retention {
        failed: Duration::ZERO,
        ..Retention::default()
    };
    eventually("the parent is removed", async || {
        storage.retain(&retention).await.expect("retain");
        let parent = storage.job(parent).await.expect("job");
        parent.is_none().then_some(())
    })
    .await;
    let found = becomes(&storage, child, State::Deleted).await;
    let reason = format!("its parent {parent} failed and was removed");
    assert_eq!(found.reason, Some(reason));
    becomes(&storage, heir, State::Enqueued).await;
    hand.take_one("d").await;
}
