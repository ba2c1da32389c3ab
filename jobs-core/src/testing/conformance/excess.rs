//! What becomes of jobs that [exceed](crate::job::Excess) a limit, and
//! [`Storage::set_limit`](crate::storage::Storage::set_limit).

use std::time::Duration;

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, after, at_most, becomes, close, ids, job, jobs, limit, limit_record, limited,
    record, retry, rule, state, store, store_some, store_this, succeed,
};
use crate::error::Error;
use crate::job::{Bound, Condition, Excess, LimitRule, NewJob, State};
use crate::storage::StorageHandle;

async fn set(storage: &StorageHandle, name: &str, rule: Option<&LimitRule>) {
    storage
        .set_limit(name, rule, "ada", None)
        .await
        .expect("set_limit");
}

fn some(rule: &LimitRule, n: usize) -> Vec<NewJob> {
    (0..n).map(|_| limited("a", rule, "")).collect()
}

/// What is not let in at its turn may be Scheduled later, again and again, with the reason; it uses no
/// attempt, and runs when there is room at its time.
pub async fn the_excess_may_be_rescheduled(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let later = LimitRule {
        excess: Excess::Reschedule(Duration::from_secs(600)),
        ..at_most("later", 1)
    };
    let batch = some(&later, 3);
    store(&storage, &batch).await;
    let run = hand.gets("a", 1).await.remove(0);
    for new in batch.iter().filter(|new| new.id != run.id) {
        let found = becomes(&storage, new.id, State::Scheduled).await;
        let reason = "Limit later is reached: again in 10 min";
        assert_eq!(found.reason.as_deref(), Some(reason));
        assert!(close(found.due_at, storage.now() + TimeDelta::minutes(10)));
        assert_eq!((found.attempt, found.limited_by), (0, None));
    }
    let soon = LimitRule {
        excess: Excess::Reschedule(Duration::from_millis(50)),
        ..at_most("soon", 1)
    };
    let batch: Vec<_> = (0..3).map(|_| limited("b", &soon, "")).collect();
    store(&storage, &batch).await;
    for _ in 0..3 {
        let run = hand.gets("b", 1).await.remove(0);
        assert_eq!(run.attempt, 0);
        hand.end(&run, succeed()).await;
    }
}

/// What is not let in at its turn may be Deleted, with the reason; it is counted, and its children hear.
pub async fn the_excess_may_be_deleted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let delete = LimitRule {
        excess: Excess::Delete,
        ..at_most("l", 1)
    };
    let first = store_this(&storage, limited("a", &delete, "")).await;
    let run = hand.gets("a", 1).await.remove(0);
    let second = limited("a", &delete, "");
    let heir = after("h", &[(second.id, Condition::Deletion)]);
    store(&storage, &[second.clone(), heir.clone()]).await;
    let found = becomes(&storage, second.id, State::Deleted).await;
    assert_eq!(found.reason.as_deref(), Some("Limit l is reached"));
    becomes(&storage, heir.id, State::Enqueued).await;
    assert_eq!(
        (run.id, state(&storage, first).await),
        (first, State::Processing)
    );
    hand.end(&run, retry(Duration::ZERO)).await;
    let run = hand.gets("a", 1).await.remove(0);
    assert_eq!((run.id, run.attempt), (first, 1), "it was its turn again");
    hand.end(&run, succeed()).await;
    storage.tick().await.expect("tick");
    let (now, day) = (storage.now(), TimeDelta::days(1));
    let stats = storage.stats(now - day, now + day).await.expect("stats");
    assert_eq!(stats.iter().map(|stat| stat.deleted).sum::<u64>(), 1);
}

/// The same holds for what exceeds a rate, of whatever sort.
pub async fn the_excess_of_a_rate_may_go_too(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (max, per, burst) = (1, LATER * 100_000, 1);
    let bounds = [
        Bound::FixedWindow { max, per },
        Bound::SlidingWindow { max, per },
        Bound::TokenBucket { max, per, burst },
    ];
    for (n, bound) in bounds.into_iter().enumerate() {
        for (excess, goes) in [
            (Excess::Reschedule(LATER), State::Scheduled),
            (Excess::Delete, State::Deleted),
        ] {
            let name = format!("{n}-{goes}").to_lowercase();
            let rule = LimitRule {
                name: name.clone().into(),
                bound,
                excess,
            };
            store_this(&storage, limited(&name, &rule, "")).await;
            let run = hand.gets(&name, 1).await.remove(0);
            hand.end(&run, succeed()).await;
            let late = store_this(&storage, limited(&name, &rule, "")).await;
            let found = becomes(&storage, late, goes).await;
            let reason = found.reason.expect("a reason");
            let wanted = format!("Limit {name} is reached");
            assert!(reason.starts_with(&wanted), "{bound:?}: {reason}");
            assert_eq!(found.attempt, 0);
        }
    }
}

/// Raised, a limit lets more in at once; lowered, it holds from the next on; what was set comes before
/// what is declared, until it is taken back.
pub async fn a_limit_can_be_set(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store(&storage, &some(&at_most("l", 1), 8)).await;
    let mut runs = hand.gets("a", 1).await;
    set(&storage, "l", Some(&at_most("l", 3))).await;
    runs.extend(hand.gets("a", 2).await);
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!(found.rule, at_most("l", 3));
    let declared = Some((Bound::Concurrency { max: 1 }, Excess::Wait));
    assert_eq!(
        (found.declared, found.used, found.waiting),
        (declared, 3, 5)
    );
    // That a program declares it again changes nothing.
    store(&storage, &some(&at_most("l", 1), 1)).await;
    hand.end(&runs.remove(0), succeed()).await;
    runs.extend(hand.gets("a", 1).await);
    set(&storage, "l", Some(&at_most("l", 2))).await;
    hand.end(&runs.remove(0), succeed()).await;
    hand.gets_nothing("a").await;
    hand.end(&runs.remove(0), succeed()).await;
    runs.extend(hand.gets("a", 1).await);
    set(&storage, "l", None).await;
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((found.rule, found.declared), (at_most("l", 1), None));
    for run in &runs {
        hand.gets_nothing("a").await;
        hand.end(run, succeed()).await;
    }
    hand.gets("a", 1).await;
}

/// Of what programs declare the last holds.
pub async fn the_last_declaration_holds(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store(&storage, &some(&at_most("l", 1), 4)).await;
    hand.gets("a", 1).await;
    store(&storage, &some(&at_most("l", 3), 1)).await;
    hand.gets("a", 2).await;
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((found.rule, found.declared), (at_most("l", 3), None));
}

/// A limit may be set before anybody declares it, and of another sort than is declared.
pub async fn a_limit_may_be_set_before_it_is_declared(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rate = rule(
        "l",
        Bound::SlidingWindow {
            max: 2,
            per: LATER * 1_000,
        },
    );
    set(&storage, "l", Some(&rate)).await;
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((found.rule, found.declared), (rate, None));
    store(&storage, &some(&at_most("l", 1), 3)).await;
    let runs = hand.gets("a", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    hand.gets_nothing("a").await;
    set(&storage, "l", None).await;
    hand.gets("a", 1).await;
    set(&storage, "nobody", None).await;
    assert!(limit_record(&storage, "nobody").await.is_none());
}

/// A job that is heavier than a limit that was lowered counts as all of it.
pub async fn a_job_heavier_than_the_limit_runs_alone(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    set(&storage, "l", Some(&at_most("l", 2))).await;
    let first = limited("a", &at_most("l", 5), "");
    let mut heavy = job("a");
    limit(&mut heavy, &at_most("l", 5), "", 4);
    let batch = [first, heavy, limited("a", &at_most("l", 5), "")];
    store(&storage, &batch).await;
    for new in &batch {
        let run = hand.gets("a", 1).await.remove(0);
        assert_eq!(run.id, new.id);
        hand.end(&run, succeed()).await;
    }
}

/// A rule that lets nothing through, or is for another limit, is refused, and the old one holds.
pub async fn a_wrong_rule_is_refused(storage: StorageHandle) {
    store(&storage, &some(&at_most("l", 1), 1)).await;
    let window = rule(
        "l",
        Bound::FixedWindow {
            max: 1,
            per: Duration::ZERO,
        },
    );
    for wrong in [at_most("l", 0), at_most("other", 1), window] {
        let answer = storage.set_limit("l", Some(&wrong), "ada", None).await;
        assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
    }
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!(found.rule, at_most("l", 1));
    assert!(limit_record(&storage, "other").await.is_none());
}

/// To set a limit and to reset it leaves one event each: which, to what, who, why. What is refused leaves
/// none, nor do declarations.
pub async fn each_change_of_a_limit_is_on_record(storage: StorageHandle) {
    store(&storage, &some(&at_most("l", 1), 1)).await;
    let slow = rule(
        "l",
        Bound::SlidingWindow {
            max: 3,
            per: Duration::from_millis(1_500),
        },
    )
    .or_reschedule(LATER);
    let queue = at_most("queue:a", 2);
    let changes = [
        ("l", Some(&slow), Some("it is slow")),
        ("l", None, None),
        ("queue:a", Some(&queue), None),
        ("queue:a", None, Some("it was enough")),
    ];
    for (name, rule, reason) in changes {
        let set = storage.set_limit(name, rule, "ada", reason).await;
        set.expect("set_limit");
        let other = at_most("other", 0);
        let refused = storage.set_limit(name, Some(&other), "ada", reason).await;
        refused.expect_err("it lets nothing through");
    }
    let mut events = storage.control_events(10).await.expect("control_events");
    events.reverse();
    assert_eq!(events.len(), changes.len(), "{events:?}");
    for (event, (name, rule, reason)) in events.iter().zip(changes) {
        let verb = if rule.is_some() { "set" } else { "reset" };
        assert_eq!((&*event.verb, &*event.actor), (verb, "ada"));
        assert_eq!(event.limit.as_deref(), Some(name));
        assert_eq!(event.rule.as_ref(), rule);
        assert_eq!(event.reason.as_deref(), reason);
        assert_eq!((&event.scope, &event.recurring), (&None, &None));
        assert_eq!((&event.order, event.until), (&None, None));
        assert!(close(event.at, storage.now()), "{event:?}");
    }
}

/// A limit of a queue counts all its jobs, though they name none: those that wait already, and those that
/// are stored later; when it is taken away all are to be had.
pub async fn a_queue_can_be_limited(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let early = store_some(&storage, "a", 4).await;
    store_some(&storage, "b", 2).await;
    let running = hand.take_one("a").await;
    assert_eq!(running.id, early[0]);
    set(&storage, "queue:a", Some(&at_most("queue:a", 2))).await;
    hand.end(&running, succeed()).await;
    let mut other = jobs("a", 2);
    other[0].kind = "other".into();
    store(&storage, &other).await;
    let runs = hand.gets("a", 2).await;
    assert_eq!((runs[0].id, runs[1].id), (early[1], early[2]));
    assert_eq!(
        hand.gets("b", 2).await.len(),
        2,
        "other queues are not concerned"
    );
    let found = limit_record(&storage, "queue:a")
        .await
        .expect("it is listed");
    assert_eq!((found.used, found.waiting), (2, 3));
    let blocked = record(&storage, other[1].id).await;
    assert_eq!(blocked.limited_by.as_deref(), Some("queue:a"));
    assert_eq!(blocked.state, State::Enqueued);
    hand.end(&runs[0], retry(LATER)).await;
    let next = hand.gets("a", 1).await.remove(0);
    assert_eq!(next.id, early[3]);
    hand.end(&next, retry(Duration::ZERO)).await;
    assert_eq!(hand.gets("a", 1).await[0].id, other[0].id);
    set(&storage, "queue:a", None).await;
    assert_eq!(hand.gets("a", 2).await.len(), 2);
    assert!(limit_record(&storage, "queue:a").await.is_none());
    let free = store_some(&storage, "a", 3).await;
    let runs = hand.gets("a", 3).await;
    let got: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(got, free);
}

/// A queue's limit and a job's own must both let it in.
pub async fn a_limited_queue_may_hold_limited_jobs(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    set(&storage, "queue:a", Some(&at_most("queue:a", 2))).await;
    let own = at_most("own", 1);
    let batch = [
        limited("a", &own, ""),
        limited("a", &own, ""),
        job("a"),
        job("a"),
    ];
    store(&storage, &batch).await;
    let runs = hand.gets("a", 2).await;
    let got: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(got, [batch[0].id, batch[2].id]);
    hand.end(&runs[1], succeed()).await;
    assert_eq!(hand.gets("a", 1).await[0].id, batch[3].id);
    hand.end(&runs[0], succeed()).await;
    assert_eq!(hand.gets("a", 1).await[0].id, batch[1].id);
}

/// A program may declare a queue's limit too, by any job that names it.
pub async fn a_queue_limit_may_be_declared(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rule = at_most("queue:a", 1);
    let batch = [limited("a", &rule, ""), limited("a", &rule, ""), job("a")];
    store(&storage, &batch).await;
    for wanted in ids(&batch) {
        let run = hand.gets("a", 1).await.remove(0);
        assert_eq!(run.id, wanted);
        hand.end(&run, succeed()).await;
    }
    let found = limit_record(&storage, "queue:a")
        .await
        .expect("it is listed");
    assert_eq!((found.rule, found.used, found.waiting), (rule, 0, 0));
}
