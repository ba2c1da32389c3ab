//! Limits, as users say it and as their jobs see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobs::prelude::*;
use jobs::{Bound, JobEntry, LimitRule, State};

use crate::setup::{Effects, PATIENCE, Place, on_each, until};

const API: LimitRule = LimitRule::concurrency("api", 3);

/// How many run at once, now and at most.
#[derive(Clone, Default)]
struct Meter(Arc<[(AtomicU32, AtomicU32); 4]>);

impl Meter {
    async fn pass(&self, lane: usize) {
        let (now, most) = &self.0[lane];
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
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
    five_a_second
        .enqueue_many(0..12)
        .on(&place.client)
        .await
        .unwrap();
    place.drained(PATIENCE).await;
    let starts: Vec<_> = place
        .effects
        .of("start")
        .iter()
        .map(|start| start.at)
        .collect();
    assert_eq!(starts.len(), 12);
    // What a handler sees is a little later than its start was counted, so that two may be seen closer.
    let slack = Duration::from_millis(100);
    for six in starts.windows(6) {
        assert!(six[5] - six[0] + slack >= seconds(1), "{starts:?}");
    }
    worker.stop().await;
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
