//! What recurs, from the attribute or the client to the handler.

use std::collections::BTreeSet;
use std::time::Duration;

use jobs::inspect::{JobFilter, JobRecord};
use jobs::prelude::*;
use jobs::{
    Data, Misfire, OnConflict, Origin, Overlap, RecurringRecord, RunningWorker, State, Worker,
};

use crate::kinds::{hold, named, noop, note};
use crate::setup::{Effects, Kind, PATIENCE, Place, long, on_each, until};

/// What the code declares today.
#[job(name = "e2e.declared")]
#[recurring("0 3 1 1 *", id = "e2e.yearly")]
async fn declared() {}

/// The same with other times: the next version of it.
#[job(name = "e2e.declared")]
#[recurring("0 4 1 1 *", id = "e2e.yearly", tz = "Europe/Berlin")]
async fn declared_next() {}

/// Later still: nothing of it recurs.
#[job(name = "e2e.declared")]
async fn declared_no_more() {}

/// Answers the occurrence that it is a run of.
#[job(name = "e2e.which")]
async fn which(effects: Data<Effects>, ctx: JobContext) -> Option<String> {
    effects.write("which", &ctx);
    ctx.occurrence()
        .map(|occurrence| occurrence.at.to_rfc3339())
}

async fn workers(place: &Place, n: usize) -> Vec<RunningWorker> {
    let mut workers = Vec::new();
    for _ in 0..n {
        // As in processes of their own: what one knows of the storage the others do not.
        let storage = match place.kind {
            Kind::memory => place.storage.clone(),
            _ => jobs::connect(&place.url).await.unwrap(),
        };
        let worker = Worker::builder(storage)
            .jobs([named(&[]), jobs![which]].concat())
            .data(place.effects.clone());
        workers.push(worker.start().await.unwrap());
    }
    workers
}

async fn stop(workers: Vec<RunningWorker>) {
    for worker in workers {
        worker.stop().await;
    }
}

/// All jobs that are runs of what recurs under this id, oldest first.
async fn runs(place: &Place, id: &str) -> Vec<JobRecord> {
    let filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    let page = place.storage.inspect().jobs(&filter).await.unwrap();
    let is_run = |job: &JobRecord| {
        let occurrence = job.options.occurrence.as_ref();
        occurrence.is_some_and(|occurrence| occurrence.recurring == id)
    };
    let mut runs: Vec<_> = page.jobs.into_iter().filter(is_run).collect();
    runs.reverse();
    runs
}

async fn get(place: &Place, id: &str) -> RecurringRecord {
    place.client.recurring(id).get().await.unwrap().unwrap()
}

on_each!(each_second_runs_once_whoever_is_there: memory, sqlite, postgres);

async fn each_second_runs_once_whoever_is_there(place: &Place) {
    let (n, seconds) = if long() { (20, 60) } else { (3, 4) };
    let workers = workers(place, n).await;
    let recurring = place.client.recurring("tick");
    // All of them, also where a busy machine stood still for some seconds.
    let created = recurring.create("* * * * * *", which.enqueue());
    created.misfire(Misfire::All).await.unwrap();
    let patience = PATIENCE + Duration::from_secs(seconds);
    let count = async || runs(place, "tick").await.len() as u64;
    until("it has run so often", patience, count, |n| *n >= seconds).await;
    recurring.remove().await.unwrap();
    place.drained(PATIENCE).await;
    let runs = runs(place, "tick").await;
    let at = |run: &JobRecord| run.options.occurrence.as_ref().unwrap().at.timestamp();
    let seconds: BTreeSet<i64> = runs.iter().map(at).collect();
    assert_eq!(seconds.len(), runs.len(), "none runs twice");
    let (first, last) = (seconds.first().unwrap(), seconds.last().unwrap());
    assert_eq!(last - first + 1, seconds.len() as i64, "none is missing");
    for run in &runs {
        let occurrence = run.options.occurrence.as_ref().unwrap();
        let answer = serde_json::to_string(&occurrence.at.to_rfc3339()).unwrap();
        assert_eq!(run.result.as_deref(), Some(&*answer));
    }
    stop(workers).await;
}

on_each!(a_trigger_runs_one_now_even_while_paused: memory, sqlite, postgres);

async fn a_trigger_runs_one_now_even_while_paused(place: &Place) {
    let workers = workers(place, 2).await;
    let recurring = place.client.recurring("yearly");
    let made = recurring
        .create("0 0 1 1 *", note.enqueue(7))
        .await
        .unwrap();
    let paused = recurring
        .pause()
        .by("ada")
        .because("the books are closed")
        .await
        .unwrap();
    let pause = paused.pause.unwrap();
    assert_eq!(pause.by.actor, "ada");
    assert_eq!(pause.by.reason.as_deref(), Some("the books are closed"));
    let run = recurring.trigger().await.unwrap();
    assert!(!run.existing);
    let answer: i64 = place.client.handle(run.job).result().await.unwrap();
    assert_eq!(answer, 7);
    let after = get(place, "yearly").await;
    assert_eq!((after.next, after.seen), (made.next, made.seen));
    assert_eq!(after.last_run.map(|run| run.job), Some(run.job));
    assert!(recurring.resume().await.unwrap().pause.is_none());
    recurring.remove().await.unwrap();
    assert!(recurring.get().await.unwrap().is_none());
    let unknown = recurring.trigger().await.unwrap_err();
    assert!(
        matches!(unknown, jobs::Error::UnknownRecurring(_)),
        "{unknown}"
    );
    place.until_state(run.job, State::Succeeded).await;
    stop(workers).await;
}

on_each!(an_occurrence_whose_key_is_held_has_no_run: memory, sqlite, postgres);

async fn an_occurrence_whose_key_is_held_has_no_run(place: &Place) {
    let holder = note.enqueue(1).unique("one").delay(jobs::hours(1));
    let holder = holder.on(&place.client).await.unwrap();
    let workers = workers(place, 2).await;
    let recurring = place.client.recurring("keyed");
    // A scheduler has nobody to tell of an error.
    let job = note.enqueue(2).unique("one").on_conflict(OnConflict::Error);
    recurring.create("* * * * * *", job).await.unwrap();
    let passed = async || get(place, "keyed").await.key_held;
    let held = until("one is passed over", PATIENCE, passed, Option::is_some).await;
    assert_eq!(held.unwrap().job, holder.id());
    let record = get(place, "keyed").await;
    assert_eq!(record.last_run, None);
    assert!(record.skipped >= held.map(|held| held.at));
    let refused = recurring.trigger().await.unwrap_err();
    assert!(
        matches!(&refused, jobs::Error::Duplicate { holder: by, .. } if *by == holder.id()),
        "{refused}"
    );
    let skip = note.enqueue(2).unique("one");
    recurring.change().job(skip).await.unwrap();
    let run = recurring.trigger().await.unwrap();
    assert_eq!((run.job, run.existing), (holder.id(), true));
    holder.cancel().await.unwrap();
    let last_run = async || get(place, "keyed").await.last_run;
    let run = until("the key is free", PATIENCE, last_run, Option::is_some).await;
    place.until_state(run.unwrap().job, State::Succeeded).await;
    recurring.remove().await.unwrap();
    stop(workers).await;
}

on_each!(whatever_is_done_leaves_an_event: memory, sqlite, postgres);

async fn whatever_is_done_leaves_an_event(place: &Place) {
    let recurring = place.client.recurring("yearly");
    let create = recurring.create("0 0 1 1 *", note.enqueue(7));
    create.by("ada").because("the audit").await.unwrap();
    let pause = recurring.pause().by("bob").because("the books are closed");
    pause.await.unwrap();
    let trigger = recurring.trigger().by("ada").because("the auditor asks");
    trigger.await.unwrap();
    recurring.resume().by("bob").await.unwrap();
    // There is nothing to do: nothing is done.
    recurring.resume().by("eve").await.unwrap();
    recurring.remove().by("ada").because("over").await.unwrap();
    let events = place.client.inspect().control_events(10).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .rev()
        .map(|it| (&*it.verb, &*it.actor, it.reason.as_deref().unwrap_or("")))
        .collect();
    let wanted = [
        ("create", "ada", "the audit"),
        ("pause", "bob", "the books are closed"),
        ("trigger", "ada", "the auditor asks"),
        ("resume", "bob", ""),
        ("remove", "ada", "over"),
    ];
    assert_eq!(told, wanted);
    let yearly = |name: &Option<String>| name.as_deref() == Some("yearly");
    assert!(events.iter().all(|event| yearly(&event.recurring)));
}

on_each!(a_run_that_has_not_finished_holds_the_next: memory, sqlite, postgres);

async fn a_run_that_has_not_finished_holds_the_next(place: &Place) {
    let workers = workers(place, 2).await;
    let recurring = place.client.recurring("held");
    recurring
        .create("0 0 1 1 *", hold.enqueue("held"))
        .overlap(Overlap::Skip)
        .await
        .unwrap();
    let first = recurring.trigger().await.unwrap();
    place.until_started(first.job).await;
    let second = recurring.trigger().await.unwrap();
    assert_eq!((second.job, second.existing), (first.job, true));
    recurring.change().overlap(Overlap::Queue).await.unwrap();
    let third = recurring.trigger().await.unwrap();
    assert!(!third.existing);
    place.until_state(third.job, State::Awaiting).await;
    place.effects.open_gate("held");
    place.until_state(third.job, State::Succeeded).await;
    let (first, third) = (place.record(first.job).await, place.record(third.job).await);
    assert!(first.finished_at <= third.started_at, "one after the other");
    stop(workers).await;
}

on_each!(what_nobody_knows_is_left_alone: memory, sqlite, postgres);

async fn what_nobody_knows_is_left_alone(place: &Place) {
    let stranger = place.worker(named(&["e2e.noop".into()]));
    let stranger = stranger.start().await.unwrap();
    for (id, job) in [("known", true), ("unknown", false)] {
        let recurring = place.client.recurring(id);
        let made = match job {
            true => recurring.create("* * * * * *", noop.enqueue()),
            false => recurring.create("* * * * * *", which.enqueue()),
        };
        made.await.unwrap();
    }
    let known = async || runs(place, "known").await.len();
    until("the known one runs", PATIENCE, known, |n| *n >= 2).await;
    assert!(runs(place, "unknown").await.is_empty());
    assert!(get(place, "unknown").await.pause.is_none());
    let workers = workers(place, 1).await;
    let unknown = async || runs(place, "unknown").await.len();
    until("somebody runs it who knows it", PATIENCE, unknown, |n| {
        *n >= 1
    })
    .await;
    stranger.stop().await;
    stop(workers).await;
}

on_each!(a_deploy_changes_what_code_declares: memory, sqlite, postgres);

async fn a_deploy_changes_what_code_declares(place: &Place) {
    let deploy = async |jobs| {
        let worker = place.worker(jobs).start().await.unwrap();
        worker.stop().await;
    };
    deploy(jobs![declared]).await;
    let first = get(place, "e2e.yearly").await;
    assert!(matches!(first.origin, Origin::Code));
    deploy(jobs![declared]).await;
    assert_eq!(get(place, "e2e.yearly").await.version, first.version);
    deploy(jobs![declared_next]).await;
    let second = get(place, "e2e.yearly").await;
    assert_eq!(second.spec.timing.zone, "Europe/Berlin");
    assert!(second.next > Some(second.seen) && second.seen > first.seen);
    // Somebody changes it: that counts from now on, and is shown.
    let recurring = place.client.recurring("e2e.yearly");
    recurring
        .change()
        .misfire(Misfire::All)
        .by("ada")
        .await
        .unwrap();
    deploy(jobs![declared]).await;
    let edited = get(place, "e2e.yearly").await;
    assert_eq!(edited.spec.misfire.misfire, Misfire::All);
    assert_eq!(edited.spec.timing.zone, "Europe/Berlin");
    let Origin::Edited { declared: code, by } = &edited.origin else {
        panic!("{:?}", edited.origin)
    };
    assert_eq!((&*code.timing.zone, &*by.actor), ("UTC", "ada"));
    let reverted = recurring.revert().await.unwrap();
    assert_eq!(reverted.spec.timing.zone, "UTC");
    // Nobody declares it any more: it stays until it is pruned.
    deploy(jobs![declared_no_more]).await;
    assert_eq!(get(place, "e2e.yearly").await.version, reverted.version);
    let kept = place.client.prune_recurring().jobs(jobs![declared]);
    assert!(kept.await.unwrap().is_empty());
    let strangers = place.client.prune_recurring().jobs(jobs![noop]);
    assert!(strangers.await.unwrap().is_empty(), "not their kind");
    let pruned = place.client.prune_recurring().jobs(jobs![declared_no_more]);
    assert_eq!(pruned.await.unwrap().len(), 1);
    assert!(recurring.get().await.unwrap().is_none());
}

on_each!(what_makes_no_sense_is_refused: memory);

async fn what_makes_no_sense_is_refused(place: &Place) {
    let recurring = |id: &str| place.client.recurring(id);
    let refused = async |draft: jobs::RecurringDraft, why: &str| {
        let error = draft.await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(
        recurring("no id").create("@daily", noop.enqueue()),
        "{1,128}",
    )
    .await;
    refused(
        recurring("a").create("0 25 * * *", noop.enqueue()),
        "0..=23",
    )
    .await;
    let never = recurring("a").create("0 0 31 2 *", noop.enqueue());
    refused(never, "February has at most 29 days").await;
    refused(recurring("a").create("0 0 13 * 5", noop.enqueue()), "days").await;
    let berlin = recurring("a").create("@daily", noop.enqueue());
    refused(berlin.tz("Berlin"), "Europe/Berlin").await;
    let delayed = noop.enqueue().delay(Duration::from_secs(1));
    refused(recurring("a").create("@daily", delayed), "schedule").await;
    let after = noop.enqueue().on(&place.client).await.unwrap();
    let child = noop.enqueue().after(&after);
    refused(recurring("a").create("@daily", child), "other jobs").await;
    let past = recurring("a").create("@daily", noop.enqueue());
    refused(past.ends(chrono::DateTime::UNIX_EPOCH), "never run").await;
    refused(
        recurring("a").change().schedule("@daily"),
        "no recurring job `a`",
    )
    .await;

    recurring("a")
        .create("@daily", noop.enqueue())
        .await
        .unwrap();
    let same = recurring("a").create("@daily", noop.enqueue());
    same.await.unwrap();
    refused(recurring("a").create("@hourly", noop.enqueue()), "already").await;
    let put = recurring("a").put("@hourly", noop.enqueue()).await.unwrap();
    assert_eq!(put.describe(), "every hour");
    assert_eq!(put.upcoming(3).len(), 3);
}
