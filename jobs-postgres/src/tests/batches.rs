//! Batches that nobody completes.

use std::time::{Duration, Instant};

use jobs_core::Error;
use jobs_core::job::{BatchId, Condition, NewJob, Parent, ParentId, State};
use jobs_core::storage::{Inspect, NewBatch, Storage};
use sqlx::AssertSqlSafe;

use super::{Home, PATIENCE, new_job, test};
use crate::PgStorage;

fn member(batch: BatchId) -> NewJob {
    let mut new = new_job();
    new.rules.get_or_insert_default().batch = Some(batch);
    new
}

fn after(batch: BatchId) -> NewJob {
    let mut new = new_job();
    new.rules.get_or_insert_default().parents = vec![Parent {
        of: ParentId::Batch(batch),
        on: Condition::Deletion,
    }];
    new
}

/// Three batches, each in the one before it, of which the first is not complete; with two members and a follower each.
struct Tree {
    batches: [BatchId; 3],
    members: Vec<NewJob>,
    followers: Vec<NewJob>,
}

impl Tree {
    async fn store(storage: &PgStorage) -> Self {
        let batches = [(); 3].map(|()| BatchId::new());
        let (mut members, mut followers) = (Vec::new(), Vec::new());
        for (n, id) in batches.into_iter().enumerate() {
            let mut new = NewBatch::new(id);
            (new.parent, new.sealed) = (n.checked_sub(1).map(|n| batches[n]), n > 0);
            let jobs = [member(id), member(id), after(id)];
            storage.create_batch(&new, &jobs).await.unwrap();
            let [one, other, follower] = jobs;
            members.extend([one, other]);
            followers.push(follower);
        }
        Self {
            batches,
            members,
            followers,
        }
    }
}

async fn age(home: &Home, batch: BatchId) {
    let sql = format!(
        "update jobs.batch set created_at = created_at - interval '61 min' where id = '{batch}'"
    );
    home.run_alone(&sql).await;
}

/// It goes at once, unless the storage is at it by itself: then soon.
async fn goes(storage: &PgStorage, tree: &Tree) {
    storage.tick().await.unwrap();
    let end = Instant::now() + PATIENCE;
    while storage.batch(tree.batches[0]).await.unwrap().is_some() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
        storage.tick().await.unwrap();
    }
    for id in tree.batches {
        assert!(storage.batch(id).await.unwrap().is_none());
    }
    for job in &tree.members {
        assert!(storage.job(job.id).await.unwrap().is_none());
    }
    for (job, id) in tree.followers.iter().zip(tree.batches) {
        let found = storage.job(job.id).await.unwrap().unwrap();
        let reason = format!("its batch {id} was not complete within 1 h and was removed");
        assert_eq!((found.state, found.reason), (State::Deleted, Some(reason)));
    }
    let counts = storage.counts().await.unwrap();
    assert_eq!((counts.unfinished(), counts.deleted), (0, 3));
}

#[test]
fn a_tree_that_is_never_complete_goes_whole() {
    test(|home| async move {
        let storage = home.storage().await;
        let tree = Tree::store(&storage).await;
        // However old those in it are: it is the outermost that counts.
        age(&home, tree.batches[2]).await;
        storage.tick().await.unwrap();
        assert_eq!(storage.counts().await.unwrap().awaiting, 9);
        age(&home, tree.batches[0]).await;
        goes(&storage, &tree).await;
        let mut connection = home.connection().await;
        for table in [
            "batch",
            "batch_member",
            "batch_delta",
            "dependency",
            "awaiting",
        ] {
            let sql = home.sql(&format!("select count(*) from jobs.{table}"));
            let left: i64 = sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(left, 0, "{table}");
        }
    });
}

#[test]
fn what_is_half_removed_cannot_be_completed() {
    test(|home| async move {
        let storage = home.storage().await;
        let tree = Tree::store(&storage).await;
        age(&home, tree.batches[0]).await;
        // The storage looks after it by itself too: while it has the batch locked, this does nothing, and nothing is seen
        // yet of what it does. More than one member is gone then.
        while storage.counts().await.unwrap().awaiting >= 6 {
            home.run_alone("select jobs.remove_unsealed(1)").await;
        }
        for id in tree.batches {
            let sealed = storage.seal_batch(id).await;
            assert!(
                matches!(sealed, Err(Error::UnknownBatch(of)) if of == id),
                "{sealed:?}"
            );
            let more = storage.insert(&[member(id)]).await;
            assert!(
                matches!(more, Err(Error::UnknownBatch(of)) if of == id),
                "{more:?}"
            );
            let late = storage.insert(&[after(id)]).await;
            assert!(
                matches!(late, Err(Error::UnknownBatch(of)) if of == id),
                "{late:?}"
            );
            let cancelled = storage.cancel_batch(id, "ada", None).await;
            assert!(
                matches!(cancelled, Err(Error::UnknownBatch(_))),
                "{cancelled:?}"
            );
        }
        goes(&storage, &tree).await;
    });
}

/// Somebody is about to put something into it: it is left until he is done.
#[test]
fn what_somebody_has_locked_is_left_whole() {
    test(|home| async move {
        let storage = home.storage().await;
        let tree = Tree::store(&storage).await;
        let mut connection = home.connection().await;
        let lock = format!(
            "begin; select from \"{}\".batch where id = '{}' for share",
            home.schema, tree.batches[2]
        );
        let locked = sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection);
        locked.await.unwrap();
        // Only now: the storage looks after what is old by itself too.
        age(&home, tree.batches[0]).await;
        storage.tick().await.unwrap();
        assert_eq!(storage.counts().await.unwrap().awaiting, 9);
        let done = sqlx::raw_sql("commit").execute(&mut connection).await;
        done.unwrap();
        goes(&storage, &tree).await;
    });
}

/// The connection was lost, and the first statement goes on: whoever asks again waits for it, and does it himself if that was
/// for nothing.
#[test]
fn to_seal_it_again_answers_how_it_went() {
    test(|home| async move {
        let storage = home.storage().await;
        for end in ["commit", "rollback"] {
            let mut new = NewBatch::new(BatchId::new());
            new.sealed = false;
            let job = member(new.id);
            storage
                .create_batch(&new, std::slice::from_ref(&job))
                .await
                .unwrap();
            let mut connection = home.connection().await;
            let first = home.text(&format!("begin; select jobs.seal_batch('{}')", new.id));
            let first = sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut connection);
            first.await.unwrap();
            let again = {
                let storage = storage.clone();
                tokio::spawn(async move { storage.seal_batch(new.id).await })
            };
            let waits = home.text(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%jobs.seal_batch%'",
            );
            let mut other = home.connection().await;
            let waiting = async |other: &mut _| -> i64 {
                sqlx::query_scalar(AssertSqlSafe(waits.clone()))
                    .fetch_one(other)
                    .await
                    .unwrap()
            };
            while waiting(&mut other).await == 0 {
                assert!(!again.is_finished(), "it must not know yet");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let ended = sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut connection);
            ended.await.unwrap();
            again.await.unwrap().unwrap();
            let found = storage.job(job.id).await.unwrap().unwrap();
            assert_eq!(found.state, State::Enqueued, "{end}");
        }
    });
}
