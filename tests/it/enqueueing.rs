//! Creating jobs.

use std::time::Duration;

use jobs::State;
use jobs::inspect::JobFilter;

use crate::kinds::{noop, note};
use crate::setup::{Place, on_each};

on_each!(what_was_declared_and_given_is_stored: memory, sqlite, postgres);

async fn what_was_declared_and_given_is_stored(place: &Place) {
    let handle = note
        .enqueue(i64::MAX)
        .queue("mail")
        .priority(jobs::Priority::HIGH)
        .tag("vip")
        .on(&place.client)
        .await
        .unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.state, &*record.queue, &*record.kind),
        (State::Enqueued, "mail", "e2e.note")
    );
    assert_eq!(record.args, format!(r#"{{"n":{}}}"#, i64::MAX));
    assert_eq!(
        (record.priority, record.options.tags),
        (jobs::Priority::HIGH, vec!["vip".to_owned()])
    );
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        1
    );
}

on_each!(sixty_four_at_once_are_sixty_four_jobs: memory, sqlite, postgres);

async fn sixty_four_at_once_are_sixty_four_jobs(place: &Place) {
    let tasks = (0..64).map(|n| {
        let client = place.client.clone();
        tokio::spawn(async move {
            let handle = note.enqueue(n).on(&client).await.unwrap();
            // Whoever heard that it is stored finds it stored.
            handle.record().await.unwrap().args
        })
    });
    let mut args = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        args.push(task.await.unwrap());
    }
    args.sort();
    let mut wanted: Vec<_> = (0..64).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    wanted.sort();
    assert_eq!(args, wanted);
    assert_eq!(place.storage.inspect().counts().await.unwrap().enqueued, 64);
}

on_each!(a_bad_item_among_many_stores_nothing: memory, sqlite, postgres);

async fn a_bad_item_among_many_stores_nothing(place: &Place) {
    let words = (0..10_000).map(|n| {
        if n == 7_777 {
            "a\0b".to_owned()
        } else {
            n.to_string()
        }
    });
    let error = crate::kinds::boom
        .enqueue_many(words)
        .on(&place.client)
        .await
        .unwrap_err();
    let words = error.to_string();
    assert!(words.contains("7777") && words.contains("words"), "{words}");
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        0
    );
}

on_each!(names_that_are_none_store_nothing: memory, sqlite, postgres);

async fn names_that_are_none_store_nothing(place: &Place) {
    let long = "x".repeat(65);
    for name in ["", "Mail", "a b", "a/b", &long] {
        let queue = noop
            .enqueue()
            .queue(name.to_owned())
            .on(&place.client)
            .await
            .unwrap_err();
        let tag = noop
            .enqueue()
            .tag(name)
            .on(&place.client)
            .await
            .unwrap_err();
        for error in [queue, tag] {
            assert!(error.to_string().contains("[a-z0-9_.:-]{1,64}"), "{error}");
        }
    }
    assert!(
        place
            .storage
            .inspect()
            .jobs(&JobFilter::default())
            .await
            .unwrap()
            .jobs
            .is_empty()
    );
}

on_each!(a_delayed_job_waits_for_its_time: memory, sqlite, postgres);

async fn a_delayed_job_waits_for_its_time(place: &Place) {
    let worker = place
        .worker(crate::kinds::named(&[]))
        .start()
        .await
        .unwrap();
    let later = note
        .enqueue(1)
        .delay(Duration::from_millis(1_500))
        .on(&place.client)
        .await
        .unwrap();
    assert_eq!(later.state().await.unwrap(), State::Scheduled);
    // That much later another one has run, and this one still waits.
    note.enqueue(2)
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    let record = later.wait().await.unwrap();
    let waited = record.started_at.unwrap() - record.created_at;
    assert!(waited >= chrono::TimeDelta::milliseconds(1_490), "{waited}");
    worker.stop().await;
}
