//! What becomes of a job that runs, on every storage.

use std::time::Duration;

use jobs::inspect::JobRecord;
use jobs::{AttemptOutcome, Backoff, JobId, State};
use jobs_core::job::NewJob;

use crate::kinds::{
    AT_ONCE, block, boom, comes_back, discards, explode, fails, hold, named, not_a_number, note,
    snoozes,
};
use crate::setup::{PATIENCE, Place, on_each};

on_each!(a_job_runs_and_answers: memory, sqlite, postgres);

async fn a_job_runs_and_answers(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let held = hold.enqueue("go").on(&place.client).await.unwrap();
    let record = place.until_state(held.id(), State::Processing).await;
    let id = place.storage.inspect().workers().await.unwrap()[0].info.id;
    assert_eq!(record.worker, Some(id));
    place.effects.open_gate("go");
    let record = held.wait().await.unwrap();
    assert_eq!(
        (record.state, record.attempt, record.lost, record.worker),
        (State::Succeeded, 1, 0, Some(id))
    );
    let (started, finished) = (record.started_at.unwrap(), record.finished_at.unwrap());
    assert!(
        record.due_at <= started && started <= finished,
        "{record:?}"
    );
    let handle = note.enqueue(7).on(&place.client).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 7);
    // Nothing is left in anybody's hands.
    worker.stop().await;
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        0
    );
    assert!(place.storage.presences().await.unwrap().is_empty());
}

on_each!(an_error_is_kept_with_its_causes: memory, sqlite, postgres);

async fn an_error_is_kept_with_its_causes(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let handle = explode.enqueue().on(&place.client).await.unwrap();
    let record = handle.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 1));
    assert_eq!(
        record.reason.as_deref(),
        Some("Failed, no retries: reading the order failed")
    );
    let attempts = place.storage.inspect().attempts(handle.id()).await.unwrap();
    assert_eq!(
        (attempts.len(), attempts[0].number, attempts[0].outcome),
        (1, 1, AttemptOutcome::Failed)
    );
    let error = attempts[0].error.as_ref().unwrap();
    assert_eq!(error.message, "reading the order failed");
    assert_eq!(error.causes, ["invalid digit found in string"]);
    assert!(
        error
            .type_name
            .as_ref()
            .is_some_and(|name| name.ends_with("Trouble")),
        "{error:?}"
    );
    worker.stop().await;
}

on_each!(a_panic_hurts_nobody_else: memory, sqlite, postgres);

async fn a_panic_hurts_nobody_else(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let beside = hold.enqueue("go").on(&place.client).await.unwrap();
    place.until_started(beside.id()).await;
    let handle = boom
        .enqueue("out of cheese")
        .on(&place.client)
        .await
        .unwrap();
    assert_eq!(handle.wait().await.unwrap().state, State::Failed);
    let attempts = place.storage.inspect().attempts(handle.id()).await.unwrap();
    let error = attempts[0].error.as_ref().unwrap();
    assert_eq!(
        (attempts[0].outcome, &*error.message),
        (AttemptOutcome::Panicked, "panicked: out of cheese")
    );
    assert!(
        error
            .location
            .as_ref()
            .is_some_and(|place| place.contains("kinds.rs:")),
        "{error:?}"
    );
    place.effects.open_gate("go");
    assert_eq!(beside.wait().await.unwrap().state, State::Succeeded);
    assert_eq!(
        note.enqueue(1)
            .on(&place.client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        1
    );
    worker.stop().await;
}

on_each!(arguments_that_do_not_decode_fail_at_once: memory, sqlite, postgres);

async fn arguments_that_do_not_decode_fail_at_once(place: &Place) {
    let job = NewJob::new(JobId::new(), "e2e.note", r#"{"n":"seven"}"#);
    let id = place.storage.insert(&[job]).await.unwrap()[0].id;
    let worker = place.start(|worker| worker).await;
    let record = place.until_state(id, State::Failed).await;
    let reason = record.reason.unwrap();
    let told = ["e2e.note", "`n`", "seven"]
        .iter()
        .all(|word| reason.contains(word));
    assert!(record.attempt == 1 && told, "{reason}");
    worker.stop().await;
}

on_each!(a_function_that_blocks_delays_no_other: memory, sqlite, postgres);

async fn a_function_that_blocks_delays_no_other(place: &Place) {
    let worker = place.start(|worker| worker).await;
    // More of them than this runtime has threads.
    let blocking = block.enqueue_many(vec!["go"; 4]).on(&place.client);
    blocking.await.unwrap();
    place.started(4).await;
    for n in 0..20 {
        let handle = note.enqueue(n).on(&place.client).await.unwrap();
        let result = tokio::time::timeout(PATIENCE, handle.result()).await;
        assert_eq!(result.expect("it waits for those that block").unwrap(), n);
    }
    place.effects.open_gate("go");
    worker.stop().await;
    assert_eq!(place.effects.of("end").len(), 4);
}

on_each!(what_takes_too_long_is_dropped: memory, sqlite, postgres);

async fn what_takes_too_long_is_dropped(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(1)).await;
    let limit = Duration::from_millis(300);
    let handle = hold
        .enqueue("never")
        .timeout(limit)
        .retries(0)
        .on(&place.client)
        .await
        .unwrap();
    let record = handle.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 1));
    assert_eq!(
        record.reason.as_deref(),
        Some("Failed, no retries: timed out after 300 ms")
    );
    let attempts = place.storage.inspect().attempts(handle.id()).await.unwrap();
    assert_eq!(attempts[0].outcome, AttemptOutcome::TimedOut);
    // Its slot is free, and it will not get through a gate that opens now.
    place.effects.open_gate("never");
    note.enqueue(1)
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    worker.stop().await;
    assert!(place.effects.of("end").is_empty());
}

on_each!(an_error_may_say_how_to_go_on: memory, sqlite, postgres);

async fn an_error_may_say_how_to_go_on(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let discarded = discards.enqueue().on(&place.client).await.unwrap();
    let record = discarded.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 1));
    assert!(
        record
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("the order was withdrawn")),
        "{record:?}"
    );

    let back = comes_back
        .enqueue()
        .backoff(AT_ONCE)
        .on(&place.client)
        .await
        .unwrap();
    let record = place.until_state(back.id(), State::Scheduled).await;
    assert_due_in(&record, Duration::from_secs(3_600));
    assert_eq!(record.attempt, 1);

    let snoozed = snoozes
        .enqueue(12usize)
        .retries(0)
        .on(&place.client)
        .await
        .unwrap();
    let record = snoozed.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Succeeded, 1));
    assert_eq!(place.effects.of_job("note", snoozed.id()).len(), 13);
    worker.stop().await;
}

fn assert_due_in(record: &JobRecord, wait: Duration) {
    let in_time = (record.due_at - chrono::Utc::now()).to_std().unwrap();
    assert!(
        in_time <= wait && in_time + PATIENCE > wait,
        "due in {in_time:?}, not {wait:?}"
    );
}

on_each!(a_result_that_cannot_be_kept_is_explained: memory, sqlite, postgres);

async fn a_result_that_cannot_be_kept_is_explained(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let handle = not_a_number.enqueue().on(&place.client).await.unwrap();
    let record = handle.wait().await.unwrap();
    assert_eq!(
        (record.state, record.attempt, &record.result),
        (State::Succeeded, 1, &None)
    );
    let reason = record.reason.unwrap();
    assert!(
        reason.contains("result") && reason.contains("NaN"),
        "{reason}"
    );
    let error = handle.result().await.unwrap_err();
    assert!(error.to_string().contains(&reason), "{error}");
    worker.stop().await;
}

on_each!(an_old_name_is_known: memory, sqlite, postgres);

async fn an_old_name_is_known(place: &Place) {
    let job = NewJob::new(JobId::new(), "e2e.before", "{}");
    let id = place.storage.insert(&[job]).await.unwrap()[0].id;
    let worker = place
        .worker(named(&["e2e.renamed".into()]))
        .start()
        .await
        .unwrap();
    let record = place.until_state(id, State::Succeeded).await;
    assert_eq!((&*record.kind, record.attempt), ("e2e.before", 1));
    worker.stop().await;
}

on_each!(a_list_of_delays_is_followed: memory, sqlite, postgres);

async fn a_list_of_delays_is_followed(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let delays = Backoff::List(vec![Duration::ZERO, Duration::from_secs(3_600)].into());
    let job = fails
        .enqueue(9u32)
        .backoff(delays)
        .priority(jobs::Priority::HIGH)
        .queue("q");
    let handle = job.on(&place.client).await.unwrap();
    // The first retry comes at once, the second after an hour, and so does the third.
    for attempt in [2, 3] {
        let retried =
            |record: &JobRecord| record.state == State::Scheduled && record.attempt == attempt;
        let record = place.until(handle.id(), retried).await;
        assert_due_in(&record, Duration::from_secs(3_600));
        assert_eq!(
            (&*record.queue, record.priority),
            ("q", jobs::Priority::HIGH)
        );
        place.client.run_now(handle.id()).await.unwrap();
    }
    worker.stop().await;
}

on_each!(a_failed_attempt_is_tried_again: memory, sqlite, postgres);

async fn a_failed_attempt_is_tried_again(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let handle = fails
        .enqueue(3u32)
        .backoff(AT_ONCE)
        .queue("q")
        .on(&place.client)
        .await
        .unwrap();
    assert_eq!(handle.result().await.unwrap(), 4);
    let record = handle.record().await.unwrap();
    assert_eq!((record.attempt, &*record.queue), (4, "q"));
    let attempts = place.storage.inspect().attempts(handle.id()).await.unwrap();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(attempts[1].reason, "Retry 2 of 10 in 0 s: attempt 2 fails");
    worker.stop().await;
}

on_each!(the_default_is_a_growing_delay: memory, sqlite, postgres);

async fn the_default_is_a_growing_delay(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let before = chrono::Utc::now();
    let handle = fails.enqueue(9u32).on(&place.client).await.unwrap();
    let record = place.until_state(handle.id(), State::Scheduled).await;
    let delay = record.due_at - before;
    let bounds = chrono::TimeDelta::seconds(16)
        ..chrono::TimeDelta::seconds(46) + (chrono::Utc::now() - before);
    assert!(bounds.contains(&delay), "{delay}");
    assert!(record.reason.unwrap().starts_with("Retry 1 of 10 in "));
    worker.stop().await;
}

on_each!(retries_come_to_an_end: memory, sqlite, postgres);

async fn retries_come_to_an_end(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let handle = fails
        .enqueue(9u32)
        .retries(2)
        .backoff(AT_ONCE)
        .on(&place.client)
        .await
        .unwrap();
    let record = handle.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 3));
    assert_eq!(
        record.reason.as_deref(),
        Some("Failed after 2 retries: attempt 3 fails")
    );
    // An operator gives it a new series; what happened stays.
    place.client.requeue(handle.id()).by("ada").await.unwrap();
    let record = place
        .until(handle.id(), |record| {
            record.state == State::Failed && record.run > 3
        })
        .await;
    assert_eq!(record.attempt, 3);
    let attempts = place.storage.inspect().attempts(handle.id()).await.unwrap();
    assert_eq!(attempts.len(), 6);
    worker.stop().await;
}

on_each!(as_many_run_at_once_as_there_are_slots: memory, sqlite, postgres);

async fn as_many_run_at_once_as_there_are_slots(place: &Place) {
    let worker = place.start(|worker| worker.concurrency(8)).await;
    let jobs = hold.enqueue_many(vec!["go"; 24]).on(&place.client);
    jobs.await.unwrap();
    place.started(8).await;
    // They have had time to be more.
    tokio::time::sleep(Duration::from_millis(400)).await;
    place.effects.open_gate("go");
    place.drained(PATIENCE).await;
    worker.stop().await;
    let effects = place.effects.all();
    let (mut running, mut most) = (0, 0);
    for effect in &effects {
        running += if effect.what == "start" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!((most, effects.len()), (8, 2 * 24));
}
