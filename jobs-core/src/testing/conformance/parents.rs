//! [Parents](crate::job::Rules::parents): what a job waits for, and what it finds when it is stored. What
//! becomes of it later is in [`children`](mod@super::children).

use chrono::TimeDelta;

use super::stage::{
    Hand, LATER, after, after_batch, becomes, close, eventually, fail, job, members, order, record,
    rules, state, store, store_batch, store_one, store_this, succeed,
};
use crate::job::{BatchId, Condition, Due, Input, JobId, NewJob, Parent, ParentId, Rules, State};
use crate::storage::{JobFilter, NewBatch, StorageHandle, Verb, Wake};

const CONDITIONS: [Condition; 4] = [
    Condition::Success,
    Condition::Failure,
    Condition::Deletion,
    Condition::Any,
];

const ENDS: [State; 3] = [State::Succeeded, State::Failed, State::Deleted];

/// A job that has ended so.
async fn ended(hand: &Hand, end: State) -> JobId {
    let queue = &JobId::new().to_string();
    let id = store_one(&hand.storage, queue).await;
    end_it(hand, id, queue, end).await;
    id
}

pub(super) async fn end_it(hand: &Hand, id: JobId, queue: &str, end: State) {
    let run = hand.take_one(queue).await;
    assert_eq!(run.id, id);
    match end {
        State::Succeeded => hand.end(&run, succeed()).await,
        State::Failed => hand.end(&run, fail()).await,
        _ => {
            order(&hand.storage, Verb::Delete, id).await;
        }
    }
    assert_eq!(state(&hand.storage, id).await, end);
}

/// What becomes of a child with this condition, and why.
fn follows(on: Condition, end: State) -> (State, Option<&'static str>) {
    use Condition::{Any, Deletion, Failure, Success};
    match (on, end) {
        (Any, _) => (State::Enqueued, None),
        (Success, State::Succeeded) | (Failure, State::Failed) => (State::Enqueued, None),
        (Deletion, State::Deleted) => (State::Enqueued, None),
        (Success, State::Failed) => (State::Awaiting, None),
        (_, State::Succeeded) => (State::Deleted, Some("succeeded")),
        (_, State::Failed) => (State::Deleted, Some("failed")),
        _ => (State::Deleted, Some("was deleted")),
    }
}

/// A child waits, with no place in its queue, until its parent has succeeded; then it is there at once.
pub async fn a_child_waits_for_its_parent(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "a").await;
    let child = store_this(&storage, after("b", &[(parent, Condition::Success)])).await;
    assert_eq!(state(&storage, child).await, State::Awaiting);
    assert_eq!(record(&storage, child).await.reason, None);
    hand.finds_nothing("b").await;
    let request = hand.request(&[("b", 1)], 1);
    assert_eq!(storage.next_due(&request).await.expect("next_due"), None);
    let run = hand.take_one("a").await;
    assert_eq!(state(&storage, child).await, State::Awaiting);
    hand.end(&run, succeed()).await;
    assert_eq!(state(&storage, child).await, State::Enqueued);
    assert_eq!(storage.awaited(child).await.expect("awaited"), []);
    let run = hand.take_one("b").await;
    assert_eq!(run.id, child);
    hand.end(&run, succeed()).await;
    hand.finds_nothing("*").await;
}

/// Rules come back to the letter, from the record and with the claim.
pub async fn rules_come_back(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents = [
        store_one(&storage, "a").await,
        store_one(&storage, "a").await,
    ];
    let mut new = after(
        "b",
        &[
            (parents[1], Condition::Any),
            (parents[0], Condition::Success),
        ],
    );
    rules(&mut new).input = Some(Input {
        parent: parents[0],
        field: "größe \"x\"".into(),
    });
    rules(&mut new).expires_in = Some(LATER);
    let wanted = new.rules.clone();
    let id = store_this(&storage, new).await;
    assert_eq!(record(&storage, id).await.rules, wanted);
    let runs = hand.take("a", 2).await;
    assert_eq!(hand.report(&runs, &succeed()).await, []);
    becomes(&storage, id, State::Enqueued).await;
    assert_eq!(hand.take_one("b").await.rules, wanted);
    let plain = store_one(&storage, "a").await;
    assert_eq!(record(&storage, plain).await.rules, None);
    assert_eq!(hand.take_one("a").await.rules, None);
    let mut empty = job("a");
    empty.rules = Some(Box::new(Rules::default()));
    let empty = store_this(&storage, empty).await;
    assert_eq!(hand.take_one("a").await.id, empty, "no rules at all");
}

/// However a parent ends, each child runs, waits or is Deleted with the reason, as its condition says.
pub async fn a_child_runs_as_its_condition_says(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for end in ENDS {
        let parent = store_one(&storage, "p").await;
        let children = CONDITIONS.map(|on| after("c", &[(parent, on)]));
        store(&storage, &children).await;
        end_it(&hand, parent, "p", end).await;
        judge(&storage, parent, end, &children).await;
    }
}

/// For a parent that has ended before the child is stored the same holds.
pub async fn a_parent_that_has_ended_counts_at_once(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    for end in ENDS {
        let parent = ended(&hand, end).await;
        let children = CONDITIONS.map(|on| after("c", &[(parent, on)]));
        store(&storage, &children).await;
        judge(&storage, parent, end, &children).await;
    }
}

async fn judge(storage: &StorageHandle, parent: JobId, end: State, children: &[NewJob]) {
    for (on, child) in CONDITIONS.into_iter().zip(children) {
        let (wanted, how) = follows(on, end);
        let found = becomes(storage, child.id, wanted).await;
        let reason = how.map(|how| format!("its parent {parent} {how}"));
        assert_eq!(found.reason, reason, "{on:?} of a parent that is {end}");
        assert_eq!(found.finished_at.is_some(), wanted == State::Deleted);
        assert!(found.finished_at.is_none_or(|at| close(at, storage.now())));
        let awaited = storage.awaited(child.id).await.expect("awaited");
        assert_eq!(awaited.is_empty(), wanted != State::Awaiting);
    }
}

/// One parent that ended otherwise for good is enough, whatever becomes of the others.
pub async fn one_condition_that_fails_is_enough(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let open = store_one(&storage, "open").await;
    let deleted = ended(&hand, State::Deleted).await;
    let pair = [(open, Condition::Success), (deleted, Condition::Success)];
    let early = store_this(&storage, after("c", &pair)).await;
    let found = becomes(&storage, early, State::Deleted).await;
    assert_eq!(
        found.reason,
        Some(format!("its parent {deleted} was deleted"))
    );
    let other = store_one(&storage, "p").await;
    let pair = [(open, Condition::Success), (other, Condition::Failure)];
    let late = store_this(&storage, after("c", &pair)).await;
    end_it(&hand, other, "p", State::Succeeded).await;
    becomes(&storage, late, State::Deleted).await;
    end_it(&hand, open, "open", State::Succeeded).await;
    assert_eq!(state(&storage, late).await, State::Deleted);
    hand.finds_nothing("*").await;
}

/// A graph of many jobs runs each once, and none before its parents.
pub async fn a_whole_graph_runs_in_order(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let mut luck = fastrand::Rng::with_seed(7);
    let mut graph: Vec<NewJob> = (0..120).map(|_| job("g")).collect();
    for n in 1..graph.len() {
        let most = luck.usize(..4);
        let some = luck.choose_multiple(0..n, most);
        let parents = some.iter().map(|&n| Parent {
            of: ParentId::Job(graph[n].id),
            on: Condition::Success,
        });
        rules(&mut graph[n]).parents = parents.collect();
    }
    let mut shuffled = graph.clone();
    luck.shuffle(&mut shuffled);
    store(&storage, &shuffled).await;
    let mut done = Vec::new();
    while done.len() < graph.len() {
        let run = hand.take_one("g").await;
        let parents = run.rules.iter().flat_map(|rules| &rules.parents);
        for parent in parents {
            let before = done.iter().any(|&id| ParentId::Job(id) == parent.of);
            assert!(before, "{} runs before its parent", run.id);
        }
        assert!(!done.contains(&run.id));
        done.push(run.id);
        hand.end(&run, succeed()).await;
        storage.tick().await.expect("tick");
    }
    assert_eq!(storage.counts().await.expect("counts").unfinished(), 0);
}

/// A due time counts from the insert: a child that is ready before it is Scheduled, one that is ready
/// after it is due when it is ready, behind those that were due before.
pub async fn a_due_time_counts_from_the_insert(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    let mut later = after("c", &[(parent, Condition::Success)]);
    later.due = Due::In(LATER);
    let soon = after("c", &[(parent, Condition::Success)]);
    store(&storage, &[later.clone(), soon.clone()]).await;
    let stored = record(&storage, later.id).await;
    assert!(close(stored.due_at, storage.now() + TimeDelta::hours(1)));
    let other = store_one(&storage, "c").await;
    end_it(&hand, parent, "p", State::Succeeded).await;
    let ready = becomes(&storage, later.id, State::Scheduled).await;
    assert_eq!(ready.due_at, stored.due_at);
    let ready = becomes(&storage, soon.id, State::Enqueued).await;
    assert!(ready.due_at > record(&storage, other).await.due_at);
    let order: Vec<_> = hand.take("c", 2).await.iter().map(|run| run.id).collect();
    assert_eq!(order, [other, soon.id]);
    hand.finds_nothing("c").await;
}

/// Who waits is counted and listed as Awaiting, and says for whom, in the order in which it was given.
pub async fn who_waits_is_counted_and_listed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parents: Vec<_> = [
        store_one(&storage, "p").await,
        store_one(&storage, "p").await,
    ]
    .into();
    let given = [
        (parents[1], Condition::Any),
        (parents[0], Condition::Success),
    ];
    let child = store_this(&storage, after("c", &given)).await;
    let counts = storage.counts().await.expect("counts");
    assert_eq!((counts.awaiting, counts.enqueued), (1, 2));
    assert_eq!(counts.unfinished(), 3);
    let filter = JobFilter {
        state: Some(State::Awaiting),
        ..JobFilter::default()
    };
    let page = storage.jobs(&filter).await.expect("jobs");
    let listed: Vec<_> = page.jobs.iter().map(|job| job.id).collect();
    assert_eq!(listed, [child]);
    let awaited = storage.awaited(child).await.expect("awaited");
    assert_eq!(
        awaited,
        record(&storage, child).await.rules.expect("rules").parents
    );
    end_it(&hand, parents[0], "p", State::Succeeded).await;
    let left = storage.awaited(child).await.expect("awaited");
    assert_eq!(left, awaited[..1]);
    assert_eq!(storage.awaited(JobId::new()).await.expect("awaited"), []);
    assert_eq!(storage.awaited(parents[0]).await.expect("awaited"), []);
}

/// Those that wait for a job or a batch are listed, by pages and with other restrictions, as long as they wait for it.
pub async fn those_that_a_parent_blocks_are_listed(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let [parent, other] = [
        store_one(&storage, "p").await,
        store_one(&storage, "q").await,
    ];
    let children = CONDITIONS.map(|on| after("c", &[(parent, on), (other, Condition::Any)]));
    let alone = after("d", &[(other, Condition::Any)]);
    store(&storage, &[children.to_vec(), vec![alone]].concat()).await;
    let blocked = async |filter: JobFilter| {
        let page = storage.jobs(&filter).await.expect("jobs");
        let ids = page.jobs.iter().map(|job| job.id).collect::<Vec<_>>();
        (ids, page.next)
    };
    let by = |parent: ParentId| JobFilter {
        waits_for: Some(parent),
        ..JobFilter::default()
    };
    let by_parent = || by(ParentId::Job(parent));
    let [success, failure, deletion, any] = children.map(|child| child.id);
    let (first, next) = blocked(JobFilter {
        limit: 3,
        ..by_parent()
    })
    .await;
    assert_eq!(first, [any, deletion, failure], "newest first");
    let (rest, end) = blocked(JobFilter {
        limit: 3,
        before: next,
        ..by_parent()
    })
    .await;
    assert_eq!((rest, end), (vec![success], None));
    assert_eq!(blocked(by(ParentId::Job(other))).await.0.len(), 5);
    for (restricted, n) in [
        (
            JobFilter {
                queue: Some("c".into()),
                ..by(ParentId::Job(other))
            },
            4,
        ),
        (
            JobFilter {
                kind: Some("nobody".into()),
                ..by_parent()
            },
            0,
        ),
        (
            JobFilter {
                tag: Some("none".into()),
                ..by_parent()
            },
            0,
        ),
        (
            JobFilter {
                batch: Some(BatchId::new()),
                ..by_parent()
            },
            0,
        ),
        (
            JobFilter {
                state: Some(State::Awaiting),
                ..by_parent()
            },
            4,
        ),
        (
            JobFilter {
                state: Some(State::Enqueued),
                ..by_parent()
            },
            0,
        ),
        (by(ParentId::Job(JobId::new())), 0),
        (by(ParentId::Batch(BatchId::new())), 0),
    ] {
        assert_eq!(
            blocked(restricted.clone()).await.0.len(),
            n,
            "{restricted:?}"
        );
    }
    // Failed, it blocks only those that need its success.
    end_it(&hand, parent, "p", State::Failed).await;
    becomes(&storage, deletion, State::Deleted).await;
    eventually("the others do not wait for it", async || {
        (blocked(by_parent()).await.0 == [success]).then_some(())
    })
    .await;
    order(&storage, Verb::Requeue, parent).await;
    end_it(&hand, parent, "p", State::Succeeded).await;
    eventually("nobody waits for it", async || {
        blocked(by_parent()).await.0.is_empty().then_some(())
    })
    .await;
    assert_eq!(blocked(by(ParentId::Job(other))).await.0.len(), 4);
    let batch = BatchId::new();
    let callback = after_batch("then", batch, Condition::Success);
    let jobs = [members("a", batch, 1), vec![callback.clone()]].concat();
    store_batch(&storage, &NewBatch::new(batch), &jobs).await;
    let by_batch = blocked(by(ParentId::Batch(batch))).await.0;
    assert_eq!(by_batch, [callback.id]);
}

/// A job that is Deleted as soon as it is stored is counted as such, and so are its own children.
pub async fn what_is_deleted_at_once_is_counted(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = ended(&hand, State::Failed).await;
    let child = after("c", &[(parent, Condition::Deletion)]);
    let grandchild = after("c", &[(child.id, Condition::Success)]);
    let mourner = after("c", &[(child.id, Condition::Deletion)]);
    store(
        &storage,
        &[grandchild.clone(), mourner.clone(), child.clone()],
    )
    .await;
    becomes(&storage, child.id, State::Deleted).await;
    let found = becomes(&storage, grandchild.id, State::Deleted).await;
    assert_eq!(
        found.reason,
        Some(format!("its parent {} was deleted", child.id))
    );
    becomes(&storage, mourner.id, State::Enqueued).await;
    storage.tick().await.expect("tick");
    let (now, day) = (storage.now(), TimeDelta::days(1));
    let stats = storage.stats(now - day, now + day).await.expect("stats");
    let deleted: u64 = stats.iter().map(|stat| stat.deleted).sum();
    assert_eq!(deleted, 2);
    assert_eq!(storage.counts().await.expect("counts").deleted, 2);
}

/// A child that is ready is hinted at like any job that is put into its queue.
pub async fn a_ready_child_wakes(storage: StorageHandle) {
    let hand = Hand::hire(&storage).await;
    let parent = store_one(&storage, "p").await;
    store_this(&storage, after("c", &[(parent, Condition::Success)])).await;
    let run = hand.take_one("p").await;
    let mut wake = storage.wake();
    hand.end(&run, succeed()).await;
    let heard = async {
        loop {
            match wake.recv().await {
                Ok(Wake::Jobs(queue)) if &*queue == "c" => break,
                Ok(Wake::Everything) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let heard = tokio::time::timeout(super::stage::PATIENCE, heard).await;
    assert!(heard.is_ok(), "nothing was hinted at");
}
