//! [`Storage::claim`](crate::storage::Storage::claim).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::stage::{
    Hand, LATER, Patience, Run, at_once, eventually, ids, job, jobs, record, runs, store,
    store_one, store_some, succeed,
};
use crate::job::{Due, JobId, NewJob, Priority, State};
use crate::storage::StorageHandle;

fn ids_of(runs: &[Run]) -> Vec<JobId> {
    runs.iter().map(|run| run.id).collect()
}

fn queues_of(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| &*run.queue).collect()
}

/// A claimed job is Processing, its worker's, and not to be had again.
pub async fn a_claimed_job_is_processing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut new = NewJob::new(JobId::new(), "greet", r#"{"name":"ada"}"#);
    new.priority = Priority::LOW;
    store(&storage, std::slice::from_ref(&new)).await;
    let run = hand.take_one("default").await;
    assert_eq!(
        (run.id, &*run.kind, &*run.queue),
        (new.id, "greet", "default")
    );
    assert_eq!(
        (&*run.args, run.priority),
        (r#"{"name":"ada"}"#, Priority::LOW)
    );
    assert_eq!((run.attempt, run.lost, run.run), (0, 0, 0));
    assert!(run.job.options.is_none());
    let found = record(&storage, new.id).await;
    assert_eq!(found.state, State::Processing);
    assert_eq!((found.worker, found.run), (Some(hand.id), 0));
    assert_eq!(found.due_at, run.due_at);
    hand.finds_nothing("*").await;
    Hand::hire(&storage).await.finds_nothing("*").await;
}

/// In a queue the more urgent job comes first, which is the one with the smaller number.
pub async fn the_more_urgent_comes_first(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let priorities = [10, -20, 0, 3, -10, 20, -1].map(Priority::new);
    for priority in priorities {
        let new = NewJob {
            priority,
            ..job("a")
        };
        store(&storage, &[new]).await;
    }
    let taken = hand.take("a", priorities.len()).await;
    let got: Vec<_> = taken.iter().map(|run| run.priority.get()).collect();
    assert_eq!(got, [-20, -10, -1, 0, 3, 10, 20]);
}

/// Equals are first in, first out, within an insert and across inserts.
pub async fn equals_are_first_in_first_out(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut wanted = Vec::new();
    for _ in 0..10 {
        wanted.extend(store_some(&storage, "a", 3).await);
        sleep(Duration::from_millis(1)).await;
    }
    let mut got = Vec::new();
    for n in [1, 4, 10, 15] {
        got.extend(ids_of(&hand.take("a", n).await));
    }
    assert_eq!(got, wanted);
}

/// What fell due earlier comes first, whatever was stored first.
pub async fn what_fell_due_earlier_comes_first(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut later = job("a");
    later.due = Due::In(Duration::from_millis(150));
    let mut soon = job("a");
    soon.due = Due::In(Duration::from_millis(50));
    let now = job("a");
    store(&storage, &[later.clone(), soon.clone(), now.clone()]).await;
    let all_due = async || {
        let counts = storage.counts().await.expect("counts");
        (counts.enqueued == 3).then_some(())
    };
    eventually("all three are due", all_due).await;
    let got = ids_of(&hand.take("a", 3).await);
    assert_eq!(got, [now.id, soon.id, later.id]);
}

/// Queues are emptied in the order in which they are named.
pub async fn queues_are_served_in_order(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "low", 2).await;
    store_some(&storage, "high", 2).await;
    let mut urgent = job("low");
    urgent.priority = Priority::HIGHEST;
    store(&storage, &[urgent]).await;
    let mut taken = Vec::new();
    eventually("all are taken, high first", async || {
        let asked = 5 - taken.len();
        taken.extend(hand.ask(&[("high", asked), ("low", asked)], asked).await);
        (taken.len() == 5).then_some(())
    })
    .await;
    assert_eq!(queues_of(&taken), ["high", "high", "low", "low", "low"]);
}

/// A claim takes no more than its limit, and no more of a share than the share's.
pub async fn limits_hold(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 10).await;
    store_some(&storage, "b", 10).await;
    let (mut a, mut b) = (0, 0);
    for _ in 0..4 {
        let taken = hand.ask(&[("a", 2), ("b", 10)], 3).await;
        let of_a = taken.iter().filter(|run| &*run.queue == "a").count();
        assert!(of_a <= 2 && taken.len() <= 3, "{taken:?}");
        a += of_a;
        b += taken.len() - of_a;
    }
    assert!(a > 0 && b > 0, "both were served: {a} and {b}");
    assert_eq!(hand.ask(&[("a", 0), ("b", 0)], 5).await.len(), 0);
    assert_eq!(hand.ask(&[("a", 5)], 0).await.len(), 0);
    assert_eq!(hand.ask(&[], 5).await.len(), 0);
}

/// A queue is served by the first share that matches it, and by no other.
pub async fn the_first_share_that_matches_serves(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "mail", 5).await;
    store_some(&storage, "other", 5).await;
    let (mut mail, mut other) = (0, 0);
    eventually("all of the other queue is taken", async || {
        let taken = hand.ask(&[("mail", 1), ("*", 10)], 20).await;
        let of_mail = taken.iter().filter(|run| &*run.queue == "mail").count();
        assert!(of_mail <= 1, "the pattern must not serve mail too");
        mail += of_mail;
        other += taken.len() - of_mail;
        (mail >= 1 && other == 5).then_some(())
    })
    .await;
}

/// Only the named queues are served.
pub async fn other_queues_are_left_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let names = ["mail", "mail.bulk", "mail.bulk.2", "mailx", "m_il.x", "c"];
    for queue in names {
        store_one(&storage, queue).await;
    }
    hand.finds_nothing("nobody").await;
    assert_eq!(queues_of(&hand.take("mail", 1).await), ["mail"]);
    hand.finds_nothing("mail").await;
    // `_` and `.` are letters like others, also where a database has patterns of its own.
    assert_eq!(queues_of(&hand.take("m_il*", 1).await), ["m_il.x"]);
    hand.finds_nothing("m_il*").await;
    let below = hand.take("mail.*", 2).await;
    let below: HashSet<_> = queues_of(&below).into_iter().collect();
    assert_eq!(below, HashSet::from(["mail.bulk", "mail.bulk.2"]));
    hand.finds_nothing("mail.*").await;
    assert_eq!(hand.take("*", 2).await.len(), 2);
}

/// Among the queues of a pattern the more urgent job comes first, whatever its queue.
pub async fn in_a_pattern_priority_comes_first(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for (queue, priority) in [("p.a", 5), ("p.b", 0), ("p.c", -5), ("p.a", -5), ("p.c", 5)] {
        let priority = Priority::new(priority);
        let new = NewJob {
            priority,
            ..job(queue)
        };
        store(&storage, &[new]).await;
    }
    let taken = hand.take("p.*", 5).await;
    let got: Vec<_> = taken.iter().map(|run| run.priority.get()).collect();
    assert_eq!(got, [-5, -5, 0, 5, 5]);
}

/// Among the queues of a pattern none starves, however small the claims and whatever its name.
pub async fn in_a_pattern_no_queue_starves(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for queue in ["p.a", "p.b", "p.c"] {
        store_some(&storage, queue, 200).await;
    }
    for size in [1, 2, 10] {
        let mut taken = Vec::new();
        for _ in 0..60 / size {
            taken.extend(hand.take("p.*", size).await);
        }
        for queue in ["p.a", "p.b", "p.c"] {
            let n = taken.iter().filter(|run| &*run.queue == queue).count();
            assert!(n >= 10, "{queue} got {n} of 60 in claims of {size}");
        }
    }
}

/// Kinds that the worker does not know are left for others, however many stand in front.
pub async fn unknown_kinds_are_left_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let strange = |n: usize| NewJob {
        kind: ["strange", "stranger"][n % 2].into(),
        ..job("a")
    };
    let strangers: Vec<_> = (0..2_000).map(strange).collect();
    store(&storage, &strangers).await;
    let known = store_one(&storage, "a").await;
    let mut request = hand.request(&[("a", 10)], 10);
    request.unknown_kinds = Arc::from(["strange".to_owned(), "stranger".to_owned()]);
    let taken = eventually("the known job is found", async || {
        request.claim = crate::job::ClaimId::new();
        let taken = runs(&request, hand.claim(&request).await);
        (!taken.is_empty()).then_some(taken)
    })
    .await;
    assert_eq!(ids_of(&taken), [known]);
    let left = record(&storage, strangers[0].id).await;
    assert_eq!(
        (left.state, left.attempt, left.run),
        (State::Enqueued, 0, 0)
    );
    let other = Hand::hire(&storage).await;
    assert_eq!(ids_of(&other.take("a", 2).await), ids(&strangers)[..2]);
}

/// A worker that is not registered gets nothing, and takes nothing from others.
pub async fn a_stranger_gets_nothing(storage: StorageHandle) {
    store_one(&storage, "a").await;
    Hand::stranger(&storage).finds_nothing("a").await;
    Hand::hire(&storage).await.take_one("a").await;
}

/// A claim may be large.
pub async fn a_claim_may_be_large(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let wanted = store_some(&storage, "a", 5_000).await;
    let taken = hand.take("a", 5_000).await;
    assert_eq!(ids_of(&taken), wanted);
    assert_eq!(hand.report(&taken, &succeed()).await, []);
    assert_eq!(storage.counts().await.expect("counts").succeeded, 5_000);
}

/// Jobs for later do not stand in the way of those that are due.
pub async fn jobs_for_later_are_passed_over(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut later = jobs("a", 3_000);
    for new in &mut later {
        new.due = Due::In(LATER);
        new.priority = Priority::HIGHEST;
    }
    store(&storage, &later).await;
    let now = store_some(&storage, "a", 2).await;
    assert_eq!(ids_of(&hand.take("a", 2).await), now);
    hand.finds_nothing("a").await;
}

/// However many claim at once, nobody gets a job that another has, and none is left behind.
pub async fn nobody_gets_a_job_twice(storage: StorageHandle) {
    const JOBS: usize = 2_000;
    let wanted: HashSet<_> = store_some(&storage, "a", JOBS).await.into_iter().collect();
    let taken = Arc::new(AtomicUsize::new(0));
    let claimer = |_| {
        let (storage, taken) = (storage.clone(), Arc::clone(&taken));
        async move {
            let hand = Hand::hire(&storage).await;
            let mut own = Vec::new();
            let patience = Patience::new("all jobs are taken");
            while taken.load(Ordering::Relaxed) < JOBS {
                let got = hand.ask(&[("a", 7)], 7).await;
                if got.is_empty() {
                    patience.wait().await;
                }
                taken.fetch_add(got.len(), Ordering::Relaxed);
                own.extend(ids_of(&got));
            }
            own
        }
    };
    let all: Vec<JobId> = at_once((0..8).map(claimer)).await.concat();
    assert_eq!(all.len(), JOBS, "each job was taken once");
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), wanted);
}
