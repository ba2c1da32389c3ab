//! Which queues a worker serves, and how many of their jobs at once, while it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobs_core::Error;
use jobs_core::client::Client;
use jobs_core::handler::JobEntry;
use jobs_core::job::{JobDefaults, JobId, NewJob, QueueOrder, State};
use jobs_core::storage::StorageHandle;
use tokio::sync::Semaphore;

use crate::setup::{PATIENCE, done, enqueue_with, eventually, kind, storage, until_state, worker};

/// What jobs that wait for a permit have seen.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    /// For each queue, how many run, and how many ran at once at most.
    running: Arc<Mutex<HashMap<String, (usize, usize)>>>,
    /// The queues of the jobs, in the order in which they started.
    started: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    /// A kind whose jobs each wait for one of so many permits.
    fn before(name: &'static str, permits: usize) -> (&'static JobEntry, Self) {
        let gate = Self {
            permits: Arc::new(Semaphore::new(permits)),
            running: Arc::default(),
            started: Arc::default(),
        };
        let mine = gate.clone();
        let entry = kind(name, JobDefaults::NONE, move |ctx| {
            let (gate, queue) = (mine.clone(), ctx.queue().to_owned());
            Box::pin(async move {
                gate.enter(&queue);
                gate.permits.acquire().await.unwrap().forget();
                gate.running.lock().unwrap().get_mut(&queue).unwrap().0 -= 1;
                done()
            })
        });
        (entry, gate)
    }

    fn enter(&self, queue: &str) {
        self.started.lock().unwrap().push(queue.to_owned());
        let mut running = self.running.lock().unwrap();
        let (now, most) = running.entry(queue.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn running(&self, queue: &str) -> usize {
        let running = self.running.lock().unwrap();
        running.get(queue).map_or(0, |(now, _)| *now)
    }

    fn most(&self, queue: &str) -> usize {
        let running = self.running.lock().unwrap();
        running.get(queue).map_or(0, |(_, most)| *most)
    }

    fn started(&self) -> Vec<String> {
        self.started.lock().unwrap().clone()
    }
}

async fn store(storage: &StorageHandle, kind: &'static str, queues: &[&str], each: usize) {
    let job = |queue: &&str| {
        let mut job = NewJob::new(JobId::new(), kind, "{}");
        job.queue = (*queue).to_owned().into();
        job
    };
    let jobs: Vec<_> = (0..each).flat_map(|_| queues.iter().map(job)).collect();
    storage.insert(&jobs).await.unwrap();
}

/// Waits until these queues have nothing to do.
async fn drained(storage: &StorageHandle, queues: &str) {
    let queues = Client::new(storage).queue(queues);
    queues.drain().timeout(PATIENCE).await.unwrap();
}

async fn until_all_succeeded(storage: &StorageHandle) {
    drained(storage, "*").await;
    assert_eq!(storage.counts().await.unwrap().unfinished(), 0);
}

#[tokio::test]
async fn a_queue_has_a_concurrency_of_its_own() {
    let storage = storage();
    let (entry, gate) = Gate::before("capped", 0);
    store(&storage, "capped", &["mail.a", "mail.b", "web"], 20).await;
    let running = worker(&storage, vec![entry])
        .concurrency(10)
        .queue_concurrency("mail.*", 3);
    let running = running.start().await.unwrap();
    let mails = || gate.running("mail.a") + gate.running("mail.b");
    eventually("web has all other slots", || gate.running("web") == 7).await;
    eventually("mail has its own", || mails() == 3).await;
    // Where one of them ends, the next of them starts, without waiting for a poll.
    for _ in 0..20 {
        gate.permits.add_permits(1);
        assert!(mails() <= 3);
        tokio::task::yield_now().await;
    }
    gate.permits.add_permits(60);
    until_all_succeeded(&storage).await;
    assert!(gate.most("mail.a") <= 3 && gate.most("mail.b") <= 3);
    running.stop().await;
}

#[tokio::test]
async fn a_capped_queue_is_not_slowed_by_polls() {
    let storage = storage();
    let (entry, gate) = Gate::before("capped_fast", 1_000);
    store(&storage, "capped_fast", &["mail"], 500).await;
    let running = worker(&storage, vec![entry])
        .poll_interval(Duration::from_secs(3_600))
        .queue_concurrency("mail", 2);
    let running = running.start().await.unwrap();
    until_all_succeeded(&storage).await;
    assert!(gate.most("mail") <= 2);
    // What is stored while the worker is idle keeps to it as well.
    store(&storage, "capped_fast", &["mail"], 50).await;
    until_all_succeeded(&storage).await;
    assert!(gate.most("mail") <= 2);
    running.stop().await;
}

#[tokio::test]
async fn wrong_concurrencies_are_refused_in_words() {
    let storage = storage();
    let (entry, _) = Gate::before("capped_wrongly", 0);
    let wrong = worker(&storage, vec![entry])
        .queues(["mail"])
        .queue_concurrency("mail", 0)
        .queue_concurrency("other", 2)
        .queue_concurrency("No", 2);
    let Err(Error::Setup(why)) = wrong.build() else {
        panic!("these make no sense");
    };
    assert!(why.contains("concurrency 0"), "{why}");
    assert!(
        why.contains("`other`") && why.contains("does not serve it"),
        "{why}"
    );
    assert!(why.contains("[a-z0-9_.:-]"), "{why}");
}

#[tokio::test]
async fn a_running_worker_can_be_told_to_serve_others() {
    let storage = storage();
    let (entry, gate) = Gate::before("told", 1_000);
    let running = worker(&storage, vec![entry])
        .queues(["a"])
        .queue_concurrency("a", 1)
        .poll_interval(Duration::from_secs(3_600));
    let running = running.start().await.unwrap();
    store(&storage, "told", &["a"], 1).await;
    until_all_succeeded(&storage).await;
    let refused = running.set_queues(QueueOrder::strict(["b"]).unwrap());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("queue `a` has a concurrency")
    );
    store(&storage, "told", &["b"], 3).await;
    running
        .set_queues(QueueOrder::strict(["b", "a"]).unwrap())
        .unwrap();
    until_all_succeeded(&storage).await;
    assert_eq!(gate.started(), ["a", "b", "b", "b"]);
    eventually_serves(&storage, &["b", "a"]).await;
    running.stop().await;
}

/// Waits until others see that the worker serves these.
async fn eventually_serves(storage: &StorageHandle, queues: &[&str]) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let workers = storage.workers().await.unwrap();
        if workers[0].info.queues == queues {
            return;
        }
        assert!(std::time::Instant::now() < end, "{workers:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn operators_set_the_order_of_all_workers() {
    let storage = storage();
    let (entry, gate) = Gate::before("ordered", 0);
    let client = Client::new(&storage);
    store(&storage, "ordered", &["busy"], 1).await;
    let running = worker(&storage, vec![entry])
        .queues(["busy", "a", "b", "c"])
        .concurrency(1)
        .poll_interval(Duration::from_secs(3_600));
    let running = running.start().await.unwrap();
    eventually("the slot is taken", || gate.running("busy") == 1).await;
    store(&storage, "ordered", &["a", "b", "c", "x"], 2).await;
    let order = QueueOrder::strict(["x", "c", "b"]).unwrap();
    client.set_queue_order(order).by("ada").await.unwrap();
    gate.permits.add_permits(100);
    drained(&storage, "a").await;
    assert_eq!(gate.started(), ["busy", "c", "c", "b", "b", "a", "a"]);
    // Taken back, it goes on in its own order.
    client.reset_queue_order().await.unwrap();
    client.queue("*").pause().await.unwrap();
    store(&storage, "ordered", &["c", "a"], 2).await;
    client.queue("*").resume().await.unwrap();
    drained(&storage, "c").await;
    assert_eq!(gate.started()[7..], ["a", "a", "c", "c"]);
    running.stop().await;
}

#[tokio::test]
async fn weights_set_for_all_workers_hold_at_once() {
    let storage = storage();
    let (entry, gate) = Gate::before("weighed", 10_000);
    let client = Client::new(&storage);
    client.queue("*").pause().await.unwrap();
    let running = worker(&storage, vec![entry]).concurrency(4);
    let running = running.start().await.unwrap();
    let weights = QueueOrder::weighted([("heavy", 3), ("light", 1)]).unwrap();
    client.set_queue_order(weights).await.unwrap();
    store(&storage, "weighed", &["light", "heavy"], 1_000).await;
    client.queue("*").resume().await.unwrap();
    until_all_succeeded(&storage).await;
    let first = &gate.started()[..800];
    let heavy = first.iter().filter(|queue| *queue == "heavy").count();
    assert!(
        (500..=700).contains(&heavy),
        "{heavy} of the first 800 were heavy"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_paused_kind_leaves_the_slots_to_others() {
    let storage = storage();
    let (paused, one) = Gate::before("paused_kind", 100);
    let (other, two) = Gate::before("other_kind", 100);
    let client = Client::new(&storage);
    let running = worker(&storage, vec![paused, other])
        .concurrency(2)
        .poll_interval(Duration::from_secs(3_600));
    let running = running.start().await.unwrap();
    client.kind("paused_kind").pause().await.unwrap();
    store(&storage, "paused_kind", &["default"], 5).await;
    store(&storage, "other_kind", &["default"], 5).await;
    eventually("the others run", || two.started().len() == 5).await;
    assert!(one.started().is_empty());
    assert_eq!(storage.counts().await.unwrap().enqueued, 5);
    client.kind("paused_kind").resume().await.unwrap();
    until_all_succeeded(&storage).await;
    // For a time: nobody resumes it.
    let short = Duration::from_millis(100);
    client
        .kind("other_kind")
        .pause()
        .lasting(short)
        .await
        .unwrap();
    store(&storage, "other_kind", &["default"], 5).await;
    until_all_succeeded(&storage).await;
    running.stop().await;
}

#[tokio::test]
async fn a_drained_worker_finishes_what_it_has() {
    let storage = storage();
    let (entry, gate) = Gate::before("drained", 0);
    let running = worker(&storage, vec![entry]).concurrency(2);
    let running = running.start().await.unwrap();
    let first = enqueue_with(&storage, "drained", |_| {}).await;
    eventually("it runs", || gate.running("default") == 1).await;
    let soon = tokio::time::timeout(Duration::from_millis(50), running.drain());
    assert!(soon.await.is_err(), "it waits for what runs");
    let later = enqueue_with(&storage, "drained", |_| {}).await;
    gate.permits.add_permits(1);
    running.drain().await;
    until_state(&storage, first, State::Succeeded).await;
    assert_eq!(gate.started().len(), 1, "nothing new was taken");
    assert_eq!(
        storage.job(later).await.unwrap().unwrap().state,
        State::Enqueued
    );
    running.stop().await;
}
