//! Jobs and batches that would wait for each other in a circle.

use std::time::Instant;

use super::stage::{
    Hand, PATIENCE, after, after_batch, at_once, batch_record, becomes, ends, is_refused, job,
    member, members, order, rules, state, store, store_batch, store_one, store_this, succeed,
    tally,
};
use super::unique::unique;
use crate::error::Error;
use crate::job::{
    BatchId, Condition, JobId, NewJob, OnConflict, Parent, ParentId, State, UniqueUntil,
};
use crate::storage::{Answer, CircleSearch, NewBatch, StorageHandle, Verb};

fn inside(batch: BatchId, mut new: NewJob) -> NewJob {
    rules(&mut new).batch = Some(batch);
    new
}

fn behind(parent: JobId) -> NewJob {
    after("a", &[(parent, Condition::Any)])
}

/// A member of the one that waits for the other.
fn link(of: BatchId, to: BatchId) -> NewJob {
    inside(of, after_batch("a", to, Condition::Any))
}

async fn batches<const N: usize>(storage: &StorageHandle) -> [BatchId; N] {
    let ids = [(); N].map(|()| BatchId::new());
    for id in ids {
        store_batch(storage, &NewBatch::new(id), &[member("a", id)]).await;
    }
    ids
}

/// The request is refused for a circle of just these.
async fn is_a_circle(storage: &StorageHandle, jobs: &[NewJob], of: &[ParentId]) {
    let before = storage.counts().await.expect("counts").unfinished();
    let error = is_refused(storage, jobs).await;
    let Error::Invalid(why) = &error else {
        panic!("{error:?}")
    };
    let n = of.len();
    let told = |start: usize| {
        let names: Vec<_> = (0..=n).map(|at| of[(start + at) % n].to_string()).collect();
        names.join(" → ")
    };
    assert!(
        (0..n).any(|start| why.contains(&told(start))),
        "{why}: {}",
        told(0)
    );
    let after = storage.counts().await.expect("counts").unfinished();
    assert_eq!(before, after, "nothing was stored");
}

/// Two batches, or more, whose members wait for the next.
pub async fn batches_that_wait_for_each_other_are_refused(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [a, b, c, d] = batches(&storage).await;
    let all = [a, b, c, d].map(ParentId::Batch);
    let one = store_this(&storage, link(a, b)).await;
    let wrong = link(b, a);
    let circle = [ParentId::Job(wrong.id), all[0], ParentId::Job(one), all[1]];
    is_a_circle(&storage, &[member("a", b), wrong], &circle).await;
    let two = store_this(&storage, link(b, c)).await;
    let three = store_this(&storage, link(c, d)).await;
    let wrong = link(d, a);
    let [p, q, r, s] = [wrong.id, one, two, three].map(ParentId::Job);
    let circle = [p, all[0], q, all[1], r, all[2], s, all[3]];
    is_a_circle(&storage, &[wrong], &circle).await;
    // Without it they end one after the other.
    for left in [4, 1, 1, 1] {
        let runs = hand.take("a", left).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        storage.tick().await.expect("tick");
    }
    assert_eq!(tally(&ends(&storage, a).await), [2, 0, 2, 0, 0]);
    // What has ended is waited for by nobody.
    store_batch(&storage, &NewBatch::new(BatchId::new()), &[]).await;
    storage.reopen_batch(d).await.expect("reopen_batch");
    let late = store_this(&storage, link(d, a)).await;
    assert_eq!(state(&storage, late).await, State::Enqueued);
}

/// A member that waits for a job that waits for its batch, however far from it.
pub async fn circles_through_jobs_are_refused(storage: StorageHandle) {
    let [a, b] = batches(&storage).await;
    let first = store_this(&storage, after_batch("a", a, Condition::Success)).await;
    let second = store_this(&storage, behind(first)).await;
    let third = store_this(&storage, inside(b, behind(second))).await;
    let [p, q, r] = [first, second, third].map(ParentId::Job);
    let (of_a, of_b) = (ParentId::Batch(a), ParentId::Batch(b));
    for (parent, path) in [
        (first, vec![p]),
        (second, vec![q, p]),
        (third, vec![r, q, p]),
    ] {
        let wrong = inside(a, behind(parent));
        let circle = [vec![ParentId::Job(wrong.id)], path, vec![of_a]].concat();
        is_a_circle(&storage, &[wrong], &circle).await;
    }
    let wrong = link(a, b);
    is_a_circle(
        &storage,
        std::slice::from_ref(&wrong),
        &[ParentId::Job(wrong.id), of_b, r, q, p, of_a],
    )
    .await;
    // By several jobs of a request that lead from one to the other.
    let near = behind(third);
    let far = inside(a, behind(near.id));
    let circle = [ParentId::Job(far.id), ParentId::Job(near.id), r, q, p, of_a];
    is_a_circle(&storage, &[far, near], &circle).await;
    assert_eq!(tally(&batch_record(&storage, a).await), [1, 1, 0, 0, 0]);
}

/// Batches around a batch wait for it too, also for one that is about to be stored.
pub async fn circles_through_batches_around_are_refused(storage: StorageHandle) {
    let [outer, other] = batches(&storage).await;
    let [inner, deep] = [(); 2].map(|()| BatchId::new());
    let within = |id, parent| NewBatch {
        parent: Some(parent),
        ..NewBatch::new(id)
    };
    store_batch(&storage, &within(inner, outer), &[member("a", inner)]).await;
    let callback = store_this(&storage, after_batch("a", outer, Condition::Any)).await;
    let one = store_this(&storage, link(other, outer)).await;
    let around = [inner, outer].map(ParentId::Batch);
    let wrong = inside(inner, behind(callback));
    let circle = [
        ParentId::Job(wrong.id),
        ParentId::Job(callback),
        around[1],
        around[0],
    ];
    is_a_circle(&storage, &[wrong], &circle).await;
    let wrong = link(inner, other);
    let path = [wrong.id, one].map(ParentId::Job);
    let circle = [
        path[0],
        ParentId::Batch(other),
        path[1],
        around[1],
        around[0],
    ];
    is_a_circle(&storage, &[wrong], &circle).await;
    let jobs = [member("a", deep), link(deep, other)];
    let error = storage.create_batch(&within(deep, inner), &jobs).await;
    let text = error.expect_err("a circle").to_string();
    assert!(
        text.contains(&format!("batch {inner} → batch {deep}")),
        "{text}"
    );
    assert!(storage.batch(deep).await.expect("batch").is_none());
    assert_eq!(tally(&batch_record(&storage, inner).await), [1, 1, 0, 0, 0]);
    // What the batch is followed by waits for it from outside.
    let then = after_batch("a", deep, Condition::Any);
    store_batch(&storage, &within(deep, inner), &[member("a", deep), then]).await;
}

/// Circles within one request, through the batch that it makes, and by the holder of a key.
pub async fn circles_within_a_request_are_refused(storage: StorageHandle) {
    let id = BatchId::new();
    let callback = after_batch("a", id, Condition::Success);
    let wrong = inside(id, behind(callback.id));
    let jobs = [member("a", id), callback.clone(), wrong.clone()];
    let error = storage.create_batch(&NewBatch::new(id), &jobs).await;
    let text = error.expect_err("a circle").to_string();
    for one in [callback.id, wrong.id] {
        assert!(text.contains(&format!("job {one} → ")), "{text}");
    }
    assert!(storage.batch(id).await.expect("batch").is_none());
    // The second stands for the first, whose key it would have: so it waits for itself, by the third.
    let key = || unique("a", "k", UniqueUntil::Done, OnConflict::Skip);
    let (mut holder, held) = (key(), key());
    let between = behind(held.id);
    rules(&mut holder).parents = vec![Parent {
        of: ParentId::Job(between.id),
        on: Condition::Any,
    }];
    let circle = [holder.id, between.id].map(ParentId::Job);
    is_a_circle(&storage, &[holder, held, between], &circle).await;
}

/// What only looks like a circle is taken.
pub async fn what_is_no_circle_is_taken(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [a, b, c] = batches(&storage).await;
    let then = store_this(&storage, after_batch("a", a, Condition::Any)).await;
    let other = store_this(&storage, after_batch("a", b, Condition::Any)).await;
    // Each waits for what has nothing to do with its batch; taken together they name all there is.
    let jobs = [
        inside(a, behind(other)),
        inside(c, behind(then)),
        behind(then),
        link(c, b),
        link(c, a),
    ];
    store(&storage, &jobs).await;
    let twice = after("a", &[(then, Condition::Any), (other, Condition::Any)]);
    store_this(&storage, inside(c, twice)).await;
    // Members of a batch wait for each other in a row.
    let mut row = vec![member("a", a)];
    store(&storage, &row).await;
    for _ in 0..5 {
        let next = inside(a, behind(row.last().expect("some").id));
        store(&storage, std::slice::from_ref(&next)).await;
        row.push(next);
    }
    while storage.counts().await.expect("counts").unfinished() > 0 {
        storage.tick().await.expect("tick");
        let runs = hand.ask(&[("a", 50)], 50).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
    }
    for id in [a, b, c] {
        ends(&storage, id).await;
    }
}

/// The search ends: a circle with more than so many in it is not found. What its jobs wait for is there to be
/// read, and an operator may let one of them go.
pub async fn a_circle_beyond_the_search_may_be_broken_by_hand(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [a] = batches(&storage).await;
    let first = after_batch("a", a, Condition::Any);
    let mut row = vec![first];
    for _ in 0..CircleSearch::LIMIT + 10 {
        row.push(behind(row.last().expect("some").id));
    }
    store(&storage, &row).await;
    let near = inside(a, behind(row[500].id));
    let error = is_refused(&storage, &[near]).await;
    assert!(error.to_string().contains(" more → "), "{error}");
    let begun = Instant::now();
    let far = inside(a, behind(row.last().expect("some").id));
    store(&storage, std::slice::from_ref(&far)).await;
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    hand.end(&hand.take_one("a").await, succeed()).await;
    hand.finds_nothing("*").await;
    let awaited = storage.awaited(far.id).await.expect("awaited");
    assert_eq!(awaited[0].of, ParentId::Job(row.last().expect("some").id));
    let answer = order(&storage, Verb::RunNow, far.id).await;
    assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    hand.end(&hand.take_one("a").await, succeed()).await;
    ends(&storage, a).await;
    becomes(&storage, row[0].id, State::Enqueued).await;
}

/// Of two who close a circle together, at the same time, one is refused: whether they wait for the batches or for
/// what follows these.
pub async fn of_two_who_close_a_circle_at_once_one_is_refused(storage: StorageHandle) {
    for round in 0..20 {
        let [a, b] = batches(&storage).await;
        let wanted = if round % 2 == 0 {
            [link(a, b), link(b, a)]
        } else {
            let [c, d] = [a, b].map(|of| after_batch("a", of, Condition::Any));
            store(&storage, &[c.clone(), d.clone()]).await;
            [inside(a, behind(d.id)), inside(b, behind(c.id))]
        };
        let hands = wanted.map(|wanted| {
            let storage = storage.clone();
            async move {
                match storage.insert(&[wanted]).await {
                    Ok(_) => true,
                    Err(Error::Invalid(_)) => false,
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let stored = at_once(hands).await;
        assert_eq!(stored.iter().filter(|stored| **stored).count(), 1);
    }
}

/// Those who wait for a batch are many, and its members too: a new member costs no more for it.
pub async fn a_search_beside_many_is_short(storage: StorageHandle) {
    let [a, b] = batches(&storage).await;
    let waiting: Vec<_> = (0..3_000)
        .map(|_| after_batch("z", a, Condition::Any))
        .collect();
    store(&storage, &waiting).await;
    store(&storage, &members("z", b, 3_000)).await;
    store_one(&storage, "z").await;
    let begun = Instant::now();
    for _ in 0..10 {
        store(&storage, &[link(a, b), inside(a, job("z"))]).await;
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(batch_record(&storage, a).await.total, 21);
}
