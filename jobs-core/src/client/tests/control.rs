use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::job::{Bound, JobId, NewJob, QueueOrder};
use crate::storage::{MemoryStorage, Scope};

async fn client_with(queue: &str) -> Client {
    let client = Client::new(MemoryStorage::new());
    let mut job = NewJob::new(JobId::new(), "note", "{}");
    job.queue = queue.to_owned().into();
    client.storage().insert(&[job]).await.unwrap();
    client
}

#[tokio::test]
async fn a_queue_is_paused_by_somebody_for_a_reason() {
    let client = client_with("mail").await;
    client
        .queue("mail")
        .pause()
        .by("ada")
        .because("provider down")
        .await
        .unwrap();
    let queues = client.inspect().queues().await.unwrap();
    let pause = queues[0].pause.as_ref().unwrap();
    assert_eq!(
        (pause.actor.as_str(), pause.reason.as_deref(), pause.until),
        ("ada", Some("provider down"), None)
    );
    client.queue("mail").resume().by("bo").await.unwrap();
    let queues = client.inspect().queues().await.unwrap();
    assert!(queues.iter().all(|queue| queue.pause.is_none()));
    let events = client.inspect().control_events(5).await.unwrap();
    let who: Vec<_> = events
        .iter()
        .map(|event| (&*event.verb, &*event.actor))
        .collect();
    assert_eq!(who, [("resume", "bo"), ("pause", "ada")]);
}

#[tokio::test]
async fn a_kind_is_paused_for_a_time() {
    let client = client_with("mail").await;
    let hour = Duration::from_secs(3_600);
    client.kind("note").pause().lasting(hour).await.unwrap();
    let paused = client.inspect().controls().await.unwrap().pauses;
    assert_eq!(paused[0].scope, Scope::kind("note").unwrap());
    let pause = &paused[0].pause;
    assert_eq!(pause.until, Some(pause.since + hour));
    let later = pause.since + 2 * hour;
    client.kind("note").pause().until(later).await.unwrap();
    let paused = client.inspect().controls().await.unwrap().pauses;
    assert_eq!((paused.len(), paused[0].pause.until), (1, Some(later)));
    client.kind("note").resume().await.unwrap();
    assert_eq!(client.inspect().controls().await.unwrap().pauses, []);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let client = client_with("mail").await;
    let words = |result: Result<(), Error>| match result {
        Err(Error::Invalid(why)) => why,
        other => panic!("{other:?}"),
    };
    let mail = client.queue("mail");
    for wrong in ["Mail", "ma*il", "", "**"] {
        let wrong = client.queue(wrong);
        assert!(words(wrong.pause().await).contains("[a-z0-9_.:-]"));
        assert!(words(wrong.resume().await).contains("[a-z0-9_.:-]"));
        assert!(words(wrong.drain().await).contains("[a-z0-9_.:-]"));
    }
    assert!(words(client.kind("a b").pause().await).contains("kind"));
    let past = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    assert!(words(mail.pause().until(past).await).contains("in the future"));
    assert!(words(mail.pause().lasting(Duration::ZERO).await).contains("in the future"));
    assert!(words(mail.pause().by(" ").await).contains("who acts"));
    let nothing = client.inspect().control_events(5).await.unwrap();
    assert_eq!(nothing, [], "nothing was told");
    // What is paused as a part of something wider cannot go on alone.
    client.queue("m*").pause().by("ada").await.unwrap();
    let why = words(mail.resume().await);
    assert!(why.contains("queue `m*` was paused by ada"), "{why}");
    client.queue("*").resume().await.unwrap();
    mail.resume().await.unwrap();
}

#[tokio::test]
async fn an_order_is_set_and_taken_back() {
    let client = client_with("mail").await;
    let order = QueueOrder::weighted([("mail", 3), ("reports", 1)]).unwrap();
    let set = client.set_queue_order(order.clone());
    set.by("ada").because("a rush").await.unwrap();
    let kept = client.inspect().controls().await.unwrap().order.unwrap();
    assert_eq!(
        (kept.order, kept.reason.as_deref()),
        (order, Some("a rush"))
    );
    client.reset_queue_order().await.unwrap();
    assert_eq!(client.inspect().controls().await.unwrap().order, None);
}

#[tokio::test(start_paused = true)]
async fn draining_says_what_it_waited_for() {
    let client = client_with("mail").await;
    let drain = client.queue("mail").drain().timeout(Duration::from_secs(2));
    let why = drain.await.unwrap_err();
    assert!(matches!(why, Error::TimedOut(_)), "{why:?}");
    assert!(
        why.to_string().contains("1 jobs are due and 0 run"),
        "{why}"
    );
    client.queue("other*").drain().await.unwrap();
    // What may not start is not waited for.
    client.queue("mail").pause().await.unwrap();
    client.queue("mail").drain().await.unwrap();
}

#[tokio::test]
async fn a_limit_is_set_by_somebody_for_a_reason() {
    let client = Client::new(MemoryStorage::new());
    let limit = client.limit("kind:resize");
    let bound = Bound::Concurrency { max: 8 };
    let set = limit.set(bound).by("ada").because("a new disk");
    set.await.unwrap();
    limit.set(Bound::Concurrency { max: 0 }).await.unwrap_err();
    limit.reset().by("bo").await.unwrap();
    let events = client.inspect().control_events(10).await.unwrap();
    let [reset, set] = &events[..] else {
        panic!("{events:?}");
    };
    let rule = set.rule.as_ref().map(|rule| rule.bound);
    assert_eq!((&*set.verb, &*set.actor, rule), ("set", "ada", Some(bound)));
    assert_eq!(set.reason.as_deref(), Some("a new disk"));
    assert_eq!((&*reset.verb, &*reset.actor), ("reset", "bo"));
    assert_eq!(reset.limit.as_deref(), Some("kind:resize"));
    assert_eq!((&reset.rule, &reset.reason), (&None, &None));
}
