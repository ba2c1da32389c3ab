use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::*;
use crate::client::tests::note;
use crate::job::{ClaimId, ErrorReport, QueuePattern, WorkerId};
use crate::lifecycle::Transition;
use crate::storage::probe::{Fault, Probe, unavailable};
use crate::storage::{
    ClaimRequest, Flush, MemoryStorage, QueueShare, Settlement, StorageHandle, WorkerInfo,
};

/// Takes one job and ends it, through the handle or, as another process would, behind its back.
async fn work(storage: &StorageHandle, transition: Transition, here: bool) {
    let worker = WorkerInfo::new(WorkerId::new());
    storage.register(&worker).await.unwrap();
    let claim = ClaimId::new();
    let request = ClaimRequest {
        worker: worker.id,
        claim,
        queues: vec![QueueShare {
            queues: QueuePattern::all(),
            limit: 1,
        }],
        limit: 1,
        unknown_kinds: [].into(),
    };
    let job = storage.claim(&request).await.unwrap().jobs.remove(0);
    let settlement = Settlement {
        job: job.id,
        run: job.run,
        claim,
        kind: job.kind,
        queue: job.queue,
        attempt: job.attempt,
        ran_for: Some(Duration::from_millis(1)),
        ended_ago: Duration::ZERO,
        transition,
    };
    let flush = Flush {
        worker: worker.id,
        settlements: vec![settlement],
        closed: vec![claim],
    };
    let refused = match here {
        true => storage.settle(&flush).await,
        false => (**storage).settle(&flush).await,
    };
    assert_eq!(refused.unwrap(), []);
}

fn success(result: Option<&str>, note: Option<&str>) -> Transition {
    Transition::Succeed {
        result: result.map(Into::into),
        note: note.map(Into::into),
    }
}

fn failure() -> Transition {
    Transition::Fail {
        reason: "no such user".into(),
        how: crate::job::AttemptOutcome::Failed,
        report: ErrorReport::new("no such user"),
    }
}

/// Waits until somebody waits for the job, enqueued and not yet taken.
async fn watched(storage: &StorageHandle) {
    for _ in 0..1_000_000 {
        if storage.watched() > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_job_that_ends_here_comes_at_once() {
    let client = Client::new(MemoryStorage::new());
    let job = client.enqueue(note("x")).await.unwrap();
    let waiting = tokio::spawn({
        let job = job.clone();
        async move { (job.result().await, Instant::now()) }
    });
    watched(client.storage()).await;
    let ended = Instant::now();
    work(client.storage(), success(Some(r#""done""#), None), true).await;
    let (result, heard) = waiting.await.unwrap();
    assert_eq!(result.unwrap(), "done");
    // Time stands still as long as somebody has something to do: nobody had to wait.
    assert_eq!(heard, ended);
    assert_eq!(client.storage().watched(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_job_that_ends_elsewhere_is_found() {
    let client = Client::new(MemoryStorage::new());
    let job = client.enqueue(note("x")).await.unwrap();
    let waiting = tokio::spawn({
        let job = job.clone();
        async move { job.result().await }
    });
    watched(client.storage()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ended = Instant::now();
    work(client.storage(), success(Some(r#""done""#), None), false).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "done");
    assert!(ended.elapsed() <= LONGEST_PAUSE * 2);
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_waiting_is_kept() {
    let client = Client::new(MemoryStorage::new());
    let job = client.enqueue(note("x")).await.unwrap();
    let start = Instant::now();
    let limit = Duration::from_millis(1_100);
    assert_eq!(job.result_for(limit).await.unwrap(), None);
    assert!(start.elapsed() >= limit && start.elapsed() < limit * 2);
    assert!(job.wait_for(Duration::ZERO).await.unwrap().is_none());
    work(client.storage(), success(Some(r#""x""#), None), true).await;
    let record = job.wait_for(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(record.state, State::Succeeded);
}

#[tokio::test]
async fn without_a_result_the_reason_is_told() {
    let storage = StorageHandle::new(MemoryStorage::new());
    let client = Client::new(&storage);
    let failed = client.enqueue(note("x")).await.unwrap();
    work(&storage, failure(), true).await;
    let said = failed.result().await.unwrap_err().to_string();
    assert!(
        said.ends_with("has no result: it is Failed: no such user"),
        "{said}"
    );

    let deleted = client.enqueue(note("x")).await.unwrap();
    deleted.cancel().by("ada").await.unwrap();
    let error = deleted.result().await.unwrap_err();
    assert!(matches!(
        error,
        Error::NoResult {
            state: State::Deleted,
            ..
        }
    ));

    let kept_back = client.enqueue(note("x")).await.unwrap();
    work(&storage, success(None, Some("the result is NaN")), true).await;
    let said = kept_back.result().await.unwrap_err().to_string();
    assert!(
        said.ends_with("it is Succeeded: the result is NaN"),
        "{said}"
    );

    let unknown = client.handle::<()>(JobId::new());
    assert!(matches!(unknown.result().await, Err(Error::UnknownJob(_))));
}

#[tokio::test]
async fn results_read_as_what_they_were() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Receipt {
        number: u64,
    }
    let storage = StorageHandle::new(MemoryStorage::new());
    let client = Client::new(&storage);
    let job = client.enqueue(note("x")).await.unwrap();
    work(
        &storage,
        success(Some(r#"{"number":18446744073709551615}"#), None),
        true,
    )
    .await;
    let receipt: Receipt = client.handle(job.id()).result().await.unwrap();
    assert_eq!(receipt.number, u64::MAX);
    let said = job.result().await.unwrap_err().to_string();
    assert!(
        said.contains("does not read as `alloc::string::String`: invalid type: map"),
        "{said}"
    );

    let nothing = client.enqueue(note("x")).await.unwrap().id();
    work(&storage, success(None, None), true).await;
    client.handle::<()>(nothing).result().await.unwrap();
    let none: Option<Receipt> = client.handle(nothing).result().await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test(start_paused = true)]
async fn waiting_outlives_a_short_absence_of_the_storage() {
    let mut looks = 0;
    let probe = Probe::failing(move |verb, _| {
        looks += u32::from(verb == "job");
        match looks {
            2..8 => Fault::Before(unavailable()),
            _ => Fault::None,
        }
    });
    let client = Client::new(probe.clone());
    let job = client.enqueue(note("x")).await.unwrap();
    let waiting = tokio::spawn({
        let job = job.clone();
        async move { job.result().await }
    });
    watched(client.storage()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    work(client.storage(), success(Some(r#""x""#), None), true).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "x");

    let gone = Probe::failing(|verb, _| match verb {
        "job" => Fault::Before(unavailable()),
        _ => Fault::None,
    });
    let job = Client::new(gone).enqueue(note("x")).await.unwrap();
    assert!(matches!(job.result().await, Err(Error::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_the_storage_is_asked_in_measure() {
    let looks = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&looks);
    let probe = Probe::failing(move |verb, _| {
        counted.fetch_add(
            usize::from(verb == "job"),
            std::sync::atomic::Ordering::SeqCst,
        );
        Fault::None
    });
    let client = Client::new(probe);
    let jobs = client.enqueue_many((0..1_000).map(note)).await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for job in jobs {
        waiting.spawn(async move { job.wait_for(Duration::from_secs(20)).await });
    }
    let ended = waiting.join_all().await;
    assert!(ended.iter().all(|ended| matches!(ended, Ok(None))));
    let looks = looks.load(std::sync::atomic::Ordering::SeqCst);
    // Each looks once at first and once at last.
    assert!(looks <= 2_000 * 20 + 3 * 1_000, "{looks}");
}
