//! Whose turn it is before a [limit](crate::job::LimitUse), and what happens to those who wait for theirs.

use std::time::Duration;

use super::control::{kind, pause, queues, resume};
use super::stage::{
    Hand, LATER, after, at_most, becomes, eventually, jobs, limited, order, record, rules, state,
    store, store_one, succeed,
};

use super::limits::some;
use crate::job::{Condition, Due, Priority, State};
use crate::storage::{StorageHandle, Verb};

/// The line is in the order of priority, due time and id.
pub async fn turns_come_in_order(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut batch = some("a", 1, "", 5);
    batch[3].priority = Priority::HIGH;
    batch[1].priority = Priority::LOW;
    store(&storage, &batch[..1]).await;
    let mut run = hand.gets("a", 1).await.remove(0);
    store(&storage, &batch[1..]).await;
    for wanted in [3, 2, 4, 1] {
        hand.end(&run, succeed()).await;
        run = hand.gets("a", 1).await.remove(0);
        assert_eq!(run.id, batch[wanted].id);
    }
}

/// Keys have their turns, also where only one job runs at a time: one for which very many wait, all of them stored
/// before the others, does not keep those out.
pub async fn keys_are_served_in_turn(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let waiting = [("many", 40), ("few", 3), ("some", 3)];
    for (key, n) in waiting {
        store(&storage, &some("a", 1, key, n)).await;
    }
    let mut served = Vec::new();
    while served.len() < 12 {
        let run = eventually("one is let in", async || {
            storage.tick().await.expect("tick");
            hand.ask(&[("a", 1)], 1).await.pop()
        })
        .await;
        let limits = run.rules.clone().expect("rules").limits;
        served.push(limits[0].key.clone());
        hand.end(&run, succeed()).await;
    }
    for key in ["few", "some"] {
        let turns = served.iter().filter(|served| *served == key).count();
        assert_eq!(turns, 3, "{key} had to wait: {served:?}");
    }
}

/// A job that is for later uses nothing before it is due, and is let in when it is.
pub async fn a_job_for_later_uses_nothing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut batch = some("a", 1, "", 3);
    batch[0].due = Due::In(LATER);
    batch[0].priority = Priority::HIGH;
    batch[1].due = Due::In(Duration::from_millis(200));
    store(&storage, &batch).await;
    let found = record(&storage, batch[0].id).await;
    assert_eq!((found.state, found.limited_by), (State::Scheduled, None));
    let soon = record(&storage, batch[1].id).await;
    assert!(soon.state == State::Scheduled || soon.due_at <= storage.now());
    let run = hand.gets("a", 1).await.remove(0);
    assert_eq!(run.id, batch[2].id);
    hand.end(&run, succeed()).await;
    let run = hand.gets("a", 1).await.remove(0);
    assert_eq!(run.id, batch[1].id);
    assert!(run.due_at >= record(&storage, run.id).await.created_at + Duration::from_millis(200));
    hand.end(&run, succeed()).await;
    order(&storage, Verb::RunNow, batch[0].id).await;
    assert_eq!(hand.gets("a", 1).await[0].id, batch[0].id);
}

/// An operator can do with a job before a limit what can be done with any that waits.
pub async fn verbs_apply_to_who_waits(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch = some("a", 1, "", 5);
    store(&storage, &batch).await;
    let first = hand.gets("a", 1).await.remove(0);
    order(&storage, Verb::Delete, batch[1].id).await;
    order(&storage, Verb::Reschedule(Due::In(LATER)), batch[2].id).await;
    order(&storage, Verb::RunNow, batch[3].id).await;
    hand.gets_nothing("a").await;
    assert_eq!(state(&storage, batch[2].id).await, State::Scheduled);
    hand.end(&first, succeed()).await;
    let run = hand.gets("a", 1).await.remove(0);
    assert_eq!(run.id, batch[3].id);
    order(&storage, Verb::Requeue, first.id).await;
    order(&storage, Verb::RunNow, batch[2].id).await;
    hand.gets_nothing("a").await;
    hand.end(&run, succeed()).await;
    for _ in 0..3 {
        let run = hand.gets("a", 1).await.remove(0);
        hand.end(&run, succeed()).await;
    }
    let counts = storage.counts().await.expect("counts");
    assert_eq!(
        (counts.succeeded, counts.deleted, counts.unfinished()),
        (4, 1, 0)
    );
}

/// Deleting or moving a job that has been let in and not been taken makes room too.
pub async fn a_job_that_loses_its_ticket_makes_room(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch = some("a", 1, "", 4);
    store(&storage, &batch).await;
    storage.tick().await.expect("tick");
    order(&storage, Verb::Delete, batch[0].id).await;
    storage.tick().await.expect("tick");
    order(&storage, Verb::Reschedule(Due::In(LATER)), batch[1].id).await;
    assert_eq!(hand.gets("a", 1).await[0].id, batch[2].id);
}

/// A child waits for its parents first and for its turn then.
pub async fn a_child_waits_for_its_turn_too(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let mut child = limited("c", &at_most("l", 1), "");
    let waits = after("c", &[(parent, Condition::Success)]).rules;
    rules(&mut child).parents = waits.expect("rules").parents;
    store(
        &storage,
        &[child.clone(), limited("c", &at_most("l", 1), "")],
    )
    .await;
    let run = hand.gets("c", 1).await.remove(0);
    assert_ne!(run.id, child.id);
    hand.end(&hand.take_one("p").await, succeed()).await;
    becomes(&storage, child.id, State::Enqueued).await;
    hand.gets_nothing("c").await;
    hand.end(&run, succeed()).await;
    assert_eq!(hand.gets("c", 1).await[0].id, child.id);
}

/// What is paused, queue or kind, is passed over, and is let in when it is resumed.
pub async fn what_is_paused_is_passed_over(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    pause(&storage, queues("paused")).await;
    pause(&storage, kind("paused")).await;
    let mut of_kind = limited("a", &at_most("l", 1), "");
    of_kind.kind = "paused".into();
    let batch = [
        limited("paused", &at_most("l", 1), ""),
        of_kind,
        limited("a", &at_most("l", 1), ""),
    ];
    store(&storage, &batch).await;
    let run = hand.gets("*", 1).await.remove(0);
    assert_eq!(run.id, batch[2].id);
    resume(&storage, queues("paused")).await;
    hand.gets_nothing("*").await;
    hand.end(&run, succeed()).await;
    let run = hand.gets("*", 1).await.remove(0);
    assert_eq!(run.id, batch[0].id);
    hand.end(&run, succeed()).await;
    hand.gets_nothing("*").await;
    resume(&storage, kind("paused")).await;
    assert_eq!(hand.gets("*", 1).await[0].id, batch[1].id);
}

/// Jobs that wait before limits, however many, do not keep others of their queue from running.
pub async fn ordinary_jobs_run_beside_them(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for _ in 0..5 {
        store(&storage, &some("a", 1, "", 1_000)).await;
    }
    let batch = jobs("a", 500);
    store(&storage, &batch).await;
    let runs = hand.gets("a", 501).await;
    assert_eq!(hand.report(&runs[1..], &succeed()).await, []);
    let plain = runs.iter().filter(|run| run.rules.is_none()).count();
    assert_eq!(plain, 500);
}
