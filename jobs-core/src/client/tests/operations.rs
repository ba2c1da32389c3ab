use std::time::Duration;

use super::note;
use crate::client::Client;
use crate::error::Error;
use crate::job::{Due, JobId, State};
use crate::storage::probe::{Fault, Probe, conflict, unavailable};
use crate::storage::{Answer, MemoryStorage};

#[tokio::test]
async fn a_deed_is_kept_with_its_actor_and_reason() {
    let client = Client::builder(MemoryStorage::new()).actor("cron").build();
    let job = client.enqueue(note("x")).await.unwrap();
    let moved = client.delete(job.id()).by("ada").because("a mistake");
    let moved = moved.await.unwrap();
    assert_eq!((moved.from, moved.to), (State::Enqueued, State::Deleted));
    client.requeue(job.id()).await.unwrap();
    let events = client.inspect().events(job.id()).await.unwrap();
    assert_eq!(events[0].actor, "ada");
    assert_eq!(events[0].reason.as_deref(), Some("a mistake"));
    assert_eq!(
        (events[1].actor.as_str(), events[1].verb.as_str()),
        ("cron", "requeue")
    );
}

#[tokio::test]
async fn a_deed_that_does_not_apply_says_what_was_found() {
    let client = Client::new(MemoryStorage::new());
    let job = client.enqueue(note("x")).await.unwrap();
    job.cancel().because("not needed").await.unwrap();
    let error = job.cancel().await.unwrap_err();
    assert!(matches!(
        error,
        Error::WrongState {
            state: State::Deleted,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        format!("cannot delete job {}: it is Deleted", job.id())
    );
    let unknown = JobId::new();
    let error = client.run_now(unknown).await.unwrap_err();
    assert!(matches!(error, Error::UnknownJob(id) if id == unknown));
    assert_eq!(client.inspect().events(job.id()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn time_can_be_moved() {
    let client = Client::new(MemoryStorage::new());
    let day = Due::In(Duration::from_secs(86_400));
    let job = client.enqueue(note("x")).await.unwrap();
    let moved = client.reschedule(job.id(), day).await.unwrap();
    assert_eq!((moved.from, moved.to), (State::Enqueued, State::Scheduled));
    client.run_now(job.id()).await.unwrap();
    assert_eq!(job.state().await.unwrap(), State::Enqueued);
}

#[tokio::test]
async fn many_are_answered_one_by_one() {
    let client = Client::new(MemoryStorage::new());
    let jobs = client.enqueue_many((0..2_500).map(note)).await.unwrap();
    let last = *jobs.ids().last().unwrap();
    client.delete(last).await.unwrap();
    let mut ids = jobs.ids().to_vec();
    ids.push(JobId::new());
    let answers = client
        .delete_many(ids.iter().copied())
        .by("ada")
        .await
        .unwrap();
    assert!(answers.iter().map(|(id, _)| id).eq(&ids));
    let done = answers
        .iter()
        .filter(|(_, answer)| matches!(answer, Answer::Done { .. }));
    assert_eq!(done.count(), 2_499);
    assert_eq!(answers[2_499].1, Answer::WrongState(State::Deleted));
    assert_eq!(answers[2_500].1, Answer::Unknown);
    client.requeue_many(ids).await.unwrap();
    assert_eq!(client.inspect().counts().await.unwrap().enqueued, 2_500);
}

#[tokio::test]
async fn an_actor_has_a_name_that_can_be_stored() {
    let client = Client::new(MemoryStorage::new());
    let job = client.enqueue(note("x")).await.unwrap();
    for (actor, reason) in [(" ", ""), ("a\0", ""), ("ada", "\0")] {
        let error = client.delete(job.id()).by(actor).because(reason).await;
        assert!(matches!(error, Err(Error::Invalid(_))));
    }
    assert_eq!(job.state().await.unwrap(), State::Enqueued);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_and_a_lost_answer_is_not() {
    let mut conflicts = 3;
    let probe = Probe::failing(move |verb, _| match verb {
        "command" if conflicts > 0 => {
            conflicts -= 1;
            Fault::Before(conflict())
        }
        "command" => Fault::After(unavailable()),
        _ => Fault::None,
    });
    let client = Client::new(probe);
    let job = client.enqueue(note("x")).await.unwrap();
    let error = job.cancel().await.unwrap_err();
    // Nobody can know; sent again, it would have been told that the job is deleted already.
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(job.state().await.unwrap(), State::Deleted);
}

#[tokio::test]
async fn nobody_can_wait_for_ever() {
    let client = Client::new(MemoryStorage::new());
    let words = |error: Option<Error>| match error {
        Some(Error::Invalid(why)) => assert!(why.contains("100,000 years"), "{why}"),
        other => panic!("{other:?}"),
    };
    words(client.enqueue(note("x")).delay(Duration::MAX).await.err());
    let job = client.enqueue(note("x")).await.unwrap();
    let never = Due::In(Duration::MAX);
    words(client.reschedule(job.id(), never).await.err());
    words(client.reschedule_many([job.id()], never).await.err());
    words(client.queue("a").pause().lasting(Duration::MAX).await.err());
    assert_eq!(client.inspect().counts().await.unwrap().enqueued, 1);
    let long = Duration::from_secs(1_000 * 365 * 86_400);
    client.reschedule(job.id(), Due::In(long)).await.unwrap();
}
