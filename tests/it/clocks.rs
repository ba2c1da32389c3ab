//! Workers whose clocks are wrong by an hour, one ahead and one behind: the storage's clock decides.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{TimeDelta, Utc};
use jobs::inspect::{JobFilter, JobRecord};
use jobs::{Backoff, JobId, LimitRule, State};

use crate::counters::assert_exact;
use crate::kinds::{fails, hold, note, passes_on, rest};
use crate::limits::assert_not_before_their_turn;
use crate::setup::{Orders, PATIENCE, Place, QUICK, on_each, until};

const HOUR: i64 = 3_600;

/// Not more than five of them start in a second.
const FIVE: LimitRule = LimitRule::sliding("e2e.clocks", 5, Duration::from_secs(1));

on_each!(the_clocks_of_workers_decide_nothing: postgres);

async fn the_clocks_of_workers_decide_nothing(place: &Place) {
    let began = Utc::now();
    let workers = [
        place.process(|orders| orders.clock = HOUR).await,
        place.process(|orders| orders.clock = -HOUR).await,
    ];
    both_are_wrong(place).await;

    // What is due is due by the storage's clock: jobs for later, retries, those that a job enqueues.
    let later = note
        .enqueue(1)
        .delay(Duration::from_millis(1_500))
        .on(&place.client)
        .await
        .unwrap();
    let instant = Utc::now() + TimeDelta::milliseconds(1_500);
    let at = note.enqueue(2).at(instant).on(&place.client).await.unwrap();
    let wait = Backoff::Fixed(Duration::from_millis(800));
    let retried = fails
        .enqueue(2u32)
        .backoff(wait)
        .on(&place.client)
        .await
        .unwrap();
    let passed = passes_on
        .enqueue_many([900; 8])
        .on(&place.client)
        .await
        .unwrap();
    let asked = Utc::now();
    let limited = note
        .enqueue_many(0..20)
        .limit(&FIVE)
        .on(&place.client)
        .await
        .unwrap();
    // Not in the next half hour, which for one of them is over.
    let unserved = async |n| {
        let job = note
            .enqueue(n)
            .queue("paused")
            .expires_in(jobs::minutes(30));
        job.on(&place.client).await.unwrap()
    };
    place.client.queue("paused").pause().await.unwrap();
    let (expiring, delayed) = (
        unserved(3).await,
        note.enqueue(4)
            .delay(jobs::minutes(30))
            .on(&place.client)
            .await
            .unwrap(),
    );
    let recurring = place.client.recurring("e2e.clocks");
    recurring
        .create("* * * * * *", note.enqueue(5))
        .await
        .unwrap();

    waited(&ended(place, later.id()).await, 1_490);
    let started = ended(place, at.id()).await.started_at.unwrap();
    assert!(started >= instant && is_now(started), "{started}");
    let record = ended(place, retried.id()).await;
    assert_eq!((record.state, record.attempt), (State::Succeeded, 3));
    waited(&record, 1_590);
    for handle in passed {
        let next = handle.result().await.unwrap();
        waited(&ended(place, next).await, 890);
    }
    let mut starts = Vec::new();
    for id in limited.ids() {
        starts.push(ended(place, *id).await.started_at.unwrap());
    }
    assert_not_before_their_turn(starts, asked, 5);
    for (id, state) in [
        (expiring.id(), State::Enqueued),
        (delayed.id(), State::Scheduled),
    ] {
        assert_eq!(place.record(id).await.state, state);
    }
    each_second_ran_once(place).await;
    recurring.remove().await.unwrap();

    // Nobody was taken for dead, and nothing happened at a time that was not.
    place.client.delete(expiring.id()).await.unwrap();
    place.client.delete(delayed.id()).await.unwrap();
    place.drained(PATIENCE).await;
    let living = place.storage.inspect().workers().await.unwrap();
    assert!(
        living
            .iter()
            .all(|worker| worker.dead_at.is_none() && is_now(worker.beat_at)),
        "{living:?}"
    );
    assert_eq!(living.len(), 2, "{living:?}");
    let soon = Utc::now() + TimeDelta::seconds(1);
    for record in all(place).await {
        assert_eq!(record.lost, 0, "{record:?}");
        let times = [
            Some(record.created_at),
            record.started_at,
            record.finished_at,
        ];
        let mut before = began - TimeDelta::seconds(1);
        for time in times.into_iter().flatten() {
            assert!(before <= time && time <= soon, "{time}: {record:?}");
            before = time;
        }
    }
    assert_exact(place).await;
    for worker in workers {
        worker.signal("TERM");
        assert!(worker.ended(PATIENCE).await.success());
    }
}

/// Both have run something, and saw another time than this process.
async fn both_are_wrong(place: &Place) {
    let hours = async || {
        // More and more of them: one may be through with many before the other has looked.
        let some = rest.enqueue_many([100; 32]).on(&place.client);
        some.await.unwrap();
        place.drained(PATIENCE).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let hours = place.effects.of("start").into_iter().map(|effect| {
            let off = effect.at.as_secs_f64() - now.as_secs_f64();
            (off / HOUR as f64).round() as i64
        });
        hours.collect::<BTreeSet<_>>()
    };
    until("both work", PATIENCE, hours, |hours| {
        *hours == BTreeSet::from([-1, 1])
    })
    .await;
}

async fn ended(place: &Place, id: JobId) -> JobRecord {
    place.until(id, |record| record.state.is_final()).await
}

/// It started so much after it was stored, and not much later.
fn waited(record: &JobRecord, millis: i64) {
    let waited = record.started_at.unwrap() - record.created_at;
    let least = TimeDelta::milliseconds(millis);
    assert!(
        waited >= least && waited < least + TimeDelta::seconds(20),
        "{waited}: {record:?}"
    );
}

fn is_now(time: chrono::DateTime<Utc>) -> bool {
    (Utc::now() - time).abs() < TimeDelta::seconds(20)
}

async fn all(place: &Place) -> Vec<JobRecord> {
    let filter = JobFilter {
        limit: 1_000,
        ..JobFilter::default()
    };
    place.storage.inspect().jobs(&filter).await.unwrap().jobs
}

async fn each_second_ran_once(place: &Place) {
    let runs = async || {
        let mut runs: Vec<_> = all(place)
            .await
            .into_iter()
            .filter(|job| job.options.occurrence.is_some())
            .collect();
        runs.retain(|run| run.state.is_final());
        runs
    };
    let runs = until("some seconds have passed", PATIENCE, runs, |runs| {
        runs.len() >= 4
    })
    .await;
    let at = |run: &JobRecord| run.options.occurrence.as_ref().unwrap().at;
    let seconds: BTreeSet<_> = runs.iter().map(|run| at(run).timestamp()).collect();
    assert_eq!(seconds.len(), runs.len(), "none runs twice");
    for run in &runs {
        let late = run.created_at - at(run);
        assert!(
            late >= TimeDelta::zero() && late < TimeDelta::seconds(20),
            "{late}: {run:?}"
        );
    }
}

on_each!(a_process_whose_clock_is_wrong_loses_nothing: sqlite);

/// One machine has one clock, so that processes on one file agree on the time, or it has been put right between the start of
/// one and that of another. Should they not agree all the same, times are wrong, and nothing else is.
async fn a_process_whose_clock_is_wrong_loses_nothing(place: &Place) {
    let ahead_by = |hours| {
        move |orders: &mut Orders| (orders.clock, orders.liveness) = (hours * HOUR, Some(QUICK))
    };
    let workers = [
        place.process(ahead_by(1)).await,
        place.process(ahead_by(-1)).await,
        place.process(ahead_by(0)).await,
    ];
    let jobs = rest
        .enqueue_many([20; 200])
        .on(&place.client)
        .await
        .unwrap();
    let retried = fails
        .enqueue(2u32)
        .backoff(Backoff::Fixed(Duration::ZERO))
        .on(&place.client)
        .await
        .unwrap();
    let passed = passes_on
        .enqueue_many([0; 20])
        .on(&place.client)
        .await
        .unwrap();
    let held = hold.enqueue("go").on(&place.client).await.unwrap();
    for handle in passed {
        ended(place, handle.result().await.unwrap()).await;
    }
    // Longer than a worker may be silent: nobody is taken for dead.
    tokio::time::sleep(QUICK.1 + Duration::from_secs(2)).await;
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    for id in jobs.ids().iter().chain([&retried.id(), &held.id()]) {
        let record = place.record(*id).await;
        assert_eq!(
            (record.state, record.lost),
            (State::Succeeded, 0),
            "{record:?}"
        );
    }
    for id in jobs.ids() {
        assert_eq!(place.effects.of_job("start", *id).len(), 1);
    }
    let living = place.storage.inspect().workers().await.unwrap();
    assert_eq!(
        living
            .iter()
            .filter(|worker| worker.dead_at.is_none())
            .count(),
        3,
        "{living:?}"
    );
    for worker in workers {
        worker.signal("TERM");
        assert!(worker.ended(PATIENCE).await.success());
    }
}
