//! What becomes of a job, by how its run ended.

use std::time::Duration;

use jobs_core::job::{AttemptOutcome, Backoff, ErrorReport, JobDefaults, State};
use jobs_core::lifecycle::{Advice, Failure, Outcome, Success};

use crate::setup::{Counter, done, enqueue, enqueue_with, kind, storage, until_state, worker};

fn failed(words: &str, advice: Advice) -> Outcome {
    let report = ErrorReport::new(words);
    Outcome::Failed(Failure {
        report,
        how: AttemptOutcome::Failed,
        advice,
    })
}

fn retried_at_once(retries: u32) -> JobDefaults {
    let backoff = Some(Backoff::Fixed(Duration::ZERO));
    JobDefaults {
        retries: Some(retries),
        backoff,
        ..JobDefaults::NONE
    }
}

#[tokio::test]
async fn a_job_succeeds_with_its_result() {
    let storage = storage();
    let job = kind("succeeds", JobDefaults::NONE, |ctx| {
        Box::pin(async move {
            assert_eq!((ctx.attempt(), ctx.args()), (1, "{}"));
            Outcome::Succeeded(Success {
                result: Some("[1,2]".into()),
                note: None,
            })
        })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "succeeds").await;
    let record = until_state(&storage, id, State::Succeeded).await;
    assert_eq!(record.result.as_deref(), Some("[1,2]"));
    assert_eq!((record.attempt, record.lost), (1, 0));
    assert!(record.started_at >= Some(record.due_at) && record.finished_at >= record.started_at);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_is_retried_until_it_succeeds() {
    let storage = storage();
    let runs = Counter::default();
    let count = runs.clone();
    let job = kind("third_time_lucky", retried_at_once(5), move |ctx| {
        let runs = count.clone();
        Box::pin(async move {
            assert_eq!(runs.add() as u32, ctx.attempt());
            if ctx.attempt() < 3 {
                failed("not yet", Advice::Policy)
            } else {
                done()
            }
        })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "third_time_lucky").await;
    let record = until_state(&storage, id, State::Succeeded).await;
    assert_eq!((record.attempt, runs.get()), (3, 3));
    let attempts = storage.attempts(id).await.unwrap();
    let reasons: Vec<_> = attempts.iter().map(|attempt| &*attempt.reason).collect();
    assert_eq!(
        reasons,
        [
            "Retry 1 of 5 in 0 s: not yet",
            "Retry 2 of 5 in 0 s: not yet"
        ]
    );
    running.stop().await;
}

#[tokio::test]
async fn retries_are_used_up() {
    let storage = storage();
    let job = kind("never_works", retried_at_once(2), |_| {
        Box::pin(async { failed("no", Advice::Policy) })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "never_works").await;
    let record = until_state(&storage, id, State::Failed).await;
    assert_eq!(record.attempt, 3);
    assert_eq!(record.reason.as_deref(), Some("Failed after 2 retries: no"));
    assert_eq!(storage.attempts(id).await.unwrap().len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn the_jobs_own_options_win() {
    let storage = storage();
    let job = kind("declared_patient", retried_at_once(5), |_| {
        Box::pin(async { failed("no", Advice::Policy) })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue_with(&storage, "declared_patient", |job| {
        job.options.retries = Some(0)
    })
    .await;
    assert_eq!(until_state(&storage, id, State::Failed).await.attempt, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_panic_fails_the_attempt_and_nothing_else() {
    let storage = storage();
    let bad = kind("panics", retried_at_once(0), |_| {
        Box::pin(async { panic!("out of paper") })
    });
    let good = kind("goes_on", JobDefaults::NONE, |_| Box::pin(async { done() }));
    let running = worker(&storage, vec![bad, good])
        .concurrency(1)
        .start()
        .await
        .unwrap();
    let bad = enqueue(&storage, "panics").await;
    let good = enqueue(&storage, "goes_on").await;
    until_state(&storage, bad, State::Failed).await;
    until_state(&storage, good, State::Succeeded).await;
    let attempt = storage.attempts(bad).await.unwrap().remove(0);
    assert_eq!(attempt.outcome, AttemptOutcome::Panicked);
    let error = attempt.error.unwrap();
    assert!(error.message.contains("out of paper"), "{error:?}");
    assert!(error.location.unwrap().contains("outcomes.rs"));
    running.stop().await;
}

/// Panics where it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("it went off");
        }
    }
}

#[tokio::test]
async fn panics_outside_of_the_handler_end_nothing_but_the_attempt() {
    let storage = storage();
    let timeout = JobDefaults {
        timeout: Some(Duration::from_millis(40)),
        ..retried_at_once(0)
    };
    let dropped = kind("panics_when_dropped", timeout, |_| {
        Box::pin(async {
            let _bomb = Bomb;
            std::future::pending().await
        })
    });
    let backoff = JobDefaults {
        backoff: Some(Backoff::Function(|_| panic!("no number"))),
        ..retried_at_once(1)
    };
    let waits = kind("panics_when_asked_how_long", backoff, |_| {
        Box::pin(async { failed("no", Advice::Policy) })
    });
    let next = kind("comes_after_panics", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let running = worker(&storage, vec![dropped, waits, next]).concurrency(1);
    let running = running.start().await.unwrap();
    let dropped = enqueue(&storage, "panics_when_dropped").await;
    let waits = enqueue(&storage, "panics_when_asked_how_long").await;
    let next = enqueue(&storage, "comes_after_panics").await;
    let record = until_state(&storage, dropped, State::Failed).await;
    let reason = record.reason.unwrap();
    assert!(reason.contains("timed out after 40 ms"), "{reason}");
    // The default holds: it waits some 16 seconds or more.
    let record = until_state(&storage, waits, State::Scheduled).await;
    let wait = (record.due_at - storage.now()).num_seconds();
    assert!((1..60).contains(&wait), "{wait} s");
    until_state(&storage, next, State::Succeeded).await;
    running.stop().await;
}

#[tokio::test]
async fn a_timeout_frees_the_slot() {
    let storage = storage();
    let defaults = JobDefaults {
        timeout: Some(Duration::from_millis(40)),
        ..retried_at_once(0)
    };
    let slow = kind("too_slow", defaults, |_| Box::pin(std::future::pending()));
    let next = kind("gets_the_slot", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let running = worker(&storage, vec![slow, next])
        .concurrency(1)
        .start()
        .await
        .unwrap();
    let slow = enqueue(&storage, "too_slow").await;
    let next = enqueue(&storage, "gets_the_slot").await;
    let record = until_state(&storage, slow, State::Failed).await;
    assert_eq!(
        record.reason.as_deref(),
        Some("Failed, no retries: timed out after 40 ms")
    );
    until_state(&storage, next, State::Succeeded).await;
    assert_eq!(
        storage.attempts(slow).await.unwrap()[0].outcome,
        AttemptOutcome::TimedOut
    );
    running.stop().await;
}

#[tokio::test]
async fn a_discard_ends_it_at_once() {
    let storage = storage();
    let job = kind("discards", retried_at_once(9), |_| {
        Box::pin(async { failed("gone", Advice::GiveUp("Discarded: gone".into())) })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "discards").await;
    let record = until_state(&storage, id, State::Failed).await;
    assert_eq!(
        (record.attempt, record.reason.as_deref()),
        (1, Some("Discarded: gone"))
    );
    running.stop().await;
}

#[tokio::test]
async fn an_error_may_say_when() {
    let storage = storage();
    let job = kind("says_when", retried_at_once(3), |_| {
        Box::pin(async { failed("later", Advice::RetryAfter(Duration::from_secs(600))) })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "says_when").await;
    let record = until_state(&storage, id, State::Scheduled).await;
    let wait = (record.due_at - chrono::Utc::now()).num_seconds();
    assert!((540..=600).contains(&wait), "{wait}");
    assert_eq!(
        record.reason.as_deref(),
        Some("Retry 1 of 3 in 10 min: later")
    );
    running.stop().await;
}

#[tokio::test]
async fn snoozes_use_no_attempt() {
    let storage = storage();
    let runs = Counter::default();
    let count = runs.clone();
    let job = kind("snoozes", retried_at_once(0), move |ctx| {
        let runs = count.clone();
        Box::pin(async move {
            assert_eq!(ctx.attempt(), 1);
            if runs.add() < 4 {
                Outcome::Snoozed {
                    delay: Duration::ZERO,
                }
            } else {
                done()
            }
        })
    });
    let running = worker(&storage, vec![job]).start().await.unwrap();
    let id = enqueue(&storage, "snoozes").await;
    assert_eq!(until_state(&storage, id, State::Succeeded).await.attempt, 1);
    assert_eq!(runs.get(), 4);
    running.stop().await;
}

#[tokio::test]
async fn a_kind_nobody_knows_waits_for_who_does() {
    let storage = storage();
    let known = kind("known", JobDefaults::NONE, |_| Box::pin(async { done() }));
    let late = kind("known_later", JobDefaults::NONE, |_| {
        Box::pin(async { done() })
    });
    let old = worker(&storage, vec![known]).start().await.unwrap();
    let strange = enqueue(&storage, "known_later").await;
    let usual = enqueue(&storage, "known").await;
    until_state(&storage, usual, State::Succeeded).await;
    let record = until_state(&storage, strange, State::Enqueued).await;
    assert_eq!((record.attempt, record.lost), (0, 0));
    let new = worker(&storage, vec![known, late]).start().await.unwrap();
    assert_eq!(
        until_state(&storage, strange, State::Succeeded)
            .await
            .attempt,
        1
    );
    old.stop().await;
    new.stop().await;
}
