//! The search for lost jobs at hostile speed, while everything else happens.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jobs_core::storage::{Inspect, Storage, StorageHandle};
use jobs_core::testing::conformance::race::Race;
use sqlx::Connection;

use super::super::{Home, PATIENCE, claim, flush, new_job, test, worker};
use super::number;
use crate::PgStorage;
use crate::care::{Pace, care};

/// As fast as it goes: whoever is old enough to have an id is missed at the first look, and brought back at the next.
fn hostile() -> Pace {
    Pace {
        age: Duration::ZERO,
        piece: 200,
        ..super::at_once()
    }
}

/// Goes on until told to stop; answers how many passes there were.
async fn care_all_the_time(storage: PgStorage, stop: Arc<AtomicBool>) -> u64 {
    let mut passes = 0;
    while !stop.load(Ordering::Relaxed) {
        care(&storage.store, &hostile()).await.unwrap();
        passes += 1;
        // Fast, yet others are to get on with what they do.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    passes
}

/// Nobody who is somewhere is ever taken for lost, whatever moves him about. The race keeps books of every run.
fn nobody_is_missed(race: fn(Race) -> Race) {
    test(|home| async move {
        let storage = home.storage().await;
        let handle = StorageHandle::new(storage.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let carers: Vec<_> = (0..2)
            .map(|_| tokio::spawn(care_all_the_time(storage.clone(), stop.clone())))
            .collect();
        race(Race::default()).run(&handle).await;
        stop.store(true, Ordering::Relaxed);
        let mut passes = 0;
        for carer in carers {
            passes += carer.await.unwrap();
        }
        println!("{passes} passes");
        // Few on a busy machine. It takes one to miss somebody, and another to bring him back.
        assert!(passes >= 4, "{passes} passes");
        let found = "select count(*) from jobs.event where verb = 'recover'";
        assert_eq!(number(&home, found).await, 0);
        assert_eq!(super::noted(&home).await, 0);
    });
}

#[test]
fn nobody_is_missed_in_a_race() {
    nobody_is_missed(|race| race);
}

#[test]
fn nobody_is_missed_in_a_race_with_rules() {
    nobody_is_missed(Race::with_rules);
}

/// Takes tickets away, some at a time, those that others are about to take among them.
async fn lose_tickets(home: Arc<Home>, stop: Arc<AtomicBool>, lost: Arc<AtomicU64>) {
    let mut connection = home.connection().await;
    let lose = "delete from jobs.ticket where ctid = any (array(
                    select ctid from jobs.ticket tablesample bernoulli (20) limit 5 for update skip locked))";
    while !stop.load(Ordering::Relaxed) {
        let gone = sqlx::query(home.sql(lose)).execute(&mut connection).await;
        lost.fetch_add(gone.unwrap().rows_affected(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    connection.close().await.unwrap();
}

/// Whose ticket is lost comes back, once: nobody is handed out twice, and everybody is.
#[test]
fn whoever_loses_his_ticket_runs_once() {
    test(|home| async move {
        const JOBS: usize = 3_000;
        let storage = home.storage().await;
        let (stop, lost) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<AtomicU64>::default(),
        );
        let mut others = vec![tokio::spawn(lose_tickets(
            home.clone(),
            stop.clone(),
            Arc::clone(&lost),
        ))];
        for _ in 0..2 {
            let caring = care_all_the_time(storage.clone(), stop.clone());
            others.push(tokio::spawn(async {
                let _passes = caring.await;
            }));
        }
        let workers: Vec<_> = (0..3)
            .map(|_| tokio::spawn(work(storage.clone(), stop.clone())))
            .collect();
        // On a busy machine few tickets are met before a worker takes them: then there are more jobs.
        let mut stored = 0;
        while stored < JOBS || lost.load(Ordering::Relaxed) <= 100 {
            let jobs: Vec<_> = (0..20).map(|_| new_job()).collect();
            storage.insert(&jobs).await.unwrap();
            stored += 20;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let end = Instant::now() + 5 * PATIENCE;
        let finished = "select count(*) from jobs.job where state = 2";
        while number(&home, finished).await < stored as i64 {
            assert!(Instant::now() < end, "not all of them have run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut ran = Vec::new();
        for one in workers {
            ran.extend(one.await.unwrap());
        }
        for one in others {
            one.await.unwrap();
        }
        let (lost, all): (_, HashSet<_>) = (lost.load(Ordering::Relaxed), ran.iter().collect());
        println!("{lost} tickets lost");
        assert_eq!(
            (ran.len(), all.len()),
            (stored, stored),
            "each was handed out once"
        );
        let runs = "select coalesce(sum(run), 0)::bigint from jobs.job";
        let found = "select count(*) from jobs.event where verb = 'recover'";
        let found = number(&home, found).await;
        assert_eq!(found, lost as i64, "each loss is told of");
        assert_eq!(number(&home, runs).await, stored as i64 + found);
        assert_eq!(storage.counts().await.unwrap().succeeded, stored as u64);
    });
}

/// Runs whatever it gets; answers which jobs it was given.
async fn work(storage: PgStorage, stop: Arc<AtomicBool>) -> Vec<jobs_core::job::JobId> {
    let me = worker(&storage).await;
    let mut ran = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (id, claimed) = claim(&storage, me, 7).await;
        ran.extend(claimed.jobs.iter().map(|job| job.id));
        let refused = storage.settle(&flush(me, id, &claimed.jobs, true)).await;
        assert_eq!(refused.unwrap(), [], "nobody takes from a worker");
    }
    ran
}
