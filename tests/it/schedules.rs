//! What recurs and was missed: nobody was there, or it was paused, and then somebody comes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use jobs::inspect::{JobFilter, JobRecord};
use jobs::prelude::*;
use jobs::{Deed, JobEntry, Misfire, RecurringRecord, RecurringSpec, State};
use jobs_core::lifecycle::RecurringChange;
use jobs_core::storage::Changed;

use crate::kinds::{hold, named, noop};
use crate::setup::{PATIENCE, Place, on_all, on_each, until};

/// What the code declares today, for a minute past each hour that is far from any at which this may run.
macro_rules! declared {
    ($name:ident, $schedule:literal) => {
        #[job(name = "e2e.missed")]
        #[recurring($schedule, id = "e2e.missed")]
        async fn $name() {}
    };
}

declared!(at_0, "0 * * * *");
declared!(at_10, "10 * * * *");
declared!(at_20, "20 * * * *");
declared!(at_30, "30 * * * *");
declared!(at_40, "40 * * * *");
declared!(at_50, "50 * * * *");

/// The job whose schedule fires half an hour from now, more or less, and did so half an hour ago; and another, which
/// neither did nor will within minutes.
fn today_and_tomorrow() -> [Vec<&'static JobEntry>; 2] {
    let tens = (Utc::now().minute() / 10) as usize;
    let all = || jobs![at_0, at_10, at_20, at_30, at_40, at_50];
    [vec![all()[(tens + 3) % 6]], vec![all()[(tens + 4) % 6]]]
}

async fn get(place: &Place, id: &str) -> RecurringRecord {
    place.client.recurring(id).get().await.unwrap().unwrap()
}

async fn deploy(place: &Place, jobs: Vec<&'static JobEntry>) {
    place.worker(jobs).start().await.unwrap().stop().await;
}

/// Stores one as if it had been made then.
async fn change(place: &Place, change: RecurringChange) -> RecurringRecord {
    let id = change.id.clone();
    let answers = place.storage.change_recurring(vec![change]).await.unwrap();
    assert_eq!(answers, [Changed::Done]);
    get(place, &id).await
}

fn ago(time: TimeDelta) -> Deed {
    Deed::new("ada", None, Utc::now() - time)
}

/// The occurrences of which there are runs, ascending, and those runs.
async fn runs(place: &Place, id: &str) -> Vec<(DateTime<Utc>, JobRecord)> {
    let filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    let page = place.storage.inspect().jobs(&filter).await.unwrap();
    let run = |job: JobRecord| {
        let occurrence = job.options.occurrence.clone()?;
        (occurrence.recurring == id).then_some((occurrence.at, job))
    };
    let mut runs: Vec<_> = page.jobs.into_iter().filter_map(run).collect();
    runs.sort_by_key(|(at, _)| *at);
    runs
}

/// Waits until a scheduler has seen to what was due.
async fn seen_to(place: &Place, id: &str) -> RecurringRecord {
    let look = async || get(place, id).await;
    let seen = |record: &RecurringRecord| record.next > Some(Utc::now());
    until("it is seen to", PATIENCE, look, seen).await
}

on_each!(a_deploy_loses_no_missed_run_and_fires_none_for_the_past: memory, sqlite, postgres);

async fn a_deploy_loses_no_missed_run_and_fires_none_for_the_past(place: &Place) {
    let [today, tomorrow] = today_and_tomorrow();
    deploy(place, today.clone()).await;
    let spec = get(place, "e2e.missed").await.spec;
    for (jobs, missed) in [(tomorrow, 0), (today, 1)] {
        place.client.recurring("e2e.missed").remove().await.unwrap();
        // It was deployed two hours ago, and nobody has been there since.
        let then = Utc::now() - TimeDelta::hours(2);
        let declared = RecurringChange::declare(None, "e2e.missed", spec.clone(), then);
        let before = change(place, declared.unwrap().unwrap()).await;
        assert!(before.next < Some(Utc::now()));
        let worker = place.worker(jobs).start().await.unwrap();
        let after = seen_to(place, "e2e.missed").await;
        worker.stop().await;
        let runs = runs(place, "e2e.missed").await;
        assert_eq!(runs.len(), missed, "{before:?} {after:?}");
        if let Some((at, _)) = runs.first() {
            assert!(*at < Utc::now() && *at > Utc::now() - TimeDelta::hours(1));
        }
    }
}

/// One that fires each hour, half an hour from now and half an hour ago.
fn hourly(spec: &RecurringSpec, misfire: Misfire) -> RecurringSpec {
    let mut spec = spec.clone();
    spec.timing.schedule = format!("{} * * * *", (Utc::now() + TimeDelta::minutes(30)).minute());
    spec.misfire.misfire = misfire;
    spec
}

async fn plain(place: &Place) -> RecurringSpec {
    let recurring = place.client.recurring("plain");
    let made = recurring.create("0 0 1 1 *", noop.enqueue()).await;
    made.unwrap().spec
}

const MISFIRES: [(Misfire, usize); 3] =
    [(Misfire::RunOnce, 1), (Misfire::All, 3), (Misfire::Skip, 0)];

on_each!(what_was_missed_runs_as_its_rule_says: memory, sqlite, postgres);

async fn what_was_missed_runs_as_its_rule_says(place: &Place) {
    let spec = plain(place).await;
    for (misfire, _) in MISFIRES {
        let (id, spec) = (misfire.as_str(), hourly(&spec, misfire));
        let made = RecurringChange::create(id, spec, ago(TimeDelta::hours(3)));
        change(place, made.unwrap()).await;
    }
    let worker = place.start(|worker| worker).await;
    for (misfire, wanted) in MISFIRES {
        let record = seen_to(place, misfire.as_str()).await;
        let runs = runs(place, misfire.as_str()).await;
        assert_eq!(runs.len(), wanted, "{record:?}");
        let next = record.next.unwrap();
        for (n, (at, _)) in runs.iter().rev().enumerate() {
            assert_eq!(next - at, TimeDelta::hours(n as i64 + 1), "{misfire:?}");
        }
    }
    place.drained(PATIENCE).await;
    worker.stop().await;
}

on_each!(what_was_missed_while_paused_does_not_run: memory, sqlite, postgres);

/// Unless all of it is to run.
async fn what_was_missed_while_paused_does_not_run(place: &Place) {
    let spec = plain(place).await;
    for (misfire, _) in MISFIRES {
        let (id, spec) = (misfire.as_str(), hourly(&spec, misfire));
        let made = RecurringChange::create(id, spec, ago(TimeDelta::hours(3)));
        let made = change(place, made.unwrap()).await;
        let pause = RecurringChange::pause(&made, ago(TimeDelta::minutes(179)), None);
        change(place, pause).await;
    }
    let worker = place.start(|worker| worker).await;
    for (misfire, _) in MISFIRES {
        let id = misfire.as_str();
        // Somebody has been there for a while, and seen that it is paused.
        let other = place.client.recurring(format!("{id}.other"));
        other.create("* * * * * *", noop.enqueue()).await.unwrap();
        let ran = async || runs(place, &format!("{id}.other")).await.len();
        until("another one runs", PATIENCE, ran, |n| *n > 0).await;
        other.remove().await.unwrap();
        assert!(runs(place, id).await.is_empty(), "it is paused");
        place.client.recurring(id).resume().await.unwrap();
        seen_to(place, id).await;
        let wanted = if misfire == Misfire::All { 3 } else { 0 };
        assert_eq!(runs(place, id).await.len(), wanted, "{misfire:?}");
    }
    place.drained(PATIENCE).await;
    worker.stop().await;
}

on_each!(running_jobs_are_left_alone: memory, sqlite, postgres);

/// Whatever is done to what they are a run of.
async fn running_jobs_are_left_alone(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let recurring = place.client.recurring("held");
    let made = recurring.create("0 0 1 1 *", hold.enqueue("go")).await;
    made.unwrap();
    let run = recurring.trigger().await.unwrap().job;
    place.until_started(run).await;
    recurring.pause().await.unwrap();
    recurring.resume().await.unwrap();
    let changed = recurring.change().schedule("0 0 2 1 *");
    changed.await.unwrap();
    recurring.remove().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(place.record(run).await.state, State::Processing);
    place.effects.open_gate("go");
    let record = place.until_state(run, State::Succeeded).await;
    assert_eq!((record.attempt, record.lost), (1, 0));
    worker.stop().await;
}

on_all!(a_thousand_fire_at_one_moment: memory, sqlite, postgres);

async fn a_thousand_fire_at_one_moment(place: &Place) {
    let spec = plain(place).await;
    let workers = [
        place
            .worker(named(&["e2e.noop".into()]))
            .start()
            .await
            .unwrap(),
        place
            .worker(named(&["e2e.noop".into()]))
            .start()
            .await
            .unwrap(),
    ];
    // Time enough to store them all, on a busy machine too.
    let at = (Utc::now() + TimeDelta::seconds(30))
        .with_nanosecond(0)
        .unwrap();
    let changes = (0..1_000).map(|n| {
        let mut spec = spec.clone();
        spec.timing.schedule = at.format("%-S %-M %-H %-d %-m *").to_string();
        RecurringChange::create(&format!("r{n}"), spec, ago(TimeDelta::zero())).unwrap()
    });
    for some in changes.collect::<Vec<_>>().chunks(250) {
        let answers = place.storage.change_recurring(some.to_vec()).await.unwrap();
        assert!(answers.iter().all(|one| *one == Changed::Done));
    }
    assert!(Utc::now() < at, "this machine is too slow for this test");
    let filter = JobFilter {
        kind: Some("e2e.noop".into()),
        limit: 1_000,
        ..JobFilter::default()
    };
    let fired = async || place.storage.inspect().jobs(&filter).await.unwrap().jobs;
    let fired = until("all fire", PATIENCE * 2, fired, |jobs| jobs.len() == 1_000).await;
    assert!(
        fired.iter().all(|job| job.created_at >= at),
        "none comes too soon"
    );
    place.drained(PATIENCE).await;
    for worker in workers {
        worker.stop().await;
    }
}
