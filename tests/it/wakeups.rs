//! How soon a job runs that was enqueued in another process: workers here look by themselves only once in a
//! minute, so that what is sooner was a wake-up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::kinds::note;
use crate::setup::{PATIENCE, Place, on_each, until};

on_each!(a_worker_in_another_process_is_woken: sqlite, postgres);

async fn a_worker_in_another_process_is_woken(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = PATIENCE)
        .await;
    let mut times = Vec::new();
    for n in 0..21 {
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let handle = note.enqueue(n).on(&place.client).await.unwrap();
        let look = async || place.effects.of_job("note", handle.id());
        let ran = until("it runs", PATIENCE / 2, look, |seen| !seen.is_empty()).await;
        times.push(ran[0].at.saturating_sub(asked));
        // Idle again before the next one.
        handle.wait().await.unwrap();
    }
    times.sort();
    let (median, longest) = (times[10], times[20]);
    assert!(median < Duration::from_secs(2), "{times:?}");
    assert!(longest < PATIENCE / 2, "{times:?}");
    drop(worker);
}

on_each!(what_is_due_later_needs_no_wake_up: sqlite, postgres);

async fn what_is_due_later_needs_no_wake_up(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = PATIENCE)
        .await;
    for n in 0..3 {
        let delay = Duration::from_millis(1_500);
        let handle = note
            .enqueue(n)
            .delay(delay)
            .on(&place.client)
            .await
            .unwrap();
        let record = tokio::time::timeout(PATIENCE / 2, handle.wait())
            .await
            .unwrap()
            .unwrap();
        let late = record.started_at.unwrap() - record.due_at;
        assert!(
            late >= chrono::TimeDelta::zero() && late < chrono::TimeDelta::seconds(20),
            "{late}"
        );
    }
    drop(worker);
}

on_each!(who_waits_for_a_job_of_another_process_hears_of_its_end: sqlite, postgres);

async fn who_waits_for_a_job_of_another_process_hears_of_its_end(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = PATIENCE)
        .await;
    let handles = note.enqueue_many(0..100).on(&place.client).await.unwrap();
    for (handle, n) in handles.handles().zip(0..) {
        let result = tokio::time::timeout(PATIENCE / 2, handle.result()).await;
        assert_eq!(result.expect("in time").unwrap(), n);
    }
    drop(worker);
}
