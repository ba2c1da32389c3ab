//! Unique jobs, as users say it.

use std::time::Duration;

use jobs::prelude::*;
use jobs::{Error, JobEntry, OnConflict, State, UniqueUntil};

use crate::setup::{Place, on_each};

#[job]
async fn greet_once(user_id: i64, template: String) {
    let _ = (user_id, template);
}

#[job(unique(args = ["user_id"], on_conflict = "replace"))]
async fn refresh(user_id: i64, reason: String) {
    let _ = (user_id, reason);
}

#[job(unique(args = ["user_id"], until = "done", for = "1h"))]
async fn rebuild(user_id: i64) {
    let _ = user_id;
}

#[job(unique(until = "started", for = "1h"))]
async fn announce(user_id: i64) {
    let _ = user_id;
}

#[job(unique(until = "period", for = "1h"))]
async fn daily(user_id: i64) {
    let _ = user_id;
}

#[job(unique(for = "1h"))]
async fn hourly(_a: i64, b: String) {
    drop(b);
}

on_each!(a_key_is_held_by_one: memory, sqlite, postgres);

async fn a_key_is_held_by_one(place: &Place) {
    let client = &place.client;
    let first = greet_once
        .enqueue(1, "a")
        .unique("one")
        .on(client)
        .await
        .unwrap();
    assert!(!first.is_existing());
    let again = greet_once
        .enqueue(2, "b")
        .unique("one")
        .on(client)
        .await
        .unwrap();
    assert_eq!((again.id(), again.is_existing()), (first.id(), true));
    let other_kind = hourly
        .enqueue(1, "a")
        .unique("one")
        .on(client)
        .await
        .unwrap();
    assert!(!other_kind.is_existing());
    let error = greet_once
        .enqueue(2, "b")
        .unique("one")
        .on_conflict(OnConflict::Error)
        .on(client)
        .await;
    assert!(
        matches!(&error, Err(Error::Duplicate { holder, key }) if *holder == first.id() && key == "one"),
        "{error:?}"
    );
    let worker = place.worker(all()).start().await.unwrap();
    first.wait().await.unwrap();
    let free = greet_once
        .enqueue(3, "c")
        .unique("one")
        .on(client)
        .await
        .unwrap();
    assert!(!free.is_existing());
    worker.stop().await;
}

fn all() -> Vec<&'static JobEntry> {
    jobs![greet_once, refresh, hourly, rebuild, announce, daily]
}

on_each!(keys_are_made_of_arguments: memory, sqlite, postgres);

async fn keys_are_made_of_arguments(place: &Place) {
    let client = &place.client;
    let first = refresh.enqueue(1, "a").on(client).await.unwrap();
    let rules = first.record().await.unwrap().rules.unwrap();
    assert_eq!(rules.unique.unwrap().key, r#"{"user_id":1}"#);
    let second = refresh.enqueue(1, "b").on(client).await.unwrap();
    assert_eq!((second.id(), second.is_existing()), (first.id(), true));
    assert_eq!(
        first.record().await.unwrap().args,
        r#"{"user_id":1,"reason":"b"}"#
    );
    assert!(
        !refresh
            .enqueue(2, "b")
            .on(client)
            .await
            .unwrap()
            .is_existing()
    );
    // All arguments where none is named; a period is held whatever becomes of the job.
    let one = hourly.enqueue(1, "a").on(client).await.unwrap();
    let rules = one.record().await.unwrap().rules.unwrap().unique.unwrap();
    assert_eq!(
        (rules.key.as_str(), rules.until),
        (r#"{"a":1,"b":"a"}"#, UniqueUntil::Period(hours(1)))
    );
    one.cancel().await.unwrap();
    assert!(
        hourly
            .enqueue(1, "a")
            .on(client)
            .await
            .unwrap()
            .is_existing()
    );
    assert!(
        !hourly
            .enqueue(1, "b")
            .on(client)
            .await
            .unwrap()
            .is_existing()
    );
    // Said at the call, it comes first.
    let by_args = || {
        greet_once
            .enqueue(7, "x")
            .unique_args(["template"])
            .on(client)
    };
    let (one, two) = (by_args().await.unwrap(), by_args().await.unwrap());
    assert_eq!(one.id(), two.id());
    let unknown = greet_once
        .enqueue(7, "x")
        .unique_args(["tempate"])
        .on(client)
        .await
        .unwrap_err();
    assert!(
        unknown.to_string().contains("no argument `tempate`"),
        "{unknown}"
    );
    let started = refresh
        .enqueue(9, "a")
        .unique_until(UniqueUntil::Started)
        .on(client)
        .await
        .unwrap();
    let rules = started
        .record()
        .await
        .unwrap()
        .rules
        .unwrap()
        .unique
        .unwrap();
    assert_eq!(
        (rules.until, rules.on_conflict),
        (UniqueUntil::Started, OnConflict::Replace)
    );
}

on_each!(a_time_bounds_how_long_a_key_is_held: memory, sqlite, postgres);

async fn a_time_bounds_how_long_a_key_is_held(place: &Place) {
    let client = &place.client;
    let one = rebuild.enqueue(1).on(client).await.unwrap();
    assert_eq!(until(&one).await, UniqueUntil::DoneWithin(hours(1)));
    let again = rebuild.enqueue(1).on(client).await.unwrap();
    assert_eq!((again.id(), again.is_existing()), (one.id(), true));
    let two = announce.enqueue(1).on(client).await.unwrap();
    assert_eq!(until(&two).await, UniqueUntil::StartedWithin(hours(1)));
    let three = daily.enqueue(1).on(client).await.unwrap();
    assert_eq!(until(&three).await, UniqueUntil::Period(hours(1)));
    // Said at the call: over while the job still waits.
    let short = || {
        greet_once
            .enqueue(1, "a")
            .delay(hours(1))
            .unique("short")
            .unique_until(UniqueUntil::DoneWithin(std::time::Duration::from_millis(
                100,
            )))
            .on(client)
    };
    let first = short().await.unwrap();
    let second = loop {
        let next = short().await.unwrap();
        if !next.is_existing() {
            break next;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(first.state().await.unwrap(), State::Scheduled);
    assert_ne!(first.id(), second.id());
    // Free when it is done, and when it is started.
    let worker = place.worker(all()).start().await.unwrap();
    one.wait().await.unwrap();
    two.wait().await.unwrap();
    three.wait().await.unwrap();
    let is_free = [
        !rebuild.enqueue(1).on(client).await.unwrap().is_existing(),
        !announce.enqueue(1).on(client).await.unwrap().is_existing(),
        !daily.enqueue(1).on(client).await.unwrap().is_existing(),
    ];
    assert_eq!(is_free, [true, true, false]);
    worker.stop().await;
}

async fn until<T>(handle: &JobHandle<T>) -> UniqueUntil {
    let rules = handle.record().await.unwrap().rules.unwrap();
    rules.unique.unwrap().until
}

on_each!(among_many_the_first_counts: memory, sqlite, postgres);

async fn among_many_the_first_counts(place: &Place) {
    let client = &place.client;
    let jobs = [(1, "a"), (2, "b"), (1, "c")];
    let many = greet_once
        .enqueue_many(jobs)
        .unique_by(|job| job.user_id.to_string())
        .on(client)
        .await
        .unwrap();
    let existing: Vec<_> = many.handles().map(|handle| handle.is_existing()).collect();
    assert_eq!(existing, [false, false, true]);
    assert_eq!(many.ids()[0], many.ids()[2]);
    let empty = greet_once
        .enqueue_many(jobs)
        .unique_by(|_| String::new())
        .on(client)
        .await;
    assert!(
        empty
            .unwrap_err()
            .to_string()
            .contains("item 0, counted from 0: the unique key is empty")
    );
}

on_each!(a_hundred_at_once_are_one: memory, sqlite, postgres);

async fn a_hundred_at_once_are_one(place: &Place) {
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            tokio::spawn(
                greet_once
                    .enqueue(n, "x")
                    .unique("one")
                    .on(&place.client)
                    .into_future(),
            )
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += usize::from(!task.await.unwrap().unwrap().is_existing());
    }
    assert_eq!(stored, 1);
    assert_eq!(place.storage.inspect().counts().await.unwrap().enqueued, 1);
}

on_each!(a_key_that_is_none_is_refused: memory);

async fn a_key_that_is_none_is_refused(place: &Place) {
    let refused = async |job: jobs::Enqueue<'static, GreetOnce>, says: &str| {
        let error = job.on(&place.client).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says}");
    };
    let job = || greet_once.enqueue(1, "a");
    refused(job().unique(""), "is empty").await;
    refused(job().unique("x".repeat(257)), "257 bytes long").await;
    refused(job().unique("a\0b"), "NUL").await;
    refused(
        job().on_conflict(OnConflict::Error),
        "there is no unique key",
    )
    .await;
    for none in [
        UniqueUntil::Period(seconds(0)),
        UniqueUntil::DoneWithin(seconds(0)),
        UniqueUntil::StartedWithin(seconds(0)),
    ] {
        refused(job().unique("a").unique_until(none), "no time").await;
    }
    assert_eq!(
        job()
            .on(&place.client)
            .await
            .unwrap()
            .state()
            .await
            .unwrap(),
        State::Enqueued
    );
}

/// What holds for the transactions of both databases.
macro_rules! conflicts_within {
    ($place:ident, $pool:ty, $begin:expr) => {{
        let (place, client) = ($place, &$place.client);
        let pool = <$pool>::connect(&place.url).await.unwrap();
        sqlx::query("create table deed (name text)").execute(&pool).await.unwrap();
        let held = greet_once.enqueue(1, "a").unique("one").on(client).await.unwrap();
        let other = refresh.enqueue(7, "old").on(client).await.unwrap();

        let begin: fn($pool) -> _ = $begin;
        let mut tx = begin(pool.clone()).await.unwrap();
        let job = |n| greet_once.enqueue(n, "b").unique("one").on(client);
        let again = job(2).within(&mut tx).await.unwrap();
        assert_eq!((again.id(), again.is_existing()), (held.id(), true));
        sqlx::query("insert into deed values ('after skip')").execute(&mut *tx).await.unwrap();
        let error = job(3).on_conflict(OnConflict::Error).within(&mut tx).await.unwrap_err();
        assert!(matches!(&error, Error::Duplicate { holder, .. } if *holder == held.id()), "{error:?}");
        sqlx::query("insert into deed values ('after error')").execute(&mut *tx).await.unwrap();
        let taken = refresh.enqueue(7, "new").on(client).within(&mut tx).await.unwrap();
        assert_eq!((taken.id(), taken.is_existing()), (other.id(), true));
        // A key that this very transaction has taken.
        let mine = job(4).unique("two").within(&mut tx).await.unwrap();
        let twice = job(5).unique("two").within(&mut tx).await.unwrap();
        assert_eq!((mine.is_existing(), twice.is_existing(), twice.id()), (false, true, mine.id()));
        sqlx::query("insert into deed values ('at the end')").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();

        let deeds: i64 = sqlx::query_scalar("select count(*) from deed").fetch_one(&pool).await.unwrap();
        assert_eq!(deeds, 3);
        assert!(taken.record().await.unwrap().args.contains("new"));
        assert_eq!(place.storage.inspect().counts().await.unwrap().enqueued, 3);

        // What is rolled back gives its keys back, and takes no holder's place.
        let mut tx = begin(pool.clone()).await.unwrap();
        job(6).unique("three").within(&mut tx).await.unwrap();
        refresh.enqueue(7, "newest").on(client).within(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        assert!(!job(7).unique("three").await.unwrap().is_existing());
        assert!(!taken.record().await.unwrap().args.contains("newest"));

        // Who comes while a transaction has the key that is not ended yet waits for its end.
        for commits in [true, false] {
            let mut tx = begin(pool.clone()).await.unwrap();
            let key = format!("open {commits}");
            let first = job(8).unique(&*key).within(&mut tx).await.unwrap();
            let second = tokio::spawn(greet_once.enqueue(9, "c").unique(&*key).on(client).into_future());
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!second.is_finished());
            match commits {
                true => tx.commit().await.unwrap(),
                false => tx.rollback().await.unwrap(),
            }
            let second = second.await.unwrap().unwrap();
            assert_eq!((second.id() == first.id(), second.is_existing()), (commits, commits));
        }
        pool.close().await;
    }};
}

on_each!(a_conflict_leaves_the_callers_transaction_alone: sqlite, postgres);

async fn a_conflict_leaves_the_callers_transaction_alone(place: &Place) {
    if place.url.starts_with("sqlite") {
        conflicts_within!(place, sqlx::SqlitePool, |pool| async move {
            pool.begin_with("BEGIN IMMEDIATE").await
        });
    } else {
        conflicts_within!(
            place,
            sqlx::PgPool,
            |pool| async move { pool.begin().await }
        );
    }
}
