//! [Limits](crate::job::Bound) on how many jobs start within a time, and
//! [`Storage::start`](crate::storage::Storage::start).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::stage::{
    Hand, Patience, Run, job, limit, limit_record, limited, order, release, retry, rule, store,
    store_one, store_this, succeed,
};
use crate::job::{Bound, ClaimId, JobId, LimitRule, NewJob, State};
use crate::storage::{Start, StorageHandle, Verb};

/// So long that no window of it begins or ends while a test runs, but by a chance of one in millions.
const AGE: Duration = Duration::from_secs(3_650 * 86_400);

fn fixed(max: u32, per: Duration) -> LimitRule {
    rule("l", Bound::FixedWindow { max, per })
}

fn sliding(max: u32, per: Duration) -> LimitRule {
    rule("l", Bound::SlidingWindow { max, per })
}

fn bucket(max: u32, per: Duration, burst: u32) -> LimitRule {
    rule("l", Bound::TokenBucket { max, per, burst })
}

fn some(rule: &LimitRule, n: usize) -> Vec<NewJob> {
    (0..n).map(|_| limited("a", rule, "")).collect()
}

fn start_of(hand: &Hand, run: &Run) -> Start {
    Start {
        worker: hand.id,
        claim: run.claim,
        job: run.id,
        run: run.run,
    }
}

async fn start(hand: &Hand, run: &Run) -> bool {
    let start = start_of(hand, run);
    hand.storage.start(&start).await.expect("start")
}

/// A release of a run that was never started.
async fn give_back(hand: &Hand, run: &Run) {
    let mut end = run.ended(release());
    end.ran_for = None;
    assert_eq!(hand.send(vec![end], vec![run.claim]).await, []);
}

/// In a window no more start than allowed, though those that did have ended.
pub async fn no_more_start_than_allowed(storage: StorageHandle) {
    for (queue, rule) in [
        (
            "fixed",
            rule("fixed", Bound::FixedWindow { max: 3, per: AGE }),
        ),
        (
            "sliding",
            rule("sliding", Bound::SlidingWindow { max: 3, per: AGE }),
        ),
        (
            "bucket",
            rule(
                "bucket",
                Bound::TokenBucket {
                    max: 1,
                    per: AGE,
                    burst: 3,
                },
            ),
        ),
    ] {
        let hand = Hand::hire(&storage).await;
        let batch: Vec<_> = (0..5).map(|_| limited(queue, &rule, "")).collect();
        store(&storage, &batch).await;
        for run in hand.gets(queue, 3).await {
            assert!(start(&hand, &run).await);
            hand.end(&run, succeed()).await;
        }
        hand.gets_nothing(queue).await;
        let found = limit_record(&storage, queue).await.expect("it is listed");
        assert_eq!((found.used, found.waiting), (3, 2));
        let counts = storage.counts().await.expect("counts");
        assert_eq!(
            counts.failed + counts.deleted,
            0,
            "none ends because it waits"
        );
        // Another key has starts of its own.
        store_this(&storage, limited(queue, &rule, "other")).await;
        hand.gets(queue, 1).await;
    }
}

/// A job that is let in and not started uses a start; if it goes back, another may have it.
pub async fn a_start_that_was_not_made_is_given_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for bound in [
        Bound::FixedWindow { max: 1, per: AGE },
        Bound::SlidingWindow { max: 1, per: AGE },
        Bound::TokenBucket {
            max: 1,
            per: AGE,
            burst: 1,
        },
    ] {
        let queue = &JobId::new().to_string();
        let rule = LimitRule {
            name: queue.clone().into(),
            ..rule("", bound)
        };
        store(
            &storage,
            &[limited(queue, &rule, ""), limited(queue, &rule, "")],
        )
        .await;
        let run = hand.gets(queue, 1).await.remove(0);
        give_back(&hand, &run).await;
        let dying = Hand::hire(&storage).await;
        let run = dying.gets(queue, 1).await.remove(0);
        dying.dies().await;
        let again = hand.gets(queue, 1).await.remove(0);
        assert_ne!(again.id, run.id, "the other waits for longer");
        order(&storage, Verb::Delete, again.id).await;
        let run = hand.gets(queue, 1).await.remove(0);
        assert!(start(&hand, &run).await);
        hand.end(&run, succeed()).await;
        store_this(&storage, limited(queue, &rule, "")).await;
        hand.gets_nothing(queue).await;
    }
}

/// A start that was made counts, also when the run is lost, deleted, or ends in a retry: the retry needs
/// a start of its own.
pub async fn a_start_that_was_made_counts(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rule = sliding(4, AGE);
    store(&storage, &some(&rule, 4)).await;
    let runs = hand.gets("a", 4).await;
    for run in &runs {
        assert!(start(&hand, run).await);
    }
    hand.end(&runs[0], retry(Duration::ZERO)).await;
    hand.end(&runs[1], release()).await;
    order(&storage, Verb::Delete, runs[2].id).await;
    hand.dies().await;
    let hand = Hand::hire(&storage).await;
    hand.gets_nothing("a").await;
    let found = limit_record(&storage, "l").await.expect("it is listed");
    assert_eq!((found.used, found.waiting), (4, 3));
}

/// A start is known to the storage for the run's own worker only, once however often it is said.
pub async fn only_the_owner_starts_a_run(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let other = Hand::hire(&storage).await;
    let rule = sliding(2, AGE);
    store(&storage, &some(&rule, 3)).await;
    let runs = hand.gets("a", 2).await;
    let good = start_of(&hand, &runs[0]);
    let wrong = [
        Start {
            worker: other.id,
            ..good
        },
        Start {
            claim: ClaimId::new(),
            ..good
        },
        Start {
            run: good.run + 1,
            ..good
        },
        Start {
            job: JobId::new(),
            ..good
        },
    ];
    for wrong in wrong {
        assert!(!storage.start(&wrong).await.expect("start"), "{wrong:?}");
    }
    for _ in 0..3 {
        assert!(start(&hand, &runs[0]).await);
    }
    give_back(&hand, &runs[1]).await;
    let again = hand.gets("a", 1).await.remove(0);
    assert!(!start(&hand, &runs[1]).await, "it has gone back");
    order(&storage, Verb::Delete, again.id).await;
    assert!(!start(&hand, &again).await, "it is deleted");
    hand.end(&runs[0], succeed()).await;
    assert!(!start(&hand, &runs[0]).await, "it has ended");
    hand.gets("a", 1).await;
    let plain = store_one(&storage, "p").await;
    let run = hand.take_one("p").await;
    assert_eq!(run.id, plain);
    assert!(start(&hand, &run).await, "it has no limit that cares");
}

/// A run that was started without a word counts all the same when it has ended.
pub async fn a_start_that_was_not_reported_counts(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rule = fixed(2, AGE);
    store(&storage, &some(&rule, 3)).await;
    for run in hand.gets("a", 2).await {
        hand.end(&run, succeed()).await;
    }
    hand.gets_nothing("a").await;
}

/// Starts weigh what their jobs weigh.
pub async fn starts_have_weights(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for bound in [
        Bound::SlidingWindow { max: 5, per: AGE },
        Bound::TokenBucket {
            max: 1,
            per: AGE,
            burst: 5,
        },
    ] {
        let queue = &JobId::new().to_string();
        let rule = LimitRule {
            name: queue.clone().into(),
            ..rule("", bound)
        };
        let heavy = |weight| {
            let mut new = job(queue);
            limit(&mut new, &rule, "", weight);
            new
        };
        store(&storage, &[heavy(3), heavy(2), heavy(1)]).await;
        for run in hand.gets(queue, 2).await {
            assert!(start(&hand, &run).await);
            hand.end(&run, succeed()).await;
        }
        hand.gets_nothing(queue).await;
    }
}

/// When its window is over a start counts no more, though the run goes on.
pub async fn a_start_counts_for_its_window_only(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let per = Duration::from_millis(200);
    for bound in [
        Bound::FixedWindow { max: 1, per },
        Bound::SlidingWindow { max: 1, per },
        Bound::TokenBucket {
            max: 1,
            per,
            burst: 1,
        },
    ] {
        let queue = &JobId::new().to_string();
        let rule = LimitRule {
            name: queue.clone().into(),
            ..rule("", bound)
        };
        let batch: Vec<_> = (0..3).map(|_| limited(queue, &rule, "")).collect();
        store(&storage, &batch).await;
        let patience = Patience::new("a window is over");
        let mut runs: Vec<Run> = Vec::new();
        while runs.len() < 3 {
            storage.tick().await.expect("tick");
            for run in hand.ask(&[(queue, 3)], 3).await {
                assert!(start(&hand, &run).await);
                runs.push(run);
            }
            patience.wait().await;
        }
        for run in &runs {
            let found = super::stage::state(&storage, run.id).await;
            assert_eq!(found, State::Processing);
        }
        assert_eq!(hand.report(&runs, &succeed()).await, []);
    }
}

/// Four workers: within any time of the window's length no more start than allowed, and all end at their
/// first attempt. (Each start happened between two readings of a clock, and the true distance of two starts
/// is at most that of the outer readings.)
pub async fn no_window_sees_more_than_allowed(storage: StorageHandle) {
    const MAX: usize = 5;
    let per = Duration::from_millis(300);
    let rule = sliding(MAX as u32, per);
    store(&storage, &some(&rule, 25)).await;
    let starts: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
    let work = |_| {
        let (storage, starts) = (storage.clone(), Arc::clone(&starts));
        tokio::spawn(async move {
            let hand = Hand::hire(&storage).await;
            let patience = Patience::new("all have started");
            loop {
                storage.tick().await.expect("tick");
                for run in hand.ask(&[("a", 2)], 2).await {
                    let before = Instant::now();
                    assert!(start(&hand, &run).await);
                    let made = (before, Instant::now());
                    starts.lock().expect("nobody panicked").push(made);
                    hand.end(&run, succeed()).await;
                }
                if storage.counts().await.expect("counts").unfinished() == 0 {
                    return;
                }
                patience.wait().await;
            }
        })
    };
    for one in (0..4).map(work).collect::<Vec<_>>() {
        one.await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    let starts = starts.lock().expect("nobody panicked").clone();
    assert_eq!(starts.len(), 25);
    let (mut before, mut after): (Vec<_>, Vec<_>) = starts.into_iter().unzip();
    before.sort_unstable();
    after.sort_unstable();
    // The storage's clock and this one may drift apart by a little.
    let least = per - Duration::from_millis(5);
    for (n, first) in before.iter().enumerate().take(25 - MAX) {
        let apart = after[n + MAX] - *first;
        assert!(apart >= least, "{} starts within {apart:?}", MAX + 1);
    }
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.succeeded, counts.failed), (25, 0));
}

/// A bucket that has been full lets a burst through, and then no more than come back.
pub async fn a_bucket_fills_again(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let rule = bucket(1, Duration::from_millis(250), 4);
    let begin = Instant::now();
    store(&storage, &some(&rule, 6)).await;
    let patience = Patience::new("tokens come back");
    let mut done = 0;
    while done < 6 {
        storage.tick().await.expect("tick");
        for run in hand.ask(&[("a", 6)], 6).await {
            assert!(start(&hand, &run).await);
            hand.end(&run, succeed()).await;
            done += 1;
        }
        patience.wait().await;
    }
    let took = begin.elapsed();
    // Two of six had to wait for a token each.
    assert!(took >= Duration::from_millis(490), "it took {took:?}");
}
