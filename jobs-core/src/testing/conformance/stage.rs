//! What the tests act with: jobs, and workers that are led by hand.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep};

use crate::job::{
    AttemptOutcome, ClaimId, ErrorReport, JobId, JobRecord, NewJob, QueuePattern, State, WorkerId,
};
use crate::lifecycle::{LOST_LIMIT, LOST_REASON, Transition};
use crate::storage::{
    Answer, Beat, ClaimRequest, Claimed, ClaimedJob, Command, Flush, Orders, QueueShare, Refusal,
    Refused, RescueRequest, Rescued, Settlement, StorageHandle, Verb, WorkerInfo,
};

/// How long what must happen may take; machines that test are slow at times.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what must not happen is waited for.
const CAUTION: Duration = Duration::from_millis(30);

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
        let what = self.what;
        assert!(
            Instant::now() < self.end,
            "it has not come to pass within {PATIENCE:?}: {what}"
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

/// Whether two times are the same but for what a few requests on a slow machine take.
pub(super) fn close(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    (one - other).abs() < TimeDelta::seconds(15)
}

/// A job in the hands of a worker.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) claim: ClaimId,
    /// How many jobs were taken under that claim.
    size: usize,
    pub(super) job: ClaimedJob,
}

impl Deref for Run {
    type Target = ClaimedJob;

    fn deref(&self) -> &ClaimedJob {
        &self.job
    }
}

impl Run {
    /// This run, ended just now after 40 ms.
    pub(super) fn ended(&self, transition: Transition) -> Settlement {
        Settlement {
            job: self.id,
            run: self.run,
            claim: self.claim,
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            attempt: self.attempt,
            ran_for: Some(Duration::from_millis(40)),
            ended_ago: Duration::ZERO,
            transition,
        }
    }
}

/// A worker that does what it is told.
#[derive(Clone)]
pub(super) struct Hand {
    pub(super) storage: StorageHandle,
    pub(super) id: WorkerId,
}

impl Hand {
    /// A worker that is registered.
    pub(super) async fn hire(storage: &StorageHandle) -> Self {
        let hand = Self::stranger(storage);
        let info = WorkerInfo::new(hand.id);
        storage.register(&info).await.expect("register");
        hand
    }

    /// A worker that the storage has not heard of.
    pub(super) fn stranger(storage: &StorageHandle) -> Self {
        let (storage, id) = (storage.clone(), WorkerId::new());
        Self { storage, id }
    }

    pub(super) fn request(&self, shares: &[(&str, usize)], limit: usize) -> ClaimRequest {
        let share = |&(queues, limit): &(&str, usize)| QueueShare {
            queues: QueuePattern::new(queues).expect("a pattern"),
            limit,
        };
        ClaimRequest {
            worker: self.id,
            claim: ClaimId::new(),
            queues: shares.iter().map(share).collect(),
            limit,
            unknown_kinds: Arc::from([]),
        }
    }

    pub(super) async fn claim(&self, request: &ClaimRequest) -> Claimed {
        self.storage.claim(request).await.expect("claim")
    }

    /// One request, whatever it gets.
    pub(super) async fn ask(&self, shares: &[(&str, usize)], limit: usize) -> Vec<Run> {
        let request = self.request(shares, limit);
        let claimed = self.claim(&request).await;
        runs(&request, claimed)
    }

    /// Takes `n` jobs, which are there.
    pub(super) async fn take(&self, queue: &str, n: usize) -> Vec<Run> {
        let what = format!("{n} jobs are to be had in {queue}");
        let patience = Patience::new(&what);
        let mut taken = Vec::new();
        loop {
            let missing = n - taken.len();
            taken.extend(self.ask(&[(queue, missing)], missing).await);
            if taken.len() == n {
                return taken;
            }
            patience.wait().await;
        }
    }

    pub(super) async fn take_one(&self, queue: &str) -> Run {
        self.take(queue, 1).await.remove(0)
    }

    /// Finds that there is nothing to be had.
    pub(super) async fn finds_nothing(&self, queue: &str) {
        for _ in 0..3 {
            let found = self.ask(&[(queue, 10)], 10).await;
            assert!(found.is_empty(), "this was not to be had: {found:?}");
            sleep(CAUTION / 3).await;
        }
    }

    /// Sends outcomes, again where the storage was busy, and closes these claims.
    pub(super) async fn send(
        &self,
        settlements: Vec<Settlement>,
        closed: Vec<ClaimId>,
    ) -> Vec<Refused> {
        let mut flush = Flush {
            worker: self.id,
            settlements,
            closed,
        };
        let mut refused = Vec::new();
        let patience = Patience::new("the storage has time for outcomes");
        loop {
            let answer = self.storage.settle(&flush).await.expect("settle");
            let (busy, others): (Vec<_>, Vec<_>) =
                answer.into_iter().partition(|no| no.why == Refusal::Busy);
            refused.extend(others);
            let is_busy = |run: &Settlement| {
                let mut busy = busy.iter();
                busy.any(|no| (no.job, no.run) == (run.job, run.run))
            };
            flush.settlements.retain(is_busy);
            if flush.settlements.is_empty() {
                return refused;
            }
            patience.wait().await;
        }
    }

    /// Sends the same outcome for these runs and closes the claims of which these are all.
    pub(super) async fn report(&self, runs: &[Run], transition: &Transition) -> Vec<Refused> {
        let settlements = runs.iter().map(|run| run.ended(transition.clone()));
        self.send(settlements.collect(), claims(runs)).await
    }

    /// The same for one run, which must be applied.
    pub(super) async fn end(&self, run: &Run, transition: Transition) {
        let refused = self.report(std::slice::from_ref(run), &transition).await;
        assert_eq!(refused, [], "a run of one's own can be ended");
    }

    /// The same for one run, which must be refused.
    pub(super) async fn is_refused(&self, run: &Run, transition: Transition, why: Refusal) {
        let refused = self.report(std::slice::from_ref(run), &transition).await;
        let (job, run) = (run.id, run.run);
        assert_eq!(refused, [Refused { job, run, why }]);
    }

    /// Beats, naming these claims and knowing of all made so far.
    pub(super) async fn beat(&self, claims: &[ClaimId]) -> Orders {
        self.beat_up_to(claims, Some(ClaimId::new())).await
    }

    pub(super) async fn beat_up_to(&self, claims: &[ClaimId], newest: Option<ClaimId>) -> Orders {
        let beat = Beat {
            worker: self.id,
            claims: claims.to_vec(),
            newest,
        };
        self.storage.beat(&beat).await.expect("beat")
    }

    /// The number of the last beat, if the worker is listed.
    pub(super) async fn last_beat(&self) -> Option<i64> {
        let presences = self.storage.presences().await.expect("presences");
        let own = presences.iter().find(|one| one.worker == self.id);
        own.map(|one| one.beat)
    }

    pub(super) fn rescue_request(&self, beat: i64) -> RescueRequest {
        RescueRequest {
            worker: self.id,
            beat,
            lost_limit: LOST_LIMIT,
            lost_reason: LOST_REASON,
            limit: 1_000,
        }
    }

    /// Dies, and is found dead.
    pub(super) async fn dies(&self) -> Rescued {
        let beat = self.last_beat().await.expect("the worker is listed");
        self.is_rescued(&self.rescue_request(beat)).await
    }

    /// Is rescued, in as many calls as it takes.
    pub(super) async fn is_rescued(&self, request: &RescueRequest) -> Rescued {
        let patience = Patience::new("a dead worker's jobs are taken back");
        let mut total = Rescued::default();
        loop {
            let rescued = self.storage.rescue(request).await.expect("rescue");
            assert!(rescued.released + rescued.failed <= request.limit as u64);
            total.released += rescued.released;
            total.failed += rescued.failed;
            if !rescued.more {
                return total;
            }
            patience.wait().await;
        }
    }
}

/// The claims of which these runs are all.
pub(super) fn claims(runs: &[Run]) -> Vec<ClaimId> {
    let same = runs.chunk_by(|one, other| one.claim == other.claim);
    let whole = same.filter(|runs| runs.len() == runs[0].size);
    whole.map(|runs| runs[0].claim).collect()
}

pub(super) fn runs(request: &ClaimRequest, claimed: Claimed) -> Vec<Run> {
    let (claim, size) = (request.claim, claimed.jobs.len());
    let run = |job| Run { claim, size, job };
    claimed.jobs.into_iter().map(run).collect()
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
    later.due = crate::job::Due::In(LATER);
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
