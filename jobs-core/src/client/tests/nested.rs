//! Batches in batches, by somebody who is killed while he stores them.

use std::time::Duration;

use tokio::time::timeout;

use super::{Note, note};
use crate::client::{Batch, Client, Enqueue, EnqueueMany};
use crate::clock::ManualClock;
use crate::storage::{Inspect, MemoryStorage, Storage, StorageHandle};
use crate::testing::{Fault, FaultyStorage};

const CALL: Duration = Duration::from_millis(10);

fn notes(n: usize) -> EnqueueMany<'static, Note> {
    EnqueueMany::new((0..n).map(note))
}

fn nested() -> Batch<'static> {
    let then = || Enqueue::new(note("then"));
    let inner = Batch::new().add_many(notes(6_000)).on_completion(then());
    let empty = Batch::new().on_completion(then());
    let middle = Batch::new().add_batch(inner).add_many(notes(2));
    let middle = middle.add_batch(empty).on_completion(then());
    let outer = Batch::new().add_many(notes(1)).on_completion(then());
    outer
        .add_batch(middle)
        .add_batch(Batch::new().add_many(notes(1)))
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_point_leaves_all_or_nothing() {
    for calls in 0.. {
        let clock = ManualClock::new("2026-03-01T12:00:30Z".parse().unwrap());
        let memory = MemoryStorage::with_clock(clock.clone());
        let faulty = FaultyStorage::new(memory.clone());
        faulty.fail_always(Fault::Late(CALL));
        let client = Client::new(StorageHandle::new(faulty));
        let killed = CALL * calls + CALL / 2;
        let stored = timeout(killed, nested().on(&client).into_future()).await;
        let counts = memory.counts().await.unwrap();
        if let Ok(stored) = stored {
            stored.unwrap();
            // Of the callbacks, that of the empty one may run.
            assert_eq!((counts.enqueued, counts.awaiting), (6_005, 3));
            assert!(calls >= 7, "it was stored in pieces");
            return;
        }
        assert_eq!(counts.enqueued, 0, "after {calls} calls");
        assert_eq!(counts.awaiting > 0, calls > 0);
        clock.advance(Duration::from_secs(3_600));
        memory.tick().await.unwrap();
        let counts = memory.counts().await.unwrap();
        assert_eq!(counts.unfinished(), 0, "after {calls} calls");
    }
}
