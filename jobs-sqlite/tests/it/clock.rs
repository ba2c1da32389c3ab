//! The machine's clock is not to be trusted.

use std::time::Duration;

use jobs_core::job::{Due, State};
use jobs_core::storage::{Inspect, Storage};

use crate::stage::{Folder, claim, new_job, worker};

/// Makes the file look as if the clock had stood an hour later when everything in it was stored.
async fn stored_an_hour_ahead(folder: &Folder) {
    let url = format!("sqlite://{}", folder.file().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    for sql in [
        "update jobs_ticket set run_at = run_at + 3600000000",
        "update jobs_job set due_at = due_at + 3600000000",
        "update jobs_meta set value = value + 3600000000 where key = 'clock'",
    ] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_steps_back_holds_nobody_up() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let (now, mut later) = (new_job(), new_job());
    later.due = Due::In(Duration::from_secs(600));
    storage.insert(&[now.clone(), later.clone()]).await.unwrap();
    stored_an_hour_ahead(&folder).await;
    let worker = worker(&storage).await;
    let (_, claimed) = claim(&storage, worker, 10).await;
    assert!(
        claimed.jobs.is_empty(),
        "the clock shows less than when they were stored"
    );

    storage.tick().await.unwrap();
    let due = storage.job(now.id).await.unwrap().unwrap();
    assert_eq!((due.state, due.run), (State::Enqueued, 0));
    let (_, claimed) = claim(&storage, worker, 10).await;
    let claimed: Vec<_> = claimed.jobs.iter().map(|job| job.id).collect();
    assert_eq!(claimed, [now.id]);
    // One that was meant for later goes by the new clock.
    let waits = storage.job(later.id).await.unwrap().unwrap();
    assert_eq!(waits.state, State::Scheduled);
    // The step is dealt with once; what is stored from now on is due at once.
    let new = new_job();
    storage.insert(std::slice::from_ref(&new)).await.unwrap();
    storage.tick().await.unwrap();
    let (_, claimed) = claim(&storage, worker, 10).await;
    assert_eq!(claimed.jobs.len(), 1);
}

#[tokio::test]
async fn a_tick_moves_nothing_while_the_clock_goes_on() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut soon = new_job();
    soon.due = Due::In(Duration::from_millis(900));
    storage.insert(std::slice::from_ref(&soon)).await.unwrap();
    let before = storage.job(soon.id).await.unwrap().unwrap().due_at;
    storage.tick().await.unwrap();
    assert_eq!(storage.job(soon.id).await.unwrap().unwrap().due_at, before);
}
