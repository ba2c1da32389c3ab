//! Creating jobs.

use std::time::Duration;

use jobs::inspect::{JobFilter, JobRecord};
use jobs::{State, job, jobs};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::kinds::{noop, note};
use crate::setup::{Place, on_each};

/// Answers what it was given.
#[job(name = "e2e.echo")]
async fn echo(numbers: (i64, u64, i128), decimals: Vec<f64>, text: String) -> Answer {
    (numbers, decimals, text)
}

type Answer = ((i64, u64, i128), Vec<f64>, String);

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
    let much_later = note.enqueue(2).delay(jobs::hours(1));
    let much_later = much_later.on(&place.client).await.unwrap();
    // Another one has run that came after them, and it still waits.
    note.enqueue(3)
        .on(&place.client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    assert_eq!(much_later.state().await.unwrap(), State::Scheduled);
    let record = later.wait().await.unwrap();
    let waited = record.started_at.unwrap() - record.created_at;
    assert!(waited >= chrono::TimeDelta::milliseconds(1_490), "{waited}");
    worker.stop().await;
}

on_each!(arguments_are_what_they_were_or_refused: memory, sqlite, postgres);

/// To the last bit, all the way to the handler and back; or an error that names the argument, and nothing is stored.
async fn arguments_are_what_they_were_or_refused(place: &Place) {
    let numbers = (i64::MIN, u64::MAX, i128::MAX);
    let decimals = vec![0.1 + 0.2, 5e-324, -0.0, 1e300, f64::MAX, 1.0];
    let text = "ß 🦀 \u{7f} \u{2028} \" \\ '";
    let refused = async |argument: &str, why: &str, decimals: Vec<f64>, text: String| {
        let job = echo.enqueue(numbers, decimals, text);
        let error = job.on(&place.client).await.unwrap_err().to_string();
        assert!(error.contains(argument) && error.contains(why), "{error}");
    };
    refused("decimals[1]", "NaN", vec![0.0, f64::NAN], text.into()).await;
    refused("decimals[0]", "inf", vec![f64::INFINITY], text.into()).await;
    refused("decimals[0]", "inf", vec![f64::NEG_INFINITY], text.into()).await;
    refused("text", "NUL", Vec::new(), "a\0b".into()).await;
    refused("`text`", "too large", Vec::new(), "x".repeat(1 << 20)).await;
    let counts = place.storage.inspect().counts().await.unwrap();
    assert_eq!(counts.unfinished(), 0);
    let worker = place.worker(jobs![echo]).start().await.unwrap();
    for text in [text.to_owned(), "é".repeat(500_000)] {
        let job = echo.enqueue(numbers, decimals.clone(), text.clone());
        let answer = job.on(&place.client).await.unwrap().result().await.unwrap();
        let bits = |all: &[f64]| all.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
        assert_eq!((answer.0, bits(&answer.1)), (numbers, bits(&decimals)));
        assert!(answer.2 == text, "the text has changed");
    }
    worker.stop().await;
}

on_each!(sql_can_enqueue: postgres);

async fn sql_can_enqueue(place: &Place) {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let call = |arguments: &str| AssertSqlSafe(format!("select jobs.enqueue({arguments})::text"));
    let mut ids = Vec::new();
    for arguments in [
        r#"'e2e.note', '{"n": 7 }'"#,
        r#"'e2e.note', '{"n": 8}', queue => 'mail', priority => -10, run_at => now() + interval '1 h'"#,
    ] {
        let id: String = sqlx::query_scalar(call(arguments))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        ids.push(id.parse().unwrap());
    }
    let [now, later] = [place.record(ids[0]).await, place.record(ids[1]).await];
    let seen = |it: &JobRecord| (it.state, it.queue.clone(), it.priority, it.args.clone());
    let (normal, high) = (jobs::Priority::NORMAL, jobs::Priority::HIGH);
    let wanted = (
        State::Enqueued,
        "default".into(),
        normal,
        r#"{"n": 7 }"#.into(),
    );
    assert_eq!(seen(&now), wanted);
    let wanted = (State::Scheduled, "mail".into(), high, r#"{"n": 8}"#.into());
    assert_eq!(seen(&later), wanted);
    let wait = later.due_at - later.created_at;
    assert!((wait - chrono::TimeDelta::hours(1)).abs() < chrono::TimeDelta::seconds(10));
    for (arguments, why) in [
        ("'no kind'", "[A-Za-z0-9_.:-]{1,128}"),
        ("null", "the name of a kind"),
        ("'e2e.note', queue => 'No'", "[a-z0-9_.:-]{1,64}"),
        ("'e2e.note', '[1]'", "a JSON object"),
        ("'e2e.note', null", "a JSON object"),
        ("'e2e.note', '{'", "json"),
        ("'e2e.note', priority => 40000", "from -32768 to 32767"),
        (
            "'e2e.note', json_build_object('n', repeat('x', 1048576))",
            "more than 1 MiB",
        ),
    ] {
        let refused = connection
            .execute(call(arguments))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(why), "{arguments}: {refused}");
    }
    let mut transaction = connection.begin().await.unwrap();
    transaction
        .execute(call(r#"'e2e.note', '{"n": 9}'"#))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        2
    );
    let worker = place
        .worker(crate::kinds::named(&[]))
        .start()
        .await
        .unwrap();
    let answer: i64 = place.client.handle(now.id).result().await.unwrap();
    assert_eq!(answer, 7);
    worker.stop().await;
}
