//! Who hears of what, and that nothing goes on once nobody needs it.

use std::time::Duration;

use jobs_core::storage::{Storage, Wake};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::stage::{Folder, PATIENCE, new_job, worker};

async fn heard(wakes: &mut Receiver<Wake>, wanted: impl Fn(&Wake) -> bool) {
    let hear = async { while !wanted(&wakes.recv().await.expect("the storage is there")) {} };
    let heard = tokio::time::timeout(PATIENCE, hear).await;
    heard.expect("the hint comes");
}

#[tokio::test]
async fn what_another_connection_writes_is_heard() {
    let folder = Folder::new();
    let (here, there) = (folder.open().await, folder.open().await);
    assert!(here.wakes_across_processes());
    let mut wakes = here.wake();
    // Who begins to listen is told once that anything may have happened before.
    heard(&mut wakes, |wake| *wake == Wake::Everything).await;
    for _ in 0..20 {
        there.insert(&[new_job()]).await.unwrap();
        heard(&mut wakes, |wake| *wake == Wake::Everything).await;
    }
}

#[tokio::test]
async fn own_writes_are_not_taken_for_anothers() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let mut wakes = storage.wake();
    heard(&mut wakes, |wake| *wake == Wake::Everything).await;
    for _ in 0..20 {
        storage.insert(&[new_job()]).await.unwrap();
        let wake = wakes.recv().await.unwrap();
        assert!(matches!(wake, Wake::Jobs(_)), "{wake:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nothing_goes_on_when_the_last_clone_is_dropped() {
    let folder = Folder::new();
    let storage = folder.open().await;
    let clone = storage.clone();
    let mut wakes = storage.wake();
    worker(&storage).await;
    drop(storage);
    worker(&clone).await;
    drop(clone);
    let closed = async { while wakes.recv().await != Err(RecvError::Closed) {} };
    let closed = tokio::time::timeout(PATIENCE, closed).await;
    closed.expect("the task that writes ends");
    folder.settled().await;
}
