//! [`Inspect`](crate::storage::Inspect): what people see. Its `stats` have a [module of their
//! own](super::stats).

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, close, fail, ids, job, one_of_each, order, state, store, store_some,
};
use crate::job::{Due, JobId, NewJob, State, WorkerId};
use crate::storage::{JobFilter, StorageHandle, Verb, WorkerInfo};

/// All pages of a list.
async fn list(storage: &StorageHandle, filter: &JobFilter) -> Vec<JobId> {
    let (mut filter, mut found) = (filter.clone(), Vec::new());
    loop {
        let page = storage.jobs(&filter).await.expect("jobs");
        assert!(page.jobs.len() <= filter.page_size());
        assert!(
            page.next.is_none() || !page.jobs.is_empty(),
            "no empty page"
        );
        found.extend(page.jobs.iter().map(|job| job.id));
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return found,
        }
    }
}

/// There is nothing to see of what does not exist.
pub async fn an_empty_storage_is_empty(storage: StorageHandle) {
    let unknown = JobId::new();
    assert!(storage.job(unknown).await.expect("job").is_none());
    assert!(
        storage
            .attempts(unknown)
            .await
            .expect("attempts")
            .is_empty()
    );
    assert!(storage.events(unknown).await.expect("events").is_empty());
    assert!(list(&storage, &JobFilter::default()).await.is_empty());
    assert_eq!(storage.counts().await.expect("counts"), Default::default());
    assert!(storage.queues().await.expect("queues").is_empty());
    assert!(storage.workers().await.expect("workers").is_empty());
    let now = storage.now();
    let hour = TimeDelta::hours(1);
    let stats = storage.stats(now - hour, now + hour).await.expect("stats");
    assert!(stats.is_empty());
}

/// Jobs are listed newest first, page by page, each once.
pub async fn jobs_are_listed_newest_first(storage: StorageHandle) {
    let mut wanted = store_some(&storage, "a", 120).await;
    wanted.reverse();
    for limit in [0, 1, 7, 50, 60, 119, 120, 121, 5_000] {
        let filter = JobFilter {
            limit,
            ..JobFilter::default()
        };
        assert_eq!(list(&storage, &filter).await, wanted, "in pages of {limit}");
    }
    let filter = JobFilter::default();
    let first = storage.jobs(&filter).await.expect("jobs");
    assert_eq!(
        first.jobs.len(),
        50,
        "a page has fifty unless told otherwise"
    );
}

/// A page holds a thousand at most.
pub async fn a_page_is_bounded(storage: StorageHandle) {
    store_some(&storage, "a", 1_100).await;
    let filter = JobFilter {
        limit: 100_000,
        ..JobFilter::default()
    };
    let page = storage.jobs(&filter).await.expect("jobs");
    assert_eq!(page.jobs.len(), 1_000);
    assert_eq!(list(&storage, &filter).await.len(), 1_100);
}

/// A list can be restricted to a state.
pub async fn jobs_can_be_listed_by_state(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let zoo = one_of_each(&hand).await;
    for state in State::ALL {
        let filter = JobFilter {
            state: Some(state),
            ..JobFilter::default()
        };
        let wanted: Vec<_> = zoo
            .iter()
            .filter(|(found, _)| *found == state)
            .map(|(_, id)| *id)
            .collect();
        assert_eq!(list(&storage, &filter).await, wanted, "{state}");
    }
}

/// A list can be restricted to a kind, a queue, a tag, and all of them.
pub async fn jobs_can_be_listed_by_kind_queue_and_tag(storage: StorageHandle) {
    let make = |n: usize| {
        let mut new = job(["a", "b"][n % 2]);
        new.kind = ["x", "y", "z"][n % 3].into();
        new.options.tags = match n % 5 {
            0 => vec!["vip".into(), "eu".into()],
            1 => vec!["vip-not".into()],
            _ => Vec::new(),
        };
        new
    };
    let batch: Vec<NewJob> = (0..60).map(make).collect();
    store(&storage, &batch).await;
    let some = |text: &str| Some(text.to_owned());
    let filters = [
        (some("x"), None, None),
        (None, some("b"), None),
        (None, None, some("vip")),
        (None, None, some("eu")),
        (some("y"), some("a"), None),
        (some("z"), some("b"), some("vip")),
        (some("nobody"), None, None),
        (None, None, some("vi")),
    ];
    for (kind, queue, tag) in filters {
        let matches = |new: &&NewJob| {
            kind.as_ref().is_none_or(|kind| *kind == new.kind)
                && queue.as_ref().is_none_or(|queue| *queue == new.queue)
                && tag
                    .as_ref()
                    .is_none_or(|tag| new.options.tags.contains(tag))
        };
        let wanted: Vec<_> = batch
            .iter()
            .rev()
            .filter(matches)
            .map(|new| new.id)
            .collect();
        let filter = JobFilter {
            kind: kind.clone(),
            queue: queue.clone(),
            tag: tag.clone(),
            limit: 7,
            ..JobFilter::default()
        };
        assert_eq!(list(&storage, &filter).await, wanted, "{filter:?}");
    }
}

/// Counts say how many jobs stand where.
pub async fn counts_say_how_many_stand_where(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    one_of_each(&hand).await;
    let more = one_of_each(&hand).await;
    let mut counts = storage.counts().await.expect("counts");
    for state in State::ALL {
        let wanted = if state == State::Awaiting { 0 } else { 2 };
        assert_eq!(*counts.of(state), wanted, "{state}");
    }
    for (found, id) in more {
        order(&storage, Verb::Delete, id).await;
        let deleted = state(&storage, id).await == State::Deleted;
        assert_eq!(deleted, found != State::Succeeded);
    }
    let mut counts = storage.counts().await.expect("counts");
    assert_eq!((*counts.of(State::Deleted), counts.unfinished()), (6, 3));
}

/// Queues are listed by name with what waits in them, and since when.
pub async fn queues_are_listed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    store_some(&storage, "b", 3).await;
    store_some(&storage, "c", 1).await;
    let mut later = [job("a"), job("b")];
    for new in &mut later {
        new.due = Due::In(LATER);
    }
    store(&storage, &later).await;
    let run = hand.take_one("c").await;
    let queues = storage.queues().await.expect("queues");
    let seen: Vec<_> = queues
        .iter()
        .map(|queue| {
            let (waiting, later) = (queue.enqueued, queue.scheduled);
            (queue.name.as_str(), waiting, later, queue.processing)
        })
        .collect();
    assert_eq!(seen, [("a", 0, 1, 0), ("b", 3, 1, 0), ("c", 0, 0, 1)]);
    assert_eq!(queues[0].oldest_due, None);
    let oldest = queues[1].oldest_due.expect("since when");
    assert!(close(oldest, storage.now()) && oldest <= storage.now() + TimeDelta::seconds(1));
    hand.end(&run, fail()).await;
    assert_eq!(storage.queues().await.expect("queues").len(), 2);
}

/// Workers are listed, oldest first, with what they said of themselves and how much they hold.
pub async fn workers_are_listed(storage: StorageHandle) {
    let mut info = WorkerInfo::new(WorkerId::new());
    info.host = "host-é".into();
    info.pid = u32::MAX;
    info.version = "1.2.3".into();
    info.queues = vec!["mail.*".into(), "a".into()];
    info.kinds = vec!["work".into(), "rest".into()];
    info.concurrency = 64;
    storage.register(&info).await.expect("register");
    let busy = Hand {
        storage: storage.clone(),
        id: info.id,
    };
    let idle = Hand::hire(&storage).await;
    store_some(&storage, "a", 5).await;
    let runs = busy.take("a", 3).await;
    busy.take("a", 2).await;
    let ends = vec![runs[0].ended(fail())];
    busy.send(ends, Vec::new()).await;
    busy.beat(&[]).await;
    busy.take("a", 4).await;
    let workers = storage.workers().await.expect("workers");
    let [first, second] = &workers[..] else {
        panic!("two workers, not {workers:?}")
    };
    assert_eq!((first.info.id, second.info.id), (busy.id, idle.id));
    let text = |info: &WorkerInfo| serde_json::to_string(info).expect("JSON");
    assert_eq!(text(&first.info), text(&info));
    assert_eq!((first.processing, second.processing), (4, 0));
    assert_eq!((first.dead_at, second.dead_at), (None, None));
    assert!(close(first.started_at, storage.now()));
    assert!(first.beat_at >= first.started_at && close(first.beat_at, storage.now()));
    busy.dies().await;
    let workers = storage.workers().await.expect("workers");
    assert!(
        workers[0]
            .dead_at
            .is_some_and(|at| close(at, storage.now()))
    );
    assert_eq!(workers[0].processing, 0);
}

/// Looking changes nothing.
pub async fn looking_changes_nothing(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let batch = [job("a"), job("a")];
    store(&storage, &batch).await;
    let run = hand.take_one("a").await;
    for id in ids(&batch) {
        let (one, other) = (storage.job(id).await, storage.job(id).await);
        let text = |job| serde_json::to_string(&job).expect("JSON");
        assert_eq!(text(one.expect("job")), text(other.expect("job")));
    }
    assert_eq!(hand.take_one("a").await.run, 0);
    assert_eq!(state(&storage, run.id).await, State::Processing);
}
