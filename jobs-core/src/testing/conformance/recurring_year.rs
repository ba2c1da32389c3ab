//! A year of schedules in some seconds: its days are simulated, the storage is the real one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use jobs_cron::Misfire;

use super::recurring::{ada, change, due_after};
use super::stage::{at_once, job};
use crate::job::{Deed, JobId, RecurringRecord, RecurringSpec, Timing};
use crate::lifecycle::RecurringChange;
use crate::storage::{Changed, JobFilter, StorageHandle};

/// Each in a zone of its own, most of them where or when clocks change.
const SCHEDULES: [(&str, &str); 10] = [
    ("30 2 * * *", "America/New_York"),
    ("0,30 1 * * *", "America/New_York"),
    ("0 */4 * * *", "Australia/Lord_Howe"),
    ("0 9 * * 1-5", "Europe/London"),
    ("15 */6 * * *", "Europe/Berlin"),
    ("0 0 * * *", "Africa/Cairo"),
    ("45 1 L * *", "Antarctica/Troll"),
    ("0 0 15W * *", "Asia/Kolkata"),
    ("0 0 1 1 *", "Pacific/Auckland"),
    ("@every 31h", "UTC"),
];

/// How many schedulers there are, none of which knows of the others.
const SCHEDULERS: usize = 20;

/// Over a year, whose days pass in uneven steps (often the schedulers are late, by up to some days), many
/// schedulers at once, some of which die before they are done or ask twice, make one run of each occurrence.
pub async fn a_year_of_schedules_fires_what_they_say(storage: StorageHandle) {
    // Over at the real time, by which a storage says what is due.
    let end = storage.now() - TimeDelta::days(1);
    let start = end - TimeDelta::days(366);
    let mut wanted = BTreeMap::new();
    for (n, (schedule, zone)) in SCHEDULES.into_iter().enumerate() {
        let id = format!("s{n}");
        let mut timing = Timing::new(schedule);
        timing.zone = zone.into();
        let times = timing.schedule().expect("a schedule");
        let all: Vec<_> = times.occurrences_between(start, end).collect();
        let later = all.iter().filter(|at| **at > start).copied();
        wanted.insert(id.clone(), later.collect::<Vec<_>>());
        let mut spec = RecurringSpec::new(job("recurs"), timing);
        (spec.misfire.misfire, spec.misfire.cap) = (Misfire::All, 1_000);
        let by = Deed {
            at: start,
            ..ada(&storage)
        };
        let made = RecurringChange::create(&id, spec, by).expect("a schedule");
        assert_eq!(change(&storage, made).await, Changed::Done);
    }
    pass(&storage, start, end, |luck| match luck.u8(..4) {
        0 => TimeDelta::minutes(luck.i64(1..180)),
        _ => TimeDelta::hours(luck.i64(12..240)),
    })
    .await;
    let runs = runs(&storage).await;
    for (id, wanted) in &wanted {
        let runs = runs.get(id).map_or(&[][..], |runs| runs);
        let (schedule, zone) = SCHEDULES[id[1..].parse::<usize>().expect("a number")];
        assert_eq!(runs, wanted, "{schedule} in {zone}");
    }
    assert_eq!(runs.len(), wanted.len());
}

/// The same over an hour of a schedule for each second, of which some tens are found due at a time.
pub async fn an_hour_of_seconds_fires_each_once(storage: StorageHandle) {
    let end = storage.now() - TimeDelta::minutes(1);
    let start = end - TimeDelta::hours(1);
    let mut spec = RecurringSpec::new(job("recurs"), Timing::new("* * * * * *"));
    (spec.misfire.misfire, spec.misfire.cap) = (Misfire::All, 1_000);
    let by = Deed {
        at: start,
        ..ada(&storage)
    };
    let made = RecurringChange::create("tick", spec, by).expect("a schedule");
    assert_eq!(change(&storage, made).await, Changed::Done);
    pass(&storage, start, end, |luck| {
        TimeDelta::seconds(luck.i64(1..90))
    })
    .await;
    let runs = runs(&storage).await.remove("tick").expect("it ran");
    assert_eq!(runs.len(), 3_600);
    for (second, at) in runs.iter().enumerate() {
        assert_eq!(at.timestamp(), start.timestamp() + 1 + second as i64);
    }
}

/// Lets the time pass for many schedulers, in such steps.
async fn pass(
    storage: &StorageHandle,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    step: impl Fn(&mut fastrand::Rng) -> TimeDelta,
) {
    let mut luck = fastrand::Rng::with_seed(2026);
    let mut now = start;
    while now < end {
        now = (now + step(&mut luck)).min(end);
        let looks = (0..SCHEDULERS).map(|_| {
            let (storage, luck) = (storage.clone(), luck.fork());
            async move { look(&storage, now, luck).await }
        });
        at_once(looks).await;
        // All may have stepped back before each other, or have died: then the next look does it.
        while look(storage, now, fastrand::Rng::with_seed(0)).await > 0 {}
    }
}

/// One look of a scheduler in whose eyes it is `now`; answers how much it found due.
async fn look(storage: &StorageHandle, now: DateTime<Utc>, mut luck: fastrand::Rng) -> usize {
    let found = due_after(storage, &["work"], None, 100).await;
    let is_due = |record: &&RecurringRecord| record.look_at().is_some_and(|at| at <= now);
    let fire = |record: &RecurringRecord| {
        let change = RecurringChange::fire(record, now, || JobId::at(found.now));
        change.expect("a schedule").expect("it is due")
    };
    let changes: Vec<_> = found.records.iter().filter(is_due).map(fire).collect();
    let n = changes.len();
    let dies = luck.u8(..10) == 1;
    if n > 0 && !dies {
        for _ in 0..luck.usize(1..=2) {
            let answers = storage.change_recurring(changes.clone()).await;
            assert_eq!(answers.expect("change").len(), n);
        }
    }
    n
}

/// The occurrences that were run, of each id, ascending.
async fn runs(storage: &StorageHandle) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let mut runs: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    let mut filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    loop {
        let page = storage.jobs(&filter).await.expect("jobs");
        for job in page.jobs {
            let occurrence = job.options.occurrence.expect("an occurrence");
            let of = runs.entry(occurrence.recurring).or_default();
            of.push(occurrence.at);
        }
        filter.before = page.next;
        if filter.before.is_none() {
            runs.values_mut().for_each(|runs| runs.sort());
            return runs;
        }
    }
}
