//! Jobs that [expire](crate::job::Rules::expires_in), and deletions by the worker that finds one too late.

use std::time::Duration;

use chrono::TimeDelta;

use super::control::{pause, queues};
use super::stage::{
    Hand, LATER, Patience, after, at_most, at_once, batch_record, becomes, claims, close, ends,
    eventually, job, limited, member, order, record, release, retry, rules, snooze, state, store,
    store_batch, store_one, store_this, succeed, tally,
};
use super::unique::unique;
use crate::job::{BatchId, Condition, Due, NewJob, OnConflict, State, UniqueUntil};
use crate::lifecycle::Transition;
use crate::storage::{NewBatch, Refusal, StorageHandle, Verb};

const SOON: Duration = Duration::from_millis(300);

/// A job that is not to be started later than this.
fn within(queue: &str, time: Duration) -> NewJob {
    let mut new = job(queue);
    rules(&mut new).expires_in = Some(time);
    new
}

/// Waits until what was stored before this and expires soon has expired.
async fn soon_is_over(storage: &StorageHandle) {
    let last = store_this(storage, within("sentinel", SOON)).await;
    becomes(storage, last, State::Deleted).await;
}

/// A job that was not started in time is Deleted, not earlier, and says why.
pub async fn what_is_not_started_in_time_is_deleted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let late = store_this(&storage, within("a", SOON)).await;
    let patient = store_this(&storage, within("b", LATER)).await;
    assert_eq!(state(&storage, late).await, State::Enqueued);
    let found = becomes(&storage, late, State::Deleted).await;
    let reason = "was not started within 300 ms";
    assert_eq!(found.reason.as_deref(), Some(reason));
    assert_eq!((found.attempt, found.started_at), (0, None));
    let end = found.finished_at.expect("it is final");
    assert!(close(end, storage.now()));
    assert!(
        end - found.created_at >= TimeDelta::milliseconds(300),
        "{found:?}"
    );
    hand.finds_nothing("a").await;
    assert_eq!(state(&storage, patient).await, State::Enqueued);
    storage.tick().await.expect("tick");
    let (now, day) = (storage.now(), TimeDelta::days(1));
    let stats = storage.stats(now - day, now + day).await.expect("stats");
    assert_eq!(stats.iter().map(|stat| stat.deleted).sum::<u64>(), 1);
    let attempts = storage.attempts(late).await.expect("attempts");
    assert!(attempts.is_empty(), "no attempt was made");
}

/// The longest time there is is no time that would come, and no error.
pub async fn the_longest_time_never_ends(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let patient = store_this(&storage, within("a", Duration::MAX)).await;
    soon_is_over(&storage).await;
    assert_eq!(hand.take_one("a").await.id, patient);
}

/// The time counts from when the job was stored, by the storage's clock, whatever else it waits for: its
/// due time, its parents.
pub async fn whatever_it_waits_for_it_expires(storage: StorageHandle) {
    let mut later = within("a", SOON);
    later.due = Due::In(LATER);
    let parent = store_one(&storage, "p").await;
    let mut child = after("a", &[(parent, Condition::Success)]);
    rules(&mut child).expires_in = Some(SOON);
    let heir = after("h", &[(child.id, Condition::Deletion)]);
    let batch = BatchId::new();
    let mut inside = member("a", batch);
    rules(&mut inside).expires_in = Some(SOON);
    store_batch(&storage, &NewBatch::new(batch), &[inside]).await;
    let mut holder = unique("a", "k", UniqueUntil::Done, OnConflict::Skip);
    rules(&mut holder).expires_in = Some(SOON);
    store(
        &storage,
        &[later.clone(), child.clone(), heir.clone(), holder.clone()],
    )
    .await;
    for new in [&later, &child, &holder] {
        let found = becomes(&storage, new.id, State::Deleted).await;
        assert_eq!(
            found.reason.as_deref(),
            Some("was not started within 300 ms")
        );
    }
    becomes(&storage, heir.id, State::Enqueued).await;
    eventually("the batch ends", async || {
        let found = batch_record(&storage, batch).await;
        found
            .finished_at
            .map(|_| assert_eq!(tally(&found), [1, 0, 0, 0, 1]))
    })
    .await;
    store_this(
        &storage,
        unique("b", "k", UniqueUntil::Done, OnConflict::Skip),
    )
    .await;
}

/// The same where it waits for its turn before a limit, in a queue that is paused, or in a batch that is not complete;
/// and it leaves no gap there.
pub async fn in_whatever_line_it_waits_it_expires(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let soon = |mut new: NewJob| {
        rules(&mut new).expires_in = Some(SOON);
        new
    };
    let before = |queue: &'static str| limited(queue, &at_most(queue, 1), "");
    pause(&storage, queues("paused")).await;
    let batch = BatchId::new();
    // In one line the first runs; in the other it has been let in, and nobody takes it.
    let (first, in_line, behind) = (before("one"), soon(before("one")), before("one"));
    store(&storage, &[first, in_line.clone(), behind.clone()]).await;
    let run = hand.gets("one", 1).await.remove(0);
    let (let_in, next) = (soon(before("two")), before("two"));
    let paused = soon(job("paused"));
    store(&storage, &[let_in.clone(), next.clone(), paused.clone()]).await;
    let inside = soon(member("b", batch));
    let unsealed = NewBatch {
        sealed: false,
        ..NewBatch::new(batch)
    };
    let two = [inside.clone(), member("b", batch)];
    store_batch(&storage, &unsealed, &two).await;
    for new in [&in_line, &let_in, &paused, &inside] {
        let found = becomes(&storage, new.id, State::Deleted).await;
        assert_eq!(
            found.reason.as_deref(),
            Some("was not started within 300 ms")
        );
    }
    assert_eq!(hand.gets("two", 1).await[0].id, next.id);
    hand.end(&run, succeed()).await;
    assert_eq!(hand.gets("one", 1).await[0].id, behind.id);
    storage.seal_batch(batch).await.expect("seal_batch");
    hand.end(&hand.take_one("b").await, succeed()).await;
    assert_eq!(tally(&ends(&storage, batch).await), [2, 0, 1, 0, 1]);
}

/// A job that was started does not expire, however it waits again.
pub async fn what_was_started_does_not_expire(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut jobs = Vec::new();
    for way in [retry(Duration::ZERO), retry(LATER), snooze(LATER)] {
        jobs.push(store_this(&storage, within("a", SOON)).await);
        let run = hand.take_one("a").await;
        hand.end(&run, way).await;
        if jobs.len() == 1 {
            let run = hand.take_one("a").await;
            hand.end(&run, release()).await;
            order(&storage, Verb::Reschedule(Due::In(LATER)), jobs[0]).await;
        }
    }
    let dying = Hand::hire(&storage).await;
    let lost = store_this(&storage, within("lost", SOON)).await;
    dying.take_one("lost").await;
    dying.dies().await;
    soon_is_over(&storage).await;
    for id in jobs {
        assert_eq!(state(&storage, id).await, State::Scheduled);
    }
    assert_eq!(state(&storage, lost).await, State::Enqueued);
}

/// A job that a worker holds is left to it; if it comes back without having been started, it is Deleted
/// then.
pub async fn what_is_held_is_left_to_its_worker(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store(&storage, &[within("a", SOON), within("a", SOON)]).await;
    let runs = hand.take("a", 2).await;
    soon_is_over(&storage).await;
    for run in &runs {
        assert_eq!(state(&storage, run.id).await, State::Processing);
    }
    let mut unstarted = runs[0].ended(release());
    unstarted.ran_for = None;
    let ends = vec![unstarted, runs[1].ended(succeed())];
    assert_eq!(hand.send(ends, claims(&runs)).await, []);
    becomes(&storage, runs[0].id, State::Deleted).await;
    assert_eq!(state(&storage, runs[1].id).await, State::Succeeded);
}

/// A job that expired can be requeued, and does not expire again.
pub async fn a_requeued_job_does_not_expire(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_this(&storage, within("a", SOON)).await;
    becomes(&storage, id, State::Deleted).await;
    order(&storage, Verb::Requeue, id).await;
    soon_is_over(&storage).await;
    assert_eq!(record(&storage, id).await.reason, None);
    let run = hand.take_one("a").await;
    assert_eq!(run.id, id);
    hand.end(&run, succeed()).await;
}

/// A worker that does not start a job deletes it: final, with its reason, no attempt used, counted once.
pub async fn a_worker_may_delete_what_it_does_not_start(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let heir = store_this(&storage, after("h", &[(id, Condition::Deletion)])).await;
    let run = hand.take_one("a").await;
    let delete = Transition::Delete {
        reason: "was not started within 1 h".into(),
    };
    let mut end = run.ended(delete);
    end.ran_for = None;
    let settle = || hand.send(vec![end.clone()], vec![run.claim]);
    assert_eq!(settle().await, []);
    let found = record(&storage, id).await;
    assert_eq!(found.state, State::Deleted);
    assert_eq!(found.reason.as_deref(), Some("was not started within 1 h"));
    assert_eq!((found.attempt, found.started_at), (0, None));
    assert!(found.finished_at.is_some_and(|at| close(at, storage.now())));
    assert!(storage.attempts(id).await.expect("attempts").is_empty());
    assert_eq!(settle().await[0].why, Refusal::AlreadySettled);
    becomes(&storage, heir, State::Enqueued).await;
    storage.tick().await.expect("tick");
    let (now, day) = (storage.now(), TimeDelta::days(1));
    let stats = storage.stats(now - day, now + day).await.expect("stats");
    assert_eq!(stats.iter().map(|stat| stat.deleted).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|stat| stat.succeeded).sum::<u64>(), 0);
}

/// Jobs that expire while workers take them either run or are Deleted, never both.
pub async fn expiring_and_claiming_at_once_agree(storage: StorageHandle) {
    let time = Duration::from_millis(60);
    let mut jobs: Vec<_> = (0..200).map(|_| within("a", time)).collect();
    for (n, new) in jobs.iter_mut().enumerate() {
        new.due = Due::In(Duration::from_millis(n as u64 / 2));
    }
    store(&storage, &jobs).await;
    let work = |_| {
        let storage = storage.clone();
        async move {
            let hand = Hand::hire(&storage).await;
            let mut done = 0;
            let patience = Patience::new("all are final");
            loop {
                storage.tick().await.expect("tick");
                let runs = hand.ask(&[("a", 3)], 3).await;
                let refused = hand.report(&runs, &succeed()).await;
                assert_eq!(refused, [], "what is held does not expire");
                done += runs.len() as u64;
                if storage.counts().await.expect("counts").unfinished() == 0 {
                    break;
                }
                patience.wait().await;
            }
            done
        }
    };
    let done: u64 = at_once((0..3).map(work)).await.into_iter().sum();
    let counts = storage.counts().await.expect("counts");
    assert_eq!(
        (counts.succeeded, counts.succeeded + counts.deleted),
        (done, 200)
    );
}
