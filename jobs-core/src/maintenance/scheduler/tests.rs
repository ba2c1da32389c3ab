use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::*;
use crate::clock::{Clock, ManualClock, TokioClock};
use crate::job::{Deed, NewJob, RecurringSpec, Timing};
use crate::storage::{JobFilter, MemoryStorage};
use crate::testing::{Fault, FaultyStorage, Method};
use jobs_cron::Misfire;

fn spec(schedule: &str, zone: &str) -> RecurringSpec {
    let mut timing = Timing::new(schedule);
    timing.zone = zone.into();
    RecurringSpec::new(NewJob::new(JobId::new(), "work", "{}"), timing)
}

async fn create(storage: &StorageHandle, id: &str, spec: RecurringSpec) {
    let by = Deed::new("ada", None, storage.now());
    let change = RecurringChange::create(id, spec, by).unwrap();
    storage.change_recurring(vec![change]).await.unwrap();
}

fn scheduler(storage: &StorageHandle, kinds: &[&str]) -> Scheduler {
    Scheduler {
        storage: storage.clone(),
        kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
    }
}

/// The occurrences that were run, of each id, ascending.
async fn runs(storage: &StorageHandle) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let mut runs: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    let mut filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    loop {
        let page = storage.jobs(&filter).await.unwrap();
        for job in page.jobs {
            let occurrence = job.options.occurrence.expect("an occurrence");
            runs.entry(occurrence.recurring)
                .or_default()
                .push(occurrence.at);
        }
        filter.before = page.next;
        if filter.before.is_none() {
            runs.values_mut().for_each(|runs| runs.sort());
            return runs;
        }
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn an_hour_of_seconds(schedulers: usize) {
    let storage = StorageHandle::new(MemoryStorage::with_clock(TokioClock::default()));
    create(&storage, "tick", spec("* * * * * *", "UTC")).await;
    let (start, stop) = (storage.now(), CancellationToken::new());
    let kinds: Arc<[String]> = ["work".to_owned()].into();
    let tasks: Vec<_> = (0..schedulers)
        .map(|_| fire_recurring(storage.clone(), Arc::clone(&kinds), stop.clone()))
        .map(tokio::spawn)
        .collect();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    let runs = runs(&storage).await.remove("tick").unwrap();
    let first = DateTime::from_timestamp(start.timestamp() + 1, 0).unwrap();
    let wanted: Vec<_> = (0..runs.len() as i64)
        .map(|second| first + TimeDelta::seconds(second))
        .collect();
    assert_eq!(runs, wanted, "each second once");
    assert!((3_598..=3_601).contains(&runs.len()), "{}", runs.len());
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_fire_each_second_of_an_hour_once() {
    an_hour_of_seconds(2).await;
}

#[tokio::test(start_paused = true)]
async fn twenty_schedulers_fire_each_second_of_an_hour_once() {
    an_hour_of_seconds(20).await;
}

#[tokio::test]
async fn a_year_of_schedules_fires_what_they_say() {
    let schedules = [
        ("30 2 * * *", "America/New_York"),
        ("*/30 * * * *", "America/New_York"),
        ("0,30 1 * * *", "America/New_York"),
        ("0 9 * * 1-5", "Europe/London"),
        ("15 */3 * * *", "Europe/Berlin"),
        ("0 0 * * *", "Africa/Cairo"),
        ("45 1 L * *", "Australia/Lord_Howe"),
        ("0 0 15W * *", "Asia/Kolkata"),
        ("@every 7h", "UTC"),
    ];
    let (start, end) = (utc("2026-01-01T00:00:30Z"), utc("2027-01-01T00:00:30Z"));
    let clock = ManualClock::new(start);
    let storage = StorageHandle::new(MemoryStorage::with_clock(clock.clone()));
    let mut wanted = BTreeMap::new();
    for (n, (schedule, zone)) in schedules.into_iter().enumerate() {
        let id = format!("s{n}");
        let spec = spec(schedule, zone);
        let times = spec.timing.schedule().unwrap();
        wanted.insert(id.clone(), times.occurrences_between(start, end).collect());
        create(&storage, &id, spec).await;
    }
    let schedulers: Vec<_> = (0..3).map(|_| scheduler(&storage, &["work"])).collect();
    while clock.now() < end {
        let mut wait = LOOK;
        for scheduler in &schedulers {
            wait = scheduler.fire().await.unwrap();
        }
        // The time at which the next one is due, as a scheduler waits for it.
        let next = clock.now() + wait + Duration::from_millis(1);
        clock.set(next.min(end));
    }
    let runs: BTreeMap<String, Vec<DateTime<Utc>>> = runs(&storage).await;
    let counts = |all: &BTreeMap<String, Vec<DateTime<Utc>>>| -> Vec<usize> {
        all.values().map(Vec::len).collect()
    };
    assert_eq!(counts(&runs), counts(&wanted));
    assert_eq!(runs, wanted);
}

/// Down for three hours with an hourly schedule, then back.
async fn after_three_hours(misfire: Misfire) -> Vec<DateTime<Utc>> {
    let clock = ManualClock::new(utc("2026-11-22T10:00:00Z"));
    let storage = StorageHandle::new(MemoryStorage::with_clock(clock.clone()));
    let mut hourly = spec("0 * * * *", "UTC");
    hourly.misfire.misfire = misfire;
    create(&storage, "hourly", hourly).await;
    let scheduler = scheduler(&storage, &["work"]);
    for now in [
        "2026-11-22T13:20:00Z",
        "2026-11-22T13:20:01Z",
        "2026-11-22T14:00:00Z",
    ] {
        clock.set(utc(now));
        scheduler.fire().await.unwrap();
    }
    runs(&storage).await.remove("hourly").unwrap()
}

#[tokio::test]
async fn what_was_missed_runs_as_its_rule_says() {
    let at = |hours: &[u32]| -> Vec<_> {
        let text = |hour| utc(&format!("2026-11-22T{hour}:00:00Z"));
        hours.iter().map(text).collect()
    };
    assert_eq!(after_three_hours(Misfire::RunOnce).await, at(&[13, 14]));
    assert_eq!(after_three_hours(Misfire::All).await, at(&[11, 12, 13, 14]));
    assert_eq!(after_three_hours(Misfire::Skip).await, at(&[14]));
}

#[tokio::test]
async fn a_kind_that_nobody_here_knows_is_left_alone() {
    let clock = ManualClock::new(utc("2026-11-22T10:00:00Z"));
    let storage = StorageHandle::new(MemoryStorage::with_clock(clock.clone()));
    create(&storage, "hourly", spec("0 * * * *", "UTC")).await;
    let before = storage.recurring("hourly").await.unwrap().unwrap();
    clock.set(utc("2026-11-22T11:00:05Z"));
    scheduler(&storage, &["other"]).fire().await.unwrap();
    let after = storage.recurring("hourly").await.unwrap().unwrap();
    assert_eq!(after.version, before.version);
    assert!(runs(&storage).await.is_empty());
    scheduler(&storage, &["other", "work"])
        .fire()
        .await
        .unwrap();
    let runs = runs(&storage).await.remove("hourly");
    assert_eq!(runs, Some(vec![utc("2026-11-22T11:00:00Z")]));
}

#[tokio::test(start_paused = true)]
async fn faults_neither_lose_an_occurrence_nor_double_it() {
    let clock = ManualClock::new(utc("2026-11-22T10:00:00Z"));
    let faulty = FaultyStorage::new(MemoryStorage::with_clock(clock.clone()));
    let storage = StorageHandle::new(faulty.clone());
    create(&storage, "hourly", spec("0 * * * *", "UTC")).await;
    let scheduler = scheduler(&storage, &["work"]);
    let faults = [
        Fault::AnswerLost,
        Fault::Unreachable,
        Fault::Busy,
        Fault::Refused,
        Fault::Broken,
    ];
    for (hour, fault) in (11..).zip(faults) {
        clock.set(utc(&format!("2026-11-22T{hour}:00:00Z")));
        faulty.fail(Method::ChangeRecurring, fault);
        // Whether it says so or not, the next look sees to it.
        let _ = scheduler.fire().await;
        scheduler.fire().await.unwrap();
    }
    let runs = runs(&storage).await.remove("hourly").unwrap();
    let wanted: Vec<_> = (11..16)
        .map(|hour| utc(&format!("2026-11-22T{hour}:00:00Z")))
        .collect();
    assert_eq!(runs, wanted);
}

#[tokio::test]
async fn one_that_cannot_be_stored_keeps_no_other_from_it() {
    let clock = ManualClock::new(utc("2026-11-22T10:00:00Z"));
    let storage = StorageHandle::new(MemoryStorage::with_clock(clock.clone()));
    create(&storage, "good", spec("0 * * * *", "UTC")).await;
    let mut bad = spec("0 * * * *", "UTC");
    let rules = bad.rules.get_or_insert_default();
    // A batch that there is not.
    rules.batch = Some(crate::job::BatchId::new());
    create(&storage, "bad", bad).await;
    clock.set(utc("2026-11-22T11:00:00Z"));
    scheduler(&storage, &["work"]).fire().await.unwrap();
    let runs = runs(&storage).await;
    assert_eq!(runs.keys().collect::<Vec<_>>(), ["good"]);
}

#[tokio::test]
async fn a_thousand_that_are_due_at_once_fire_in_one_go() {
    let clock = ManualClock::new(utc("2026-11-22T10:00:00Z"));
    let storage = StorageHandle::new(MemoryStorage::with_clock(clock.clone()));
    for n in 0..1_500 {
        let schedule = if n % 3 == 0 { "0 0 1 1 *" } else { "0 * * * *" };
        create(&storage, &format!("r{n:05}"), spec(schedule, "UTC")).await;
    }
    clock.set(utc("2026-11-22T11:00:00Z"));
    scheduler(&storage, &["work"]).fire().await.unwrap();
    assert_eq!(runs(&storage).await.len(), 1_000);
}
