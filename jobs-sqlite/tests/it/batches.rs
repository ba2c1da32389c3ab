//! Batches that nobody completes.

use jobs_core::job::{BatchId, Condition, NewJob, Parent, ParentId, State};
use jobs_core::storage::{Inspect, NewBatch, Storage};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::stage::{Folder, new_job};

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

async fn age(folder: &Folder, batch: BatchId) {
    let options = SqliteConnectOptions::new().filename(folder.file());
    let mut connection = options.connect().await.unwrap();
    let age =
        sqlx::query("update jobs_batch set created_at = created_at - 3660000000 where id = ?1");
    let aged = age.bind(batch.as_uuid()).execute(&mut connection).await;
    assert_eq!(aged.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_tree_that_is_never_complete_goes_whole() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let batches = [(); 3].map(|()| BatchId::new());
    let (mut members, mut followers) = (Vec::new(), Vec::new());
    for (n, id) in batches.into_iter().enumerate() {
        let mut new = NewBatch::new(id);
        (new.parent, new.sealed) = (n.checked_sub(1).map(|n| batches[n]), n > 0);
        let jobs = [member(id), member(id), after(id)];
        storage.create_batch(&new, &jobs).await.unwrap();
        let [one, other, follower] = jobs;
        members.extend([one, other]);
        followers.push((follower, id));
    }
    // However old those in it are: it is the outermost that counts.
    age(&folder, batches[2]).await;
    storage.tick().await.unwrap();
    assert_eq!(storage.counts().await.unwrap().awaiting, 9);
    age(&folder, batches[0]).await;
    storage.tick().await.unwrap();
    for id in batches {
        assert!(storage.batch(id).await.unwrap().is_none());
    }
    for job in &members {
        assert!(storage.job(job.id).await.unwrap().is_none());
    }
    for (job, id) in &followers {
        let found = storage.job(job.id).await.unwrap().unwrap();
        let reason = format!("its batch {id} was not complete within 1 h and was removed");
        assert_eq!((found.state, found.reason), (State::Deleted, Some(reason)));
    }
    let counts = storage.counts().await.unwrap();
    assert_eq!((counts.unfinished(), counts.deleted), (0, 3));
}
