//! What becomes of a job whose [unique key](crate::job::Unique) another holds.

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, after, at_once, becomes, close, eventually, is_refused, job, order, record, retry,
    rules, state, store, store_one, store_this, succeed,
};
use super::unique::{holds, unique};
use crate::error::Error;
use crate::job::{
    Condition, Due, Input, JobId, JobRecord, NewJob, OnConflict, Parent, ParentId, Priority, State,
    UniqueUntil,
};
use crate::storage::{Refusal, StorageHandle, Verb};

fn wants(key: &str, on: OnConflict) -> NewJob {
    unique("a", key, UniqueUntil::Done, on)
}

/// The same with all that a holder may take over.
fn different(key: &str, on: OnConflict) -> NewJob {
    let mut new = wants(key, on);
    new.queue = "b".into();
    new.args = r#"{"n": 2}"#.into();
    new.priority = Priority::HIGH;
    new.options.tags = vec!["new".into()];
    new.due = Due::In(LATER * 2);
    new
}

async fn is_different(storage: &StorageHandle, id: JobId) -> JobRecord {
    let found = record(storage, id).await;
    assert_eq!(found.args, r#"{"n": 2}"#);
    assert_eq!((&*found.queue, found.priority), ("b", Priority::HIGH));
    assert_eq!(found.options.tags, ["new"]);
    found
}

/// Skipped, the new job leaves no trace and the holder is as it was.
pub async fn a_skipped_job_leaves_the_holder_alone(storage: StorageHandle) {
    let holder = store_this(&storage, wants("k", OnConflict::Replace)).await;
    let before = record(&storage, holder).await;
    holds(&storage, holder, different("k", OnConflict::Skip)).await;
    let found = record(&storage, holder).await;
    assert_eq!((&*found.args, &*found.queue), ("{}", "a"));
    assert_eq!((found.run, found.due_at), (before.run, before.due_at));
    Hand::hire(&storage).await.take_one("a").await;
}

/// A holder that waits for a worker takes what the new job brings, and keeps its time; it is there once.
pub async fn a_replaced_holder_keeps_its_time(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let holder = store_this(&storage, wants("k", OnConflict::Skip)).await;
    let before = record(&storage, holder).await;
    for n in 1..=3 {
        holds(&storage, holder, different("k", OnConflict::Replace)).await;
        let found = is_different(&storage, holder).await;
        assert_eq!(found.due_at, before.due_at);
        assert_eq!((found.state, found.run), (State::Enqueued, before.run + n));
        assert_eq!(found.created_at, before.created_at);
    }
    hand.finds_nothing("a").await;
    let run = hand.take_one("b").await;
    assert_eq!((run.id, &*run.args), (holder, r#"{"n": 2}"#));
    assert_eq!(run.priority, Priority::HIGH);
    hand.end(&run, succeed()).await;
    hand.finds_nothing("*").await;
}

/// The same for one that is for later, or waits for a retry.
pub async fn a_scheduled_holder_is_replaced_too(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut later = wants("k", OnConflict::Skip);
    later.due = Due::In(LATER);
    let holder = store_this(&storage, later).await;
    let before = record(&storage, holder).await;
    holds(&storage, holder, different("k", OnConflict::Replace)).await;
    let found = is_different(&storage, holder).await;
    assert_eq!(
        (found.state, found.due_at),
        (State::Scheduled, before.due_at)
    );
    let holder = store_this(&storage, wants("l", OnConflict::Skip)).await;
    let run = hand.take_one("a").await;
    hand.end(&run, retry(LATER)).await;
    holds(&storage, holder, different("l", OnConflict::Replace)).await;
    let found = is_different(&storage, holder).await;
    assert_eq!((found.state, found.attempt), (State::Scheduled, 1));
}

/// Debounced, the holder also becomes due when the new job would have been.
pub async fn a_debounced_holder_takes_the_new_time(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut first = wants("k", OnConflict::Debounce);
    first.due = Due::In(LATER);
    let holder = store_this(&storage, first).await;
    holds(&storage, holder, different("k", OnConflict::Debounce)).await;
    let found = is_different(&storage, holder).await;
    assert!(close(found.due_at, storage.now() + TimeDelta::hours(2)));
    hand.finds_nothing("*").await;
    holds(&storage, holder, wants("k", OnConflict::Debounce)).await;
    assert_eq!(state(&storage, holder).await, State::Enqueued);
    let run = hand.take_one("a").await;
    assert_eq!((run.id, &*run.args), (holder, "{}"));
    hand.finds_nothing("*").await;
}

/// A holder that runs is left as it is, and so is one that has ended and holds its key for a period.
pub async fn a_running_holder_is_left_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for on in [OnConflict::Replace, OnConflict::Debounce] {
        let until = UniqueUntil::Period(LATER);
        let holder = store_this(&storage, unique("a", on_name(on), until, on)).await;
        let run = hand.take_one("a").await;
        for wanted in [State::Processing, State::Succeeded] {
            let mut new = different(on_name(on), on);
            rules(&mut new).unique = unique("a", on_name(on), until, on)
                .rules
                .and_then(|r| r.unique);
            holds(&storage, holder, new).await;
            let found = record(&storage, holder).await;
            assert_eq!(
                (found.state, &*found.args, &*found.queue),
                (wanted, "{}", "a")
            );
            if wanted == State::Processing {
                hand.end(&run, succeed()).await;
            }
        }
        hand.finds_nothing("*").await;
    }
}

fn on_name(on: OnConflict) -> &'static str {
    match on {
        OnConflict::Replace => "replaced",
        _ => "debounced",
    }
}

/// A holder that waits for its parents takes what the new job brings and waits on for the same.
pub async fn a_waiting_child_is_replaced(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let mut child = wants("k", OnConflict::Skip);
    rules(&mut child).parents = vec![Parent {
        of: ParentId::Job(parent),
        on: Condition::Success,
    }];
    let child = store_this(&storage, child).await;
    holds(&storage, child, different("k", OnConflict::Replace)).await;
    let found = is_different(&storage, child).await;
    assert_eq!(found.state, State::Awaiting);
    assert_eq!(storage.awaited(child).await.expect("awaited").len(), 1);
    let run = hand.take_one("p").await;
    hand.end(&run, succeed()).await;
    becomes(&storage, child, State::Enqueued).await;
    assert_eq!(hand.take_one("b").await.id, child);
    hand.finds_nothing("*").await;
}

/// An insert that is not to meet another holder is refused as a whole, and says who it is.
pub async fn a_duplicate_may_be_refused(storage: StorageHandle) {
    let holder = store_this(&storage, wants("k", OnConflict::Skip)).await;
    let other = store_this(&storage, wants("l", OnConflict::Skip)).await;
    let answer = storage
        .insert(&[
            job("a"),
            different("l", OnConflict::Replace),
            wants("k", OnConflict::Error),
        ])
        .await;
    let error = answer.expect_err("it is to be refused");
    assert!(!error.is_transient());
    assert!(
        matches!(&error, Error::Duplicate { holder: held, key } if *held == holder && key == "k")
    );
    assert_eq!(record(&storage, other).await.args, "{}", "nothing was done");
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 2);
    let twice = [wants("m", OnConflict::Error), wants("m", OnConflict::Error)];
    let error = is_refused(&storage, &twice).await;
    assert!(matches!(error, Error::Duplicate { holder, .. } if holder == twice[0].id));
    store_this(&storage, wants("m", OnConflict::Error)).await;
}

/// A child of a job whose key another holds waits for that one, and takes its input from it.
pub async fn a_child_waits_for_the_holder(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let holder = store_this(&storage, wants("k", OnConflict::Skip)).await;
    let skipped = wants("k", OnConflict::Skip);
    let mut child = after("c", &[(skipped.id, Condition::Success)]);
    rules(&mut child).input = Some(Input {
        parent: skipped.id,
        field: "n".into(),
    });
    let answers = storage.insert(&[child.clone(), skipped]).await;
    assert_eq!(answers.expect("insert")[1].id, holder);
    let stored = record(&storage, child.id).await;
    assert_eq!(stored.state, State::Awaiting);
    let stored = stored.rules.expect("rules");
    assert_eq!(stored.parents[0].of, ParentId::Job(holder));
    assert_eq!(stored.input.map(|input| input.parent), Some(holder));
    let run = hand.take_one("a").await;
    hand.end(&run, succeed()).await;
    becomes(&storage, child.id, State::Enqueued).await;
    let run = hand.take_one("c").await;
    let input = run.rules.clone().and_then(|rules| rules.input);
    assert_eq!(input.map(|input| input.parent), Some(holder));
}

/// If it would wait for itself by that, the insert is refused.
pub async fn a_child_does_not_wait_for_itself_as_holder(storage: StorageHandle) {
    let second = wants("k", OnConflict::Skip);
    let mut first = wants("k", OnConflict::Skip);
    rules(&mut first).parents = vec![Parent {
        of: ParentId::Job(second.id),
        on: Condition::Success,
    }];
    let error = is_refused(&storage, &[first, second]).await;
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

/// A holder that is replaced and taken by a worker at the same moment either runs as it was or waits as
/// it is now; nothing is lost and nothing runs twice.
pub async fn replacing_and_claiming_at_once_agree(storage: StorageHandle) {
    for round in 0..10 {
        let key = |n: usize| format!("r{round}.{n}");
        let first: Vec<_> = (0..30).map(|n| wants(&key(n), OnConflict::Skip)).collect();
        store(&storage, &first).await;
        let replace = (0..3).map(|_| {
            let storage = storage.clone();
            let new: Vec<_> = (0..30)
                .map(|n| {
                    let mut new = wants(&key(n), OnConflict::Replace);
                    new.args = r#"{"n": 2}"#.into();
                    new
                })
                .collect();
            async move {
                let mut stored = 0;
                for some in new.chunks(6) {
                    let answers = storage.insert(some).await.expect("insert");
                    stored += answers.iter().filter(|one| !one.existing).count();
                }
                stored
            }
        });
        let hand = Hand::hire(&storage).await;
        let worker = tokio::spawn({
            let hand = hand.clone();
            async move {
                let mut ended = 0;
                for _ in 0..12 {
                    let runs = hand.ask(&[("a", 5)], 5).await;
                    let refused = hand.report(&runs, &succeed()).await;
                    let superseded = |no: &&crate::storage::Refused| no.why == Refusal::Superseded;
                    assert_eq!(
                        refused.iter().filter(superseded).count(),
                        0,
                        "a holder that runs is left alone"
                    );
                    ended += runs.len();
                }
                ended
            }
        });
        let stored: usize = at_once(replace).await.into_iter().sum();
        let mut ended = worker.await.expect("the worker is well");
        eventually("all are done", async || {
            let runs = hand.ask(&[("a", 50)], 50).await;
            assert_eq!(hand.report(&runs, &succeed()).await, []);
            ended += runs.len();
            (ended >= 30 + stored).then_some(())
        })
        .await;
        hand.finds_nothing("a").await;
        assert_eq!(ended, 30 + stored);
        assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    }
}

/// One job may come to stand for two parents: then the stricter condition holds, whichever was named first.
pub async fn a_child_heeds_both_conditions_of_one_holder(storage: StorageHandle) {
    for holder_first in [true, false] {
        let key = if holder_first { "k" } else { "l" };
        let holder = store_this(&storage, wants(key, OnConflict::Skip)).await;
        let skipped = wants(key, OnConflict::Skip);
        let mut parents = [(holder, Condition::Success), (skipped.id, Condition::Any)];
        if !holder_first {
            parents.reverse();
        }
        let child = after("c", &parents);
        let answers = storage.insert(&[skipped, child.clone()]).await;
        assert_eq!(answers.expect("insert")[0].id, holder);
        let stored = record(&storage, child.id).await;
        let wanted = after("c", &[(holder, Condition::Success)]).rules;
        assert_eq!(
            stored.rules.map(|rules| rules.parents),
            wanted.map(|rules| rules.parents)
        );
        order(&storage, Verb::Delete, holder).await;
        becomes(&storage, child.id, State::Deleted).await;
    }
}
