//! What is committed later than it was written: beside a limit that was set meanwhile, and below what claims have seen.

use std::time::{Duration, Instant};

use jobs_core::job::{Due, LimitRule, NewJob, OnConflict, Rules, Unique, UniqueUntil, WorkerId};
use jobs_core::storage::{Control, ControlVerb, Inspect, Scope, Storage, Within};
use sqlx::{Connection, Row};

use super::{Home, PATIENCE, claim, flush, new_job, test, worker};
use crate::PgStorage;

const QUEUE: &str = "queue:default";

async fn limit(storage: &PgStorage) {
    let one = LimitRule::concurrency(QUEUE, 1);
    storage
        .set_limit(QUEUE, Some(&one), "ada", None)
        .await
        .unwrap();
}

async fn permits(home: &Home) -> i64 {
    let mut connection = home.connection().await;
    let count = sqlx::query(home.sql("select count(*) from jobs.permit"));
    count.fetch_one(&mut connection).await.unwrap().get(0)
}

/// It is not handed out beside the one that was let in, however soon somebody looks; and then it gets its turn.
#[test]
fn a_limit_holds_for_what_was_stored_before_it_and_committed_after() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let mut connection = home.connection().await;
        let (early, late) = (new_job(), new_job());
        let mut open = connection.begin().await.unwrap();
        Within::insert(&mut open, &storage, std::slice::from_ref(&early))
            .await
            .unwrap();
        limit(&storage).await;
        storage.insert(std::slice::from_ref(&late)).await.unwrap();
        storage.tick().await.unwrap();
        // Here both tickets are to be seen already, and nobody else can have put the early one in line.
        let look = "select id from jobs.claim((select id from jobs.worker), jobs.new_id(), 10, '{}', '{10}', '{1}', '{default}', '{0}',
                        array[null::timestamptz], '{00000000-0000-0000-0000-000000000000}') where id is not null";
        let mut undone = open.begin().await.unwrap();
        // For a transaction it is still when it began.
        let due = home.sql("update jobs.ticket set run_at = run_at - interval '1 hour'");
        let due = sqlx::query(due).execute(&mut *undone).await.unwrap();
        assert_eq!(due.rows_affected(), 2);
        let rows = sqlx::query(home.sql(look))
            .fetch_all(&mut *undone)
            .await
            .unwrap();
        undone.rollback().await.unwrap();
        let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [late.id.as_uuid()]);
        open.commit().await.unwrap();
        let (id, claimed) = claim(&storage, me, 10).await;
        let ids: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids, [late.id]);
        let done = flush(me, id, &claimed.jobs, true);
        assert_eq!(storage.settle(&done).await.unwrap(), []);
        storage.tick().await.unwrap();
        let (id, claimed) = claim(&storage, me, 10).await;
        let ids: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids, [early.id]);
        let done = flush(me, id, &claimed.jobs, true);
        assert_eq!(storage.settle(&done).await.unwrap(), []);
        assert_eq!(permits(&home).await, 0);
    });
}

/// Though nobody else waits there, so that nothing else would lead to a look.
#[test]
fn who_was_committed_late_gets_in_line_by_the_next_tick() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        let mut open = connection.begin().await.unwrap();
        let jobs = [new_job(), new_job()];
        Within::insert(&mut open, &storage, &jobs).await.unwrap();
        limit(&storage).await;
        open.commit().await.unwrap();
        storage.tick().await.unwrap();
        assert_eq!(permits(&home).await, 1);
        let limits = storage.limits().await.unwrap();
        assert_eq!((limits[0].used, limits[0].waiting), (1, 1));
        // Once the limit is gone they need nothing any more.
        storage.set_limit(QUEUE, None, "ada", None).await.unwrap();
        let me = worker(&storage).await;
        assert_eq!(claim(&storage, me, 10).await.1.jobs.len(), 2);
    });
}

fn unique(queue: &str, due: Due, on_conflict: OnConflict) -> NewJob {
    let mut rules = Rules::default();
    rules.unique = Some(Unique {
        key: "one".into(),
        until: UniqueUntil::Done,
        on_conflict,
    });
    let mut job = new_job();
    job.queue = queue.to_owned().into();
    job.due = due;
    job.rules = Some(Box::new(rules));
    job
}

async fn pause_a(storage: &PgStorage) {
    let pause = Control {
        verb: ControlVerb::Pause(Scope::queues("a").unwrap(), None),
        actor: "ada".into(),
        reason: None,
    };
    storage.control(&pause).await.unwrap();
}

/// Makes claims that look at queue `b` from now on only.
async fn look_beyond(storage: &PgStorage, me: WorkerId) {
    let mut other = new_job();
    other.queue = "b".into();
    storage.insert(&[other]).await.unwrap();
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        let (id, claimed) = claim(storage, me, 10).await;
        let done = flush(me, id, &claimed.jobs, true);
        assert_eq!(storage.settle(&done).await.unwrap(), []);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How often a worker has to look until it finds the one job that there is; and runs it.
async fn looks(storage: &PgStorage, me: WorkerId, job: &NewJob) -> u32 {
    let start = Instant::now();
    for looks in 1.. {
        let (id, claimed) = claim(storage, me, 10).await;
        if let [found] = &claimed.jobs[..] {
            assert_eq!(found.id, job.id);
            let done = flush(me, id, &claimed.jobs, true);
            assert_eq!(storage.settle(&done).await.unwrap(), []);
            println!("found after {:?}", start.elapsed());
            return looks;
        }
        assert!(start.elapsed() < PATIENCE, "never found");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!()
}

/// A job that is due already keeps its due time when it is replaced, which lies below what claims of its new queue have seen empty.
#[test]
fn a_job_that_becomes_another_is_found_at_the_first_look() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        pause_a(&storage).await;
        for (due, how) in [
            (Due::Now, OnConflict::Replace),
            (Due::In(Duration::from_secs(3_600)), OnConflict::Debounce),
        ] {
            let holder = unique("a", due, how);
            storage.insert(std::slice::from_ref(&holder)).await.unwrap();
            look_beyond(&storage, me).await;
            let new = unique("b", Due::Now, how);
            let answer = storage.insert(&[new]).await.unwrap();
            assert_eq!((answer[0].id, answer[0].existing), (holder.id, true));
            assert_eq!(looks(&storage, me, &holder).await, 1, "{how:?}");
        }
    });
}

/// The same where another process replaces it, or a transaction of the caller's.
#[test]
fn all_processes_are_told_of_a_job_that_becomes_another() {
    test(|home| async move {
        let (storage, other) = (home.storage().await, home.storage().await);
        let me = worker(&storage).await;
        pause_a(&storage).await;
        let _listens = storage.wake();
        let mut connection = home.connection().await;
        for within in [false, true] {
            let holder = unique("a", Due::Now, OnConflict::Replace);
            storage.insert(std::slice::from_ref(&holder)).await.unwrap();
            look_beyond(&storage, me).await;
            let before = storage.store.times_put_below();
            let new = [unique("b", Due::Now, OnConflict::Replace)];
            if within {
                let mut tx = connection.begin().await.unwrap();
                Within::insert(&mut tx, &other, &new).await.unwrap();
                tx.commit().await.unwrap();
            } else {
                other.insert(&new).await.unwrap();
            }
            let start = Instant::now();
            while storage.store.times_put_below() == before {
                assert!(start.elapsed() < PATIENCE, "never heard of");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(looks(&storage, me, &holder).await, 1);
        }
    });
}

/// A verb that changes nothing takes no job out of the way of claims: those would go on beyond it.
#[test]
fn a_verb_that_changes_nothing_holds_up_no_claim() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let jobs: Vec<NewJob> = (0..10).map(|_| new_job()).collect();
        storage.insert(&jobs).await.unwrap();
        let mut connection = home.connection().await;
        let mut open = connection.begin().await.unwrap();
        let command = "select answer, from_state, to_state from jobs.command($1, $2, 'ada', null, null, null, false) where job is not null";
        let ids: Vec<uuid::Uuid> = jobs[..4].iter().map(|job| job.id.as_uuid()).collect();
        for (verb, jobs, wanted) in [
            ("run_now", &ids[..2], ("done", Some("enqueued"))),
            ("requeue", &ids[2..], ("wrong", None)),
        ] {
            let rows = sqlx::query(home.sql(command)).bind(verb).bind(jobs);
            let rows = rows.fetch_all(&mut *open).await.unwrap();
            assert_eq!(rows.len(), 2);
            for row in rows {
                assert_eq!((row.get(0), row.get(2)), wanted);
                assert_eq!(row.get::<&str, _>(1), "enqueued");
            }
        }
        let (_, claimed) = claim(&storage, me, 10).await;
        assert_eq!(claimed.jobs.len(), 10);
        open.commit().await.unwrap();
        let left = home.sql("select count(*) from jobs.ticket");
        let left: i64 = sqlx::query_scalar(left)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(left, 0);
    });
}

/// Whoever replaces several locks them in the order of their ids, as operators' verbs do: neither waits for another who waits
/// for him.
#[test]
fn jobs_that_become_others_are_locked_in_the_order_of_their_ids() {
    test(|home| async move {
        let storage = home.storage().await;
        let with_key = |key: &str| {
            let mut job = unique("a", Due::Now, OnConflict::Replace);
            let rules = job.rules.as_mut().unwrap();
            rules.unique.as_mut().unwrap().key = key.into();
            job
        };
        // The key that comes first is held by the job that comes last.
        let (first, last) = (with_key("z"), with_key("a"));
        assert!(first.id < last.id);
        storage
            .insert(&[first.clone(), last.clone()])
            .await
            .unwrap();
        let mut connection = home.connection().await;
        let mut open = connection.begin().await.unwrap();
        let lock = home.text("select from jobs.job where id = $1 for no key update nowait");
        let lock =
            |job: &NewJob| sqlx::query(sqlx::AssertSqlSafe(lock.clone())).bind(job.id.as_uuid());
        lock(&first).execute(&mut *open).await.unwrap();
        let replacing = {
            let (storage, jobs) = (storage.clone(), [with_key("a"), with_key("z")]);
            tokio::spawn(async move { storage.insert(&jobs).await })
        };
        let waits = home.text(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%jobs.insert_with_rules%'",
        );
        let mut other = home.connection().await;
        let start = Instant::now();
        loop {
            let waits = sqlx::query_scalar(sqlx::AssertSqlSafe(waits.clone()));
            let waiting: i64 = waits.fetch_one(&mut other).await.unwrap();
            if waiting > 0 {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "it does not wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lock(&last).execute(&mut *open).await.unwrap();
        open.commit().await.unwrap();
        let answer = replacing.await.unwrap().unwrap();
        let holders: Vec<_> = answer.iter().map(|inserted| inserted.id).collect();
        assert_eq!(holders, [last.id, first.id]);
    });
}
