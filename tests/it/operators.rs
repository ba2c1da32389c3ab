//! What operators do, and how soon workers heed it.

use std::time::{Duration, Instant};

use jobs::{Due, Error, JobId, PgStorage, State, StorageHandle, Worker};

use crate::kinds::{comes_back, explode, heeds, named, note};
use crate::setup::{PATIENCE, Place, on_each, until};

on_each!(a_job_that_waits_can_be_deleted: memory, sqlite, postgres);

async fn a_job_that_waits_can_be_deleted(place: &Place) {
    let enqueued = note.enqueue(1).on(&place.client).await.unwrap();
    let scheduled = note
        .enqueue(2)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    for (handle, from) in [(&enqueued, State::Enqueued), (&scheduled, State::Scheduled)] {
        let moved = place
            .client
            .delete(handle.id())
            .by("ada")
            .because("a mistake")
            .await
            .unwrap();
        assert_eq!((moved.from, moved.to), (from, State::Deleted));
        let record = handle.record().await.unwrap();
        assert_eq!(record.reason.as_deref(), Some("Deleted by ada: a mistake"));
        let events = place.storage.inspect().events(handle.id()).await.unwrap();
        assert_eq!(
            (events.len(), &*events[0].actor, &*events[0].verb),
            (1, "ada", "delete")
        );
    }
    let worker = place.start(|worker| worker).await;
    let failed = explode.enqueue().on(&place.client).await.unwrap();
    failed.wait().await.unwrap();
    place.client.delete(failed.id()).await.unwrap();
    assert_eq!(failed.state().await.unwrap(), State::Deleted);
    note.enqueue(3)
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    worker.stop().await;
    assert_eq!(place.effects.of("note").len(), 1, "a deleted job ran");
}

on_each!(a_verb_that_does_not_apply_says_what_it_found: memory, sqlite, postgres);

async fn a_verb_that_does_not_apply_says_what_it_found(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let done = note.enqueue(1).on(&place.client).await.unwrap();
    done.result().await.unwrap();
    let error = done.cancel().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::WrongState {
                state: State::Succeeded,
                ..
            }
        ),
        "{error}"
    );
    let unknown = JobId::new();
    let error = place.client.requeue(unknown).await.unwrap_err();
    assert!(
        matches!(error, Error::UnknownJob(id) if id == unknown),
        "{error}"
    );
    assert!(
        place
            .storage
            .inspect()
            .events(done.id())
            .await
            .unwrap()
            .is_empty()
    );
    // Two at once: one wins, the other is told.
    let waiting = note
        .enqueue(2)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    let (one, two) = tokio::join!(waiting.cancel(), waiting.cancel());
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(
        place
            .storage
            .inspect()
            .events(waiting.id())
            .await
            .unwrap()
            .len(),
        1
    );
    worker.stop().await;
}

on_each!(a_scheduled_job_can_be_run_now_or_later: memory, sqlite, postgres);

async fn a_scheduled_job_can_be_run_now_or_later(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let now = note
        .enqueue(1)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    place.client.run_now(now.id()).await.unwrap();
    assert_eq!(now.result().await.unwrap(), 1);
    let soon = note
        .enqueue(2)
        .delay(jobs::hours(1))
        .on(&place.client)
        .await
        .unwrap();
    place
        .client
        .reschedule(soon.id(), Due::In(Duration::from_millis(50)))
        .await
        .unwrap();
    assert_eq!(soon.result().await.unwrap(), 2);
    // A retry that is due in an hour is a scheduled job like any other.
    let retried = comes_back
        .enqueue()
        .retries(1)
        .on(&place.client)
        .await
        .unwrap();
    place.until_state(retried.id(), State::Scheduled).await;
    place.client.run_now(retried.id()).await.unwrap();
    let record = retried.wait().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Failed, 2));
    worker.stop().await;
}

/// How long it took from a deletion until the job, wherever it runs, heard of it; the median and the longest of nine times. The
/// median, since a busy machine may stand still for once.
async fn cancellation_times(place: &Place) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..9 {
        let handle = heeds.enqueue().on(&place.client).await.unwrap();
        until(
            "it runs",
            PATIENCE,
            async || place.effects.of_job("start", handle.id()),
            |it| !it.is_empty(),
        )
        .await;
        let moved = handle.cancel().await.unwrap();
        let done = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!((moved.from, moved.to), (State::Processing, State::Deleted));
        let look = async || place.effects.of_job("lost", handle.id());
        let heard = until("it is told", PATIENCE, look, |it| !it.is_empty()).await;
        times.push(heard[0].at.saturating_sub(done));
        let record = handle.record().await.unwrap();
        assert_eq!((record.state, record.attempt), (State::Deleted, 0));
    }
    times.sort();
    (times[4], times[8])
}

on_each!(a_job_that_runs_in_this_process_is_cancelled_at_once: memory, sqlite, postgres);

async fn a_job_that_runs_in_this_process_is_cancelled_at_once(place: &Place) {
    let worker = place.start(|worker| worker.poll_interval(PATIENCE)).await;
    let (median, longest) = cancellation_times(place).await;
    // Without a hint it would be seen within 800 ms.
    assert!(
        median < Duration::from_millis(300),
        "{median:?}, at most {longest:?}"
    );
    worker.stop().await;
}

on_each!(a_job_that_runs_is_cancelled_in_the_process_that_runs_it: postgres);

async fn a_job_that_runs_is_cancelled_in_the_process_that_runs_it(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = PATIENCE)
        .await;
    let (median, longest) = cancellation_times(place).await;
    // Without a hint it would be seen within 5 s.
    assert!(
        median < Duration::from_secs(1),
        "{median:?}, at most {longest:?}"
    );
    worker.signal("TERM");
    assert!(worker.ended(PATIENCE).await.success());
}

on_each!(a_job_that_runs_is_cancelled_where_workers_only_look: sqlite);

async fn a_job_that_runs_is_cancelled_where_workers_only_look(place: &Place) {
    let worker = place
        .process(|orders| orders.poll_interval = PATIENCE)
        .await;
    let (median, longest) = cancellation_times(place).await;
    assert!(
        median < Duration::from_secs(5),
        "{median:?}, at most {longest:?}"
    );
    worker.signal("TERM");
    assert!(worker.ended(PATIENCE).await.success());
}

on_each!(the_outcome_of_a_deleted_job_is_discarded: memory, sqlite, postgres);

async fn the_outcome_of_a_deleted_job_is_discarded(place: &Place) {
    let worker = place.start(|worker| worker).await;
    let handle = crate::kinds::ignores
        .enqueue("late")
        .on(&place.client)
        .await
        .unwrap();
    // Not only taken: then it would not be started.
    place.started(1).await;
    handle.cancel().await.unwrap();
    until(
        "it is told",
        PATIENCE,
        async || place.effects.of("lost"),
        |it| it.len() == 1,
    )
    .await;
    place.effects.open_gate("late");
    until(
        "it succeeds all the same",
        PATIENCE,
        async || place.effects.of("end"),
        |it| it.len() == 1,
    )
    .await;
    worker.stop().await;
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.state, record.attempt, record.result),
        (State::Deleted, 0, None)
    );
    // It can be run again, and then its outcome counts.
    place.client.requeue(handle.id()).await.unwrap();
    place.client.delete(handle.id()).await.unwrap();
    assert_eq!(
        place
            .storage
            .inspect()
            .events(handle.id())
            .await
            .unwrap()
            .len(),
        3
    );
}

on_each!(where_postgresql_only_polls_a_second_is_enough: postgres);

/// As behind a PgBouncer in transaction mode: nobody is told of anything, and all of it is seen within a second.
async fn where_postgresql_only_polls_a_second_is_enough(place: &Place) {
    let builder = PgStorage::builder().url(&place.url).poll_only(true);
    let storage: StorageHandle = builder.connect().await.unwrap().into();
    let worker = Worker::builder(storage)
        .jobs(named(&[]))
        .data(place.effects.clone());
    let worker = worker.start().await.unwrap();
    // A busy machine may take a moment more, or stand still for once.
    let soon = Duration::from_millis(1_500);
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let asked = Instant::now();
        let handle = heeds.enqueue().on(&place.client).await.unwrap();
        let started = async || place.effects.of_job("start", handle.id());
        until("it runs", PATIENCE, started, |it| !it.is_empty()).await;
        starts.push(asked.elapsed());
        let asked = Instant::now();
        handle.cancel().await.unwrap();
        let told = async || place.effects.of_job("lost", handle.id());
        until("it is told", PATIENCE, told, |it| !it.is_empty()).await;
        ends.push(asked.elapsed());
    }
    for mut times in [starts, ends] {
        times.sort();
        assert!(times[0] < soon, "{times:?}");
    }
    let queue = place.client.queue("default");
    queue.pause().await.unwrap();
    tokio::time::sleep(soon).await;
    let waits = note.enqueue(1).on(&place.client).await.unwrap();
    let nothing = waits.result_for(soon).await.unwrap();
    assert_eq!(nothing, None, "it started in a paused queue");
    queue.resume().await.unwrap();
    let resumed = tokio::time::timeout(PATIENCE, waits.result()).await;
    resumed.expect("it starts again").unwrap();
    worker.stop().await;
}
