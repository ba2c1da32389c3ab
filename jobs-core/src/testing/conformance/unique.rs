//! [Unique keys](crate::job::Unique): only one job holds a key at a time. What becomes of a job whose key
//! another holds is in [`conflict`](mod@super::conflict).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::stage::{
    Hand, LATER, after, at_once, becomes, eventually, fail, is_refused, job, order, record,
    release, retry, rules, snooze, state, store, store_one, store_this, succeed,
};
use crate::error::Error;
use crate::job::{Condition, JobId, NewJob, OnConflict, State, Unique, UniqueUntil};
use crate::lifecycle::Transition;
use crate::storage::{Answer, StorageHandle, Verb};

/// A job that wants this key.
pub(super) fn unique(queue: &str, key: &str, until: UniqueUntil, on: OnConflict) -> NewJob {
    let mut new = job(queue);
    rules(&mut new).unique = Some(Unique {
        key: key.into(),
        until,
        on_conflict: on,
    });
    new
}

fn done(queue: &str, key: &str) -> NewJob {
    unique(queue, key, UniqueUntil::Done, OnConflict::Skip)
}

/// Finds that this job holds the key of a new one: the new one is not stored.
pub(super) async fn holds(storage: &StorageHandle, holder: JobId, new: NewJob) {
    let answers = storage.insert(std::slice::from_ref(&new)).await;
    let answer = answers.expect("insert")[0];
    assert_eq!((answer.id, answer.existing), (holder, true));
    let stored = storage.job(new.id).await.expect("job");
    assert!(stored.is_none(), "it is not stored: {stored:?}");
}

/// While a job holds its key no other of its kind is stored with it; the answer is the holder. Other
/// keys, other kinds and jobs without a key are not concerned.
pub async fn a_key_is_held_by_one(storage: StorageHandle) {
    let holder = store_this(&storage, done("a", "k")).await;
    let before = record(&storage, holder).await;
    holds(&storage, holder, done("a", "k")).await;
    holds(&storage, holder, done("b", "k")).await;
    let mut other_kind = done("a", "k");
    other_kind.kind = "other".into();
    let long = "ä".repeat(128);
    store(
        &storage,
        &[other_kind, done("a", "K"), done("a", &long), job("a")],
    )
    .await;
    let after = record(&storage, holder).await;
    assert_eq!((before.run, before.due_at), (after.run, after.due_at));
    assert_eq!(after.rules, done("a", "k").rules, "it says what it holds");
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 5);
}

/// A repeated insert meets its own key, which is no conflict, also in a mixed request.
pub async fn a_repeat_is_no_conflict(storage: StorageHandle) {
    let one = unique("a", "k", UniqueUntil::Done, OnConflict::Error);
    store(&storage, std::slice::from_ref(&one)).await;
    let two = unique("a", "l", UniqueUntil::Done, OnConflict::Error);
    let answers = storage.insert(&[one.clone(), two.clone()]).await;
    let answers: Vec<_> = answers
        .expect("insert")
        .iter()
        .map(|it| it.existing)
        .collect();
    assert_eq!(answers, [true, false]);
    let hand = Hand::hire(&storage).await;
    let runs = hand.take("a", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    // Its key is another's by now: it is left as it is all the same.
    let heir = store_this(&storage, done("a", "k")).await;
    assert!(storage.insert(&[one]).await.expect("insert")[0].existing);
    holds(&storage, heir, done("a", "k")).await;
}

/// Of a hundred that come at once one is stored, and all hear which.
pub async fn of_a_hundred_at_once_one_is_stored(storage: StorageHandle) {
    for round in 0..5 {
        let key = &format!("k{round}");
        let insert = |_| {
            let (storage, new) = (storage.clone(), done("a", key));
            async move {
                let answers = storage.insert(&[new]).await.expect("insert");
                (answers[0].id, answers[0].existing)
            }
        };
        let answers = at_once((0..100).map(insert)).await;
        let stored: Vec<_> = answers.iter().filter(|(_, existing)| !existing).collect();
        assert_eq!(stored.len(), 1);
        let all_know = answers.iter().all(|(id, _)| *id == stored[0].0);
        assert!(all_know, "all are told of the same job");
        assert_eq!(state(&storage, stored[0].0).await, State::Enqueued);
    }
    assert_eq!(storage.counts().await.expect("counts").enqueued, 5);
}

/// Many requests with many keys each, in any order, do not stand in each other's way.
pub async fn many_keys_at_once_are_each_held_once(storage: StorageHandle) {
    let insert = |seed| {
        let storage = storage.clone();
        let mut luck = fastrand::Rng::with_seed(seed);
        let mut batch: Vec<_> = (0..40).map(|n| done("a", &format!("k{n}"))).collect();
        luck.shuffle(&mut batch);
        async move {
            let answers = storage.insert(&batch).await.expect("insert");
            let keys = batch.iter().map(|new| {
                let unique = new.rules.as_ref().and_then(|rules| rules.unique.clone());
                unique.expect("a key").key
            });
            keys.zip(answers).collect::<Vec<_>>()
        }
    };
    let answers = at_once((0..12).map(insert)).await;
    let mut holders: HashMap<String, JobId> = HashMap::new();
    let mut stored = 0;
    for (key, answer) in answers.into_iter().flatten() {
        let holder = *holders.entry(key).or_insert(answer.id);
        assert_eq!(holder, answer.id, "one holder for each key");
        stored += usize::from(!answer.existing);
    }
    assert_eq!((stored, holders.len()), (40, 40));
    assert_eq!(storage.counts().await.expect("counts").enqueued, 40);
}

/// Of jobs of one request that want the same key the first gets it.
pub async fn in_a_request_the_first_gets_the_key(storage: StorageHandle) {
    let batch = [
        done("a", "k"),
        job("a"),
        done("a", "k"),
        done("a", "l"),
        done("b", "k"),
    ];
    let answers = storage.insert(&batch).await.expect("insert");
    let got: Vec<_> = answers.iter().map(|one| (one.id, one.existing)).collect();
    let first = batch[0].id;
    let wanted = [
        (first, false),
        (batch[1].id, false),
        (first, true),
        (batch[3].id, false),
        (first, true),
    ];
    assert_eq!(got, wanted);
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 3);
}

/// Of thousands that come at once all keys may be held. A job among them that waits for one of them waits for the holder; what else
/// it says stays as it is, even where it names that job.
pub async fn thousands_of_keys_may_be_held(storage: StorageHandle) {
    let make = || (0..4_000).map(|n| done("a", &format!("k{n}")));
    let holders: Vec<NewJob> = make().collect();
    store(&storage, &holders).await;
    let mut again: Vec<NewJob> = make().collect();
    let (parent, holder) = (again[3_999].id, holders[3_999].id);
    let mut child = after("a", &[(parent, Condition::Success)]);
    let own_key = format!("after {parent}");
    rules(&mut child).unique = done("a", &own_key).rules.and_then(|rules| rules.unique);
    again.push(child.clone());
    let answers = storage.insert(&again).await.expect("insert");
    let got: Vec<_> = answers.iter().map(|one| (one.id, one.existing)).collect();
    let mut wanted: Vec<_> = holders.iter().map(|job| (job.id, true)).collect();
    wanted.push((child.id, false));
    assert!(got == wanted, "each is answered with its holder");
    let mut says = after("a", &[(holder, Condition::Success)]);
    rules(&mut says).unique = rules(&mut child).unique.clone();
    assert_eq!(record(&storage, child.id).await.rules, says.rules);
    holds(&storage, child.id, done("a", &own_key)).await;
}

/// A key that is held until its job is done is held as long as the job waits, runs, or waits again, and
/// free in whatever way the job ends.
pub async fn a_key_is_free_when_its_job_is_final(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let goes_on = [retry(Duration::ZERO), snooze(Duration::ZERO), release()];
    let deleted = Transition::Delete {
        reason: "too late".into(),
    };
    for end in [Some(succeed()), Some(fail()), Some(deleted), None] {
        let holder = store_this(&storage, done("a", "k")).await;
        holds(&storage, holder, done("a", "k")).await;
        for way in &goes_on {
            let run = hand.take_one("a").await;
            holds(&storage, holder, done("a", "k")).await;
            hand.end(&run, way.clone()).await;
            holds(&storage, holder, done("a", "k")).await;
        }
        match end {
            Some(end) => hand.end(&hand.take_one("a").await, end).await,
            None => {
                order(&storage, Verb::Delete, holder).await;
            }
        }
        let heir = store_this(&storage, done("a", "k")).await;
        order(&storage, Verb::Delete, heir).await;
    }
}

/// The same when it is Failed because it killed its workers, or Deleted because of its parents.
pub async fn a_key_is_free_by_whatever_door(storage: StorageHandle) {
    let holder = store_this(&storage, done("a", "k")).await;
    for _ in 0..3 {
        holds(&storage, holder, done("a", "k")).await;
        let hand = Hand::hire(&storage).await;
        let run = hand.take_one("a").await;
        let noted = storage.suspect(hand.id, Some(run.id)).await;
        noted.expect("suspect");
        hand.dies().await;
    }
    assert_eq!(state(&storage, holder).await, State::Failed);
    let parent = store_one(&storage, "p").await;
    let mut child = done("a", "k");
    rules(&mut child).parents = after("a", &[(parent, Condition::Success)])
        .rules
        .expect("rules")
        .parents;
    let child = store_this(&storage, child).await;
    holds(&storage, child, done("a", "k")).await;
    order(&storage, Verb::Delete, parent).await;
    becomes(&storage, child, State::Deleted).await;
    // One that is Deleted as soon as it is stored has given it back as well.
    let mut stillborn = done("a", "k");
    rules(&mut stillborn).parents = after("a", &[(parent, Condition::Success)])
        .rules
        .expect("rules")
        .parents;
    let stillborn = store_this(&storage, stillborn).await;
    becomes(&storage, stillborn, State::Deleted).await;
    store_this(&storage, done("a", "k")).await;
}

/// A key that is held until the start is free when a worker takes the job, and not held again by it.
pub async fn a_key_may_be_free_at_the_start(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let new = || unique("a", "k", UniqueUntil::Started, OnConflict::Skip);
    let first = store_this(&storage, new()).await;
    holds(&storage, first, new()).await;
    let run = hand.take_one("a").await;
    let second = store_this(&storage, new()).await;
    holds(&storage, second, new()).await;
    hand.end(&run, retry(Duration::ZERO)).await;
    holds(&storage, second, new()).await;
    let runs = hand.take("a", 2).await;
    let third = store_this(&storage, new()).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    holds(&storage, third, new()).await;
}

/// A key that is held for a period is held whatever becomes of the job, and free when it is over.
pub async fn a_key_may_be_held_for_a_period(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let new = |time| unique("a", "k", UniqueUntil::Period(time), OnConflict::Skip);
    let first = store_this(&storage, new(LATER)).await;
    let run = hand.take_one("a").await;
    holds(&storage, first, new(LATER)).await;
    hand.end(&run, succeed()).await;
    holds(&storage, first, new(Duration::from_millis(1))).await;
    let mut other = new(Duration::from_millis(300));
    other.kind = "other".into();
    let other = store_this(&storage, other).await;
    let stored_at = record(&storage, other).await.created_at;
    let heir = eventually("the period is over", async || {
        let mut again = new(Duration::from_millis(300));
        again.kind = "other".into();
        let answer = storage.insert(&[again]).await.expect("insert")[0];
        (!answer.existing).then_some(answer.id)
    })
    .await;
    let held = record(&storage, heir).await.created_at - stored_at;
    assert!(held.num_milliseconds() >= 300, "it was held for {held}");
    assert_eq!(
        state(&storage, other).await,
        State::Enqueued,
        "it still waits"
    );
}

/// A job that is requeued takes its key again; if another holds it by now, the operator hears which, and
/// nothing is changed.
pub async fn a_requeued_job_takes_its_key_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for until in [UniqueUntil::Done, UniqueUntil::Started] {
        let new = || unique("a", "k", until, OnConflict::Skip);
        let first = store_this(&storage, new()).await;
        let run = hand.take_one("a").await;
        hand.end(&run, fail()).await;
        order(&storage, Verb::Requeue, first).await;
        holds(&storage, first, new()).await;
        order(&storage, Verb::Delete, first).await;
        let second = store_this(&storage, new()).await;
        let events = storage.events(first).await.expect("events").len();
        let before = record(&storage, first).await;
        let answer = order(&storage, Verb::Requeue, first).await;
        assert_eq!(answer, Answer::KeyHeld(second));
        let found = record(&storage, first).await;
        assert_eq!((found.state, found.run), (State::Deleted, before.run));
        assert_eq!(storage.events(first).await.expect("events").len(), events);
        order(&storage, Verb::Delete, second).await;
    }
    let period = unique("a", "p", UniqueUntil::Period(LATER), OnConflict::Skip);
    let first = store_this(&storage, period.clone()).await;
    order(&storage, Verb::Delete, first).await;
    let answer = order(&storage, Verb::Requeue, first).await;
    assert!(
        matches!(answer, Answer::Done { .. }),
        "it says how often jobs are stored"
    );
}

/// A key that is empty or longer than 256 bytes is refused.
pub async fn a_key_has_a_length(storage: StorageHandle) {
    for key in [String::new(), "k".repeat(257)] {
        let error = is_refused(&storage, &[job("a"), done("a", &key)]).await;
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// However many store and run jobs of the same keys at once, no two of a key are alive at a time, and in
/// the end every key is free.
pub async fn no_two_of_a_key_run_at_once(storage: StorageHandle) {
    const KEYS: usize = 6;
    let running = Arc::new(Mutex::new(HashSet::new()));
    let stored = Arc::new(Mutex::new(0_u64));
    let client = |seed| {
        let (storage, stored) = (storage.clone(), Arc::clone(&stored));
        let mut luck = fastrand::Rng::with_seed(seed);
        tokio::spawn(async move {
            for _ in 0..60 {
                let n = luck.usize(1..4);
                let key = |_| done("a", &format!("k{}", luck.usize(..KEYS)));
                let batch: Vec<_> = (0..n).map(key).collect();
                let answers = storage.insert(&batch).await.expect("insert");
                let new = answers.iter().filter(|one| !one.existing).count();
                *stored.lock().expect("nobody panicked") += new as u64;
            }
        })
    };
    let worker = |_| {
        let (storage, running) = (storage.clone(), Arc::clone(&running));
        tokio::spawn(async move {
            let hand = Hand::hire(&storage).await;
            let mut idle = 0;
            while idle < 20 {
                let runs = hand.ask(&[("a", 4)], 4).await;
                idle = if runs.is_empty() { idle + 1 } else { 0 };
                for run in &runs {
                    let key = run.rules.clone().and_then(|rules| rules.unique);
                    let key = key.expect("a key").key;
                    let alone = running.lock().expect("nobody panicked").insert(key.clone());
                    assert!(alone, "two jobs run that hold {key}");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
                for run in &runs {
                    let key = run.rules.clone().and_then(|rules| rules.unique);
                    let key = key.expect("a key").key;
                    running.lock().expect("nobody panicked").remove(&key);
                }
                assert_eq!(hand.report(&runs, &succeed()).await, []);
            }
        })
    };
    let clients: Vec<_> = (0..4).map(client).collect();
    let workers: Vec<_> = (0..3).map(worker).collect();
    for one in clients.into_iter().chain(workers) {
        if let Err(error) = one.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let hand = Hand::hire(&storage).await;
    eventually("all are done", async || {
        let runs = hand.ask(&[("a", 50)], 50).await;
        assert_eq!(hand.report(&runs, &succeed()).await, []);
        let counts = storage.counts().await.expect("counts");
        (counts.unfinished() == 0).then_some(())
    })
    .await;
    let counts = storage.counts().await.expect("counts");
    assert_eq!(counts.succeeded, *stored.lock().expect("nobody panicked"));
    for n in 0..KEYS {
        store_this(&storage, done("a", &format!("k{n}"))).await;
    }
}
