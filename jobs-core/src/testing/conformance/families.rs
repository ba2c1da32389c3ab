//! What follows for children when much happens at once: to their [parents](crate::job::Rules::parents), and
//! to themselves.

use super::children::each_is_there_once;
use super::stage::{
    Hand, after, at_once, becomes, eventually, ids, job, jobs, order_all, state, store, store_some,
    succeed,
};
use crate::job::{Condition, JobId, NewJob, Parent, ParentId, State};
use crate::storage::{Answer, StorageHandle, Verb};

/// How many pairs of parents end at once, or nearly: with `JOBS_TEST_LONG=1` ten thousand.
fn tries() -> usize {
    let long = std::env::var("JOBS_TEST_LONG").is_ok_and(|value| value == "1");
    if long { 10_000 } else { 1_000 }
}

/// Pairs of parents, in queues `one` and `two`, with a child each.
async fn couples(storage: &StorageHandle, n: usize) -> Vec<JobId> {
    let (one, two) = (jobs("one", n), jobs("two", n));
    let couples = one.iter().zip(&two);
    let children: Vec<_> = couples
        .map(|(one, two)| {
            let pair = [(one.id, Condition::Success), (two.id, Condition::Success)];
            after("child", &pair)
        })
        .collect();
    store(storage, &[one, two, children.clone()].concat()).await;
    ids(&children)
}

/// A child of two parents that end in the same flush runs once.
pub async fn two_parents_may_end_in_the_same_flush(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let n = 100;
    let children = couples(&storage, n).await;
    let mut runs = hand.take("one", n).await;
    runs.extend(hand.take("two", n).await);
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    each_is_there_once(&hand, &children).await;
}

/// A child of two parents that end on two workers at the same moment runs once, after both.
pub async fn two_parents_may_end_at_the_same_moment(storage: StorageHandle) {
    for _ in 0..tries() / 100 {
        let children = couples(&storage, 100).await;
        let end = async |queue: &'static str| {
            let hand = Hand::hire(&storage).await;
            let runs = hand.take(queue, 100).await;
            (hand, runs)
        };
        let both = [end("one").await, end("two").await];
        let flush = both.map(|(hand, runs)| async move {
            for some in runs.chunks(10) {
                assert_eq!(hand.report(some, &succeed()).await, []);
            }
        });
        at_once(flush).await;
        let hand = Hand::hire(&storage).await;
        each_is_there_once(&hand, &children).await;
    }
}

/// Children that are stored while their parent ends are not forgotten, whichever comes first.
pub async fn a_child_stored_while_its_parent_ends_is_not_forgotten(storage: StorageHandle) {
    for _ in 0..30 {
        let hand = Hand::hire(&storage).await;
        let parents = store_some(&storage, "one", 10).await;
        let runs = hand.take("one", 10).await;
        let children: Vec<Vec<NewJob>> = (0..3)
            .map(|_| {
                let child = |&id: &JobId| after("child", &[(id, Condition::Success)]);
                parents.iter().map(child).collect()
            })
            .collect();
        let mut all = Vec::new();
        let stores = children.into_iter().map(|children| {
            all.extend(ids(&children));
            let storage = storage.clone();
            tokio::spawn(async move { store(&storage, &children).await })
        });
        let stores: Vec<_> = stores.collect();
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        for stored in stores {
            stored.await.expect("it is stored");
        }
        each_is_there_once(&hand, &all).await;
    }
}

/// One parent may have many children, and one child many parents.
pub async fn a_family_may_be_large(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let n = 2_000;
    let first = job("first");
    let middle: Vec<_> = (0..n)
        .map(|_| after("middle", &[(first.id, Condition::Success)]))
        .collect();
    let mut last = job("last");
    let parent = |job: &NewJob| Parent {
        of: ParentId::Job(job.id),
        on: Condition::Any,
    };
    super::stage::rules(&mut last).parents = middle.iter().map(parent).collect();
    let all = [vec![last.clone()], middle, vec![first]].concat();
    store(&storage, &all).await;
    assert_eq!(storage.awaited(last.id).await.expect("awaited").len(), n);
    let run = hand.take_one("first").await;
    hand.end(&run, succeed()).await;
    let mut left = n;
    eventually("all in the middle are to be had", async || {
        storage.tick().await.expect("tick");
        let runs = hand.ask(&[("middle", 300)], 300).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        left -= runs.len();
        (left == 0).then_some(())
    })
    .await;
    becomes(&storage, last.id, State::Enqueued).await;
    hand.take_one("last").await;
    assert_eq!(storage.counts().await.expect("counts").awaiting, 0);
}

/// Operators and the ends of parents may meet on the same child: it ends Deleted or ready, in one place.
pub async fn of_verbs_and_ends_at_once_one_wins(storage: StorageHandle) {
    for _ in 0..10 {
        let hand = Hand::hire(&storage).await;
        let parents = store_some(&storage, "p", 30).await;
        let child = |&id: &JobId| after("child", &[(id, Condition::Success)]);
        let children: Vec<_> = parents.iter().map(child).collect();
        store(&storage, &children).await;
        let runs = hand.take("p", 30).await;
        let order = |verb| {
            let (storage, ids) = (storage.clone(), ids(&children));
            tokio::spawn(async move { order_all(&storage, verb, &ids).await })
        };
        let (run_now, delete) = (order(Verb::RunNow), order(Verb::Delete));
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        run_now.await.expect("answers");
        let deleted = delete.await.expect("answers");
        let mut left = Vec::new();
        for (child, answer) in children.iter().zip(&deleted) {
            match answer {
                Answer::Done { .. } => {
                    assert_eq!(state(&storage, child.id).await, State::Deleted);
                }
                _ => left.push(child.id),
            }
        }
        each_is_there_once(&hand, &left).await;
        assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    }
}
