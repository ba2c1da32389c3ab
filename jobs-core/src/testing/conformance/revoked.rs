//! [`Storage::revoked`](crate::storage::Storage::revoked).

use std::time::Duration;

use super::stage::{Hand, order, retry, store_some, succeed};
use crate::job::JobId;
use crate::storage::{StorageHandle, Verb};

/// It names what was deleted, settled, taken back, or never existed, and nothing else.
pub async fn it_names_what_a_run_no_longer_owns(storage: StorageHandle) {
    let (hand, dying) = (Hand::hire(&storage).await, Hand::hire(&storage).await);
    let ids = store_some(&storage, "a", 6).await;
    let runs = hand.take("a", 5).await;
    dying.take("a", 1).await;
    let mut asked: Vec<_> = ids.iter().map(|&id| (id, 0)).collect();
    assert_eq!(storage.revoked(&asked).await.expect("revoked"), []);
    order(&storage, Verb::Delete, ids[0]).await;
    let ends = vec![
        runs[1].ended(succeed()),
        runs[2].ended(retry(Duration::ZERO)),
    ];
    assert_eq!(hand.send(ends, Vec::new()).await, []);
    dying.dies().await;
    let unknown = JobId::new();
    asked.push((unknown, 0));
    asked.push((ids[2], 1));
    let mut revoked = storage.revoked(&asked).await.expect("revoked");
    revoked.sort();
    let mut wanted = vec![ids[0], ids[1], ids[2], ids[5], unknown];
    wanted.sort();
    assert_eq!(revoked, wanted);
}

/// Asked about nothing it says nothing.
pub async fn it_may_be_asked_about_nothing(storage: StorageHandle) {
    assert_eq!(storage.revoked(&[]).await.expect("revoked"), []);
}
