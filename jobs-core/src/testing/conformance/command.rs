//! [`Storage::command`](crate::storage::Storage::command).

use std::time::Duration;

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, at_once, close, eventually, fail, job, one_of_each, order, order_all, record,
    retry, state, store, store_one, store_some, succeed,
};
use crate::job::{Due, JobId, State};
use crate::lifecycle::Transition;
use crate::storage::{Answer, Command, Refusal, StorageHandle, Verb};

const ALL: [Verb; 5] = [
    Verb::Delete,
    Verb::Requeue,
    Verb::RunNow,
    Verb::Reschedule(Due::In(LATER)),
    Verb::Reschedule(Due::Now),
];

/// Where a verb takes a job from a state, if it applies.
fn leads_to(verb: Verb, from: State) -> Option<State> {
    use State::{Deleted, Enqueued, Failed, Scheduled, Succeeded};
    match (verb, from) {
        (Verb::Delete, Succeeded | Deleted) => None,
        (Verb::Delete, _) => Some(Deleted),
        (Verb::Requeue, Succeeded | Failed | Deleted) => Some(Enqueued),
        (Verb::RunNow, Scheduled | Enqueued) => Some(Enqueued),
        (Verb::Reschedule(Due::Now), Scheduled | Enqueued) => Some(Enqueued),
        (Verb::Reschedule(_), Scheduled | Enqueued) => Some(Scheduled),
        _ => None,
    }
}

/// Each verb on a job of each state: done with one event, or answered with the state and nothing done.
pub async fn every_verb_on_every_state(storage: StorageHandle) {
    for verb in ALL {
        let hand = Hand::hire(&storage).await;
        for (from, id) in one_of_each(&hand).await {
            let before = record(&storage, id).await;
            let events = storage.events(id).await.expect("events").len();
            let answer = order(&storage, verb, id).await;
            let after = record(&storage, id).await;
            let written = storage.events(id).await.expect("events").split_off(events);
            match leads_to(verb, from) {
                Some(to) => {
                    assert_eq!(answer, Answer::Done { from, to }, "{verb:?} of {from}");
                    assert_eq!(after.state, to);
                    let left_alone = (verb, from) == (Verb::RunNow, State::Enqueued);
                    let raised = i32::from(!left_alone);
                    assert_eq!(after.run, before.run + raised, "{verb:?} of {from}");
                    assert_eq!(written.len(), 1, "one event for {verb:?} of {from}");
                    let event = &written[0];
                    assert_eq!((event.job, event.verb.as_str()), (id, verb.as_str()));
                    assert_eq!((event.from, event.to), (from, to));
                    assert_eq!(event.actor, "ada");
                    assert_eq!(event.reason.as_deref(), Some("a test"));
                    assert!(close(event.at, storage.now()));
                }
                None => {
                    assert_eq!(answer, Answer::WrongState(from), "{verb:?} of {from}");
                    assert_eq!((after.state, after.run), (before.state, before.run));
                    assert_eq!(after.due_at, before.due_at);
                    assert_eq!(written.len(), 0, "nothing was done");
                }
            }
            order(&storage, Verb::Delete, id).await;
        }
        hand.finds_nothing("*").await;
        assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
    }
}

/// A job that nobody knows is answered as such.
pub async fn an_unknown_job_is_unknown(storage: StorageHandle) {
    let unknown = JobId::new();
    for verb in ALL {
        assert_eq!(order(&storage, verb, unknown).await, Answer::Unknown);
    }
    assert_eq!(storage.events(unknown).await.expect("events").len(), 0);
    assert_eq!(order_all(&storage, Verb::Delete, &[]).await, []);
}

/// Answers come in the order of the jobs, however many, whatever their states.
pub async fn answers_come_in_order(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut ids = store_some(&storage, "a", 1_500).await;
    let done = hand.take("a", 500).await;
    assert_eq!(hand.report(&done, &succeed()).await, []);
    ids[700] = JobId::new();
    ids.reverse();
    let answers = order_all(&storage, Verb::Delete, &ids).await;
    for (n, answer) in answers.iter().rev().enumerate() {
        let wanted = match n {
            0..500 => Answer::WrongState(State::Succeeded),
            700 => Answer::Unknown,
            _ => Answer::Done {
                from: State::Enqueued,
                to: State::Deleted,
            },
        };
        assert_eq!(*answer, wanted, "job number {n}");
    }
    let left = hand.take_one("a").await;
    hand.finds_nothing("a").await;
    assert!(!ids.contains(&left.id));
}

/// A deleted job waits no more, ends now, and says who did it and why.
pub async fn a_deleted_job_says_by_whom(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let first = store_one(&storage, "a").await;
    order(&storage, Verb::Delete, first).await;
    let found = record(&storage, first).await;
    assert_eq!(found.reason.as_deref(), Some("Deleted by ada: a test"));
    assert!(found.finished_at.is_some_and(|at| close(at, storage.now())));
    let second = store_one(&storage, "a").await;
    let command = Command {
        verb: Verb::Delete,
        jobs: vec![second],
        actor: "grace".into(),
        reason: None,
    };
    storage.command(&command).await.expect("command");
    let found = record(&storage, second).await;
    assert_eq!(found.reason.as_deref(), Some("Deleted by grace"));
    let events = storage.events(second).await.expect("events");
    assert_eq!(
        (events[0].actor.as_str(), &events[0].reason),
        ("grace", &None)
    );
    hand.finds_nothing("*").await;
}

/// A job that is deleted while it runs stays Deleted, whatever its worker reports.
pub async fn a_running_job_can_be_deleted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    order(&storage, Verb::Delete, id).await;
    let revoked = storage.revoked(&[(id, run.run)]).await.expect("revoked");
    assert_eq!(revoked, [id]);
    hand.is_refused(&run, succeed(), Refusal::Superseded).await;
    assert_eq!(state(&storage, id).await, State::Deleted);
    hand.dies().await;
    assert_eq!(state(&storage, id).await, State::Deleted);
    assert_eq!(record(&storage, id).await.lost, 0);
}

/// A requeued job runs again with counters that start anew, and its history kept.
pub async fn a_requeued_job_starts_anew(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    hand.take_one("a").await;
    hand.dies().await;
    let hand = Hand::hire(&storage).await;
    let run = hand.take_one("a").await;
    hand.end(&run, retry(Duration::ZERO)).await;
    let run = hand.take_one("a").await;
    hand.end(&run, fail()).await;
    let before = record(&storage, id).await;
    assert_eq!((before.attempt, before.lost), (2, 1));
    order(&storage, Verb::Requeue, id).await;
    let after = record(&storage, id).await;
    assert_eq!((after.state, after.run), (State::Enqueued, before.run + 1));
    assert_eq!((after.attempt, after.lost), (0, 0));
    assert_eq!((after.reason, after.finished_at), (None, None));
    assert_eq!(storage.attempts(id).await.expect("attempts").len(), 3);
    let run = hand.take_one("a").await;
    assert_eq!((run.attempt, run.lost), (0, 0));
    hand.end(&run, fail()).await;
    let rows = storage.attempts(id).await.expect("attempts");
    let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
    assert_eq!(
        numbers,
        [1, 1, 2, 1],
        "oldest first, the last of a new series"
    );
}

/// A job that is requeued after it succeeded has no result until it has one again.
pub async fn a_requeued_job_has_no_result(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    let done = |text: &str| Transition::Succeed {
        result: Some(text.into()),
        note: None,
    };
    hand.end(&run, done("1")).await;
    order(&storage, Verb::Requeue, id).await;
    assert_eq!(record(&storage, id).await.result, None);
    let run = hand.take_one("a").await;
    hand.end(&run, done("2")).await;
    assert_eq!(record(&storage, id).await.result.as_deref(), Some("2"));
}

/// A job that was run now is due now, and taken once.
pub async fn run_now_makes_a_job_due(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_one(&storage, "a").await;
    let run = hand.take_one("a").await;
    hand.end(&run, retry(LATER)).await;
    order(&storage, Verb::RunNow, run.id).await;
    let found = record(&storage, run.id).await;
    assert!(close(found.due_at, storage.now()));
    assert_eq!((found.attempt, found.queue.as_str()), (1, "a"));
    let again = hand.take_one("a").await;
    assert_eq!((again.id, again.attempt), (run.id, 1));
    hand.finds_nothing("a").await;
}

/// A rescheduled job waits for its new time, and for no other.
pub async fn a_rescheduled_job_waits_for_its_new_time(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let tomorrow = storage.now() + TimeDelta::days(1);
    order(&storage, Verb::Reschedule(Due::At(tomorrow)), id).await;
    let found = record(&storage, id).await;
    assert_eq!(found.state, State::Scheduled);
    assert!(close(found.due_at, tomorrow));
    hand.finds_nothing("a").await;
    let soon = Due::In(Duration::from_millis(50));
    order(&storage, Verb::Reschedule(soon), id).await;
    let run = hand.take_one("a").await;
    assert_eq!((run.id, run.attempt, run.lost), (id, 0, 0));
    hand.finds_nothing("a").await;
}

/// A job that was moved any number of times is in one place.
pub async fn a_job_that_was_moved_about_is_there_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let id = store_one(&storage, "a").await;
    let verbs = [
        Verb::Reschedule(Due::In(LATER)),
        Verb::RunNow,
        Verb::Delete,
        Verb::Requeue,
        Verb::Reschedule(Due::Now),
        Verb::Delete,
        Verb::Requeue,
        Verb::Reschedule(Due::In(LATER)),
        Verb::Reschedule(Due::In(LATER * 2)),
        Verb::RunNow,
        Verb::RunNow,
    ];
    for verb in verbs {
        let answer = order(&storage, verb, id).await;
        assert!(
            matches!(answer, Answer::Done { .. }),
            "{verb:?}: {answer:?}"
        );
    }
    assert_eq!(storage.events(id).await.expect("events").len(), verbs.len());
    let run = hand.take_one("a").await;
    hand.finds_nothing("a").await;
    hand.end(&run, succeed()).await;
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// Of operators who order the same at the same time one wins, and the others are told.
pub async fn of_many_operators_one_wins(storage: StorageHandle) {
    let ids = store_some(&storage, "a", 20).await;
    let operator = |_| {
        let (storage, ids) = (storage.clone(), ids.clone());
        async move { order_all(&storage, Verb::Delete, &ids).await }
    };
    let answers = at_once((0..6).map(operator)).await;
    for (n, &id) in ids.iter().enumerate() {
        let done = |answers: &&Vec<Answer>| matches!(answers[n], Answer::Done { .. });
        assert_eq!(answers.iter().filter(done).count(), 1, "one deleted {id}");
        let told = |answers: &&Vec<Answer>| answers[n] == Answer::WrongState(State::Deleted);
        assert_eq!(answers.iter().filter(told).count(), 5);
        assert_eq!(storage.events(id).await.expect("events").len(), 1);
    }
}

/// A job that is deleted and claimed at the same moment is either deleted or run, never both.
pub async fn deleting_and_claiming_at_once_agree(storage: StorageHandle) {
    for _ in 0..10 {
        let hand = Hand::hire(&storage).await;
        let ids = store_some(&storage, "a", 60).await;
        let delete = {
            let (storage, ids) = (storage.clone(), ids.clone());
            tokio::spawn(async move {
                let mut deleted = 0;
                for some in ids.chunks(7) {
                    let answers = order_all(&storage, Verb::Delete, some).await;
                    let done = |one: &&Answer| matches!(one, Answer::Done { .. });
                    deleted += answers.iter().filter(done).count();
                }
                deleted
            })
        };
        let mut applied = 0;
        while !delete.is_finished() {
            let runs = hand.ask(&[("a", 5)], 5).await;
            applied += runs.len() - hand.report(&runs, &succeed()).await.len();
        }
        let deleted = delete.await.expect("the orders are answered");
        eventually("all have ended", async || {
            let runs = hand.ask(&[("a", 50)], 50).await;
            applied += runs.len() - hand.report(&runs, &succeed()).await.len();
            let counts = storage.counts().await.expect("counts");
            (counts.unfinished() == 0).then_some(())
        })
        .await;
        assert_eq!(deleted + applied, 60, "each job ended once");
        hand.finds_nothing("a").await;
    }
}

/// What is deleted among many that wait does not hide the others.
pub async fn the_others_still_run(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut batch: Vec<_> = (0..10).map(|_| job("a")).collect();
    for new in batch.iter_mut().skip(5) {
        new.due = Due::In(Duration::from_millis(40));
    }
    store(&storage, &batch).await;
    for new in batch.iter().step_by(2) {
        order(&storage, Verb::Delete, new.id).await;
    }
    let runs = hand.take("a", 5).await;
    let wanted: Vec<_> = batch.iter().skip(1).step_by(2).map(|new| new.id).collect();
    let got: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(got, wanted);
    hand.finds_nothing("a").await;
}

/// Very many that run are deleted in one step, each answered for: what that takes must not grow with their
/// square.
pub async fn very_many_that_run_are_deleted_at_once(storage: StorageHandle) {
    const MANY: usize = 25_000;
    let hand = Hand::hire(&storage).await;
    let ids = store_some(&storage, "a", MANY).await;
    let runs = hand.take("a", MANY).await;
    let last = record(&storage, ids[MANY - 1]).await;
    assert_eq!(
        (last.state, last.worker),
        (State::Processing, Some(hand.id))
    );
    let answers = order_all(&storage, Verb::Delete, &ids).await;
    let done = Answer::Done {
        from: State::Processing,
        to: State::Deleted,
    };
    assert!(answers.iter().all(|answer| *answer == done));
    assert_eq!(state(&storage, ids[MANY - 1]).await, State::Deleted);
    let refused = hand.report(&runs, &succeed()).await;
    assert_eq!(refused.len(), MANY);
}
