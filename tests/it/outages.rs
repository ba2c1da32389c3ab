//! A PostgreSQL that is restarted, crashes, or breaks off connections while workers are at work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jobs::{Client, Error, JobId, State};
use sqlx::{Connection, Executor, PgConnection};

use crate::counters::assert_exact;
use crate::kinds::{AT_ONCE, disturbed, fails, note, rest};
use crate::setup::{Orders, PATIENCE, Place, Proxy, QUICK, Server, long, on_each, run, until};

/// Enqueues without a pause until told to stop; answers what was acknowledged.
async fn enqueue_until(place: &Place, stop: &AtomicBool) -> Vec<JobId> {
    // Through every outage: what was acknowledged must be there, and an error here is a failure.
    let client = Client::builder(place.storage.clone())
        .retry_for(PATIENCE)
        .build();
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for n in 0..10 {
            ids.push(note.enqueue(n).on(&client).await.unwrap().id());
        }
        ids.extend_from_slice(rest.enqueue_many([20; 10]).on(&client).await.unwrap().ids());
        ids.push(
            fails
                .enqueue(1u32)
                .backoff(AT_ONCE)
                .on(&client)
                .await
                .unwrap()
                .id(),
        );
        // More than the workers get through would only pile up.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ids
}

/// Checks that all was done, and that nothing counted twice.
async fn assert_all_done(place: &Place, ids: &[JobId]) {
    for id in ids {
        let record = place.record(*id).await;
        let runs = if record.kind == "e2e.fails" { 2 } else { 1 };
        // Nobody died: an outage of the database is no death of a worker.
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, runs, 0),
            "{record:?}"
        );
        let attempts = place.storage.inspect().attempts(*id).await.unwrap();
        assert_eq!(attempts.len(), runs as usize - 1);
        let what = if record.kind == "e2e.rest" {
            "end"
        } else {
            "note"
        };
        let effects = place.effects.of_job(what, *id);
        assert!(effects.len() >= runs as usize, "{record:?}: {effects:?}");
    }
    assert_exact(place).await;
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().succeeded,
        ids.len() as u64
    );
}

/// Works through this URL, and would soon be taken for dead.
fn through(url: &str) -> impl FnOnce(&mut Orders) {
    |orders| (orders.url, orders.liveness) = (url.into(), Some(QUICK))
}

/// Enqueues and works while `trouble` goes on, which answers what it enqueued itself; afterwards all must
/// be done.
async fn work_through(place: &Place, url: &str, trouble: impl Future<Output = Vec<JobId>>) {
    let workers = [
        place.process(through(url)).await,
        place.process(through(url)).await,
    ];
    let stop = AtomicBool::new(false);
    let (mut ids, more) = tokio::join!(enqueue_until(place, &stop), async {
        let ids = trouble.await;
        stop.store(true, Ordering::Relaxed);
        ids
    });
    ids.extend(more);
    place.drained(PATIENCE).await;
    assert_all_done(place, &ids).await;
    // They are the same as before: nobody was taken for dead and has started over.
    let living = place.storage.inspect().workers().await.unwrap();
    assert_eq!(living.len(), 2, "{living:?}");
    for worker in workers {
        assert!(living.iter().any(|living| living.info.pid == worker.pid()));
        worker.signal("TERM");
        assert!(worker.ended(PATIENCE).await.success());
    }
}

/// Restarts under load, and checks that the workers are back at work soon after the server's return.
async fn restart_under_load(place: &Place, restart: impl AsyncFn()) {
    let client = Client::builder(place.storage.clone())
        .retry_for(PATIENCE)
        .build();
    let mut probes = Vec::new();
    let trouble = async {
        for round in 1..=2 {
            let done = async || place.effects.all().len();
            until("work is done", PATIENCE, done, |seen| *seen > 100 * round).await;
            restart().await;
            let back = Instant::now();
            let probe = note
                .enqueue(-1)
                .priority(jobs::Priority::HIGH)
                .on(&client)
                .await
                .unwrap();
            probe.result().await.unwrap();
            let took = back.elapsed();
            assert!(
                took < Duration::from_secs(20),
                "back at work only after {took:?}"
            );
            probes.push(probe.id());
        }
        probes
    };
    work_through(place, &place.url, trouble).await;
}

#[test]
fn a_restart_of_the_server_is_lived_through() {
    let server = Server::start();
    let test =
        async |place: &Place| restart_under_load(place, async || server.restart().await).await;
    run(Place::on_server(&server.url), test);
}

#[test]
fn a_crash_of_the_server_is_lived_through() {
    let server = Server::start();
    let test = async |place: &Place| restart_under_load(place, async || server.crash().await).await;
    run(Place::on_server(&server.url), test);
}

#[test]
fn an_outage_longer_than_a_worker_may_be_silent() {
    let server = Server::start();
    let test = async |place: &Place| outlast(place, &server).await;
    run(Place::on_server(&server.url), test);
}

/// Workers that cannot be heard stop their jobs, since others may run them; nobody is taken for dead for
/// the server's absence, and when it is back everything goes on.
async fn outlast(place: &Place, server: &Server) {
    let quick = |orders: &mut Orders| orders.liveness = Some(QUICK);
    let workers = [place.process(quick).await, place.process(quick).await];
    let running = disturbed
        .enqueue_many(vec![(); 10])
        .on(&place.client)
        .await
        .unwrap();
    place.started(10).await;
    server.halt().await;
    // Here, enqueueing is tried for a while, and then said to have failed.
    let asked = Instant::now();
    let error = note.enqueue(1).on(&place.client).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(30),
        "{took:?}"
    );
    let lost = async || place.effects.of("lost").len();
    until("they are told", PATIENCE, lost, |count| *count == 10).await;
    // Long enough that they could be taken for dead.
    tokio::time::sleep_until((asked + QUICK.1 + Duration::from_secs(1)).into()).await;
    server.go_on().await;
    place.drained(PATIENCE).await;
    for handle in running.handles() {
        let record = handle.record().await.unwrap();
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, 1, 0),
            "{record:?}"
        );
        assert_eq!(place.effects.of_job("start", handle.id()).len(), 2);
    }
    let living = place.storage.inspect().workers().await.unwrap();
    assert_eq!(living.len(), 2, "{living:?}");
    assert_exact(place).await;
    for worker in workers {
        worker.signal("TERM");
        assert!(worker.ended(PATIENCE).await.success());
    }
}

/// How long connections are tormented.
fn a_while() -> Duration {
    Duration::from_secs(if long() { 60 } else { 10 })
}

on_each!(broken_connections_are_lived_through: postgres);

async fn broken_connections_are_lived_through(place: &Place) {
    let trouble = async {
        let end = Instant::now() + a_while();
        let mut connection = PgConnection::connect(&place.url).await.unwrap();
        let mut broken = 0;
        while Instant::now() < end || broken < 10 {
            // One of them, whoever's it is: a worker's, its listener's, the enqueuer's.
            let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
                       where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1";
            broken += connection.execute(sql).await.unwrap().rows_affected();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Vec::new()
    };
    work_through(place, &place.url, trouble).await;
}

on_each!(lost_answers_count_once: postgres);

/// The database has done what the worker asked for, and the worker never hears of it.
async fn lost_answers_count_once(place: &Place) {
    let proxy = Proxy::before(&place.url).await;
    let trouble = async {
        proxy.swallow_one_of(30);
        tokio::time::sleep(a_while()).await;
        let swallowed = async || proxy.swallowed();
        until("some are swallowed", PATIENCE, swallowed, |it| *it >= 10).await;
        proxy.swallow_one_of(0);
        Vec::new()
    };
    work_through(place, &proxy.url, trouble).await;
}

on_each!(an_enqueue_whose_answer_is_lost_stores_one_job: postgres);

async fn an_enqueue_whose_answer_is_lost_stores_one_job(place: &Place) {
    let proxy = Proxy::before(&place.url).await;
    let client = Client::new(jobs::connect(&proxy.url).await.unwrap());
    let mut ids = Vec::new();
    // However many answers a request has: each of them is lost once, and that of the transaction too.
    for answers in (0..12).flat_map(|answers| [answers; 2]) {
        let swallowed = proxy.swallowed();
        proxy.swallow_after(answers);
        while proxy.swallowed() == swallowed {
            let n = ids.len() as i64;
            ids.push(note.enqueue(n).on(&client).await.unwrap().id());
            ids.extend_from_slice(note.enqueue_many([n; 3]).on(&client).await.unwrap().ids());
        }
    }
    let counts = place.storage.inspect().counts().await.unwrap();
    assert_eq!(counts.enqueued, ids.len() as u64);
    // Each has one ticket, too: each runs once.
    let worker = place.process(|_| {}).await;
    place.drained(PATIENCE).await;
    for id in ids {
        assert_eq!(place.effects.of_job("note", id).len(), 1);
    }
    drop(worker);
}
