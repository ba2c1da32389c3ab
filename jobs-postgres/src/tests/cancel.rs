//! Cancelling a batch beside workers, and beside somebody who has locked a member.

use std::time::{Duration, Instant};

use jobs_core::job::{BatchId, JobId, NewJob, State};
use jobs_core::storage::{Inspect, NewBatch, Storage, Wake};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{Home, PATIENCE, claim, new_job, test, worker};
use crate::PgStorage;

async fn batch_of(storage: &PgStorage, members: usize) -> (BatchId, Vec<JobId>) {
    let id = BatchId::new();
    let member = |_| {
        let mut new = new_job();
        new.rules.get_or_insert_default().batch = Some(id);
        new
    };
    let jobs: Vec<NewJob> = (0..members).map(member).collect();
    let mut new = NewBatch::new(id);
    new.sealed = true;
    storage.create_batch(&new, &jobs).await.unwrap();
    let mut ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    ids.sort_unstable();
    (id, ids)
}

/// In the order in which they were deleted.
async fn deleted(home: &Home) -> Vec<(JobId, String)> {
    let look = home.sql("select job_id, from_state from jobs.event where verb = 'delete' and actor = 'ada' order by id");
    let mut connection = home.connection().await;
    let rows = sqlx::query(look).fetch_all(&mut connection).await.unwrap();
    let event = |row: &sqlx::postgres::PgRow| (row.get::<Uuid, _>(0).into(), row.get(1));
    rows.iter().map(event).collect()
}

/// As if whoever cancelled it had died long ago.
async fn age(home: &Home, batch: BatchId) {
    let sql = format!(
        "update jobs.batch set cancelled_at = cancelled_at - interval '6 s' where id = '{batch}'"
    );
    home.run_alone(&sql).await;
}

/// The storage looks after it by itself too: what that has locked just then is not deleted by a tick of ours.
async fn is_deleted(storage: &PgStorage, batch: BatchId, members: u64) {
    let start = Instant::now();
    let record = loop {
        storage.tick().await.unwrap();
        let record = storage.batch(batch).await.unwrap().unwrap();
        if record.finished_at.is_some() {
            break record;
        }
        assert!(start.elapsed() < PATIENCE, "{record:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((record.total, record.deleted), (members, members));
    assert_eq!(record.outcome(), State::Deleted);
    assert_eq!(storage.counts().await.unwrap().unfinished(), 0);
}

/// Those who run are told before anything else is done, and the workers' way is not crossed.
#[test]
fn what_workers_hold_goes_first_and_the_rest_from_the_back() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let (batch, members) = batch_of(&storage, 2_500).await;
        let (_, claimed) = claim(&storage, me, 3).await;
        let mut held: Vec<JobId> = claimed.jobs.iter().map(|job| job.id).collect();
        held.sort_unstable();
        assert_eq!(held, members[..3]);
        let mut wakes = storage.wake();
        let count = storage.cancel_batch(batch, "ada", None).await.unwrap();
        assert_eq!(count, 2_500);
        let found = deleted(&home).await;
        let (first, rest) = found.split_at(3);
        let processing = "processing".to_owned();
        assert_eq!(
            first,
            held.iter()
                .map(|job| (*job, processing.clone()))
                .collect::<Vec<_>>()
        );
        assert!(rest.iter().all(|(_, state)| state == "enqueued"));
        // The first chunk is the last of them.
        let chunk: Vec<JobId> = rest[..1_000].iter().map(|(job, _)| *job).collect();
        assert_eq!(chunk, members[1_500..]);
        let mut told = Vec::new();
        while told.len() < 3 {
            if let Wake::Cancelled(job) = wakes.recv().await.unwrap() {
                told.push(job);
            }
        }
        told.sort_unstable();
        assert_eq!(told, held);
        is_deleted(&storage, batch, 2_500).await;
    });
}

/// It was marked, and some members were deleted; then whoever did it was killed.
#[test]
fn what_somebody_has_begun_another_ends() {
    test(|home| async move {
        let storage = home.storage().await;
        let me = worker(&storage).await;
        let (batch, members) = batch_of(&storage, 1_200).await;
        claim(&storage, me, 5).await;
        home.run_alone(&format!(
            "select jobs.cancel_batch('{batch}', 'ada', 'why')"
        ))
        .await;
        let some = members[1_100..].iter().map(|job| format!("'{job}'"));
        let some = some.collect::<Vec<_>>().join(", ");
        let delete =
            format!("select jobs.delete_members(array[{some}]::uuid[], false, 'ada', 'why')");
        home.run_alone(&delete).await;
        // A busy machine may take so long that the storage has seen to it by itself.
        assert!(storage.counts().await.unwrap().deleted >= 100);
        age(&home, batch).await;
        is_deleted(&storage, batch, 1_200).await;
        let found = deleted(&home).await;
        assert_eq!(found.len(), 1_200);
        let record = storage.job(members[0]).await.unwrap().unwrap();
        let reason = "its batch was cancelled by ada: why";
        assert_eq!(record.reason.as_deref(), Some(reason));
    });
}

/// A transaction keeps one locked for minutes, perhaps: all others are deleted, and that one once it may be.
#[test]
fn who_is_locked_holds_up_nobody() {
    test(|home| async move {
        let storage = home.storage().await;
        let (batch, members) = batch_of(&storage, 30).await;
        let mut connection = home.connection().await;
        let lock = format!(
            "begin; select from \"{}\".job where id = '{}' for update",
            home.schema, members[10]
        );
        let locked = sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection);
        locked.await.unwrap();
        let count = storage.cancel_batch(batch, "ada", None).await.unwrap();
        assert_eq!(count, 29);
        // There is other upkeep to do: who waited would wait for two seconds, each time. Not each time: a busy machine may stand
        // still.
        let mut times = Vec::new();
        for _ in 0..5 {
            age(&home, batch).await;
            let start = Instant::now();
            storage.tick().await.unwrap();
            times.push(start.elapsed());
        }
        times.sort();
        assert!(times[0] < Duration::from_millis(1_900), "{times:?}");
        assert_eq!(storage.counts().await.unwrap().enqueued, 1);
        let done = sqlx::raw_sql("commit").execute(&mut connection).await;
        done.unwrap();
        is_deleted(&storage, batch, 30).await;
    });
}

/// However many a transaction keeps locked, whoever cancels does not wait for each of them for two seconds.
#[test]
fn many_that_are_locked_are_left_together() {
    test(|home| async move {
        let storage = home.storage().await;
        let (batch, _) = batch_of(&storage, 400).await;
        let mut locking = home.connection().await;
        let lock = "begin; select from jobs.job order by id limit 300 for update";
        home.run(&mut locking, lock).await;
        let cancel = storage.cancel_batch(batch, "ada", None);
        let ended = tokio::time::timeout(Duration::from_secs(60), cancel).await;
        let count = ended.expect("it hangs").unwrap();
        assert_eq!(count, 100);
        home.run(&mut locking, "commit").await;
        age(&home, batch).await;
        is_deleted(&storage, batch, 400).await;
    });
}
