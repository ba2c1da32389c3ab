//! [`Storage::due_recurring`](crate::storage::Storage::due_recurring) and
//! [`Storage::change_recurring`](crate::storage::Storage::change_recurring).

use chrono::{DateTime, TimeDelta, Utc};

use super::stage::{Hand, LATER, at_once, job, record};
use crate::error::Error;
use crate::job::{
    Condition, Deed, Due, JobId, Occurrence, Overlap, Parent, ParentId, RecurringRecord,
    RecurringSpec, Rules, State, Timing,
};
use crate::lifecycle::RecurringChange;
use crate::storage::{Changed, JobFilter, RecurringDue, RecurringRequest, StorageHandle};

pub(super) fn spec(schedule: &str) -> RecurringSpec {
    let mut work = job("recurs");
    work.args = r#"{"text":"Ärger \"\\ 🦀","number":0.1}"#.into();
    work.options.tags = vec!["vip".into()];
    RecurringSpec::new(work, Timing::new(schedule))
}

/// One that an hour ago was made to run each minute: an occurrence is due.
pub(super) fn overdue(storage: &StorageHandle, id: &str, spec: RecurringSpec) -> RecurringChange {
    made(id, spec, storage.now() - TimeDelta::hours(1))
}

/// One that is not due within any test.
fn dormant(storage: &StorageHandle, id: &str) -> RecurringChange {
    made(id, spec("0 0 1 1 *"), storage.now() + TimeDelta::days(2))
}

pub(super) fn made(id: &str, spec: RecurringSpec, at: DateTime<Utc>) -> RecurringChange {
    RecurringChange::create(id, spec, Deed::new("ada", None, at)).expect("a schedule")
}

pub(super) async fn change(storage: &StorageHandle, change: RecurringChange) -> Changed {
    change_all(storage, vec![change]).await[0]
}

pub(super) async fn change_all(
    storage: &StorageHandle,
    changes: Vec<RecurringChange>,
) -> Vec<Changed> {
    let n = changes.len();
    let answers = storage.change_recurring(changes).await.expect("change");
    assert_eq!(answers.len(), n, "one answer for each change");
    answers
}

pub(super) async fn get(storage: &StorageHandle, id: &str) -> Option<RecurringRecord> {
    storage.recurring(id).await.expect("recurring")
}

pub(super) async fn known(storage: &StorageHandle, id: &str) -> RecurringRecord {
    let found = get(storage, id).await;
    found.unwrap_or_else(|| panic!("recurring job {id} is gone"))
}

/// In whose name things are done here.
pub(super) fn ada(storage: &StorageHandle) -> Deed {
    Deed::new("ada", Some("to see".into()), storage.now())
}

/// Stores one that is due, and answers it.
pub(super) async fn put(storage: &StorageHandle, id: &str, spec: RecurringSpec) -> RecurringRecord {
    let made = overdue(storage, id, spec);
    assert_eq!(change(storage, made).await, Changed::Done);
    known(storage, id).await
}

pub(super) fn fire(storage: &StorageHandle, record: &RecurringRecord) -> RecurringChange {
    let now = storage.now();
    let change = RecurringChange::fire(record, now, || JobId::at(now));
    change.expect("a schedule").expect("it is due")
}

pub(super) fn trigger(storage: &StorageHandle, record: &RecurringRecord) -> RecurringChange {
    let now = storage.now();
    RecurringChange::trigger(record, ada(storage), || JobId::at(now))
}

pub(super) fn text(record: &RecurringRecord) -> String {
    serde_json::to_string(record).expect("JSON")
}

async fn due(storage: &StorageHandle, kinds: &[&str], limit: usize) -> RecurringDue {
    due_after(storage, kinds, None, limit).await
}

pub(super) async fn due_after(
    storage: &StorageHandle,
    kinds: &[&str],
    after: Option<(DateTime<Utc>, String)>,
    limit: usize,
) -> RecurringDue {
    let request = RecurringRequest {
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
        after,
        limit,
    };
    storage.due_recurring(&request).await.expect("due")
}

fn names(records: &[RecurringRecord]) -> Vec<&str> {
    records.iter().map(|record| &*record.id).collect()
}

/// How many jobs there are in the queue of what recurs.
pub(super) async fn runs(storage: &StorageHandle) -> usize {
    let filter = JobFilter {
        queue: Some("recurs".into()),
        limit: 1_000,
        ..JobFilter::default()
    };
    storage.jobs(&filter).await.expect("jobs").jobs.len()
}

/// A record comes back as it was given, by its id and in pages of all.
pub async fn a_record_comes_back_as_it_was_given(storage: StorageHandle) {
    assert!(get(&storage, "nightly").await.is_none());
    let mut spec = spec("0 3 * * MON-FRI");
    spec.timing.zone = "Europe/Berlin".into();
    spec.overlap = Overlap::Queue;
    let mut wanted = Vec::new();
    for id in ["b.2", "Nightly-1", "a:b_c"] {
        let made = overdue(&storage, id, spec.clone());
        wanted.push(made.to.clone().expect("a record"));
        assert_eq!(change(&storage, made).await, Changed::Done);
    }
    for record in &wanted {
        assert_eq!(text(&known(&storage, &record.id).await), text(record));
    }
    let first = storage.recurring_page(None, 2).await.expect("page");
    assert_eq!(names(&first), ["Nightly-1", "a:b_c"]);
    let after = Some(first[1].id.as_str());
    let second = storage.recurring_page(after, 2).await.expect("page");
    assert_eq!(names(&second), ["b.2"]);
    let third = storage.recurring_page(Some("b.2"), 2).await.expect("page");
    assert!(third.is_empty());
}

/// A run is stored as its schedule says, with the occurrence that it is a run of.
pub async fn a_run_is_stored_with_its_occurrence(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let before = put(&storage, "a", spec("* * * * *")).await;
    let change_one = fire(&storage, &before);
    let wanted = change_one.jobs[0].clone();
    assert_eq!(change(&storage, change_one).await, Changed::Done);
    let after = known(&storage, "a").await;
    let last = after.last_run.expect("a run");
    assert_eq!(last.job, wanted.id);
    assert!(after.next > before.next && after.version != before.version);
    let run = hand.take_one("recurs").await;
    assert_eq!((run.id, &*run.job.args), (wanted.id, &*wanted.args));
    let options = run.job.options.as_deref().expect("options");
    assert_eq!(options.tags, ["vip"]);
    assert_eq!(options.occurrence, Some(Occurrence::new("a", last.at)));
}

/// What is read as due: those whose time has come, earliest first, of the kinds asked for, in pages.
pub async fn what_is_due_comes_in_order(storage: StorageHandle) {
    for (id, minutes) in [("c", 30), ("a", 10), ("b", 20), ("d", 30)] {
        let at = storage.now() - TimeDelta::minutes(minutes);
        change(&storage, made(id, spec("* * * * *"), at)).await;
    }
    let mut foreign = overdue(&storage, "foreign", spec("* * * * *"));
    foreign.to.as_mut().expect("a record").spec.kind = "foreign".into();
    change(&storage, foreign).await;
    let later = dormant(&storage, "later");
    let next = later.to.as_ref().expect("a record").next;
    change(&storage, later).await;

    let all = due(&storage, &["work", "other"], 10).await;
    assert_eq!(names(&all.records), ["c", "d", "b", "a"]);
    assert_eq!(all.next, next);
    assert!((all.now - storage.now()).abs() < TimeDelta::seconds(15));
    let first = due(&storage, &["work"], 3).await;
    assert_eq!(names(&first.records), ["c", "d", "b"]);
    let last = &first.records[2];
    let after = Some((last.look_at().expect("a time"), last.id.clone()));
    let rest = due_after(&storage, &["work"], after, 3).await;
    assert_eq!(names(&rest.records), ["a"]);
    assert_eq!(
        names(&due(&storage, &["foreign"], 3).await.records),
        ["foreign"]
    );
    assert!(due(&storage, &[], 3).await.records.is_empty());
}

/// What is paused is not due, until the time at which it goes on.
pub async fn what_is_paused_is_not_due(storage: StorageHandle) {
    let by = || Deed::new("ada", Some("broken".into()), storage.now());
    let before = put(&storage, "a", spec("* * * * *")).await;
    change(&storage, RecurringChange::pause(&before, by(), None)).await;
    let all = due(&storage, &["work"], 9).await;
    assert!(all.records.is_empty() && all.next.is_none());
    let before = known(&storage, "a").await;
    assert_eq!(before.pause.as_ref().expect("a pause").by.actor, "ada");
    let until = storage.now() + LATER;
    change(&storage, RecurringChange::pause(&before, by(), Some(until))).await;
    let all = due(&storage, &["work"], 9).await;
    assert!(all.records.is_empty());
    let micros = |at: DateTime<Utc>| at.timestamp_micros();
    assert_eq!(all.next.map(micros), Some(micros(until)));
    let before = known(&storage, "a").await;
    let past = storage.now() - TimeDelta::seconds(1);
    change(&storage, RecurringChange::pause(&before, by(), Some(past))).await;
    assert_eq!(names(&due(&storage, &["work"], 9).await.records), ["a"]);
}

/// A change from a version that has moved on is not made, and stores no job.
pub async fn a_stale_change_is_not_made(storage: StorageHandle) {
    let before = put(&storage, "a", spec("* * * * *")).await;
    let (first, second) = (fire(&storage, &before), fire(&storage, &before));
    assert_eq!(change(&storage, first).await, Changed::Done);
    assert_eq!(change(&storage, second).await, Changed::Stale);
    assert_eq!(runs(&storage).await, 1);
    let again = overdue(&storage, "a", spec("* * * * *"));
    assert_eq!(change(&storage, again).await, Changed::Stale);
    let removed = RecurringChange::remove(&before, ada(&storage));
    assert_eq!(change(&storage, removed).await, Changed::Stale);
    let other = put(&storage, "b", spec("* * * * *")).await;
    let gone = RecurringChange::remove(&other, ada(&storage));
    assert_eq!(change(&storage, gone).await, Changed::Done);
    let late = fire(&storage, &other);
    assert_eq!(change(&storage, late).await, Changed::Stale);
    assert_eq!(runs(&storage).await, 1);
    assert!(get(&storage, "b").await.is_none());
}

/// A change that is sent again, because its answer was lost, is answered as made and stores no job
/// again.
pub async fn a_repeated_change_is_made_once(storage: StorageHandle) {
    let made = overdue(&storage, "a", spec("* * * * *"));
    for _ in 0..2 {
        assert_eq!(change(&storage, made.clone()).await, Changed::Done);
    }
    let fired = fire(&storage, &known(&storage, "a").await);
    for _ in 0..3 {
        assert_eq!(change(&storage, fired.clone()).await, Changed::Done);
    }
    assert_eq!(runs(&storage).await, 1);
    let removed = RecurringChange::remove(&known(&storage, "a").await, ada(&storage));
    for _ in 0..2 {
        assert_eq!(change(&storage, removed.clone()).await, Changed::Done);
    }
}

/// Each change of a request is judged by itself; those that are made are made together.
pub async fn a_request_makes_what_it_can(storage: StorageHandle) {
    let mut changes = Vec::new();
    for n in 0..40 {
        let before = put(&storage, &format!("r{n}"), spec("* * * * *")).await;
        changes.push(fire(&storage, &before));
    }
    let early: Vec<_> = changes.iter().step_by(2).cloned().collect();
    assert_eq!(change_all(&storage, early).await, [Changed::Done; 20]);
    for change in changes.iter_mut().step_by(2) {
        // What another scheduler would have prepared.
        change.to.as_mut().expect("a record").version = uuid::Uuid::new_v4();
        change.jobs[0].id = JobId::new();
    }
    let answers = change_all(&storage, changes).await;
    let wanted = [Changed::Stale, Changed::Done];
    assert!(answers.chunks(2).all(|pair| pair == wanted), "{answers:?}");
    assert_eq!(runs(&storage).await, 40);
    assert!(change_all(&storage, Vec::new()).await.is_empty());
}

/// Twenty schedulers that find the same occurrences due make one run of each.
pub async fn many_schedulers_fire_once(storage: StorageHandle) {
    let mut records = Vec::new();
    for n in 0..10 {
        records.push(put(&storage, &format!("r{n}"), spec("* * * * *")).await);
    }
    let fired = (0..20).map(|_| {
        let (storage, mut records) = (storage.clone(), records.clone());
        async move {
            fastrand::shuffle(&mut records);
            let changes = records.iter().map(|record| fire(&storage, record));
            let answers = change_all(&storage, changes.collect()).await;
            answers.iter().filter(|&&one| one == Changed::Done).count()
        }
    });
    let done: usize = at_once(fired).await.into_iter().sum();
    // All may have stepped back before each other, but not twice.
    assert!(done <= 10, "{done} of 10");
    for record in &records {
        let now = known(&storage, &record.id).await;
        if now.version == record.version {
            assert_eq!(change(&storage, fire(&storage, &now)).await, Changed::Done);
        }
    }
    assert_eq!(runs(&storage).await, 10);
}

/// An error in the jobs of one change leaves nothing changed.
pub async fn an_error_changes_nothing(storage: StorageHandle) {
    let before = put(&storage, "a", spec("* * * * *")).await;
    let mut bad = fire(&storage, &before);
    let unknown = JobId::new();
    bad.jobs[0].rules = Some(Box::new(Rules {
        parents: vec![Parent {
            of: ParentId::Job(unknown),
            on: Condition::Any,
        }],
        ..Rules::default()
    }));
    let good = [
        overdue(&storage, "b", spec("* * * * *")),
        fire(&storage, &put(&storage, "c", spec("* * * * *")).await),
    ];
    let changes: Vec<_> = good.into_iter().chain([bad]).collect();
    // The storage itself: its handle forgets parents that are unknown.
    let answer = (*storage).change_recurring(&changes).await;
    let refused = matches!(&answer, Err(Error::UnknownJob(job)) if *job == unknown);
    assert!(refused, "{answer:?}");
    assert_eq!(known(&storage, "a").await.version, before.version);
    assert!(get(&storage, "b").await.is_none());
    assert_eq!(runs(&storage).await, 0);
    assert_eq!(change_all(&storage, changes).await, [Changed::Done; 3]);
    assert_eq!(runs(&storage).await, 2);
}

/// A run may be for later than its occurrence.
pub async fn a_run_may_be_for_later(storage: StorageHandle) {
    let before = put(&storage, "a", spec("* * * * *")).await;
    let mut change_one = fire(&storage, &before);
    change_one.jobs[0].due = Due::In(LATER);
    let id = change_one.jobs[0].id;
    assert_eq!(change(&storage, change_one).await, Changed::Done);
    assert_eq!(record(&storage, id).await.state, State::Scheduled);
}

/// A thousand that are due at once are fired within a second, and then nothing is due.
pub async fn a_thousand_are_fired_in_two_steps(storage: StorageHandle) {
    let ids: Vec<_> = (0..1_000).map(|n| format!("r{n:04}")).collect();
    let made = ids
        .iter()
        .map(|id| overdue(&storage, id, spec("* * * * *")));
    change_all(&storage, made.collect()).await;
    let mut fired = 0;
    while fired < 1_000 {
        let found = due(&storage, &["work"], 500).await.records;
        assert_eq!(found.len(), 500);
        let changes: Vec<_> = found.iter().map(|record| fire(&storage, record)).collect();
        let answers = change_all(&storage, changes).await;
        assert!(answers.iter().all(|&answer| answer == Changed::Done));
        fired += found.len();
    }
    let hand = Hand::hire(&storage).await;
    hand.take("recurs", 1_000).await;
    // A new minute may have begun.
    let left = due(&storage, &["work"], 500).await;
    let now = left.now;
    assert!(
        left.records
            .iter()
            .all(|record| record.look_at() > Some(now - TimeDelta::minutes(1)))
    );
}
