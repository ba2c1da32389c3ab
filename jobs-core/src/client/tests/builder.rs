use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::note;
use crate::client::{Client, Enqueue};
use crate::error::{Error, Result};
use crate::job::{Backoff, Job, JobDefaults, JobRecord, Priority, State, UniqueUntil};
use crate::storage::MemoryStorage;

fn client() -> Client {
    Client::new(MemoryStorage::new())
}

async fn record<J: Job>(enqueue: Enqueue<'_, J>) -> Result<JobRecord> {
    enqueue.await?.record().await
}

#[track_caller]
fn invalid<T>(answer: Result<T>, says: &str) {
    match answer {
        Err(Error::Invalid(why)) => assert!(why.contains(says), "{why} should say {says}"),
        Err(other) => panic!("{other:?} is no Invalid"),
        Ok(_) => panic!("should be refused: {says}"),
    }
}

#[tokio::test]
async fn a_plain_job_is_enqueued_in_the_default_queue() {
    let record = record(client().enqueue(note("x"))).await.unwrap();
    assert_eq!(record.kind, "note");
    assert_eq!(record.args, r#"{"text":"x"}"#);
    assert_eq!(record.queue, "default");
    assert_eq!(record.state, State::Enqueued);
    assert_eq!(record.priority, Priority::NORMAL);
    assert!(record.options.is_default());
}

#[tokio::test]
async fn what_is_said_of_a_job_is_stored_with_it() {
    let client = client();
    let mut enqueue = client.enqueue(note("x")).queue(String::from("mail"));
    if record_of_urgency() {
        enqueue = enqueue.priority(Priority::HIGH);
    }
    let record = record(
        enqueue
            .delay(Duration::from_secs(600))
            .retries(3)
            .backoff(Backoff::Fixed(Duration::from_secs(9)))
            .timeout(Duration::from_secs(30))
            .keep_for(Duration::from_secs(60))
            .tag("vip")
            .tags(["a", "vip"]),
    )
    .await
    .unwrap();
    assert_eq!(record.queue, "mail");
    assert_eq!(record.priority, Priority::HIGH);
    assert_eq!(record.state, State::Scheduled);
    let options = &record.options;
    assert_eq!(options.retries, Some(3));
    assert!(matches!(options.backoff, Some(Backoff::Fixed(wait)) if wait.as_secs() == 9));
    assert_eq!(options.timeout, Some(Duration::from_secs(30)));
    assert_eq!(options.keep_for, Some(Duration::from_secs(60)));
    assert_eq!(options.tags, ["vip", "a"]);
}

fn record_of_urgency() -> bool {
    true
}

#[tokio::test]
async fn an_instant_may_come_from_any_clock() {
    let client = client();
    let hour = Duration::from_secs(3_600);
    let system = SystemTime::now() + hour;
    let utc = DateTime::<Utc>::from(system);
    let one = record(client.enqueue(note(1)).at(system)).await.unwrap();
    let two = record(client.enqueue(note(2)).at(utc)).await.unwrap();
    let three = client
        .enqueue(note(3))
        .at(utc.with_timezone(&chrono::Local));
    assert_eq!(one.due_at, two.due_at);
    assert_eq!(record(three).await.unwrap().due_at, utc);
    let past = client.enqueue(note(4)).at(SystemTime::UNIX_EPOCH);
    assert_eq!(record(past).await.unwrap().state, State::Enqueued);
    // Before what databases can count back to.
    let long_past = client.enqueue(note(5)).at(DateTime::<Utc>::MIN_UTC);
    let record = record(long_past).await.unwrap();
    assert_eq!(record.state, State::Enqueued);
}

#[derive(Serialize)]
struct Declared {}

impl Job for Declared {
    const KIND: &'static str = "declared";
    type Output = ();
    const DEFAULTS: JobDefaults = JobDefaults {
        queue: Some("own"),
        priority: Some(Priority::LOW),
        retries: Some(1),
        tags: &["kind"],
        ..JobDefaults::NONE
    };
}

#[tokio::test]
async fn the_kind_gives_what_the_call_does_not() {
    let client = client();
    let plain = record(client.enqueue(Declared {}).tag("mine"))
        .await
        .unwrap();
    assert_eq!(
        (plain.queue.as_str(), plain.priority),
        ("own", Priority::LOW)
    );
    assert_eq!(plain.options.tags, ["mine", "kind"]);
    // Not stored: the worker looks it up, so that a new declaration holds for old jobs.
    assert_eq!(plain.options.retries, None);
    let given = client.enqueue(Declared {}).queue("other").retries(7);
    let given = record(given.priority(Priority::NORMAL)).await.unwrap();
    assert_eq!(given.queue, "other");
    assert_eq!(given.priority, Priority::NORMAL);
    assert_eq!(given.options.retries, Some(7));
}

#[tokio::test]
async fn mistakes_are_told_when_it_is_awaited_and_nothing_is_stored() {
    let client = client();
    let enqueue = || client.enqueue(note("x"));
    invalid(
        enqueue().queue("Mail").await,
        r#""Mail" cannot be the name of a queue: it must match [a-z0-9_.:-]{1,64}"#,
    );
    invalid(enqueue().tag("a b").await, "cannot be the name of a tag");
    invalid(
        enqueue()
            .backoff(Backoff::Function(|_| Duration::ZERO))
            .await,
        "cannot be stored",
    );
    let growing = |factor| Backoff::Exponential {
        base: Duration::from_secs(1),
        factor,
        max: Duration::MAX,
        jitter: 0.0,
    };
    invalid(enqueue().backoff(growing(f64::NAN)).await, "not NaN");
    invalid(enqueue().timeout(Duration::ZERO).await, "timeout of zero");
    // Databases count the time until it is over, and cannot count so far.
    let most = Duration::MAX;
    invalid(enqueue().expires_in(most).await, "100,000 years");
    let period = enqueue()
        .unique("x")
        .unique_until(UniqueUntil::Period(most));
    invalid(period.await, "100,000 years");
    // The first mistake counts, and a good value after it does not hide it.
    invalid(
        enqueue().queue("A").tag("B").queue("a").await,
        "\"A\" cannot be",
    );
    invalid(client.enqueue(note("\0")).await, "argument `text`");
    assert_eq!(client.inspect().counts().await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn a_kind_that_was_written_by_hand_is_checked() {
    #[derive(Serialize)]
    struct Bad {}
    impl Job for Bad {
        const KIND: &'static str = "not a kind";
        type Output = ();
    }
    invalid(client().enqueue(Bad {}).await, "\"not a kind\" cannot be");
}

#[tokio::test]
async fn the_limit_of_arguments_is_the_clients() {
    let client = Client::builder(MemoryStorage::new()).args_limit(20).build();
    assert!(client.enqueue(note("x")).await.is_ok());
    let large = client.enqueue(note("x".repeat(20))).await;
    invalid(large, "the limit is 20");
}

#[tokio::test]
async fn without_a_client_the_error_says_what_to_do() {
    // Nothing in this process installs a client.
    let error = Enqueue::new(note("x")).await.unwrap_err();
    assert!(matches!(error, Error::NoClient));
    assert!(error.to_string().contains("install()"));
}

#[tokio::test]
async fn a_builder_can_be_moved_to_another_task() {
    let client = client();
    let enqueue = client.enqueue(note("x")).queue(Cow::Borrowed("mail"));
    let handle = tokio::spawn(enqueue.into_future()).await.unwrap().unwrap();
    assert_eq!(handle.state().await.unwrap(), State::Enqueued);
}
