//! [Limits](crate::job::LimitUse) on how many jobs run at once. Those on starts are in
//! [`rates`](mod@super::rates), and what becomes of the excess, and how limits are set, in
//! [`excess`](mod@super::excess).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::control::{kind, pause, resume};
use super::stage::{
    Hand, LATER, at_most, becomes, claims, fail, ids, is_refused, job, limit, limit_record,
    limited, order, record, release, retry, rule, snooze, state, store, store_this, succeed,
};
use super::unique::{holds, unique};
use crate::error::Error;
use crate::job::{Bound, Excess, NewJob, OnConflict, State, UniqueUntil};
use crate::lifecycle::Transition;
use crate::storage::{StorageHandle, Verb};

pub(super) fn some(queue: &str, max: u32, key: &str, n: usize) -> Vec<NewJob> {
    let new = |_| limited(queue, &at_most("l", max), key);
    (0..n).map(new).collect()
}

/// No more than the limit allows are to be had; the others wait in their queue, counted and listed as
/// any, and say for what.
pub async fn no_more_than_allowed_are_to_be_had(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch = some("a", 2, "", 5);
    store(&storage, &batch).await;
    let runs = hand.gets("a", 2).await;
    let got: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(got, ids(&batch[..2]), "first in, first out");
    for new in &batch[2..] {
        let found = record(&storage, new.id).await;
        assert_eq!(found.state, State::Enqueued);
        assert_eq!(found.limited_by.as_deref(), Some("l"));
    }
    assert_eq!(record(&storage, got[0]).await.limited_by, None);
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.processing, counts.enqueued), (2, 3));
    let queues = storage.queues().await.expect("queues");
    assert_eq!((queues[0].name.as_str(), queues[0].enqueued), ("a", 3));
    assert!(queues[0].oldest_due.is_some());
    let due = storage.next_due(&hand.request(&[("*", 1)], 1)).await;
    assert_ne!(
        due.expect("next_due"),
        Some(Duration::ZERO),
        "it is not to be had"
    );
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!(
        (found.rule.clone(), found.declared),
        (at_most("l", 2), None)
    );
    assert_eq!((found.used, found.waiting), (2, 3));
    hand.end(&runs[0], succeed()).await;
    let next = hand.gets("a", 1).await;
    assert_eq!(next[0].id, batch[2].id);
    assert_eq!(
        limit_record(&storage, "l")
            .await
            .expect("it is listed")
            .waiting,
        2
    );
}

/// What a job used is free when its run ends, in whatever way; one that waits for a retry uses nothing.
pub async fn every_end_of_a_run_makes_room(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let delete = Transition::Delete {
        reason: "too late".into(),
    };
    let ends = [succeed(), fail(), retry(LATER), snooze(LATER), delete];
    store(&storage, &some("a", 1, "", ends.len() + 3)).await;
    for end in ends {
        let run = hand.gets("a", 1).await.remove(0);
        hand.end(&run, end).await;
    }
    let run = hand.gets("a", 1).await.remove(0);
    order(&storage, Verb::Delete, run.id).await;
    // One that has its ticket uses the limit too.
    let ticket = record(&storage, run.id).await;
    assert_eq!(ticket.state, State::Deleted);
    let run = hand.gets("a", 1).await.remove(0);
    hand.end(&run, retry(Duration::ZERO)).await;
    let again = hand.gets("a", 1).await.remove(0);
    assert_ne!(again.id, run.id, "the other was due before");
    order(&storage, Verb::Delete, again.id).await;
    assert_eq!(hand.gets("a", 1).await[0].id, run.id);
}

/// A released, dropped or rescued job waits for its turn again, and another has it meanwhile or after.
pub async fn what_comes_back_waits_for_its_turn(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store(&storage, &some("a", 1, "", 2)).await;
    let run = hand.gets("a", 1).await.remove(0);
    hand.end(&run, release()).await;
    for end in ["rescue", "retire", "beat"] {
        let other = Hand::hire(&storage).await;
        let run = other.gets("a", 1).await.remove(0);
        hand.gets_nothing("a").await;
        match end {
            "rescue" => {
                assert_eq!(other.dies().await.released, 1);
            }
            "retire" => storage.retire(other.id).await.expect("retire"),
            _ => {
                other.beat(&[]).await;
            }
        }
        assert_eq!(state(&storage, run.id).await, State::Enqueued);
    }
    for _ in 0..2 {
        let run = hand.gets("a", 1).await.remove(0);
        hand.end(&run, succeed()).await;
    }
    hand.gets_nothing("a").await;
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// Each key is counted apart; a key of which many wait does not hold up the others.
pub async fn keys_are_counted_apart(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut batch = some("a", 2, "many", 200);
    batch.extend(some("a", 2, "few", 1));
    batch.extend(some("a", 2, "größe \"x\"", 3));
    batch.extend(some("a", 2, "", 3));
    store(&storage, &batch).await;
    let runs = hand.gets("a", 7).await;
    let mut keys: HashMap<String, usize> = HashMap::new();
    for run in &runs {
        let limits = run.rules.clone().expect("rules").limits;
        *keys.entry(limits[0].key.clone()).or_default() += 1;
    }
    let wanted = [("many", 2), ("few", 1), ("größe \"x\"", 2), ("", 2)];
    assert_eq!(keys, wanted.map(|(key, n)| (key.to_owned(), n)).into());
    assert_eq!(
        limit_record(&storage, "l")
            .await
            .expect("it is listed")
            .used,
        7
    );
}

/// A limit may be shared by jobs of any kind and queue.
pub async fn a_limit_may_be_shared(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut other = limited("b", &at_most("l", 2), "");
    other.kind = "other".into();
    let batch = [
        limited("a", &at_most("l", 2), ""),
        other,
        limited("c", &at_most("l", 2), ""),
    ];
    store(&storage, &batch).await;
    let runs = hand.gets("*", 2).await;
    hand.end(&runs[0], succeed()).await;
    assert_eq!(hand.gets("*", 1).await[0].id, batch[2].id);
}

/// Of those who wait for the same limit, those whose kind is paused are passed over, however many they are.
pub async fn a_paused_kind_holds_up_no_other(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    pause(&storage, kind("idle")).await;
    let mut batch = some("a", 2, "", 1_500);
    let last = batch.last_mut().expect("there are some").id;
    for job in batch.iter_mut().filter(|job| job.id != last) {
        job.kind = "idle".into();
    }
    store(&storage, &batch).await;
    let runs = hand.gets("a", 1).await;
    assert_eq!(runs[0].id, last);
    hand.end(&runs[0], succeed()).await;
    resume(&storage, kind("idle")).await;
    let got: Vec<_> = hand.gets("a", 2).await.iter().map(|run| run.id).collect();
    assert_eq!(got, ids(&batch[..2]), "first in, first out");
}

/// The longest times there are can be counted with, and keep nobody else waiting.
pub async fn the_longest_times_hold_up_no_other(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (max, per) = (1, Duration::MAX);
    let bounds = [
        ("fixed", Bound::FixedWindow { max, per }),
        ("sliding", Bound::SlidingWindow { max, per }),
        ("tokens", Bound::TokenBucket { max, per, burst: 1 }),
    ];
    for (name, bound) in bounds {
        let batch = [0, 1].map(|_| limited(name, &rule(name, bound), ""));
        store(&storage, &batch).await;
        let run = hand.gets(name, 1).await.remove(0);
        assert_eq!(run.id, batch[0].id);
        hand.end(&run, succeed()).await;
        hand.gets_nothing(name).await;
    }
    let mut postponed = at_most("postponed", 1);
    postponed.excess = Excess::Reschedule(Duration::MAX);
    let batch = [0, 1].map(|_| limited("postponed", &postponed, ""));
    store(&storage, &batch).await;
    assert_eq!(hand.gets("postponed", 1).await[0].id, batch[0].id);
    becomes(&storage, batch[1].id, State::Scheduled).await;
    let others = some("others", 1, "", 1);
    store(&storage, &others).await;
    assert_eq!(hand.gets("others", 1).await[0].id, others[0].id);
}

/// A job counts as much as it weighs, and is not passed by lighter ones.
pub async fn weights_count(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch: Vec<_> = [2, 1, 3, 1, 1]
        .into_iter()
        .map(|weight| {
            let mut new = job("a");
            limit(&mut new, &at_most("l", 4), "", weight);
            new
        })
        .collect();
    store(&storage, &batch).await;
    let runs = hand.gets("a", 2).await;
    assert_eq!(
        limit_record(&storage, "l")
            .await
            .expect("it is listed")
            .used,
        3
    );
    hand.end(&runs[1], succeed()).await;
    hand.gets_nothing("a").await;
    hand.end(&runs[0], succeed()).await;
    let runs = hand.gets("a", 2).await;
    let got: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(got, ids(&batch[2..4]));
    hand.end(&runs[0], succeed()).await;
    assert_eq!(hand.gets("a", 1).await[0].id, batch[4].id);
}

/// A job with several limits runs when all let it, and uses none while it waits for one.
pub async fn all_limits_must_let_a_job_in(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let (one, two) = (at_most("one", 1), at_most("two", 1));
    let first = limited("one", &one, "");
    let mut both = limited("both", &one, "");
    limit(&mut both, &two, "", 1);
    store(&storage, &[first, both.clone()]).await;
    let first = hand.gets("*", 1).await.remove(0);
    // It waits before the first limit, and does not use the second.
    store_this(&storage, limited("two", &two, "")).await;
    let second = hand.gets("*", 1).await.remove(0);
    assert_eq!(&*second.queue, "two");
    hand.end(&first, succeed()).await;
    hand.gets_nothing("*").await;
    let found = record(&storage, both.id).await;
    assert_eq!(found.limited_by.as_deref(), Some("two"));
    // Now it waits before the second, and does not use the first.
    store_this(&storage, limited("one", &one, "")).await;
    let third = hand.gets("*", 1).await.remove(0);
    assert_eq!(&*third.queue, "one");
    hand.end(&second, succeed()).await;
    hand.gets_nothing("*").await;
    hand.end(&third, succeed()).await;
    assert_eq!(hand.gets("*", 1).await[0].id, both.id);
    for name in ["one", "two"] {
        assert_eq!(limit_record(&storage, name).await.expect("listed").used, 1);
    }
}

/// A job that is stored again, or whose outcome comes twice, counts once.
pub async fn a_repeat_counts_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch = some("a", 1, "", 3);
    store(&storage, &batch).await;
    let run = hand.gets("a", 1).await.remove(0);
    let answers = storage.insert(&batch).await.expect("insert");
    assert!(answers.iter().all(|one| one.existing));
    hand.gets_nothing("a").await;
    hand.end(&run, succeed()).await;
    let second = hand.gets("a", 1).await.remove(0);
    assert_eq!(hand.report(&[run], &succeed()).await.len(), 1);
    storage.insert(&batch).await.expect("insert");
    hand.gets_nothing("a").await;
    hand.end(&second, succeed()).await;
    hand.gets("a", 1).await;
}

/// A holder of a unique key that is replaced counts against what the new job says.
pub async fn a_replaced_job_counts_anew(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let with = |key| {
        let mut new = unique("a", "u", UniqueUntil::Done, OnConflict::Replace);
        limit(&mut new, &at_most("l", 1), key, 1);
        new
    };
    store_this(&storage, limited("a", &at_most("l", 1), "x")).await;
    hand.gets("a", 1).await;
    let holder = store_this(&storage, with("x")).await;
    hand.gets_nothing("a").await;
    holds(&storage, holder, with("y")).await;
    let run = hand.gets("a", 1).await.remove(0);
    assert_eq!(run.id, holder);
    store_this(&storage, limited("a", &at_most("l", 1), "y")).await;
    hand.gets_nothing("a").await;
}

/// A limit of nothing, a weight of nothing or above the limit, the same limit twice, a key that is too
/// long, a window that is no time: refused, and nothing stored.
pub async fn what_can_never_run_is_refused(storage: StorageHandle) {
    let zero = Duration::ZERO;
    let (hour, max, per) = (LATER, 1, zero);
    let mut wrong = vec![
        limited("a", &at_most("l", 0), ""),
        limited(
            "a",
            &rule("l", Bound::FixedWindow { max: 0, per: hour }),
            "",
        ),
        limited("a", &rule("l", Bound::SlidingWindow { max, per }), ""),
        limited(
            "a",
            &rule(
                "l",
                Bound::TokenBucket {
                    max,
                    per: hour,
                    burst: 0,
                },
            ),
            "",
        ),
        limited("a", &at_most("l", 1), &"k".repeat(257)),
        limited("a", &at_most("", 1), ""),
    ];
    for weight in [0, 3] {
        let mut new = job("a");
        limit(&mut new, &at_most("l", 2), "", weight);
        wrong.push(new);
    }
    let mut twice = limited("a", &at_most("l", 2), "x");
    limit(&mut twice, &at_most("l", 2), "y", 1);
    wrong.push(twice);
    for new in wrong {
        let error = is_refused(&storage, &[job("a"), new]).await;
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// Four workers, many keys, retries and deaths: at no moment more of a key run than allowed, and all end.
pub async fn never_more_than_allowed_run_at_once(storage: StorageHandle) {
    const MAX: usize = 2;
    let running: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let new = |n: usize| limited("a", &at_most("l", MAX as u32), &format!("k{}", n % 12));
    let batch: Vec<_> = (0..300).map(new).collect();
    store(&storage, &batch).await;
    let key = |run: &super::stage::Run| run.rules.clone().expect("rules").limits[0].key.clone();
    let work = |seed| {
        let (storage, running) = (storage.clone(), Arc::clone(&running));
        tokio::spawn(async move {
            let mut luck = fastrand::Rng::with_seed(seed);
            let mut hand = Hand::hire(&storage).await;
            let patience = super::stage::Patience::new("all jobs end");
            loop {
                let runs = hand.ask(&[("a", 6)], 6).await;
                {
                    let mut running = running.lock().expect("nobody panicked");
                    for run in &runs {
                        let n = running.entry(key(run)).or_default();
                        *n += 1;
                        assert!(*n <= MAX, "{n} of {} run", key(run));
                    }
                }
                tokio::time::sleep(Duration::from_millis(luck.u64(..4))).await;
                for run in &runs {
                    let mut running = running.lock().expect("nobody panicked");
                    *running.get_mut(&key(run)).expect("it was counted") -= 1;
                }
                if luck.u8(..25) == 0 {
                    hand.dies().await;
                    hand = Hand::hire(&storage).await;
                    continue;
                }
                let settlements = runs.iter().map(|run| {
                    run.ended(match luck.u8(..5) {
                        0 => retry(Duration::from_millis(luck.u64(..3))),
                        1 => release(),
                        _ => succeed(),
                    })
                });
                let settlements: Vec<_> = settlements.collect();
                assert_eq!(hand.send(settlements, claims(&runs)).await, []);
                if runs.is_empty() {
                    storage.tick().await.expect("tick");
                    if storage.counts().await.expect("counts").unfinished() == 0 {
                        return;
                    }
                    patience.wait().await;
                }
            }
        })
    };
    for one in (0..4).map(work).collect::<Vec<_>>() {
        one.await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((found.used, found.waiting), (0, 0));
    let counts = storage.counts().await.expect("counts");
    assert_eq!(counts.succeeded + counts.failed, 300);
}
