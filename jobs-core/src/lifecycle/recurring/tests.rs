use std::time::Duration;

use super::*;
use crate::job::{Due, NewJob, Timing};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn spec(schedule: &str) -> RecurringSpec {
    RecurringSpec::new(
        NewJob::new(JobId::new(), "work", "{}"),
        Timing::new(schedule),
    )
}

fn by(at: &str) -> Deed {
    Deed::new("ada", None, utc(at))
}

fn made(change: RecurringChange) -> RecurringRecord {
    change.to.expect("a record")
}

fn declared(
    before: Option<&RecurringRecord>,
    spec: RecurringSpec,
    at: &str,
) -> Option<RecurringRecord> {
    let change = RecurringChange::declare(before, "nightly", spec, utc(at)).unwrap();
    change.map(made)
}

fn fired(record: &RecurringRecord, at: &str) -> Option<RecurringChange> {
    RecurringChange::fire(record, utc(at), JobId::new).unwrap()
}

fn occurrences(change: &RecurringChange) -> Vec<DateTime<Utc>> {
    let occurrence = |job: &NewJob| job.options.occurrence.as_ref().expect("one").at;
    change.jobs.iter().map(occurrence).collect()
}

#[test]
fn an_unchanged_declaration_changes_nothing_so_that_a_missed_run_is_not_lost() {
    let record = declared(None, spec("0 3 * * *"), "2026-11-20T12:00:00Z").unwrap();
    assert!(declared(Some(&record), spec("0 3 * * *"), "2026-11-21T12:00:00Z").is_none());
    let change = fired(&record, "2026-11-21T12:00:00Z").unwrap();
    assert_eq!(occurrences(&change), [utc("2026-11-21T03:00:00Z")]);
}

#[test]
fn other_times_never_fire_for_the_past() {
    let record = declared(None, spec("0 3 * * *"), "2026-11-20T12:00:00Z").unwrap();
    let mut zoned = spec("0 3 * * *");
    zoned.timing.zone = "Europe/Berlin".into();
    for (other, next) in [
        (spec("0 4 * * *"), "2026-11-22T04:00:00Z"),
        (zoned, "2026-11-22T02:00:00Z"),
    ] {
        let changed = declared(Some(&record), other, "2026-11-21T12:00:00Z").unwrap();
        assert_eq!(changed.next, Some(utc(next)));
        assert!(fired(&changed, "2026-11-21T12:00:01Z").is_none());
    }
}

#[test]
fn other_arguments_leave_the_times_alone() {
    let record = declared(None, spec("0 3 * * *"), "2026-11-20T12:00:00Z").unwrap();
    let mut other = spec("0 3 * * *");
    other.args = r#"{"tenant":2}"#.into();
    let changed = declared(Some(&record), other, "2026-11-21T12:00:00Z").unwrap();
    let change = fired(&changed, "2026-11-21T12:00:00Z").unwrap();
    assert_eq!(occurrences(&change), [utc("2026-11-21T03:00:00Z")]);
    assert_eq!(change.jobs[0].args, r#"{"tenant":2}"#);
}

#[test]
fn what_was_edited_stays_and_is_shown_as_such() {
    let record = declared(None, spec("0 3 * * *"), "2026-11-20T12:00:00Z").unwrap();
    let edit = RecurringChange::edit(&record, spec("0 5 * * *"), by("2026-11-20T13:00:00Z"));
    let edited = made(edit.unwrap());
    let redeployed = declared(Some(&edited), spec("0 3 * * *"), "2026-11-20T14:00:00Z");
    assert!(redeployed.is_none(), "the same declaration");
    let redeployed = declared(Some(&edited), spec("0 4 * * *"), "2026-11-20T14:00:00Z").unwrap();
    assert_eq!(redeployed.spec.timing.schedule, "0 5 * * *");
    let Origin::Edited { declared, by } = &redeployed.origin else {
        panic!("{:?}", redeployed.origin)
    };
    assert_eq!(
        (&*declared.timing.schedule, &*by.actor),
        ("0 4 * * *", "ada")
    );
    let now = || super::tests::by("2026-11-20T15:00:00Z");
    let reverted = made(
        RecurringChange::revert(&redeployed, now())
            .unwrap()
            .unwrap(),
    );
    assert_eq!(reverted.spec.timing.schedule, "0 4 * * *");
    assert!(matches!(reverted.origin, Origin::Code));
    assert!(RecurringChange::revert(&reverted, now()).unwrap().is_none());
}

#[test]
fn what_was_made_at_run_time_counts_when_code_declares_it_later() {
    let create = RecurringChange::create("nightly", spec("0 5 * * *"), by("2026-11-20T12:00:00Z"));
    let record = made(create.unwrap());
    assert!(matches!(record.origin, Origin::RunTime { .. }));
    let adopted = declared(Some(&record), spec("0 3 * * *"), "2026-11-20T13:00:00Z").unwrap();
    assert_eq!(adopted.spec.timing.schedule, "0 5 * * *");
    assert!(matches!(adopted.origin, Origin::Edited { .. }));
}

#[test]
fn resuming_does_not_fire_what_was_missed_unless_all_of_it_is_to_run() {
    for (misfire, wanted) in [
        (Misfire::RunOnce, vec![]),
        (Misfire::Skip, vec![]),
        (
            Misfire::All,
            vec![utc("2026-11-21T03:00:00Z"), utc("2026-11-22T03:00:00Z")],
        ),
    ] {
        let mut daily = spec("0 3 * * *");
        daily.misfire.misfire = misfire;
        let record = declared(None, daily, "2026-11-20T12:00:00Z").unwrap();
        let paused = made(RecurringChange::pause(
            &record,
            by("2026-11-20T13:00:00Z"),
            None,
        ));
        assert!(fired(&paused, "2026-11-22T12:00:00Z").is_none());
        let now = || by("2026-11-22T12:00:00Z");
        let resumed = made(RecurringChange::resume(&paused, now()).unwrap().unwrap());
        let change = fired(&resumed, "2026-11-22T12:00:01Z");
        let runs = change.as_ref().map(occurrences).unwrap_or_default();
        assert_eq!(runs, wanted, "{misfire:?}");
        let after = change.map_or(resumed, made);
        assert_eq!(after.next, Some(utc("2026-11-23T03:00:00Z")));
        assert!(RecurringChange::resume(&after, now()).unwrap().is_none());
    }
}

#[test]
fn a_pause_ends_by_itself() {
    let record = declared(None, spec("0 * * * *"), "2026-11-20T12:00:00Z").unwrap();
    let until = utc("2026-11-20T14:30:00Z");
    let paused = RecurringChange::pause(&record, by("2026-11-20T12:10:00Z"), Some(until));
    let paused = made(paused);
    assert!(fired(&paused, "2026-11-20T14:29:59Z").is_none());
    // A scheduler that comes late finds what fell due after the pause.
    let change = fired(&paused, "2026-11-20T15:00:02Z").unwrap();
    assert_eq!(occurrences(&change), [utc("2026-11-20T15:00:00Z")]);
    let after = made(change);
    assert!(after.pause.is_none());
    assert_eq!(after.skipped, Some(utc("2026-11-20T13:00:00Z")));
}

#[test]
fn a_trigger_leaves_the_schedule_as_it_was_and_works_while_paused() {
    let record = declared(None, spec("0 3 * * *"), "2026-11-20T12:00:00Z").unwrap();
    let paused = made(RecurringChange::pause(
        &record,
        by("2026-11-20T13:00:00Z"),
        None,
    ));
    for before in [&record, &paused] {
        let now = utc("2026-11-20T14:00:00Z");
        let change = RecurringChange::trigger(before, by("2026-11-20T14:00:00Z"), JobId::new);
        let occurrence = change.jobs[0].options.occurrence.clone().unwrap();
        assert_eq!((occurrence.at, occurrence.triggered), (now, true));
        assert_eq!(change.jobs[0].due, Due::Now);
        let after = made(change);
        assert_eq!((after.next, after.seen), (before.next, before.seen));
        assert_eq!(after.pause, before.pause);
    }
}

#[test]
fn with_skip_one_of_several_runs_and_the_last_run_holds_it() {
    let mut hourly = spec("0 * * * *");
    hourly.overlap = Overlap::Skip;
    hourly.misfire.misfire = Misfire::All;
    let record = declared(None, hourly, "2026-11-20T12:00:00Z").unwrap();
    let change = fired(&record, "2026-11-20T15:00:00Z").unwrap();
    assert_eq!(occurrences(&change), [utc("2026-11-20T13:00:00Z")]);
    assert!(change.hold.is_none(), "there is no run before");
    let (job, after) = (change.jobs[0].id, made(change));
    assert_eq!(after.next, Some(utc("2026-11-20T16:00:00Z")));
    let change = fired(&after, "2026-11-20T16:00:00Z").unwrap();
    let hold = change.hold.unwrap();
    assert_eq!(hold.job, job);
    assert_eq!(hold.to.skipped, Some(utc("2026-11-20T16:00:00Z")));
    assert_eq!(hold.to.next, Some(utc("2026-11-20T17:00:00Z")));
    assert_eq!(hold.to.last_run, after.last_run);
}

#[test]
fn with_queue_each_run_waits_for_the_one_before() {
    let mut hourly = spec("0 * * * *");
    hourly.overlap = Overlap::Queue;
    hourly.misfire.misfire = Misfire::All;
    let record = declared(None, hourly, "2026-11-20T12:00:00Z").unwrap();
    let mut change = fired(&record, "2026-11-20T14:00:00Z").unwrap();
    let parents = |job: &NewJob| {
        let rules = job.rules.as_ref();
        rules.map_or(Vec::new(), |rules| rules.parents.clone())
    };
    assert_eq!(parents(&change.jobs[0]), []);
    let first = Parent {
        of: ParentId::Job(change.jobs[0].id),
        on: Condition::Any,
    };
    assert_eq!(parents(&change.jobs[1]), [first]);
    let ParentId::Job(gone) = first.of else {
        panic!("a job")
    };
    assert!(change.forget_parent(gone) && !change.forget_parent(gone));
    assert_eq!(parents(&change.jobs[1]), []);
}

#[test]
fn jitter_makes_a_run_later_and_everybody_computes_the_same() {
    let mut hourly = spec("0 * * * *");
    hourly.jitter = Duration::from_secs(600);
    let record = declared(None, hourly, "2026-11-20T12:00:00Z").unwrap();
    let at = utc("2026-11-20T13:00:00Z");
    let due = || fired(&record, "2026-11-20T13:00:00Z").unwrap().jobs[0].due;
    let Due::At(first) = due() else {
        panic!("a time")
    };
    assert!((at..=at + Duration::from_secs(600)).contains(&first));
    assert_eq!(due(), Due::At(first));
    // However long it may be: a worker must not fall over what somebody stored.
    let mut endless = spec("0 * * * *");
    endless.jitter = Duration::MAX;
    let record = declared(None, endless, "2026-11-20T12:00:00Z").unwrap();
    let fired = fired(&record, "2026-11-20T13:00:00Z").unwrap();
    assert!(matches!(fired.jobs[0].due, Due::At(due) if due > at));
}

#[test]
fn a_record_outlives_its_storage_as_json() {
    let mut daily = spec("0 0 13 * 5");
    daily.timing.days = jobs_cron::Days::from_name("both");
    daily.timing.ends = Some(utc("2030-01-01T00:00:00Z"));
    let record = declared(None, daily, "2026-11-20T12:00:00Z").unwrap();
    let text = serde_json::to_string(&record).unwrap();
    let again: RecurringRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    assert!(again.spec.same_as(&record.spec));
    assert_eq!(again.describe(), record.describe());
    assert_eq!(again.upcoming(2), record.upcoming(2));
}

#[test]
fn a_mistake_in_a_schedule_is_shown() {
    let mistake = RecurringChange::create("x", spec("0 25 * * *"), by("2026-11-20T12:00:00Z"));
    let message = mistake.unwrap_err().to_string();
    assert!(
        message.contains("0..=23") && message.contains("  ^^"),
        "{message}"
    );
}
