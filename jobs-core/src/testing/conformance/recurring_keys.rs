//! What recurs and has a [unique key](crate::job::Unique): an occurrence has no run of its own while another
//! job holds the key, and the record says which.

use jobs_cron::Misfire;

use super::recurring::{change, fire, known, put, runs, spec, text, trigger};
use super::stage::{Hand, order, record, rules, store_this, succeed};
use super::unique::unique;
use crate::error::Error;
use crate::job::{JobId, OnConflict, Overlap, RecurringSpec, UniqueUntil};
use crate::storage::{Changed, StorageHandle, Verb};

/// A job each minute that wants the key `k`.
fn keyed(on: OnConflict) -> RecurringSpec {
    let mut keyed = spec("* * * * *");
    keyed.rules = unique("recurs", "k", UniqueUntil::Done, on).rules;
    keyed
}

/// Another job, which holds the key.
async fn holder(storage: &StorageHandle) -> JobId {
    let mut holder = unique("held", "k", UniqueUntil::Done, OnConflict::Skip);
    holder.kind = spec("* * * * *").kind.into();
    store_this(storage, holder).await
}

/// The record names no job that was not stored: the occurrence is passed over, and it says whose key it was.
/// The next one runs as soon as the key is free.
pub async fn an_occurrence_whose_key_is_held_is_passed_over(storage: StorageHandle) {
    let holder = holder(&storage).await;
    let before = put(&storage, "a", keyed(OnConflict::Skip)).await;
    let fired = fire(&storage, &before);
    let never = fired.jobs[0].clone();
    let at = never.options.occurrence.as_ref().expect("one").at;
    assert_eq!(change(&storage, fired.clone()).await, Changed::Done);
    let after = known(&storage, "a").await;
    assert!(storage.job(never.id).await.expect("job").is_none());
    assert_eq!(runs(&storage).await, 0);
    assert_eq!((after.last_run, after.skipped), (None, Some(at)));
    let held = after.key_held.expect("who held it");
    assert_eq!((held.at, held.job), (at, holder));
    assert!(after.next > before.next, "the schedule goes on");
    // The answer may be lost, and the same be sent again.
    assert_eq!(change(&storage, fired).await, Changed::Done);
    assert_eq!(text(&known(&storage, "a").await), text(&after));

    order(&storage, Verb::Delete, holder).await;
    let next = trigger(&storage, &after);
    let run = next.jobs[0].id;
    assert_eq!(change(&storage, next).await, Changed::Done);
    let last = known(&storage, "a").await;
    assert_eq!(last.last_run.map(|last| last.job), Some(run));
    assert_eq!(last.key_held, after.key_held, "that was before");
    // Now its own run holds the key, and stays the last one.
    let more = trigger(&storage, &last);
    assert_eq!(change(&storage, more).await, Changed::Done);
    let end = known(&storage, "a").await;
    assert_eq!(end.last_run, last.last_run);
    assert_eq!(end.key_held.map(|held| held.job), Some(run));
    assert_eq!(end.skipped, last.skipped, "a trigger is no occurrence");
    assert_eq!(runs(&storage).await, 1);
}

/// It is passed over whatever the key's conflict leads to, also if that is an error: a scheduler has
/// nobody to tell, and must not try the same occurrence for ever.
pub async fn whatever_becomes_of_a_conflict(storage: StorageHandle) {
    let holder = holder(&storage).await;
    for (id, on) in [
        ("r", OnConflict::Replace),
        ("d", OnConflict::Debounce),
        ("e", OnConflict::Error),
    ] {
        let before = put(&storage, id, keyed(on)).await;
        let fired = fire(&storage, &before);
        assert_eq!(change(&storage, fired).await, Changed::Done, "{on:?}");
        let after = known(&storage, id).await;
        assert_eq!(after.last_run, None, "{on:?}");
        assert!(after.skipped.is_some() && after.next > before.next);
        assert_eq!(after.key_held.map(|held| held.job), Some(holder), "{on:?}");
    }
    let found = record(&storage, holder).await;
    assert_eq!(found.args, spec("").args, "it has taken their arguments");
}

/// When several occurrences are made up for at once the first gets the key and is the last run; with
/// `queue`, too, which would have the others wait for it.
pub async fn of_several_at_once_the_first_has_the_key(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for (id, overlap) in [("a", Overlap::Allow), ("q", Overlap::Queue)] {
        let mut all = keyed(OnConflict::Skip);
        (all.misfire.misfire, all.misfire.cap) = (Misfire::All, 3);
        all.overlap = overlap;
        let before = put(&storage, id, all).await;
        let fired = fire(&storage, &before);
        let jobs = fired.jobs.clone();
        let at = |n: usize| jobs[n].options.occurrence.as_ref().expect("one").at;
        assert_eq!(jobs.len(), 3);
        assert_eq!(change(&storage, fired).await, Changed::Done);
        let after = known(&storage, id).await;
        let last = after.last_run.expect("a run");
        assert_eq!((last.at, last.job), (at(0), jobs[0].id), "{overlap:?}");
        let held = after.key_held.expect("a holder");
        assert_eq!((held.at, held.job), (at(2), jobs[0].id));
        assert_eq!(after.skipped, Some(at(2)));
        let run = hand.take_one("recurs").await;
        assert_eq!(run.id, jobs[0].id);
        hand.end(&run, succeed()).await;
        hand.finds_nothing("recurs").await;
    }
}

/// Who triggers one hears that the key is held, if it is to be an error; nothing is changed then.
pub async fn a_trigger_may_be_refused(storage: StorageHandle) {
    let holder = holder(&storage).await;
    let before = put(&storage, "a", keyed(OnConflict::Error)).await;
    let answer = storage
        .change_recurring(vec![trigger(&storage, &before)])
        .await;
    let refused = matches!(&answer, Err(Error::Duplicate { holder: by, .. }) if *by == holder);
    assert!(refused, "{answer:?}");
    assert_eq!(text(&known(&storage, "a").await), text(&before));
    let mut free = trigger(&storage, &before);
    rules(&mut free.jobs[0]).unique = None;
    assert_eq!(change(&storage, free).await, Changed::Done);
}
