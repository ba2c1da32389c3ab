//! Jobs that are in no place, and claims that are nobody's.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use jobs_core::job::{Condition, Due, JobId, LimitRule, NewJob, Parent, ParentId, Rules, State};
use jobs_core::lifecycle::{LOST_LIMIT, LOST_REASON};
use jobs_core::storage::{Inspect, RescueRequest, Retention, Storage};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::super::{Home, claim, flush, new_job, test, worker};
use super::{noted, number, pass, run};
use crate::PgStorage;

/// A job whose id says that it was stored two hours ago.
fn old() -> NewJob {
    let floor = JobId::floor(Utc::now() - TimeDelta::hours(2)).as_uuid();
    let random = Uuid::new_v4().as_u128() & 0x3fff_ffff_ffff_ffff;
    let mut job = new_job();
    job.id = Uuid::from_u128(floor.as_u128() | random).into();
    job
}

fn limited() -> NewJob {
    let mut rules = Rules::default();
    rules.limits.push(LimitRule::concurrency("disk", 1).by(""));
    let mut job = old();
    job.rules = Some(Box::new(rules));
    job
}

/// Stores jobs, two hours ago.
async fn store(storage: &PgStorage, home: &Home, jobs: &[NewJob]) {
    storage.insert(jobs).await.unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| job.id.to_string()).collect();
    let age = "update jobs.job set created_at = created_at - interval '2 hours' where id::text in ";
    run(home, &format!("{age} ('{}')", ids.join("','"))).await;
}

async fn lose(home: &Home, job: &NewJob) {
    let lost = format!("delete from jobs.ticket where job_id = '{}'", job.id);
    assert_eq!(run(home, &lost).await, 1);
}

async fn state(storage: &PgStorage, job: &NewJob) -> (i32, State) {
    let record = storage.job(job.id).await.unwrap().unwrap();
    (record.run, record.state)
}

#[test]
fn a_lost_job_gets_a_ticket_when_it_is_missed_twice() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs: Vec<_> = (0..10).map(|_| old()).collect();
        store(&storage, &home, &jobs).await;
        let lost = [&jobs[2], &jobs[7]];
        for job in lost {
            lose(&home, job).await;
        }
        pass(&storage).await;
        assert_eq!(noted(&home).await, 2);
        assert_eq!(state(&storage, lost[0]).await, (0, State::Processing));
        pass(&storage).await;
        assert_eq!(noted(&home).await, 0);
        for job in lost {
            assert_eq!(state(&storage, job).await, (1, State::Enqueued));
            let events = storage.events(job.id).await.unwrap();
            assert_eq!(events.len(), 1);
            let event = &events[0];
            assert_eq!((&*event.verb, &*event.actor), ("recover", "jobs"));
            assert_eq!((event.from, event.to), (State::Processing, State::Enqueued));
        }
        // It runs like any other, and nobody else was touched.
        let me = worker(&storage).await;
        let (id, claimed) = claim(&storage, me, 20).await;
        assert_eq!(claimed.jobs.len(), 10);
        let runs: i32 = claimed.jobs.iter().map(|job| job.run).sum();
        assert_eq!(runs, 2);
        let refused = storage.settle(&flush(me, id, &claimed.jobs, true)).await;
        assert_eq!(refused.unwrap(), []);
        pass(&storage).await;
        assert_eq!(noted(&home).await, 0);
    });
}

#[test]
fn workers_see_to_it_in_their_own_time() {
    test(|home| async move {
        let storage = home.storage().await;
        let job = old();
        store(&storage, &home, std::slice::from_ref(&job)).await;
        lose(&home, &job).await;
        let retention = Retention::default();
        storage.retain(&retention).await.unwrap();
        assert_eq!(noted(&home).await, 1);
        let later = "update jobs.care set began_at = began_at - interval '5 minutes'";
        run(
            &home,
            "update jobs.missing set seen_at = seen_at - interval '1 hour'",
        )
        .await;
        // However many workers come by, there is one pass in a few minutes.
        storage.retain(&retention).await.unwrap();
        assert_eq!(state(&storage, &job).await.1, State::Processing);
        run(&home, "update jobs.missing set seen_at = clock_timestamp()").await;
        run(&home, later).await;
        storage.retain(&retention).await.unwrap();
        let early = state(&storage, &job).await.1;
        assert_eq!(early, State::Processing, "it has not been missed for long");
        run(
            &home,
            "update jobs.missing set seen_at = seen_at - interval '1 hour'",
        )
        .await;
        run(&home, later).await;
        storage.retain(&retention).await.unwrap();
        assert_eq!(state(&storage, &job).await.1, State::Enqueued);
    });
}

#[test]
fn who_is_somewhere_or_young_is_left_alone() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let [finished, held, waits, mut child, mut later] = std::array::from_fn(|_| old());
        let (first, in_line) = (limited(), limited());
        store(&storage, &home, std::slice::from_ref(&finished)).await;
        let (id, claimed) = claim(&storage, me, 1).await;
        let done = flush(me, id, &claimed.jobs, true);
        assert_eq!(storage.settle(&done).await.unwrap(), []);
        store(&storage, &home, std::slice::from_ref(&held)).await;
        let (_, claimed) = claim(&storage, me, 1).await;
        assert_eq!(claimed.jobs[0].id, held.id);
        later.due = Due::In(Duration::from_secs(3_600));
        let mut rules = Rules::default();
        rules.parents.push(Parent {
            of: ParentId::Job(waits.id),
            on: Condition::Success,
        });
        child.rules = Some(Box::new(rules));
        let rest = [waits.clone(), child, later, first, in_line];
        store(&storage, &home, &rest).await;
        storage.tick().await.unwrap();
        assert_eq!(number(&home, "select count(*) from jobs.blocked").await, 1);
        // One with an old id that was stored just now, and one that is young in every way.
        let (young, new) = (old(), new_job());
        storage.insert(&[young.clone(), new.clone()]).await.unwrap();
        lose(&home, &young).await;
        lose(&home, &new).await;
        for _ in 0..2 {
            pass(&storage).await;
            assert_eq!(noted(&home).await, 0);
        }
        assert_eq!(number(&home, "select count(*) from jobs.event").await, 0);
        // It is not that nobody looked.
        lose(&home, &waits).await;
        pass(&storage).await;
        assert_eq!(noted(&home).await, 1);
    });
}

#[test]
fn who_has_turned_up_or_gone_meanwhile_is_left_alone() {
    test(|home| async move {
        let storage = home.storage().await;
        let jobs: Vec<_> = (0..4).map(|_| old()).collect();
        store(&storage, &home, &jobs).await;
        run(&home, "create table jobs.kept as select * from jobs.ticket").await;
        for job in &jobs {
            lose(&home, job).await;
        }
        pass(&storage).await;
        assert_eq!(noted(&home).await, 4);
        let is = |job: &NewJob| format!("'{}'", job.id);
        // The ticket is back; the job has ended; it is gone; it was moved and lost again.
        let back = "insert into jobs.ticket select * from jobs.kept where job_id =";
        run(&home, &format!("{back} {}", is(&jobs[0]))).await;
        let ended = "update jobs.job set state = 4, run = run + 1, finished_at = now() where id =";
        run(&home, &format!("{ended} {}", is(&jobs[1]))).await;
        run(
            &home,
            &format!("delete from jobs.job where id = {}", is(&jobs[2])),
        )
        .await;
        let moved = "update jobs.job set run = run + 1 where id =";
        run(&home, &format!("{moved} {}", is(&jobs[3]))).await;
        pass(&storage).await;
        assert_eq!(number(&home, "select count(*) from jobs.event").await, 0);
        // The last one is noted anew, as what it is now.
        assert_eq!(noted(&home).await, 1);
        pass(&storage).await;
        assert_eq!(state(&storage, &jobs[3]).await, (2, State::Enqueued));
        assert_eq!(noted(&home).await, 0);
    });
}

#[test]
fn who_is_in_somebodys_hands_is_not_waited_for() {
    test(|home| async move {
        let storage = home.storage().await;
        let job = old();
        store(&storage, &home, std::slice::from_ref(&job)).await;
        lose(&home, &job).await;
        pass(&storage).await;
        let mut connection = home.connection().await;
        let mut busy = connection.begin().await.unwrap();
        let lock = home.sql("select from jobs.job for no key update");
        sqlx::query(lock).execute(&mut *busy).await.unwrap();
        pass(&storage).await;
        assert_eq!(noted(&home).await, 1);
        busy.rollback().await.unwrap();
        pass(&storage).await;
        assert_eq!(state(&storage, &job).await, (1, State::Enqueued));
    });
}

/// The permit that it had is the only one there is: it must not wait for itself.
#[test]
fn a_lost_job_with_a_limit_waits_for_its_turn_again() {
    test(|home| async move {
        let storage = home.storage().await;
        let (admitted, in_line) = (limited(), limited());
        store(&storage, &home, std::slice::from_ref(&admitted)).await;
        storage.tick().await.unwrap();
        store(&storage, &home, std::slice::from_ref(&in_line)).await;
        storage.tick().await.unwrap();
        lose(&home, &admitted).await;
        assert_eq!(run(&home, "delete from jobs.blocked").await, 1);
        pass(&storage).await;
        assert_eq!(noted(&home).await, 2);
        pass(&storage).await;
        let me = worker(&storage).await;
        let mut ran = Vec::new();
        for _ in 0..2 {
            storage.tick().await.unwrap();
            let (id, claimed) = claim(&storage, me, 20).await;
            assert_eq!(claimed.jobs.len(), 1, "after {ran:?}");
            ran.push(claimed.jobs[0].id);
            let done = flush(me, id, &claimed.jobs, true);
            assert_eq!(storage.settle(&done).await.unwrap(), []);
        }
        ran.sort_unstable();
        let mut both = [admitted.id, in_line.id];
        both.sort_unstable();
        assert_eq!(ran, both);
    });
}

#[test]
fn a_claim_whose_worker_nobody_knows_is_given_back() {
    test(|home| async move {
        let storage = home.storage().await;
        let job = old();
        store(&storage, &home, std::slice::from_ref(&job)).await;
        let gone = worker(&storage).await;
        claim(&storage, gone, 10).await;
        run(&home, "delete from jobs.worker").await;
        assert_eq!(storage.presences().await.unwrap(), []);
        pass(&storage).await;
        let presences = storage.presences().await.unwrap();
        assert_eq!((presences[0].worker, presences[0].dead), (gone, true));
        assert_eq!(storage.workers().await.unwrap().len(), 0);
        let request = RescueRequest {
            worker: gone,
            beat: presences[0].beat,
            lost_limit: LOST_LIMIT,
            lost_reason: LOST_REASON,
            limit: 100,
        };
        assert_eq!(storage.rescue(&request).await.unwrap().released, 1);
        let record = storage.job(job.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.lost), (State::Enqueued, 0));
        assert_eq!(storage.presences().await.unwrap(), []);
    });
}

/// However many jobs there are, and whatever the planner believes: a piece costs what is in it.
#[test]
fn a_piece_costs_what_is_in_it() {
    test(|home| async move {
        const PIECE: i64 = 100;
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        // Plans are made, and kept, when there is nothing; then there is much.
        for stored in [0, 20, 5_000] {
            let jobs: Vec<_> = (0..stored).map(|_| old()).collect();
            store(&storage, &home, &jobs).await;
            let some: Vec<_> = jobs.iter().take(10).map(|job| job.id.to_string()).collect();
            let some = some.join("','");
            run(
                &home,
                &format!("delete from jobs.ticket where job_id::text in ('{some}')"),
            )
            .await;
            let mut transaction = connection.begin().await.unwrap();
            let look = format!("select jobs.look_for_lost({PIECE}, 3600, 0), jobs.recover(0, 10)");
            let look = sqlx::raw_sql(home.sql(&look)).execute(&mut *transaction);
            look.await.unwrap();
            let read = "select coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
                          from pg_stat_xact_user_tables where schemaname = $1 and (relname like 'job\\_%' or relname in ('ticket', 'blocked'))";
            let row = sqlx::query(read).bind(&home.schema);
            let row = row.fetch_one(&mut *transaction).await.unwrap();
            let (whole, fetched): (i64, i64) = (row.get(0), row.get(1));
            transaction.commit().await.unwrap();
            assert_eq!(whole, 0, "{stored} jobs");
            assert!(fetched <= 3 * PIECE + 200, "{stored} jobs: {fetched} rows");
        }
    });
}
