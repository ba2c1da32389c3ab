use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::probe::{Fault, Probe, conflict, rejected, unavailable};
use super::super::{Inspect, MemoryStorage};
use super::*;
use crate::testing::{Fault as Faulty, FaultyStorage, Method};

fn jobs() -> [NewJob; 2] {
    [1, 2].map(|_| NewJob::new(JobId::new(), "note", "{}"))
}

/// A storage that fails every statement with this, and how many there were.
fn failing(error: fn() -> Error) -> (StorageHandle, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let probe = Probe::failing(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::Before(error())
    });
    (StorageHandle::new(probe), count)
}

#[tokio::test(start_paused = true)]
async fn an_insert_is_tried_for_as_long_as_it_may() {
    let (storage, tries) = failing(unavailable);
    let start = Instant::now();
    let error = storage.insert(&jobs()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }));
    let took = start.elapsed();
    assert!(
        took > RETRY_FOR - LONGEST_PAUSE && took <= RETRY_FOR,
        "{took:?}"
    );
    // The pauses grow: an absent storage is not hammered.
    let tries = tries.load(Ordering::SeqCst);
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("probe ({tries} tries in ")),
        "{said}"
    );
    assert!((15..80).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn without_time_there_is_one_try() {
    let (storage, tries) = failing(unavailable);
    let answer = storage.insert_retrying(&jobs(), Duration::ZERO).await;
    assert!(answer.is_err());
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

/// A large one takes longer than others are tried again.
#[tokio::test(start_paused = true)]
async fn a_batch_whose_sealing_was_not_answered_is_asked_for_once_more() {
    let faulty = FaultyStorage::new(MemoryStorage::new());
    let storage = StorageHandle::new(faulty.clone());
    let mut batch = NewBatch::new(BatchId::new());
    batch.sealed = false;
    storage.create_batch(&batch, &[]).await.unwrap();
    faulty.fail(
        Method::SealBatch,
        Faulty::AnswerLostLate(Duration::from_secs(60)),
    );
    (0..20).for_each(|_| faulty.fail(Method::SealBatch, Faulty::Unreachable));
    storage.seal_batch(batch.id).await.unwrap();
    assert_eq!(faulty.calls(Method::SealBatch), 22);
    let record = faulty.batch(batch.id).await.unwrap().unwrap();
    assert!(record.sealed_at.is_some());

    faulty.go_away();
    let start = Instant::now();
    let error = storage.seal_batch(batch.id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }));
    let took = start.elapsed();
    assert!(
        took > SEAL_FOR - LONGEST_PAUSE && took <= SEAL_FOR,
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_request_is_not_tried_again() {
    let (storage, tries) = failing(rejected);
    assert!(storage.insert(&jobs()).await.is_err());
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_of_any_verb_is_tried_again_but_not_for_ever() {
    let (storage, tries) = failing(conflict);
    let command = Command {
        verb: super::super::Verb::Delete,
        jobs: vec![JobId::new()],
        actor: "test".into(),
        reason: None,
    };
    let start = Instant::now();
    let error = storage.command(&command).await.unwrap_err();
    assert!(error.is_conflict());
    assert!(start.elapsed() <= CONFLICTS_FOR);
    assert!(tries.load(Ordering::SeqCst) > 3);
}

/// A deadlock, say, which is noticed late.
#[tokio::test(start_paused = true)]
async fn a_conflict_that_was_long_in_coming_is_tried_again() {
    let storage = StorageHandle::new(MemoryStorage::new());
    let tries = AtomicU32::new(0);
    let call = || async {
        tokio::time::sleep(CONFLICTS_FOR * 2).await;
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(conflict()),
            _ => Ok(()),
        }
    };
    storage.through("test", 1, call).await.unwrap();
    let always = || async {
        tokio::time::sleep(CONFLICTS_FOR * 2).await;
        Err::<(), _>(conflict())
    };
    let start = Instant::now();
    assert!(storage.through("test", 1, always).await.is_err());
    assert!(start.elapsed() < CONFLICTS_FOR * 5);
}

#[test]
fn without_a_runtime_there_is_nothing_to_wait_with() {
    assert_eq!(pause_before(1, RETRY_FOR), None);
}

#[tokio::test]
async fn the_storage_behind_the_door_is_found() {
    let storage = StorageHandle::new(MemoryStorage::new());
    assert!(storage.downcast_ref::<MemoryStorage>().is_some());
    assert!(storage.clone().downcast_ref::<Probe>().is_none());
    assert_eq!(storage.inspect().counts().await.unwrap().unfinished(), 0);
}
