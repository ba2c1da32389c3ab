//! [`Storage::settle`](crate::storage::Storage::settle): what follows from an outcome. The fence has a
//! [module of its own](super::fence).

use std::time::Duration;

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, Run, claims, close, fail, job, record, release, retry, snooze, state, store,
    store_one, store_some, succeed,
};
use crate::job::{AttemptOutcome, ErrorReport, NewJob, Priority, State};
use crate::lifecycle::Transition;
use crate::storage::StorageHandle;

/// A job of queue `a`, taken by a new worker.
async fn taken(storage: &StorageHandle) -> (Hand, Run) {
    let hand = Hand::hire(storage).await;
    store_one(storage, "a").await;
    let run = hand.take_one("a").await;
    (hand, run)
}

/// A success is final: with its times, its worker, and no place among those that wait.
pub async fn a_success_is_final(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    hand.end(&run, succeed()).await;
    let found = record(&storage, run.id).await;
    assert_eq!(found.state, State::Succeeded);
    assert_eq!((found.run, found.attempt, found.lost), (1, 1, 0));
    assert_eq!((found.worker, found.reason), (Some(hand.id), None));
    assert_eq!(found.result, None);
    assert!(found.finished_at.is_some_and(|at| close(at, storage.now())));
    assert!(storage.attempts(run.id).await.expect("attempts").is_empty());
    assert!(storage.events(run.id).await.expect("events").is_empty());
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.succeeded, counts.unfinished()), (1, 0));
    hand.finds_nothing("*").await;
    let orders = hand.beat(&[run.claim]).await;
    assert_eq!(orders.missing, [run.claim], "the claim was closed");
}

/// Start and end are told by the storage's clock from how long ago they were.
pub async fn times_are_the_storages(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut outcome = run.ended(succeed());
    outcome.ran_for = Some(Duration::from_millis(61_250));
    outcome.ended_ago = Duration::from_secs(120);
    assert_eq!(hand.send(vec![outcome], vec![run.claim]).await, []);
    let found = record(&storage, run.id).await;
    let (started, finished) = (
        found.started_at.expect("start"),
        found.finished_at.expect("end"),
    );
    assert!(close(finished, storage.now() - TimeDelta::seconds(120)));
    let off = (finished - started) - TimeDelta::milliseconds(61_250);
    assert!(off.abs() <= TimeDelta::milliseconds(1), "off by {off}");
}

/// A result comes back to the letter, large or not.
pub async fn a_result_comes_back_to_the_letter(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let large = format!("\"{}\"", "é日🦀x".repeat(200_000));
    let texts = [
        "null",
        "18446744073709551615",
        "-0.0",
        "1e300",
        r#"{"z":0.1,"a":[1, 2 ],"nul":"\u0000"}"#,
        r#""it's $1""#,
        large.as_str(),
    ];
    store_some(&storage, "a", texts.len()).await;
    let runs = hand.take("a", texts.len()).await;
    let outcome = |(run, text): (&Run, &&str)| {
        run.ended(Transition::Succeed {
            result: Some((*text).into()),
            note: None,
        })
    };
    let outcomes = runs.iter().zip(&texts).map(outcome).collect();
    assert_eq!(hand.send(outcomes, Vec::new()).await, []);
    for (run, text) in runs.iter().zip(texts) {
        let result = record(&storage, run.id).await.result;
        assert!(result.as_deref() == Some(text), "the result of {run:?}");
    }
}

/// A success without the result it should have says why.
pub async fn a_missing_result_says_why(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let outcome = Transition::Succeed {
        result: None,
        note: Some("its result is no JSON".into()),
    };
    hand.end(&run, outcome).await;
    let found = record(&storage, run.id).await;
    assert_eq!((found.state, found.result), (State::Succeeded, None));
    assert_eq!(found.reason.as_deref(), Some("its result is no JSON"));
}

/// A failure is final, and keeps all that is known of the error.
pub async fn a_failure_is_final_and_keeps_the_error(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut report = ErrorReport::new("reading the order failed: é 🦀 ' \" \\ \n line 2")
        .with_type("shop::OrderError")
        .with_location("src/order.rs:17:5")
        .with_backtrace("0: main\n1: start");
    report.causes = vec!["no such row".into(), String::new()];
    let outcome = Transition::Fail {
        reason: "Failed after 3 retries: it broke".into(),
        how: AttemptOutcome::TimedOut,
        report: report.clone(),
    };
    hand.end(&run, outcome).await;
    let found = record(&storage, run.id).await;
    assert_eq!(
        (found.state, found.attempt, found.run),
        (State::Failed, 1, 1)
    );
    assert_eq!(
        found.reason.as_deref(),
        Some("Failed after 3 retries: it broke")
    );
    let finished = found.finished_at.expect("the end");
    assert!(close(finished, storage.now()));
    let attempts = storage.attempts(run.id).await.expect("attempts");
    let [attempt] = &attempts[..] else {
        panic!("one attempt row, not {attempts:?}")
    };
    assert_eq!((attempt.job, attempt.run, attempt.number), (run.id, 0, 1));
    assert_eq!(attempt.worker, Some(hand.id));
    assert_eq!(attempt.outcome, AttemptOutcome::TimedOut);
    assert_eq!(attempt.reason, "Failed after 3 retries: it broke");
    assert_eq!(attempt.error.as_ref(), Some(&report));
    let ran = attempt.finished_at - attempt.started_at.expect("the start");
    assert!((ran - TimeDelta::milliseconds(40)).abs() <= TimeDelta::milliseconds(1));
    assert!((attempt.finished_at - finished).abs() <= TimeDelta::milliseconds(1));
    hand.finds_nothing("*").await;
}

/// A retry waits for its time, where it waited before, with one attempt used.
pub async fn a_retry_waits(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut new = job("slow");
    new.priority = Priority::LOW;
    store(&storage, std::slice::from_ref(&new)).await;
    let run = hand.take_one("slow").await;
    hand.end(&run, retry(LATER)).await;
    let found = record(&storage, new.id).await;
    assert_eq!(found.state, State::Scheduled);
    assert_eq!((found.attempt, found.lost, found.run), (1, 0, 1));
    assert_eq!(
        (found.queue.as_str(), found.priority),
        ("slow", Priority::LOW)
    );
    assert_eq!(found.reason.as_deref(), Some("Retry: it broke"));
    assert!(close(found.due_at, storage.now() + LATER));
    assert_eq!(found.finished_at, None);
    let attempts = storage.attempts(new.id).await.expect("attempts");
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].number, attempts[0].run), (1, 0));
    assert_eq!(attempts[0].outcome, AttemptOutcome::Failed);
    hand.finds_nothing("*").await;
}

/// A retry without delay is Enqueued; the attempts that follow are counted up, and a success takes the
/// trouble's reason away.
pub async fn a_retry_without_delay_is_enqueued(storage: StorageHandle) {
    let (hand, mut run) = taken(&storage).await;
    for attempt in 1..=3 {
        hand.end(&run, retry(Duration::ZERO)).await;
        let found = record(&storage, run.id).await;
        assert_eq!((found.state, found.attempt), (State::Enqueued, attempt));
        run = hand.take_one("a").await;
        assert_eq!((run.attempt, run.run), (attempt, attempt as i32));
    }
    hand.end(&run, succeed()).await;
    let found = record(&storage, run.id).await;
    assert_eq!(
        (found.state, found.attempt, found.reason),
        (State::Succeeded, 4, None)
    );
    let attempts = storage.attempts(run.id).await.expect("attempts");
    let numbers: Vec<_> = attempts.iter().map(|one| (one.number, one.run)).collect();
    assert_eq!(numbers, [(1, 0), (2, 1), (3, 2)], "oldest first");
}

/// A retry becomes due by itself.
pub async fn a_retry_becomes_due(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    hand.end(&run, retry(Duration::from_millis(60))).await;
    let again = hand.take_one("a").await;
    assert_eq!((again.id, again.run, again.attempt), (run.id, 1, 1));
}

/// A snooze uses no attempt, however often.
pub async fn a_snooze_uses_no_attempt(storage: StorageHandle) {
    let (hand, mut run) = taken(&storage).await;
    for _ in 0..3 {
        hand.end(&run, snooze(Duration::ZERO)).await;
        run = hand.take_one("a").await;
        assert_eq!(run.attempt, 0);
    }
    hand.end(&run, snooze(LATER)).await;
    let found = record(&storage, run.id).await;
    assert_eq!(
        (found.state, found.attempt, found.run),
        (State::Scheduled, 0, 4)
    );
    assert_eq!(found.reason.as_deref(), Some("Snoozed"));
    assert!(close(found.due_at, storage.now() + LATER));
    let attempts = storage.attempts(run.id).await.expect("attempts");
    assert_eq!(attempts.len(), 4);
    let snoozed = |one: &&crate::job::AttemptRecord| {
        (one.number, one.outcome) == (1, AttemptOutcome::Snoozed) && one.error.is_none()
    };
    assert_eq!(attempts.iter().filter(snoozed).count(), 4);
}

/// A release leaves no trace: the job stands where it stood.
pub async fn a_release_leaves_no_trace(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    hand.end(&run, retry(Duration::ZERO)).await;
    let before = record(&storage, run.id).await;
    let run = hand.take_one("a").await;
    let mut outcome = run.ended(release());
    outcome.ran_for = None;
    assert_eq!(hand.send(vec![outcome], vec![run.claim]).await, []);
    let after = record(&storage, run.id).await;
    assert_eq!(
        (after.state, after.attempt, after.lost),
        (State::Enqueued, 1, 0)
    );
    assert_eq!(after.run, before.run + 1, "but the ownership has ended");
    assert_eq!(
        (after.reason, after.priority),
        (before.reason, before.priority)
    );
    assert_eq!(after.started_at, before.started_at);
    assert_eq!(storage.attempts(run.id).await.expect("attempts").len(), 1);
    hand.take_one("a").await;
}

/// Every way to fail comes back by its name.
pub async fn every_way_to_fail_is_kept(storage: StorageHandle) {
    use AttemptOutcome::{Discarded, Failed, Panicked, TimedOut};
    let hand = Hand::hire(&storage).await;
    for how in [Failed, Panicked, TimedOut, Discarded] {
        let id = store_one(&storage, "a").await;
        let run = hand.take_one("a").await;
        let outcome = Transition::Fail {
            reason: "why".into(),
            how,
            report: ErrorReport::new("what"),
        };
        hand.end(&run, outcome).await;
        let attempts = storage.attempts(id).await.expect("attempts");
        assert_eq!(attempts[0].outcome, how);
    }
}

/// An attempt that was never started has no start.
pub async fn what_never_started_has_no_start(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    let mut outcome = run.ended(fail());
    outcome.ran_for = None;
    assert_eq!(hand.send(vec![outcome], vec![run.claim]).await, []);
    assert_eq!(record(&storage, run.id).await.started_at, None);
    let attempts = storage.attempts(run.id).await.expect("attempts");
    assert_eq!(attempts[0].started_at, None);
}

/// One flush may carry all kinds of outcomes, of several claims.
pub async fn a_flush_may_be_mixed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "a", 6).await;
    let mut runs = hand.take("a", 2).await;
    runs.extend(hand.take("a", 4).await);
    let ends = [succeed(), retry(LATER), fail(), snooze(LATER), release()];
    let outcomes = runs.iter().zip(ends).map(|(run, end)| run.ended(end));
    let closed = claims(&runs[..2]);
    assert_eq!(hand.send(outcomes.collect(), closed).await, []);
    let mut states = Vec::new();
    for run in &runs {
        states.push(state(&storage, run.id).await);
    }
    use State::{Enqueued, Failed, Processing, Scheduled, Succeeded};
    let wanted = [
        Succeeded, Scheduled, Failed, Scheduled, Enqueued, Processing,
    ];
    assert_eq!(states, wanted);
    hand.end(&runs[5], succeed()).await;
}

/// A flush may be large.
pub async fn a_flush_may_be_large(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let kinds = |n: usize| NewJob {
        kind: format!("kind{}", n % 20).into(),
        ..job(["a", "b", "c"][n % 3])
    };
    let batch: Vec<_> = (0..3_000).map(kinds).collect();
    store(&storage, &batch).await;
    let runs = hand.take("*", 3_000).await;
    let (retried, done) = runs.split_at(1_000);
    let ends = |runs: &[Run], end: Transition| -> Vec<_> {
        runs.iter().map(|run| run.ended(end.clone())).collect()
    };
    let outcomes = [ends(retried, retry(Duration::ZERO)), ends(done, succeed())].concat();
    assert_eq!(hand.send(outcomes, claims(&runs)).await, []);
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.enqueued, counts.succeeded), (1_000, 2_000));
    assert_eq!(counts.processing, 0);
}

/// A flush whose caller goes away is carried out whole or not at all, and can be sent again.
pub async fn a_dropped_flush_is_whole_or_nothing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for wait in [0, 200, 1_000, 3_000, 10_000] {
        store_some(&storage, "a", 300).await;
        let runs = hand.take("a", 300).await;
        let half: Vec<_> = runs.iter().take(150).cloned().collect();
        let flush = crate::storage::Flush {
            worker: hand.id,
            settlements: half.iter().map(|run| run.ended(succeed())).collect(),
            closed: Vec::new(),
        };
        let dropped = tokio::time::timeout(Duration::from_micros(wait), storage.settle(&flush));
        drop(dropped.await);
        let refused = hand.report(&runs, &succeed()).await.len();
        assert!(
            refused == 0 || refused == 150,
            "{refused} of 150 were applied"
        );
    }
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.succeeded, counts.unfinished()), (1_500, 0));
    let counted = super::stats::counted(&storage, "a", "work").await;
    assert_eq!(counted.succeeded, 1_500, "each is counted once");
}

/// A flush of nothing does nothing.
pub async fn an_empty_flush_does_nothing(storage: StorageHandle) {
    let (hand, run) = taken(&storage).await;
    assert_eq!(hand.send(Vec::new(), Vec::new()).await, []);
    hand.end(&run, succeed()).await;
}
