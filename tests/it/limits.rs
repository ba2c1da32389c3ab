//! Limits, as users say it and as their jobs see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::inspect::{JobFilter, JobRecord};
use jobs::prelude::*;
use jobs::{Bound, JobEntry, LimitRule, State, WorkerId};

use crate::kinds::{spread, tenants};
use crate::setup::{
    Effects, Orders, PATIENCE, Place, QUICK, WorkerProcess, long, on_all, on_each, until,
};

const API: LimitRule = LimitRule::concurrency("api", 3);

/// How many run at once, now and at most.
#[derive(Clone, Default)]
struct Meter(Arc<[(AtomicU32, AtomicU32); 4]>);

impl Meter {
    async fn pass(&self, lane: usize) {
        let (now, most) = &self.0[lane];
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough that those who may run at once are seen to.
        tokio::time::sleep(Duration::from_millis(20)).await;
        now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self, lane: usize) -> u32 {
        self.0[lane].1.load(Ordering::SeqCst)
    }
}

#[job(concurrency(max = 2, key = "{tenant}"))]
async fn per_tenant(tenant: usize, _n: u32, meter: Data<Meter>) {
    meter.pass(tenant).await;
}

#[job(rate(max = 5, per = "1s", kind = "sliding"), retries = 0)]
async fn five_a_second(_n: u32, ctx: JobContext, effects: Data<Effects>) {
    effects.write("start", &ctx);
}

#[job(limit(API, weight = "{pages}"))]
async fn heavy(pages: u32, meter: Data<Meter>) {
    let _ = pages;
    meter.pass(3).await;
}

#[job(concurrency(max = 1, excess = "delete"))]
async fn only_one(gate: String, effects: Data<Effects>) {
    effects.pass(&gate).await;
}

#[job]
async fn unlimited(meter: Data<Meter>) {
    meter.pass(3).await;
}

fn all() -> Vec<&'static JobEntry> {
    jobs![per_tenant, five_a_second, heavy, only_one, unlimited]
}

on_each!(no_more_run_at_once_than_may: memory, sqlite, postgres);

async fn no_more_run_at_once_than_may(place: &Place) {
    let meter = Meter::default();
    let workers = [
        place
            .worker(all())
            .data(meter.clone())
            .start()
            .await
            .unwrap(),
        place
            .worker(all())
            .data(meter.clone())
            .start()
            .await
            .unwrap(),
    ];
    let jobs = (0..120).map(|n| (n as usize % 3, n));
    per_tenant
        .enqueue_many(jobs)
        .on(&place.client)
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    assert_eq!([0, 1, 2].map(|tenant| meter.most(tenant)), [2, 2, 2]);
    let record = place
        .client
        .limit("kind:per_tenant")
        .get()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.rule.bound, Bound::Concurrency { max: 2 });
    for worker in workers {
        worker.stop().await;
    }
}

on_each!(starts_are_spread_over_time: memory, sqlite, postgres);

async fn starts_are_spread_over_time(place: &Place) {
    let worker = place
        .worker(all())
        .data(Meter::default())
        .start()
        .await
        .unwrap();
    let asked = Utc::now();
    five_a_second
        .enqueue_many(0..12)
        .on(&place.client)
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    let starts = place.effects.of("start");
    assert_eq!(starts.len(), 12);
    let starts = starts.iter().map(|start| DateTime::UNIX_EPOCH + start.at);
    assert_not_before_their_turn(starts.collect(), asked, 5);
    worker.stop().await;
}

/// Of jobs that were stored after this moment, so many may start in a second. What a handler sees, and what is told of a
/// start when the end is written down, is later than the start that was counted, on a busy machine by much: two may be seen
/// closer than they were. None is ever seen too soon.
pub(crate) fn assert_not_before_their_turn(
    mut starts: Vec<DateTime<Utc>>,
    asked: DateTime<Utc>,
    a_second: usize,
) {
    starts.sort();
    // Storages count in milliseconds, some of them.
    let slack = TimeDelta::milliseconds(10);
    for (n, start) in starts.iter().enumerate() {
        let turn = asked + TimeDelta::seconds((n / a_second) as i64);
        assert!(*start + slack >= turn, "start {n} of {starts:?}");
    }
}

on_each!(weights_and_shared_limits_add_up: memory, sqlite, postgres);

async fn weights_and_shared_limits_add_up(place: &Place) {
    let meter = Meter::default();
    let client = &place.client;
    heavy.enqueue_many([3, 3, 3]).on(client).await.unwrap();
    unlimited
        .enqueue_many([(); 4])
        .limit(API.by("").weight(2))
        .on(client)
        .await
        .unwrap();
    let worker = place
        .worker(all())
        .data(meter.clone())
        .start()
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    assert_eq!(meter.most(3), 1);
    let too_heavy = heavy.enqueue(4).on(client).await.unwrap_err().to_string();
    assert!(
        too_heavy.contains("a weight of 4 never fits: it allows 3 at most"),
        "{too_heavy}"
    );
    worker.stop().await;
}

on_each!(a_limit_is_changed_while_it_holds: memory, sqlite, postgres);

async fn a_limit_is_changed_while_it_holds(place: &Place) {
    let client = &place.client;
    let limit = client.limit("api");
    assert!(limit.get().await.unwrap().is_none());
    let none = limit
        .set(Bound::Concurrency { max: 0 })
        .await
        .unwrap_err()
        .to_string();
    assert!(none.contains("is 0"), "{none}");
    limit
        .set(Bound::Concurrency { max: 1 })
        .by("ada")
        .await
        .unwrap();
    unlimited
        .enqueue_many([(); 5])
        .limit(&API)
        .on(client)
        .await
        .unwrap();
    let record = limit.get().await.unwrap().unwrap();
    assert_eq!(record.rule.bound, Bound::Concurrency { max: 1 });
    assert_eq!(record.declared.unwrap().0, API.bound);
    let meter = Meter::default();
    let worker = place
        .worker(all())
        .data(meter.clone())
        .start()
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    assert_eq!(meter.most(3), 1);
    limit.reset().await.unwrap();
    assert_eq!(limit.get().await.unwrap().unwrap().rule.bound, API.bound);
    worker.stop().await;
}

on_each!(what_does_not_fit_may_be_deleted: memory, sqlite, postgres);

async fn what_does_not_fit_may_be_deleted(place: &Place) {
    let worker = place
        .worker(all())
        .data(Meter::default())
        .start()
        .await
        .unwrap();
    let one = only_one.enqueue("go").on(&place.client).await.unwrap();
    place.until_state(one.id(), State::Processing).await;
    let two = only_one.enqueue("go").on(&place.client).await.unwrap();
    let record = two.wait().await.unwrap();
    let reason = "Limit kind:only_one is reached";
    assert_eq!(
        (record.state, record.reason.as_deref()),
        (State::Deleted, Some(reason))
    );
    place.effects.open_gate("go");
    let look = async || one.state().await.unwrap();
    until("the first ends", PATIENCE, look, |state| {
        *state == State::Succeeded
    })
    .await;
    worker.stop().await;
}

/// Those that run, as the database says at one moment.
async fn running(place: &Place) -> Vec<JobRecord> {
    let filter = JobFilter {
        state: Some(State::Processing),
        kind: Some("e2e.tenants".into()),
        limit: 1_000,
        ..JobFilter::default()
    };
    place.storage.inspect().jobs(&filter).await.unwrap().jobs
}

/// How often each of these occurs.
fn count<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// Kills the process of the worker that runs most of them; answers what it held, and who it was.
async fn kill_the_busiest(
    place: &Place,
    workers: &mut Vec<WorkerProcess>,
) -> (Vec<JobId>, Option<WorkerId>) {
    let by = count(running(place).await.iter().filter_map(|job| job.worker));
    let known = place.storage.inspect().workers().await.unwrap();
    let busiest = by.into_iter().max_by_key(|(_, jobs)| *jobs);
    let busiest = known
        .iter()
        .find(|worker| Some(worker.info.id) == busiest.map(|(id, _)| id));
    let Some(busiest) = busiest else {
        return (Vec::new(), None);
    };
    let at = workers
        .iter()
        .position(|worker| worker.pid() == busiest.info.pid);
    // One that was killed before and held nothing may seem to, for a moment.
    let Some(at) = at else {
        return (Vec::new(), None);
    };
    workers.remove(at).kill();
    // It may have ended what it ran just before.
    let held = running(place).await;
    let held = held
        .iter()
        .filter(|job| job.worker == Some(busiest.info.id));
    (held.map(|job| job.id).collect(), Some(busiest.info.id))
}

on_all!(four_processes_keep_a_limit_and_one_is_killed: sqlite, postgres);

/// Fifty tenants, seen from outside: never more than two of one run, whoever holds their permits and dies, and all end.
async fn four_processes_keep_a_limit_and_one_is_killed(place: &Place) {
    let n = if long() { 10_000 } else { 600 };
    let jobs = (0..n).map(|n| (n % 50, 50));
    let jobs = tenants.enqueue_many(jobs).on(&place.client).await.unwrap();
    let quick = |orders: &mut Orders| orders.liveness = Some(QUICK);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(place.process(quick).await);
    }
    let (mut seen, mut most, mut held, mut killed) = (0, 0, Vec::new(), None);
    let end = Instant::now() + PATIENCE * if long() { 10 } else { 2 };
    loop {
        let running = running(place).await;
        // The arguments of a tenant are the same for all its jobs.
        let at_once = count(running.iter().map(|job| &*job.args));
        assert!(at_once.values().all(|n| *n <= 2), "{at_once:?}");
        most = most.max(at_once.values().copied().max().unwrap_or(0));
        seen += 1;
        let left = place.storage.inspect().counts().await.unwrap();
        if left.unfinished() == 0 {
            break;
        }
        // In the middle of it, while it holds permits.
        if held.is_empty() && left.succeeded >= u64::from(n) / 4 {
            (held, killed) = kill_the_busiest(place, &mut workers).await;
            if workers.len() < 4 {
                workers.push(place.process(quick).await);
            }
        }
        assert!(Instant::now() < end, "{left:?}, of them run {at_once:?}");
    }
    assert!(seen >= 10 && most == 2, "{seen} looks, at most {most}");
    assert!(!held.is_empty(), "it held permits when it was killed");
    for id in jobs.ids() {
        let record = place.record(*id).await;
        assert_eq!((record.state, record.attempt), (State::Succeeded, 1));
        // Unless its outcome was on its way already.
        let lost = held.contains(id) && record.worker != killed;
        assert!(record.lost >= u32::from(lost), "{record:?}");
    }
    let limit = place.client.limit("kind:e2e.tenants").get().await.unwrap();
    let limit = limit.unwrap();
    assert_eq!((limit.used, limit.waiting), (0, 0));
}

on_all!(four_processes_share_a_rate: sqlite, postgres);

async fn four_processes_share_a_rate(place: &Place) {
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(place.process(|orders| orders.concurrency = 1).await);
    }
    let asked = Utc::now();
    let jobs = spread.enqueue_many(0..35).on(&place.client).await.unwrap();
    place.drained(PATIENCE).await;
    let (mut starts, mut by) = (Vec::new(), BTreeSet::new());
    for id in jobs.ids() {
        let record = place.record(*id).await;
        assert_eq!((record.state, record.attempt), (State::Succeeded, 1));
        starts.push(record.started_at.unwrap());
        by.insert(record.worker);
    }
    assert_not_before_their_turn(starts, asked, 10);
    assert!(by.len() > 1, "one worker ran all");
}
