//! [`Storage::insert`](crate::storage::Storage::insert).

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;

use super::stage::{
    Hand, LATER, at_once, close, eventually, id_of, ids, job, jobs, record, state, store,
    store_one, store_some, succeed,
};
use crate::job::{
    Backoff, Due, JobId, Metadata, NewJob, Occurrence, Priority, State, StoredOptions,
};
use crate::storage::{Inserted, StorageHandle};

/// Texts that a storage might be tempted to tidy up.
const TRICKY: &[&str] = &[
    r#"{"i64":9223372036854775807,"low":-9223372036854775808,"u64":18446744073709551615}"#,
    r#"{"tenth":0.1,"huge":1e300,"tiny":5e-324,"minus":-0.0,"whole":1.0,"exact":0.30000000000000004}"#,
    r#"{"z":1,"a":2,"m":{"y":1,"b":2},"":[]}"#,
    r#"{"same":1,"same":2}"#,
    r#"{ "spaced" : [ 1 ,	2 ] }"#,
    r#"{"text":"ß é 日本語 🦀 \u00e9 \ud83e\udd80 \/ \" \\ \n","quote":"it's $1 ? :x %s"}"#,
    r#"{"nul":"\u0000","sep":"\u2028"}"#,
    r#"{}"#,
];

/// A job comes back as it was given.
pub async fn a_job_is_stored_as_it_was_given(storage: StorageHandle) {
    let mut new = NewJob::new(JobId::new(), "SendMail.v2", r#"{"to":"ada"}"#);
    new.queue = "mail".into();
    new.priority = Priority::HIGH;
    store(&storage, std::slice::from_ref(&new)).await;
    let found = record(&storage, new.id).await;
    assert_eq!((found.id, found.kind.as_str()), (new.id, "SendMail.v2"));
    assert_eq!((found.args, found.queue), (new.args, "mail".into()));
    assert_eq!(found.priority, Priority::HIGH);
    assert_eq!(found.state, State::Enqueued);
    assert_eq!((found.run, found.attempt, found.lost), (0, 0, 0));
    assert_eq!(
        (found.reason, found.result, found.worker),
        (None, None, None)
    );
    assert_eq!((found.started_at, found.finished_at), (None, None));
    assert!(found.options.is_default());
    let now = storage.now();
    assert!(close(found.created_at, now) && close(found.due_at, now));
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.enqueued, counts.unfinished()), (1, 1));
}

/// A repeated insert stores once, whatever happened meanwhile, and changes nothing.
pub async fn a_repeated_insert_stores_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut new = job("a");
    store(&storage, std::slice::from_ref(&new)).await;
    new.args = r#"{"other":true}"#.into();
    new.queue = "b".into();
    let repeat = async || {
        let answer = storage.insert(std::slice::from_ref(&new)).await;
        assert_eq!(answer.expect("insert"), [Inserted::existing(new.id)]);
    };
    repeat().await;
    let found = record(&storage, new.id).await;
    assert_eq!((found.args.as_str(), found.queue.as_str()), ("{}", "a"));
    let run = hand.take_one("a").await;
    repeat().await;
    hand.finds_nothing("*").await;
    hand.end(&run, succeed()).await;
    repeat().await;
    hand.finds_nothing("*").await;
    assert_eq!(state(&storage, new.id).await, State::Succeeded);
}

/// The same insert sent many times at once stores once.
pub async fn an_insert_sent_many_times_at_once_stores_once(storage: StorageHandle) {
    let batch = jobs("a", 50);
    let send = |_| {
        let (storage, batch) = (storage.clone(), batch.clone());
        async move { storage.insert(&batch).await.expect("insert") }
    };
    let answers = at_once((0..6).map(send)).await;
    let new = answers.iter().flatten().filter(|one| !one.existing);
    assert_eq!(new.count(), 50, "each job is new to one of the senders");
    let hand = Hand::hire(&storage).await;
    hand.take("a", 50).await;
    hand.finds_nothing("a").await;
}

/// In a batch of old and new jobs the new ones are stored.
pub async fn a_repeat_beside_new_jobs_stores_the_new(storage: StorageHandle) {
    let old = job("a");
    store(&storage, std::slice::from_ref(&old)).await;
    let batch = [job("a"), old, job("a")];
    let answers = storage.insert(&batch).await.expect("insert");
    let existing: Vec<_> = answers.iter().map(|one| one.existing).collect();
    assert_eq!(existing, [false, true, false]);
    assert_eq!(storage.counts().await.expect("counts").enqueued, 3);
}

/// Arguments come back to the letter, to those who look and to those who run the job.
pub async fn arguments_come_back_to_the_letter(storage: StorageHandle) {
    let large = format!(r#"{{"large":"{}"}}"#, "x\u{e9}".repeat(300_000));
    let texts: Vec<&str> = TRICKY.iter().copied().chain([large.as_str()]).collect();
    let batch: Vec<_> = texts
        .iter()
        .map(|&text| NewJob {
            args: text.into(),
            ..job("a")
        })
        .collect();
    store(&storage, &batch).await;
    for new in &batch {
        assert_eq!(record(&storage, new.id).await.args, new.args);
    }
    let hand = Hand::hire(&storage).await;
    let taken = hand.take("a", texts.len()).await;
    let got: Vec<_> = taken.iter().map(|run| run.args.as_str()).collect();
    assert_eq!(got, texts);
}

/// Options come back as they were given.
pub async fn options_come_back(storage: StorageHandle) {
    let backoffs = [
        Backoff::Polynomial,
        Backoff::Fixed(Duration::from_millis(1_500)),
        Backoff::Linear {
            step: Duration::from_secs(1),
            max: Duration::from_secs(90),
        },
        Backoff::Exponential {
            base: Duration::from_nanos(1),
            factor: 1.1,
            max: Duration::from_secs(60),
            jitter: 0.3,
        },
        Backoff::List(vec![Duration::ZERO, Duration::from_secs(60)].into()),
    ];
    let hand = Hand::hire(&storage).await;
    for backoff in backoffs {
        let metadata = Metadata {
            value: "Ärger & Söhne".into(),
            inherit: true,
        };
        let options = StoredOptions {
            retries: Some(u32::MAX),
            backoff: Some(backoff),
            timeout: Some(Duration::from_nanos(1_000_000_001)),
            keep_for: Some(Duration::from_secs(86_400)),
            tags: vec!["vip".into(), "eu.west:1".into()],
            metadata: [("tenant".into(), metadata)].into(),
            occurrence: Some(Occurrence::new("nightly", chrono::DateTime::UNIX_EPOCH)),
        };
        let new = NewJob {
            options: options.clone(),
            ..job("a")
        };
        store(&storage, std::slice::from_ref(&new)).await;
        let text = |options: &StoredOptions| serde_json::to_string(options).expect("JSON");
        let found = record(&storage, new.id).await;
        assert_eq!(text(&found.options), text(&options));
        let run = hand.take_one("a").await;
        let claimed = run.job.options.as_deref().expect("the options");
        assert_eq!(text(claimed), text(&options));
    }
}

/// A job for later is Scheduled and not to be had.
pub async fn a_job_may_be_for_later(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut after = job("a");
    after.due = Due::In(LATER);
    let mut at = job("a");
    at.due = Due::At(storage.now() + TimeDelta::days(400));
    store(&storage, &[after.clone(), at.clone()]).await;
    let (first, second) = (
        record(&storage, after.id).await,
        record(&storage, at.id).await,
    );
    assert_eq!(
        (first.state, second.state),
        (State::Scheduled, State::Scheduled)
    );
    assert!(close(first.due_at, storage.now() + LATER));
    assert!(close(second.due_at, storage.now() + TimeDelta::days(400)));
    hand.finds_nothing("a").await;
}

/// A job whose time is past is due at once, not before those that have been waiting.
pub async fn a_job_for_the_past_is_due_at_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let first = store_one(&storage, "a").await;
    sleep(Duration::from_millis(5)).await;
    let mut past = job("a");
    past.due = Due::At(storage.now() - TimeDelta::days(1));
    store(&storage, std::slice::from_ref(&past)).await;
    let found = record(&storage, past.id).await;
    assert_eq!(found.state, State::Enqueued);
    assert!(close(found.due_at, storage.now()), "due when it was stored");
    let order: Vec<_> = hand.take("a", 2).await.iter().map(|run| run.id).collect();
    assert_eq!(order, [first, past.id]);
}

/// A job for later becomes due by itself.
pub async fn a_job_for_later_becomes_due(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut soon = job("a");
    soon.due = Due::In(Duration::from_millis(60));
    store(&storage, std::slice::from_ref(&soon)).await;
    let run = hand.take_one("a").await;
    assert_eq!(run.id, soon.id);
    assert!(run.due_at <= storage.now() + TimeDelta::seconds(1));
}

/// Ten thousand jobs are stored at once: nobody sees a part of them.
pub async fn ten_thousand_jobs_are_one_insert(storage: StorageHandle) {
    let batch = jobs("a", 10_000);
    let inserted = {
        let (storage, batch) = (storage.clone(), batch.clone());
        tokio::spawn(async move { store(&storage, &batch).await })
    };
    while !inserted.is_finished() {
        let seen = storage.counts().await.expect("counts").enqueued;
        assert!(seen == 0 || seen == 10_000, "{seen} of 10,000 are seen");
        sleep(Duration::from_millis(1)).await;
    }
    inserted.await.expect("the insert is answered");
    let hand = Hand::hire(&storage).await;
    let mut taken = 0;
    while taken < 10_000 {
        taken += hand.take("a", 1_000).await.len();
    }
    hand.finds_nothing("a").await;
}

/// An insert whose caller goes away is carried out whole or not at all, and can be sent again.
pub async fn a_dropped_insert_is_whole_or_nothing(storage: StorageHandle) {
    for wait in [0, 200, 1_000, 3_000, 10_000] {
        let queue = format!("q{wait}");
        let batch = jobs(&queue, 1_000);
        let dropped = tokio::time::timeout(Duration::from_micros(wait), storage.insert(&batch));
        drop(dropped.await);
        let again = storage.insert(&batch).await.expect("insert");
        let existing = again.iter().filter(|one| one.existing).count();
        assert!(existing == 0 || existing == 1_000, "{existing} of 1,000");
        let hand = Hand::hire(&storage).await;
        hand.take(&queue, 1_000).await;
        hand.finds_nothing(&queue).await;
    }
}

/// Many tasks that insert at once all succeed.
pub async fn many_tasks_insert_at_once(storage: StorageHandle) {
    let insert = |n: usize| {
        let storage = storage.clone();
        async move { store_one(&storage, ["a", "b"][n % 2]).await }
    };
    let ids = at_once((0..64).map(insert)).await;
    for id in ids {
        assert_eq!(state(&storage, id).await, State::Enqueued);
    }
    assert_eq!(storage.counts().await.expect("counts").enqueued, 64);
}

/// An insert of nothing does nothing.
pub async fn an_empty_insert_does_nothing(storage: StorageHandle) {
    assert_eq!(storage.insert(&[]).await.expect("insert"), []);
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// Ids come from clients, whose clocks may be wrong by any amount.
pub async fn ids_may_be_of_any_day(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let days = [-10_000, -400, -40, -1, 0, 1, 2, 9, 400, 10_000];
    let now = storage.now();
    let ids = days.map(|days| id_of(now + TimeDelta::days(days)));
    let batch = ids.map(|id| NewJob { id, ..job("a") });
    store(&storage, &batch).await;
    let again = storage.insert(&batch).await.expect("insert");
    assert!(again.iter().all(|one| one.existing));
    for run in hand.take("a", ids.len()).await {
        hand.end(&run, succeed()).await;
    }
    for id in ids {
        let found = record(&storage, id).await;
        assert_eq!(found.state, State::Succeeded);
        assert!(
            close(found.created_at, storage.now()),
            "created when stored"
        );
    }
}

/// Names may be as long as the rules allow, of all characters that they allow.
pub async fn names_may_be_long(storage: StorageHandle) {
    let queue = format!("az09_.:-{}", "q".repeat(56));
    let kind = format!("AZaz09_.:-{}", "k".repeat(118));
    let new = NewJob {
        kind: kind.clone().into(),
        ..job(&queue)
    };
    store(&storage, std::slice::from_ref(&new)).await;
    let hand = Hand::hire(&storage).await;
    let run = hand.take_one(&queue).await;
    assert_eq!((&*run.kind, &*run.queue), (kind.as_str(), queue.as_str()));
    hand.end(&run, succeed()).await;
}

/// Any priority that fits its type is kept.
pub async fn priorities_may_be_extreme(storage: StorageHandle) {
    let batch: Vec<_> = [i16::MAX, 0, i16::MIN]
        .map(|number| NewJob {
            priority: Priority::new(number),
            ..job("a")
        })
        .into();
    store(&storage, &batch).await;
    let hand = Hand::hire(&storage).await;
    let mut wanted = ids(&batch);
    wanted.reverse();
    let got: Vec<_> = hand.take("a", 3).await.iter().map(|run| run.id).collect();
    assert_eq!(got, wanted);
}

/// What was inserted is there for everybody when the answer is there.
pub async fn an_answer_means_that_it_is_there(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for _ in 0..20 {
        let ids = store_some(&storage, "a", 3).await;
        let found = storage.counts().await.expect("counts").enqueued;
        assert_eq!(found, 3);
        let mut got = Vec::new();
        eventually("the jobs are to be had", async || {
            got.extend(hand.take("a", 3 - got.len()).await);
            (got.len() == 3).then_some(())
        })
        .await;
        let got: Vec<_> = got.iter().map(|run| run.id).collect();
        assert_eq!(got, ids);
    }
}
