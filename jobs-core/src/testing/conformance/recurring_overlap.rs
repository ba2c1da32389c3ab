//! What becomes of an occurrence while the run before has not finished ([`Overlap`]).

use std::slice;

use super::recurring::{change, fire, known, overdue, put, runs, spec, trigger};
use super::stage::{Hand, LATER, fail, job, order, record, retry, store, succeed};
use crate::job::{JobId, NewJob, Overlap, State};
use crate::storage::{Changed, StorageHandle, Verb};

/// With `queue`, a run waits until the one before it is final, and runs then.
pub async fn a_queued_run_waits_for_the_one_before(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut queued = spec("* * * * *");
    queued.overlap = Overlap::Queue;
    queued.misfire.misfire = jobs_cron::Misfire::All;
    queued.misfire.cap = 3;
    let before = put(&storage, "a", queued).await;
    let fired = fire(&storage, &before);
    let ids: Vec<_> = fired.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(change(&storage, fired).await, Changed::Done);
    let more = trigger(&storage, &known(&storage, "a").await);
    let last = more.jobs[0].id;
    assert_eq!(change(&storage, more).await, Changed::Done);
    let ends = [fail(), succeed(), succeed()];
    for (id, end) in ids.into_iter().zip(ends) {
        assert_eq!(record(&storage, last).await.state, State::Awaiting);
        let run = hand.take_one("recurs").await;
        assert_eq!(run.id, id, "in the order of the occurrences");
        hand.finds_nothing("recurs").await;
        hand.end(&run, end).await;
    }
    assert_eq!(hand.take_one("recurs").await.id, last);
}

/// With `skip`, an occurrence does not run while the run before it is not final, wherever that is.
pub async fn a_run_holds_the_next_wherever_it_is(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut skip = spec("* * * * *");
    skip.overlap = Overlap::Skip;
    let first = put(&storage, "a", skip).await;
    assert_eq!(
        change(&storage, fire(&storage, &first)).await,
        Changed::Done
    );
    let job = known(&storage, "a").await.last_run.expect("a run").job;
    let held = async || {
        let before = known(&storage, "a").await;
        let change_one = trigger(&storage, &before);
        for _ in 0..2 {
            assert_eq!(change(&storage, change_one.clone()).await, Changed::Held);
        }
        let after = known(&storage, "a").await;
        assert_eq!(after.last_run, before.last_run);
        assert_eq!(runs(&storage).await, 1);
    };
    held().await;
    let run = hand.take_one("recurs").await;
    held().await;
    hand.end(&run, retry(LATER)).await;
    assert_eq!(record(&storage, job).await.state, State::Scheduled);
    held().await;
    order(&storage, Verb::RunNow, job).await;
    let run = hand.take_one("recurs").await;
    hand.end(&run, fail()).await;
    order(&storage, Verb::Requeue, job).await;
    held().await;
    let run = hand.take_one("recurs").await;
    hand.end(&run, succeed()).await;
    let next = trigger(&storage, &known(&storage, "a").await);
    assert_eq!(change(&storage, next).await, Changed::Done);
    assert_eq!(runs(&storage).await, 2);
}

/// A deleted, a failed and a forgotten run hold nothing.
pub async fn what_is_final_holds_nothing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut skip = spec("* * * * *");
    skip.overlap = Overlap::Skip;
    let first = put(&storage, "a", skip).await;
    change(&storage, fire(&storage, &first)).await;
    let run = hand.take_one("recurs").await;
    hand.end(&run, fail()).await;
    let second = trigger(&storage, &known(&storage, "a").await);
    assert_eq!(change(&storage, second).await, Changed::Done);
    let job = known(&storage, "a").await.last_run.expect("a run").job;
    order(&storage, Verb::Delete, job).await;
    let third = trigger(&storage, &known(&storage, "a").await);
    assert_eq!(change(&storage, third).await, Changed::Done);
    let mut forgotten = trigger(&storage, &known(&storage, "a").await);
    forgotten.hold.as_mut().expect("a hold").job = JobId::new();
    assert_eq!(change(&storage, forgotten).await, Changed::Done);
    assert_eq!(runs(&storage).await, 4);
}

/// An occurrence that is held is passed over: the schedule goes on.
pub async fn a_held_occurrence_is_passed_over(storage: StorageHandle) {
    let mut skip = spec("* * * * *");
    skip.overlap = Overlap::Skip;
    let mut first = overdue(&storage, "a", skip);
    let blocker: NewJob = job("recurs");
    store(&storage, slice::from_ref(&blocker)).await;
    let record = first.to.as_mut().expect("a record");
    record.last_run = serde_json::from_value(serde_json::json!({
        "at": record.seen, "job": blocker.id,
    }))
    .expect("a run");
    change(&storage, first).await;
    let before = known(&storage, "a").await;
    assert_eq!(
        change(&storage, fire(&storage, &before)).await,
        Changed::Held
    );
    let after = known(&storage, "a").await;
    assert!(after.next > before.next && after.skipped > before.skipped);
    assert_eq!(after.last_run.map(|run| run.job), Some(blocker.id));
    assert_eq!(runs(&storage).await, 1);
}
