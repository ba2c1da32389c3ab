//! Each fault does what it says.

use super::*;
use crate::storage::MemoryStorage;

async fn insert(storage: &FaultyStorage) -> Result<Vec<Inserted>> {
    let job = NewJob::new(JobId::new(), "work", "{}");
    storage.insert(&[job]).await
}

async fn stored(storage: &FaultyStorage) -> u64 {
    storage.counts().await.unwrap().enqueued
}

#[tokio::test]
async fn each_fault_is_met_once_and_in_order() {
    let storage = FaultyStorage::new(MemoryStorage::new());
    let faults = [
        Fault::Unreachable,
        Fault::AnswerLost,
        Fault::Busy,
        Fault::Refused,
        Fault::Broken,
    ];
    for fault in faults {
        storage.fail(Method::Insert, fault);
    }
    let mut stored_after = Vec::new();
    for fault in faults {
        let error = insert(&storage).await.unwrap_err();
        let transient = matches!(fault, Fault::Unreachable | Fault::AnswerLost | Fault::Busy);
        assert_eq!(error.is_transient(), transient, "{fault:?}");
        assert_eq!(error.is_conflict(), fault == Fault::Busy);
        stored_after.push(stored(&storage).await);
    }
    assert_eq!(stored_after, [0, 1, 1, 1, 1]);
    insert(&storage).await.unwrap();
    assert_eq!(storage.calls(Method::Insert), 6);
    assert_eq!(storage.calls(Method::Claim), 0);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_carried_out_or_not() {
    let storage = FaultyStorage::new(MemoryStorage::new());
    let faults = [Fault::Hangs, Fault::AnswerHangs];
    for (fault, wanted) in faults.into_iter().zip([0, 1]) {
        storage.fail(Method::Insert, fault);
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, insert(&storage)).await.is_err());
        assert_eq!(stored(&storage).await, wanted, "{fault:?}");
    }
    let minute = Duration::from_secs(60);
    storage.fail(Method::Insert, Fault::Late(minute));
    let before = tokio::time::Instant::now();
    insert(&storage).await.unwrap();
    assert_eq!(before.elapsed(), minute);
}

#[tokio::test]
async fn it_goes_away_and_comes_back() {
    let storage = FaultyStorage::new(MemoryStorage::new());
    storage.go_away();
    for _ in 0..3 {
        assert!(insert(&storage).await.is_err());
        assert!(storage.counts().await.is_err());
    }
    storage.come_back();
    insert(&storage).await.unwrap();
    assert_eq!(stored(&storage).await, 1);
}

#[tokio::test]
async fn random_faults_come_as_often_as_asked_for() {
    let storage = FaultyStorage::new(MemoryStorage::new());
    storage.fail_at_random(0.25, 7);
    let mut failed = 0;
    for _ in 0..1_000 {
        failed += u32::from(insert(&storage).await.is_err());
    }
    assert!((200..300).contains(&failed), "{failed} of 1,000");
    storage.come_back();
    let lost = stored(&storage).await - u64::from(1_000 - failed);
    assert!((80..180).contains(&lost), "{lost} answers were lost");
}
