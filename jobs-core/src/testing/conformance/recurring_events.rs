//! What operators do to recurring jobs leaves one event each
//! ([`Inspect::control_events`](crate::storage::Inspect::control_events)), written in the step in which it
//! is done.

use chrono::TimeDelta;

use super::recurring::{ada, change, fire, get, known, made, overdue, put, spec, trigger};
use super::stage::{LATER, close};
use crate::job::{Overlap, RecurringSpec};
use crate::lifecycle::RecurringChange;
use crate::storage::{Changed, ControlEvent, StorageHandle};

async fn events(storage: &StorageHandle) -> Vec<ControlEvent> {
    let mut events = storage.control_events(100).await.expect("events");
    events.reverse();
    events
}

async fn verbs(storage: &StorageHandle) -> Vec<String> {
    let events = events(storage).await.into_iter();
    events.map(|event| event.verb).collect()
}

/// Who did it, when, why and to which: for each verb, and once, also when a request is sent again.
pub async fn each_verb_leaves_one(storage: StorageHandle) {
    let by = || ada(&storage);
    let until = storage.now() + LATER;
    let twice = async |one: RecurringChange| {
        for _ in 0..2 {
            assert_eq!(change(&storage, one.clone()).await, Changed::Done);
        }
        get(&storage, "a.b").await
    };
    let create = RecurringChange::create("a.b", spec("0 0 1 1 *"), by());
    let record = twice(create.expect("a schedule")).await.expect("one");
    let edit = RecurringChange::edit(&record, spec("0 0 2 1 *"), by());
    let record = twice(edit.expect("a schedule")).await.expect("one");
    let declared = RecurringChange::declare(Some(&record), "a.b", spec("0 0 3 1 *"), storage.now());
    let declared = declared.expect("a schedule").expect("a change");
    let record = twice(declared).await.expect("one");
    let reverted = RecurringChange::revert(&record, by()).expect("a schedule");
    let record = twice(reverted.expect("a change")).await.expect("one");
    let paused = RecurringChange::pause(&record, by(), Some(until));
    let record = twice(paused).await.expect("one");
    let record = twice(trigger(&storage, &record)).await.expect("one");
    let resumed = RecurringChange::resume(&record, by()).expect("a schedule");
    let record = twice(resumed.expect("a change")).await.expect("one");
    twice(RecurringChange::remove(&record, by())).await;

    let seen = events(&storage).await;
    let words = [
        "create", "change", "revert", "pause", "trigger", "resume", "remove",
    ];
    assert_eq!(verbs(&storage).await, words);
    for event in &seen {
        assert_eq!(event.recurring.as_deref(), Some("a.b"));
        assert_eq!((&event.scope, &event.order), (&None, &None));
        assert_eq!(event.actor, "ada");
        assert_eq!(event.reason.as_deref(), Some("to see"));
        assert!(close(event.at, storage.now()), "{event:?}");
        let paused_until = event.until.map(|at| at.timestamp_micros());
        let wanted = (event.verb == "pause").then(|| until.timestamp_micros());
        assert_eq!(paused_until, wanted, "{event:?}");
    }
}

/// What is refused because somebody was faster leaves none; a trigger that is held by the run before was
/// carried out, and leaves one.
pub async fn what_is_not_done_leaves_none(storage: StorageHandle) {
    let mut skip: RecurringSpec = spec("0 0 1 1 *");
    skip.overlap = Overlap::Skip;
    let create = RecurringChange::create("a", skip, ada(&storage)).expect("a schedule");
    assert_eq!(change(&storage, create).await, Changed::Done);
    let before = known(&storage, "a").await;
    let first = trigger(&storage, &before);
    let late = [
        RecurringChange::pause(&before, ada(&storage), None),
        RecurringChange::remove(&before, ada(&storage)),
        made("a", spec("0 0 1 1 *"), storage.now()),
    ];
    assert_eq!(change(&storage, first).await, Changed::Done);
    for late in late {
        assert_eq!(change(&storage, late).await, Changed::Stale);
    }
    assert_eq!(verbs(&storage).await, ["create", "trigger"]);
    let held = trigger(&storage, &known(&storage, "a").await);
    for _ in 0..2 {
        assert_eq!(change(&storage, held.clone()).await, Changed::Held);
    }
    assert_eq!(verbs(&storage).await, ["create", "trigger", "trigger"]);
}

/// What schedulers and declarations do is nobody's deed.
pub async fn schedulers_and_code_leave_none(storage: StorageHandle) {
    let an_hour_ago = storage.now() - TimeDelta::hours(1);
    let declared = RecurringChange::declare(None, "a", spec("* * * * *"), an_hour_ago);
    let declared = declared.expect("a schedule").expect("a change");
    assert_eq!(change(&storage, declared).await, Changed::Done);
    let record = known(&storage, "a").await;
    assert_eq!(
        change(&storage, fire(&storage, &record)).await,
        Changed::Done
    );
    assert_eq!(events(&storage).await, []);
    put(&storage, "b", spec("* * * * *")).await;
    let again = overdue(&storage, "b", spec("* * * * *"));
    assert_eq!(change(&storage, again).await, Changed::Stale);
    assert_eq!(verbs(&storage).await, ["create"]);
}
