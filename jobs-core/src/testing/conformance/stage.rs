//! What the tests act with: jobs, and workers that are led by hand.

mod hand;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::job::{
    AttemptOutcome, BatchId, Bound, Condition, Due, ErrorReport, Excess, JobId, JobRecord,
    LimitRule, LimitUse, NewJob, Parent, ParentId, Rules, State,
};
use crate::lifecycle::Transition;
use crate::storage::{Answer, BatchRecord, Command, LimitRecord, NewBatch, StorageHandle, Verb};

pub(super) use hand::{Hand, Run, claims, runs};

/// How long what must happen may take; machines that test are slow at times.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// A time by which nothing falls due in any test.
pub(super) const LATER: Duration = Duration::from_secs(3_600);

/// Asks until there is an answer.
pub(super) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Patience::new(what);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        patience.wait().await;
    }
}

/// What ends a loop that asks for something that must come to pass.
pub(super) struct Patience<'a> {
    what: &'a str,
    end: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn new(what: &'a str) -> Self {
        let end = Instant::now() + PATIENCE;
        Self { what, end }
    }

    /// Waits a little, unless it has taken too long.
    pub(super) async fn wait(&self) {
        self.wait_because("").await;
    }

    /// The same, knowing what is missing.
    pub(super) async fn wait_because(&self, missing: &str) {
        let what = self.what;
        assert!(
            Instant::now() < self.end,
            "it has not come to pass within {PATIENCE:?}: {what} {missing}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

/// A job of kind `work` for this queue.
pub(super) fn job(queue: &str) -> NewJob {
    let mut job = NewJob::new(JobId::new(), "work", "{}");
    job.queue = queue.to_owned().into();
    job
}

pub(super) fn jobs(queue: &str, n: usize) -> Vec<NewJob> {
    (0..n).map(|_| job(queue)).collect()
}

pub(super) fn ids(jobs: &[NewJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

/// An id of another time. (Ids that the process makes never go back, so that one of the far future would
/// be followed by all others.)
pub(super) fn id_of(time: DateTime<Utc>) -> JobId {
    let floor = JobId::floor(time).as_uuid().as_u128();
    let luck = JobId::new().as_uuid().as_u128() & u128::from(u32::MAX);
    uuid::Uuid::from_u128(floor | luck).into()
}

/// Stores jobs that are new.
pub(super) async fn store(storage: &StorageHandle, jobs: &[NewJob]) {
    let answers = storage.insert(jobs).await.expect("insert");
    let wanted: Vec<_> = jobs.iter().map(|job| (job.id, false)).collect();
    let got: Vec<_> = answers.iter().map(|one| (one.id, one.existing)).collect();
    assert_eq!(got, wanted, "one answer for each job, in their order");
}

/// Stores `n` jobs for this queue, due at once.
pub(super) async fn store_some(storage: &StorageHandle, queue: &str, n: usize) -> Vec<JobId> {
    let jobs = jobs(queue, n);
    store(storage, &jobs).await;
    ids(&jobs)
}

/// Stores one job for this queue, due at once.
pub(super) async fn store_one(storage: &StorageHandle, queue: &str) -> JobId {
    store_some(storage, queue, 1).await[0]
}

pub(super) async fn record(storage: &StorageHandle, id: JobId) -> JobRecord {
    let found = storage.job(id).await.expect("job");
    found.unwrap_or_else(|| panic!("job {id} is gone"))
}

pub(super) async fn state(storage: &StorageHandle, id: JobId) -> State {
    record(storage, id).await.state
}

/// Waits until a job stands there; what follows from something else may take a moment.
pub(super) async fn becomes(storage: &StorageHandle, id: JobId, wanted: State) -> JobRecord {
    let patience = Patience::new("a job becomes what it should");
    loop {
        let found = record(storage, id).await;
        if found.state == wanted {
            return found;
        }
        let unfinal = !found.state.is_final() || wanted == State::Enqueued;
        assert!(unfinal, "it should have become {wanted}: {found:?}");
        storage.tick().await.expect("tick");
        patience.wait().await;
    }
}

/// A job for this queue that waits for others.
pub(super) fn after(queue: &str, parents: &[(JobId, Condition)]) -> NewJob {
    let mut new = job(queue);
    let parent = |&(id, on): &(JobId, Condition)| Parent {
        of: ParentId::Job(id),
        on,
    };
    rules(&mut new).parents = parents.iter().map(parent).collect();
    new
}

/// The rules of a job, to be changed.
pub(super) fn rules(new: &mut NewJob) -> &mut Rules {
    new.rules.get_or_insert_default()
}

/// A job for this queue that is a member of a batch.
pub(super) fn member(queue: &str, batch: BatchId) -> NewJob {
    let mut new = job(queue);
    rules(&mut new).batch = Some(batch);
    new
}

pub(super) fn members(queue: &str, batch: BatchId, n: usize) -> Vec<NewJob> {
    (0..n).map(|_| member(queue, batch)).collect()
}

/// A job for this queue that waits for a batch.
pub(super) fn after_batch(queue: &str, batch: BatchId, on: Condition) -> NewJob {
    let mut new = job(queue);
    rules(&mut new).parents = vec![Parent {
        of: ParentId::Batch(batch),
        on,
    }];
    new
}

/// Stores a batch that is complete, in which all is new.
pub(super) async fn store_batch(storage: &StorageHandle, batch: &NewBatch, jobs: &[NewJob]) {
    let answers = storage.create_batch(batch, jobs).await;
    let answers = answers.expect("create_batch");
    let wanted: Vec<_> = jobs.iter().map(|job| (job.id, false)).collect();
    let got: Vec<_> = answers.iter().map(|one| (one.id, one.existing)).collect();
    assert_eq!(got, wanted, "one answer for each job, in their order");
}

/// The batch, as it is when all that was done before is counted.
pub(super) async fn batch_record(storage: &StorageHandle, id: BatchId) -> BatchRecord {
    storage.tick().await.expect("tick");
    let found = storage.batch(id).await.expect("batch");
    found.unwrap_or_else(|| panic!("batch {id} is gone"))
}

/// Waits until a batch has ended.
pub(super) async fn ends(storage: &StorageHandle, id: BatchId) -> BatchRecord {
    eventually("a batch ends", async || {
        let found = batch_record(storage, id).await;
        found.finished_at.is_some().then_some(found)
    })
    .await
}

/// The members of a batch: total, pending, succeeded, failed, deleted.
pub(super) fn tally(batch: &BatchRecord) -> [u64; 5] {
    let &BatchRecord {
        total,
        succeeded,
        failed,
        deleted,
        ..
    } = batch;
    [total, batch.pending(), succeeded, failed, deleted]
}

/// A job for this queue that counts against a limit.
pub(super) fn limited(queue: &str, rule: &LimitRule, key: &str) -> NewJob {
    let mut new = job(queue);
    limit(&mut new, rule, key, 1);
    new
}

/// Lets a job count against one more limit.
pub(super) fn limit(new: &mut NewJob, rule: &LimitRule, key: &str, weight: u32) {
    rules(new).limits.push(LimitUse {
        rule: rule.clone(),
        key: key.into(),
        weight,
    });
}

/// A limit whose excess waits.
pub(super) fn rule(name: &'static str, bound: Bound) -> LimitRule {
    LimitRule {
        name: name.into(),
        bound,
        excess: Excess::Wait,
    }
}

/// At most so many at once.
pub(super) fn at_most(name: &'static str, max: u32) -> LimitRule {
    rule(name, Bound::Concurrency { max })
}

pub(super) async fn limit_record(storage: &StorageHandle, name: &str) -> Option<LimitRecord> {
    let mut limits = storage.limits().await.expect("limits").into_iter();
    limits.find(|limit| limit.rule.name == name)
}

/// Stores one job, which is new, and answers its id.
pub(super) async fn store_this(storage: &StorageHandle, new: NewJob) -> JobId {
    store(storage, std::slice::from_ref(&new)).await;
    new.id
}

/// Refuses an insert, after which nothing of it is there.
pub(super) async fn is_refused(storage: &StorageHandle, jobs: &[NewJob]) -> Error {
    let answer = storage.insert(jobs).await;
    let error = answer.expect_err("this insert is to be refused");
    for new in jobs {
        let found = storage.job(new.id).await.expect("job");
        assert!(found.is_none(), "nothing of it is stored: {found:?}");
    }
    error
}

/// Whether two times are the same but for what a few requests on a slow machine take.
pub(super) fn close(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    (one - other).abs() < TimeDelta::seconds(15)
}

/// Orders one thing of one job.
pub(super) async fn order(storage: &StorageHandle, verb: Verb, id: JobId) -> Answer {
    order_all(storage, verb, &[id]).await[0]
}

pub(super) async fn order_all(storage: &StorageHandle, verb: Verb, ids: &[JobId]) -> Vec<Answer> {
    let command = Command {
        verb,
        jobs: ids.to_vec(),
        actor: "ada".into(),
        reason: Some("a test".into()),
    };
    let answers = storage.command(&command).await.expect("command");
    assert_eq!(answers.len(), ids.len(), "one answer for each job");
    answers
}

pub(super) fn succeed() -> Transition {
    Transition::Succeed {
        result: None,
        note: None,
    }
}

pub(super) fn retry(delay: Duration) -> Transition {
    Transition::Retry {
        delay,
        reason: "Retry: it broke".into(),
        how: AttemptOutcome::Failed,
        report: ErrorReport::new("it broke"),
    }
}

pub(super) fn fail() -> Transition {
    Transition::Fail {
        reason: "Failed: it broke".into(),
        how: AttemptOutcome::Failed,
        report: ErrorReport::new("it broke"),
    }
}

pub(super) fn snooze(delay: Duration) -> Transition {
    Transition::Snooze {
        delay,
        reason: "Snoozed".into(),
    }
}

pub(super) fn release() -> Transition {
    Transition::Release {
        reason: "shutdown".into(),
    }
}

/// Makes jobs, one of each state, in a queue of their own; this worker runs the one that runs.
pub(super) async fn one_of_each(hand: &Hand) -> Vec<(State, JobId)> {
    let storage = &hand.storage;
    let queue = &JobId::new().to_string();
    let mut zoo = Vec::new();
    for end in [State::Succeeded, State::Failed, State::Processing] {
        let id = store_one(storage, queue).await;
        let run = hand.take_one(queue).await;
        match end {
            State::Succeeded => hand.end(&run, succeed()).await,
            State::Failed => hand.end(&run, fail()).await,
            _ => {}
        }
        zoo.push((end, id));
    }
    let deleted = store_one(storage, queue).await;
    order(storage, Verb::Delete, deleted).await;
    zoo.push((State::Deleted, deleted));
    let mut later = job(queue);
    later.due = Due::In(LATER);
    store(storage, std::slice::from_ref(&later)).await;
    zoo.push((State::Scheduled, later.id));
    zoo.push((State::Enqueued, store_one(storage, queue).await));
    for (wanted, id) in &zoo {
        assert_eq!(state(storage, *id).await, *wanted);
    }
    zoo
}

/// Runs these at the same time and answers what each answered, in their order.
pub(super) async fn at_once<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        match task.await {
            Ok(answer) => answers.push(answer),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    answers
}
