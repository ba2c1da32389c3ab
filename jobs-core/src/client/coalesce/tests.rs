//! Longer than 400 lines: each way in which callers can meet has its test.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::client::tests::note;
use crate::client::{Client, Enqueue};
use crate::job::LimitRule;
use crate::storage::probe::{Fault, Probe, rejected, unavailable};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(20);

fn coalescer(client: &Client) -> &Arc<Coalescer> {
    client.0.coalescer.as_ref().unwrap()
}

impl Coalescer {
    fn waiting(&self) -> usize {
        self.lanes().values().map(|lane| lane.waiting.len()).sum()
    }

    fn is_idle(&self) -> bool {
        self.lanes().is_empty()
    }
}

/// Polls until it is so; fails if it never is.
async fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "never came true");
        tokio::task::yield_now().await;
    }
}

/// Enqueues a note and, once that has returned, says whether it was stored.
async fn enqueue(client: Client, text: impl ToString) -> Result<bool> {
    let job = client.enqueue(note(text)).await?;
    Ok(client.inspect().job(job.id()).await?.is_some())
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn sixty_four_share_statements() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let mut callers = JoinSet::new();
    for n in 0..64 {
        callers.spawn(enqueue(client.clone(), n));
    }
    // One sends its own, the driver what it found; the others wait, or have not come yet.
    until(|| {
        let lanes = coalescer(&client).lanes();
        lanes.values().any(|lane| lane.alone && lane.driven)
    })
    .await;
    assert!(
        callers.try_join_next().is_none(),
        "nothing is committed yet"
    );
    probe.open(64);
    let stored = timeout(SOON, callers.join_all()).await.unwrap();
    assert!(stored.into_iter().all(|stored| stored.unwrap()));
    assert_eq!(probe.inserts().iter().sum::<usize>(), 64);
    assert_eq!(probe.stored().await, 64);
    until(|| coalescer(&client).is_idle()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_are_each_answered_after_their_commit() {
    sixty_four_share_statements().await;
}

#[tokio::test]
async fn one_thread_is_enough() {
    sixty_four_share_statements().await;
}

#[tokio::test]
async fn on_one_thread_what_queues_up_goes_in_one_statement() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let mut callers = JoinSet::new();
    for n in 0..64 {
        callers.spawn(enqueue(client.clone(), n));
    }
    // The driver yields before it looks: all callers have come by then.
    until(|| {
        let lanes = coalescer(&client).lanes();
        lanes
            .values()
            .any(|lane| lane.driven && lane.waiting.is_empty())
    })
    .await;
    probe.open(2);
    timeout(SOON, callers.join_all()).await.unwrap();
    assert_eq!(probe.inserts(), [1, 63]);
}

#[tokio::test]
async fn jobs_with_limits_go_together_by_a_road_of_their_own() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let mut callers = JoinSet::new();
    for n in 0..64 {
        let job = client.enqueue(note(n));
        let job = match n % 4 {
            0 => job.limit(LimitRule::concurrency("each", 1).by("note")),
            1 => job.expires_in(Duration::from_secs(60)),
            _ => job,
        };
        callers.spawn(async { job.await.map(drop) });
    }
    let driven = |lanes: &HashMap<_, Lane>| {
        let busy = |lane: &&Lane| lane.driven && lane.waiting.is_empty();
        lanes.values().filter(busy).count()
    };
    until(|| driven(&coalescer(&client).lanes()) == 2).await;
    probe.open(4);
    for stored in timeout(SOON, callers.join_all()).await.unwrap() {
        stored.unwrap();
    }
    let mut inserts = probe.inserts();
    inserts.sort_unstable();
    assert_eq!(inserts, [1, 1, 31, 31]);
    assert_eq!(probe.stored().await, 64);
}

#[tokio::test]
async fn who_may_have_to_wait_for_somebody_goes_alone() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let parent = client.enqueue(note("parent")).await.unwrap().id();
    let batch = crate::client::Batch::new().add(Enqueue::new(note("member")));
    let batch = batch.on(&client).await.unwrap();
    let sent = probe.inserts().len();
    let mut callers = JoinSet::new();
    for n in 0..8 {
        let unique = client.enqueue(note(n)).unique_args(["text"]);
        callers.spawn(async { unique.await.map(drop) });
        let child = client.enqueue(note(n)).after_ids([parent]);
        callers.spawn(async { child.await.map(drop) });
        let member = batch.add(Enqueue::new(note(n)));
        callers.spawn(async { member.await.map(drop) });
    }
    for stored in timeout(SOON, callers.join_all()).await.unwrap() {
        stored.unwrap();
    }
    assert_eq!(probe.inserts()[sent..], [1; 24]);
}

#[tokio::test]
async fn a_caller_alone_sends_its_own_job_and_spawns_nothing() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    for n in 0..10 {
        assert!(enqueue(client.clone(), n).await.unwrap());
        assert!(coalescer(&client).is_idle());
    }
    assert_eq!(probe.inserts(), [1; 10]);
}

#[tokio::test]
async fn a_dropped_caller_takes_nobody_along() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let mut first = Box::pin(enqueue(client.clone(), "dropped in flight"));
    assert!(poll_once(first.as_mut()).is_pending());
    let second = tokio::spawn(enqueue(client.clone(), "driven"));
    until(|| {
        coalescer(&client)
            .lanes()
            .values()
            .any(|lane| lane.driven && lane.waiting.is_empty())
    })
    .await;
    let mut third = Box::pin(enqueue(client.clone(), "dropped in the queue"));
    assert!(poll_once(third.as_mut()).is_pending());
    let fourth = tokio::spawn(enqueue(client.clone(), "behind it"));
    until(|| coalescer(&client).waiting() == 2).await;
    drop(first);
    drop(third);
    // Behind the driver's back the one who was in flight is gone: its statement never got through.
    probe.open(2);
    assert!(timeout(SOON, second).await.unwrap().unwrap().unwrap());
    assert!(timeout(SOON, fourth).await.unwrap().unwrap().unwrap());
    assert_eq!(probe.stored().await, 2, "who has given up gets no job");
    until(|| coalescer(&client).is_idle()).await;
}

#[tokio::test]
async fn a_caller_that_is_dropped_while_the_driver_sends_for_it_loses_nothing_of_others() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let alone = tokio::spawn(enqueue(client.clone(), 1));
    until(|| !coalescer(&client).is_idle()).await;
    // The first of the queue spawned the driver.
    let spawned = tokio::spawn(enqueue(client.clone(), 2));
    let other = tokio::spawn(enqueue(client.clone(), 3));
    until(|| {
        coalescer(&client)
            .lanes()
            .values()
            .any(|lane| lane.driven && lane.waiting.is_empty())
    })
    .await;
    spawned.abort();
    probe.open(2);
    assert!(timeout(SOON, other).await.unwrap().unwrap().unwrap());
    assert!(timeout(SOON, alone).await.unwrap().unwrap().unwrap());
}

#[tokio::test]
async fn a_caller_that_is_never_polled_again_holds_nobody_up() {
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let mut stuck = pin!(enqueue(client.clone(), "stuck"));
    assert!(poll_once(stuck.as_mut()).is_pending());
    let mut others = JoinSet::new();
    for n in 0..5 {
        others.spawn(enqueue(client.clone(), n));
    }
    // The permit goes to whoever asked first, which is the stuck one: one more for the others.
    probe.open(2);
    let stored = timeout(SOON, others.join_all()).await.unwrap();
    assert!(stored.into_iter().all(|stored| stored.unwrap()));
    assert!(timeout(SOON, stuck).await.unwrap().unwrap());
}

#[tokio::test]
async fn nobody_suffers_for_a_neighbour() {
    let probe =
        Probe::gated_failing(
            |_, jobs| match jobs.iter().any(|job| job.args.contains("poison")) {
                true => Fault::Before(rejected()),
                false => Fault::None,
            },
        );
    let client = Client::new(probe.clone());
    let mut good = JoinSet::new();
    let mut bad = JoinSet::new();
    for n in 0..40 {
        match n % 16 {
            5 => bad.spawn(enqueue(client.clone(), "poison")),
            _ => good.spawn(enqueue(client.clone(), n)),
        };
    }
    until(|| coalescer(&client).lanes().values().any(|lane| lane.driven)).await;
    probe.open(1_000);
    let good = timeout(SOON, good.join_all()).await.unwrap();
    assert!(good.into_iter().all(|stored| stored.unwrap()));
    for refused in timeout(SOON, bad.join_all()).await.unwrap() {
        assert!(matches!(refused, Err(Error::Rejected { .. })));
    }
    assert_eq!(probe.stored().await, 37);
}

#[tokio::test]
async fn when_the_storage_is_away_everybody_hears_the_same() {
    let probe = Probe::gated_failing(|verb, _| match verb {
        "insert" => Fault::Before(unavailable()),
        _ => Fault::None,
    });
    let client = Client::builder(probe.clone())
        .retry_for(Duration::ZERO)
        .build();
    let mut callers = JoinSet::new();
    for n in 0..20 {
        callers.spawn(enqueue(client.clone(), n));
    }
    until(|| {
        let lanes = coalescer(&client).lanes();
        lanes
            .values()
            .any(|lane| lane.driven && lane.waiting.is_empty())
    })
    .await;
    probe.open(40);
    for answer in timeout(SOON, callers.join_all()).await.unwrap() {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }));
        assert_eq!(
            error.to_string(),
            "probe: the storage cannot be reached: connection reset"
        );
    }
    // Not halved: that would ask an absent storage forty times.
    assert_eq!(probe.inserts(), [1, 19]);
}

#[tokio::test]
async fn a_panic_in_the_storage_is_survived() {
    let mut panics = 1;
    let probe = Probe::gated_failing(move |_, jobs| {
        if jobs.len() > 1 && panics > 0 {
            panics -= 1;
            return Fault::Panic;
        }
        Fault::None
    });
    let client = Client::new(probe.clone());
    let mut callers = JoinSet::new();
    for n in 0..10 {
        callers.spawn(enqueue(client.clone(), n));
    }
    until(|| coalescer(&client).lanes().values().any(|lane| lane.driven)).await;
    probe.open(100);
    let stored = timeout(SOON, callers.join_all()).await.unwrap();
    assert!(stored.into_iter().all(|stored| stored.unwrap()));
    assert_eq!(probe.stored().await, 10);
    assert!(enqueue(client.clone(), "after it").await.unwrap());
    until(|| coalescer(&client).is_idle()).await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_store_nothing_twice() {
    let mut n = 0;
    let probe = Probe::failing(move |verb, _| {
        n += u32::from(verb == "insert");
        match (verb, n % 3) {
            ("insert", 0) => Fault::After(unavailable()),
            ("insert", 1) => Fault::Before(unavailable()),
            _ => Fault::None,
        }
    });
    let client = Client::new(probe.clone());
    let mut callers = JoinSet::new();
    for n in 0..100 {
        callers.spawn(enqueue(client.clone(), n));
    }
    assert!(
        callers
            .join_all()
            .await
            .into_iter()
            .all(|stored| stored.unwrap())
    );
    assert_eq!(probe.stored().await, 100);
}

#[tokio::test]
async fn a_statement_has_at_most_so_many_jobs_and_bytes() {
    let batch_of = |jobs: &[usize], max| {
        let jobs = jobs.iter().map(|&bytes| {
            let (answer, answered) = oneshot::channel();
            let job = NewJob::new(crate::job::JobId::new(), "note", "x".repeat(bytes));
            (Waiting { job, answer }, answered)
        });
        let (mut waiting, _answered): (VecDeque<_>, Vec<_>) = jobs.unzip();
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            batches.push(Batch::take(&mut waiting, max).jobs.len());
        }
        batches
    };
    assert_eq!(batch_of(&[1; 10], 4), [4, 4, 2]);
    let half = MAX_BYTES / 2;
    assert_eq!(
        batch_of(&[half, half, 1, half, 2 * MAX_BYTES, 1], 9),
        [2, 2, 1, 1]
    );
}

#[test]
fn runtimes_that_end_leave_the_others_alone() {
    let new = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let probe = Probe::gated();
    let client = Client::new(probe.clone());
    let (ends, stays) = (new(), new());
    ends.spawn(enqueue(client.clone(), "in flight"));
    stays.block_on(until(|| !coalescer(&client).is_idle()));
    ends.spawn(enqueue(client.clone(), "driven"));
    stays.block_on(until(|| {
        coalescer(&client)
            .lanes()
            .values()
            .any(|lane| lane.driven && lane.waiting.is_empty())
    }));
    // Queued on the runtime that ends, but finished on the one that stays.
    let mut moved = Box::pin(enqueue(client.clone(), "moved"));
    {
        let _entered = ends.enter();
        assert!(poll_once(moved.as_mut()).is_pending());
    }
    let other = stays.spawn(enqueue(client.clone(), "other"));
    ends.shutdown_timeout(SOON);
    probe.open(100);
    assert!(
        stays
            .block_on(async { timeout(SOON, moved).await.unwrap() })
            .unwrap()
    );
    assert!(
        stays
            .block_on(async { timeout(SOON, other).await.unwrap() })
            .unwrap()
            .unwrap()
    );
    assert_eq!(stays.block_on(probe.stored()), 2);
    stays.block_on(until(|| coalescer(&client).is_idle()));
}

#[test]
fn threads_with_a_runtime_each_do_not_wait_for_each_other() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let thread = |_| {
        let client = client.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            for n in 0..50 {
                let both =
                    async { tokio::join!(enqueue(client.clone(), n), enqueue(client.clone(), -n)) };
                let (one, two) = runtime.block_on(both);
                assert!(one.unwrap() && two.unwrap());
            }
        })
    };
    let threads: Vec<_> = (0..4).map(thread).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(probe.inserts().iter().sum::<usize>(), 400);
    assert!(coalescer(&client).is_idle());
}

#[test]
fn without_a_runtime_everybody_sends_alone() {
    let probe = Probe::new();
    let client = Client::new(probe.clone());
    let mut enqueue = pin!(enqueue(client, 1));
    let Poll::Ready(stored) = poll_once(enqueue.as_mut()) else {
        panic!("memory is never waited for");
    };
    assert!(stored.unwrap());
}

/// Run with `--release -- --ignored --nocapture` to see what coalescing costs and saves.
#[test]
#[ignore = "a measurement"]
fn cost_of_coalescing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for (callers, coalesce) in [(1, false), (1, true), (64, false), (64, true), (256, true)] {
        let storage = crate::storage::MemoryStorage::new();
        let client = Client::builder(storage).coalesce(coalesce).build();
        let each = 100_000 / callers;
        let start = Instant::now();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..callers {
                let client = client.clone();
                tasks.spawn(async move {
                    for n in 0..each {
                        client.enqueue(note(n)).await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
        });
        let nanos = start.elapsed().as_nanos() / (callers * each) as u128;
        println!("{callers} callers, coalescing {coalesce}: {nanos} ns each, in memory");
    }
}
