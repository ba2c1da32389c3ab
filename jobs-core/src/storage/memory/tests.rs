//! What can only be seen with a clock that is moved by hand. All else is for the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::MemoryStorage;
use crate::clock::{Clock, ManualClock};
use crate::job::{
    AttemptOutcome, BatchId, ClaimId, Condition, Due, ErrorReport, JobId, LimitRule, NewJob,
    Parent, ParentId, QueuePattern, State, WorkerId,
};
use crate::lifecycle::Transition;
use crate::storage::{
    ClaimRequest, Command, Control, ControlVerb, Flush, Inspect, NewBatch, QueueShare,
    RescueRequest, Retention, Scope, Settlement, Storage, Verb, WorkerInfo,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    clock: ManualClock,
    storage: MemoryStorage,
    worker: WorkerId,
}

impl Scene {
    async fn new() -> Self {
        // Half past, so that a minute is not over by chance.
        let clock = ManualClock::new("2026-03-01T12:00:30Z".parse().unwrap());
        let storage = MemoryStorage::with_clock(clock.clone());
        let worker = WorkerId::new();
        storage.register(&WorkerInfo::new(worker)).await.unwrap();
        Self {
            clock,
            storage,
            worker,
        }
    }

    async fn store(&self, due: Due) -> JobId {
        let mut job = NewJob::new(JobId::at(self.clock.now()), "work", "{}");
        job.due = due;
        self.storage.insert(&[job.clone()]).await.unwrap();
        job.id
    }

    fn request(&self) -> ClaimRequest {
        ClaimRequest {
            worker: self.worker,
            claim: ClaimId::new(),
            queues: vec![QueueShare {
                queues: QueuePattern::all(),
                limit: 100,
            }],
            limit: 100,
            unknown_kinds: Arc::from([]),
        }
    }

    /// Takes all that is due and ends it so; answers how many that were.
    async fn run(&self, transition: Transition) -> usize {
        let request = self.request();
        let jobs = self.storage.claim(&request).await.unwrap().jobs;
        let end = |job: &crate::storage::ClaimedJob| Settlement {
            job: job.id,
            run: job.run,
            claim: request.claim,
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            attempt: job.attempt,
            ran_for: Some(Duration::from_millis(250)),
            ended_ago: Duration::ZERO,
            transition: transition.clone(),
        };
        let flush = Flush {
            worker: self.worker,
            settlements: jobs.iter().map(end).collect(),
            closed: vec![request.claim],
        };
        assert!(self.storage.settle(&flush).await.unwrap().is_empty());
        jobs.len()
    }

    async fn exists(&self, id: JobId) -> bool {
        self.storage.job(id).await.unwrap().is_some()
    }
}

fn succeed() -> Transition {
    Transition::Succeed {
        result: None,
        note: None,
    }
}

fn fail() -> Transition {
    Transition::Fail {
        reason: "it broke".into(),
        how: AttemptOutcome::Failed,
        report: ErrorReport::new("it broke"),
    }
}

#[tokio::test]
async fn a_job_falls_due_at_its_very_moment() {
    let scene = Scene::new().await;
    let id = scene.store(Due::In(DAY)).await;
    scene.clock.advance(DAY - Duration::from_micros(1));
    let next = scene.storage.next_due(&scene.request()).await.unwrap();
    assert_eq!(next, Some(Duration::from_micros(1)));
    assert_eq!(scene.run(succeed()).await, 0);
    scene.clock.advance(Duration::from_micros(1));
    let found = scene.storage.job(id).await.unwrap().unwrap();
    assert_eq!(found.state, State::Enqueued);
    assert_eq!(scene.run(succeed()).await, 1);
}

#[tokio::test]
async fn what_is_due_stays_due_when_the_clock_goes_back() {
    let scene = Scene::new().await;
    scene.store(Due::Now).await;
    let before = scene.storage.now();
    scene.clock.set(before - TimeDelta::days(1));
    scene.store(Due::Now).await;
    assert_eq!(scene.storage.now(), before);
    assert_eq!(scene.run(succeed()).await, 2);
}

#[tokio::test]
async fn the_end_of_all_time_is_no_trouble() {
    let scene = Scene::new().await;
    let id = scene.store(Due::In(Duration::MAX)).await;
    let found = scene.storage.job(id).await.unwrap().unwrap();
    assert_eq!(found.state, State::Scheduled);
    assert!(scene.storage.next_due(&scene.request()).await.is_ok());
    scene.clock.advance(Duration::MAX);
    assert_eq!(scene.run(succeed()).await, 1);
}

#[tokio::test]
async fn finished_jobs_go_when_their_days_are_over() {
    let scene = Scene::new().await;
    let done = scene.store(Due::Now).await;
    scene.run(succeed()).await;
    let failed = scene.store(Due::Now).await;
    scene.run(fail()).await;
    let waiting = scene.store(Due::In(1_000 * DAY)).await;
    let retain = async || scene.storage.retain(&Retention::default()).await.unwrap();
    scene.clock.advance(7 * DAY - MINUTE);
    assert_eq!(retain().await, 0);
    scene.clock.advance(MINUTE);
    assert_eq!(retain().await, 1);
    assert!(!scene.exists(done).await && scene.exists(failed).await);
    scene.clock.advance(23 * DAY);
    assert_eq!(retain().await, 1);
    scene.clock.advance(300 * DAY);
    assert_eq!(retain().await, 0);
    assert!(scene.exists(waiting).await);
}

#[tokio::test]
async fn counters_are_apart_by_the_minute_and_kept_for_ninety_days() {
    let scene = Scene::new().await;
    let start = scene.clock.now() - TimeDelta::seconds(30);
    for n in 0..3 {
        for _ in 0..=n {
            scene.store(Due::Now).await;
        }
        scene.run(succeed()).await;
        scene.clock.advance(MINUTE);
    }
    let all = async || {
        let end = start + TimeDelta::hours(1);
        scene.storage.stats(start, end).await.unwrap()
    };
    let seen: Vec<_> = all()
        .await
        .iter()
        .map(|stat| ((stat.minute - start).num_minutes(), stat.succeeded))
        .collect();
    assert_eq!(seen, [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(all().await[2].run_millis, 750);
    scene.clock.advance(89 * DAY);
    scene.storage.retain(&Retention::default()).await.unwrap();
    assert_eq!(all().await.len(), 3);
    scene.clock.advance(DAY);
    scene.storage.retain(&Retention::default()).await.unwrap();
    assert_eq!(all().await.len(), 0);
}

#[tokio::test]
async fn the_dead_are_listed_for_a_day() {
    let scene = Scene::new().await;
    let request = RescueRequest {
        worker: scene.worker,
        beat: 0,
        lost_limit: 3,
        lost_reason: "lost",
        limit: 10,
    };
    scene.storage.rescue(&request).await.unwrap();
    let listed = async || scene.storage.workers().await.unwrap().len();
    scene.clock.advance(DAY - MINUTE);
    assert_eq!(listed().await, 1);
    scene.clock.advance(MINUTE);
    assert_eq!(listed().await, 0);
    scene.storage.retain(&Retention::default()).await.unwrap();
    assert_eq!(scene.storage.with(|tables, _| tables.workers.len()), 0);
}

#[tokio::test]
async fn of_endless_snoozes_the_last_hundred_are_kept() {
    let scene = Scene::new().await;
    let id = scene.store(Due::Now).await;
    scene
        .run(Transition::Retry {
            delay: Duration::ZERO,
            reason: "again".into(),
            how: AttemptOutcome::Failed,
            report: ErrorReport::new("it broke"),
        })
        .await;
    for n in 0..150 {
        let reason = format!("snooze {n}");
        let delay = Duration::ZERO;
        scene.run(Transition::Snooze { delay, reason }).await;
    }
    let attempts = scene.storage.attempts(id).await.unwrap();
    assert_eq!(attempts.len(), 101, "and what was no snooze");
    assert_eq!(attempts[1].reason, "snooze 50");
    assert_eq!(attempts[100].reason, "snooze 149");
}

#[tokio::test]
async fn nothing_is_left_behind_when_all_is_done() {
    let scene = Scene::new().await;
    for _ in 0..50 {
        scene.store(Due::Now).await;
    }
    scene.run(succeed()).await;
    scene.clock.advance(8 * DAY);
    scene.storage.retain(&Retention::default()).await.unwrap();
    scene.storage.with(|tables, _| {
        assert!(tables.jobs.is_empty() && tables.claims.is_empty());
        assert_eq!(tables.tickets.queues().count(), 0);
        assert!(tables.workers[&scene.worker].claims.is_empty());
    });
}

#[tokio::test]
async fn a_batch_that_is_never_complete_goes_with_all_that_is_in_it() {
    let scene = Scene::new().await;
    let storage = &scene.storage;
    let [late, around] = [(); 2].map(|()| BatchId::new());
    let outer = NewBatch::new(around);
    storage
        .create_batch(&outer, &[member(around)])
        .await
        .unwrap();
    let inner = NewBatch {
        sealed: false,
        parent: Some(around),
        ..NewBatch::new(late)
    };
    let mut callback = NewJob::new(JobId::new(), "work", "{}");
    callback.rules.get_or_insert_default().parents = vec![Parent {
        of: ParentId::Batch(late),
        on: Condition::Deletion,
    }];
    let (one, callback_id) = (member(late), callback.id);
    let jobs = [one.clone(), member(late), callback];
    storage.create_batch(&inner, &jobs).await.unwrap();
    scene.clock.advance(Duration::from_secs(3_599));
    storage.tick().await.unwrap();
    assert_eq!(storage.batch(around).await.unwrap().unwrap().total, 2);
    scene.clock.advance(Duration::from_secs(1));
    storage.tick().await.unwrap();
    assert!(storage.batch(late).await.unwrap().is_none());
    assert!(storage.job(one.id).await.unwrap().is_none());
    assert_eq!(storage.batch(around).await.unwrap().unwrap().total, 1);
    let callback = storage.job(callback_id).await.unwrap().unwrap();
    let reason = format!("its batch {late} was not complete within 1 h and was removed");
    assert_eq!(
        (callback.state, callback.reason),
        (State::Deleted, Some(reason))
    );
    let counts = storage.counts().await.unwrap();
    assert_eq!(
        (counts.awaiting, counts.enqueued, counts.deleted),
        (0, 1, 1)
    );
}

#[tokio::test]
async fn a_tree_that_is_never_complete_goes_whole() {
    let scene = Scene::new().await;
    let storage = &scene.storage;
    let batches = [(); 3].map(|()| BatchId::new());
    for (n, id) in batches.into_iter().enumerate() {
        let mut new = NewBatch::new(id);
        (new.parent, new.sealed) = (n.checked_sub(1).map(|n| batches[n]), n > 0);
        let jobs = [member(id), member(id)];
        storage.create_batch(&new, &jobs).await.unwrap();
        scene.clock.advance(Duration::from_secs(600));
    }
    scene.clock.advance(Duration::from_secs(1_799));
    storage.tick().await.unwrap();
    assert_eq!(storage.counts().await.unwrap().awaiting, 6);
    scene.clock.advance(Duration::from_secs(1));
    storage.tick().await.unwrap();
    for id in batches {
        assert!(storage.batch(id).await.unwrap().is_none());
    }
    scene.storage.with(|tables, _| {
        assert!(tables.jobs.is_empty() && tables.batches.is_empty());
    });
    let counts = storage.counts().await.unwrap();
    assert_eq!((counts.awaiting, counts.deleted), (0, 0));
}

fn member(batch: BatchId) -> NewJob {
    let mut new = NewJob::new(JobId::new(), "work", "{}");
    new.rules.get_or_insert_default().batch = Some(batch);
    new
}

/// What follows from the end of a batch goes up through those around it, and what is done to one down through
/// those in it: neither may need more stack the deeper they are.
#[tokio::test]
async fn batches_may_be_very_deep() {
    let Scene { storage, .. } = Scene::new().await;
    let ends = async |id| storage.batch(id).await.unwrap().unwrap().finished_at;
    let deep = async || {
        let all: Vec<BatchId> = (0..100_000).map(|_| BatchId::new()).collect();
        let mut job = NewJob::new(JobId::new(), "work", "{}");
        job.rules.get_or_insert_default().batch = all.last().copied();
        for (at, &id) in all.iter().enumerate() {
            let new = NewBatch {
                parent: at.checked_sub(1).map(|around| all[around]),
                sealed: false,
                ..NewBatch::new(id)
            };
            storage.create_batch(&new, &[]).await.unwrap();
        }
        storage.insert(std::slice::from_ref(&job)).await.unwrap();
        (all[0], job.id)
    };
    let order = async |verb, job| {
        let command = Command {
            verb,
            jobs: vec![job],
            actor: "ada".into(),
            reason: None,
        };
        storage.command(&command).await.unwrap();
    };
    let (outermost, job) = deep().await;
    storage.seal_batch(outermost).await.unwrap();
    assert_eq!(ends(outermost).await, None);
    order(Verb::Delete, job).await;
    assert!(ends(outermost).await.is_some());
    order(Verb::Requeue, job).await;
    assert_eq!(ends(outermost).await, None);
    let (outermost, _) = deep().await;
    let deleted = storage.cancel_batch(outermost, "ada", None).await.unwrap();
    assert_eq!(deleted, 1);
    assert!(ends(outermost).await.is_some());
}

/// Very many that stand still in a line are passed over once, not for each that is let in behind them.
#[tokio::test]
async fn very_many_that_stand_still_are_passed_over_once() {
    const MANY: usize = 100_000;
    let Scene { storage, .. } = Scene::new().await;
    let pause = Control {
        verb: ControlVerb::Pause(Scope::queues("slow").unwrap(), None),
        actor: "ada".into(),
        reason: None,
    };
    storage.control(&pause).await.unwrap();
    let jobs = |queue: &'static str| {
        let limit = LimitRule::concurrency("api", 200_000);
        let job = || {
            let mut job = NewJob::new(JobId::new(), "work", "{}");
            job.queue = queue.into();
            job.rules.get_or_insert_default().limits = vec![(&limit).into()];
            job
        };
        std::iter::repeat_with(job).take(MANY).collect::<Vec<_>>()
    };
    storage.insert(&jobs("slow")).await.unwrap();
    storage.insert(&jobs("quick")).await.unwrap();
    let used = storage.limits().await.unwrap()[0].used;
    assert_eq!(used, MANY as u64);
}

/// A job that waits for very many others is told of the end of each.
#[tokio::test]
async fn very_many_parents_end_one_by_one() {
    let Scene { storage, .. } = Scene::new().await;
    let job = || NewJob::new(JobId::new(), "work", "{}");
    let mut jobs: Vec<NewJob> = std::iter::repeat_with(job).take(100_000).collect();
    let parents: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let mut child = job();
    let parent = |&id: &JobId| Parent {
        of: ParentId::Job(id),
        on: Condition::Any,
    };
    child.rules.get_or_insert_default().parents = parents.iter().rev().map(parent).collect();
    jobs.push(child.clone());
    storage.insert(&jobs).await.unwrap();
    let command = Command {
        verb: Verb::Delete,
        jobs: parents[1..].to_vec(),
        actor: "ada".into(),
        reason: None,
    };
    storage.command(&command).await.unwrap();
    assert_eq!(
        storage.awaited(child.id).await.unwrap(),
        [parent(&parents[0])]
    );
    let state = async || storage.job(child.id).await.unwrap().unwrap().state;
    assert_eq!(state().await, State::Awaiting);
    let jobs = vec![parents[0]];
    storage.command(&Command { jobs, ..command }).await.unwrap();
    assert_eq!(state().await, State::Enqueued);
}
