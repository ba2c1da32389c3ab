//! What is said to a storage, and what it answers. (Longer than 400 lines: plain types, each with its
//! meaning.)

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::job::{
    ClaimId, Due, JobId, NewJob, Priority, QueueOrder, QueuePattern, Rules, State, StoredOptions,
    WorkerId,
};
use crate::lifecycle::{Transition, is_last_chance};

/// What became of one job of an insert, in the order of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inserted {
    /// The id under which the work is known: the new job's, or that of the job that stood for it.
    pub id: JobId,
    /// Whether that job was there before.
    pub existing: bool,
}

impl Inserted {
    /// The job was stored under its own id.
    pub const fn new(id: JobId) -> Self {
        Self {
            id,
            existing: false,
        }
    }

    /// Another job, or the same from an earlier try, stands for it.
    pub const fn existing(id: JobId) -> Self {
        Self { id, existing: true }
    }
}

/// A request for jobs.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who asks; must be registered.
    pub worker: WorkerId,
    /// Under which claim the jobs are taken. Made anew for every call, before it is sent: when the
    /// answer is lost, the claim is in doubt, and the next beat settles that.
    pub claim: ClaimId,
    /// Which queues, in the order in which they are to be emptied. A queue is served by the first
    /// pattern that matches it.
    pub queues: Vec<QueueShare>,
    /// How many jobs in all, at most. With 0 the answer only says what is paused.
    pub limit: usize,
    /// Kinds that the worker does not know: their jobs are left for others.
    pub unknown_kinds: Arc<[String]>,
}

/// A queue, or a pattern of queues, and how many jobs of it are wanted at most.
#[derive(Clone, Debug)]
pub struct QueueShare {
    /// Which.
    pub queues: QueuePattern,
    /// How many at most, of all its queues together.
    pub limit: usize,
}

/// What became of jobs that were stored and taken in one step.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// Those that the worker has now, in the order of the request. The others wait in their queues.
    pub taken: Vec<JobId>,
    /// When all of them were due.
    pub due_at: DateTime<Utc>,
}

/// What a claim got.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The jobs, in the order in which they are to run.
    pub jobs: Vec<ClaimedJob>,
    /// Queues that are paused now, whether or not the request is about them.
    pub paused: Vec<QueuePattern>,
    /// Kinds that are paused now, by name.
    pub paused_kinds: Vec<Arc<str>>,
    /// In which order workers are to serve queues, if an operator has set one.
    pub order: Option<QueueOrder>,
}

impl ClaimedJob {
    /// A job that has just been stored, as the worker gets it that takes it at once.
    pub(crate) fn fresh(job: &NewJob, due_at: DateTime<Utc>) -> Self {
        let options = Some(&job.options).filter(|options| !options.is_default());
        Self {
            id: job.id,
            kind: job.kind.as_ref().into(),
            args: job.args.clone(),
            queue: job.queue.as_ref().into(),
            priority: job.priority,
            options: options.map(|options| Box::new(options.clone())),
            rules: None,
            attempt: 0,
            lost: 0,
            run: 0,
            due_at,
        }
    }

    /// The same without the arguments, which may be large.
    pub fn without_args(&self) -> Self {
        Self {
            id: self.id,
            kind: Arc::clone(&self.kind),
            args: String::new(),
            queue: Arc::clone(&self.queue),
            priority: self.priority,
            options: None,
            rules: self.rules.clone(),
            attempt: self.attempt,
            lost: self.lost,
            run: self.run,
            due_at: self.due_at,
        }
    }
}

/// A job in the hands of a worker.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// Its identity.
    pub id: JobId,
    /// Which handler runs it.
    pub kind: Arc<str>,
    /// The arguments, as JSON text.
    pub args: String,
    /// Where it waited.
    pub queue: Arc<str>,
    /// Its order within the queue.
    pub priority: Priority,
    /// What it was given beyond its kind's settings; `None` for most jobs.
    pub options: Option<Box<StoredOptions>>,
    /// When and whether it runs; `None` for most jobs.
    pub rules: Option<Box<Rules>>,
    /// How many of its runs ended in an outcome before.
    pub attempt: u32,
    /// How many of its runs ended with the death of their worker before.
    pub lost: u32,
    /// The number of this ownership.
    pub run: i32,
    /// Since when it was allowed to run.
    pub due_at: DateTime<Utc>,
}

/// A batch of outcomes of one worker.
#[derive(Clone, Debug)]
pub struct Flush {
    /// Who reports.
    pub worker: WorkerId,
    /// The outcomes. A job appears at most once for each run.
    pub settlements: Vec<Settlement>,
    /// Claims of which every job is answered by this flush or an earlier one. One of which this very
    /// flush answers a job with [`Refusal::Busy`] stays open: the job is still in it.
    pub closed: Vec<ClaimId>,
}

/// How one run ended.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job.
    pub job: JobId,
    /// Which ownership ended.
    pub run: i32,
    /// The claim it was taken under.
    pub claim: ClaimId,
    /// Its kind, for the counters.
    pub kind: Arc<str>,
    /// Its queue, for the counters.
    pub queue: Arc<str>,
    /// How many of its runs had ended in an outcome before this one.
    pub attempt: u32,
    /// How long it ran; `None` if it was never started.
    pub ran_for: Option<Duration>,
    /// How long ago it ended: outcomes wait for each other, and for a database that is away.
    pub ended_ago: Duration,
    /// What becomes of it.
    pub transition: Transition,
}

/// An outcome that was not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The job.
    pub job: JobId,
    /// The ownership that the outcome was for.
    pub run: i32,
    /// Why.
    pub why: Refusal,
}

/// Why an outcome was not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// This worker has settled this run before: the answer was lost, or the handler completed the job
    /// in its own transaction. Nothing is amiss. It is known for as long as no other ownership ended
    /// since; then, and if the run ended otherwise (rescued, deleted), the answer is
    /// [`Self::Superseded`].
    AlreadySettled,
    /// The run is somebody else's by now, the claim is gone or not this worker's, or the job was
    /// deleted.
    Superseded,
    /// The storage could not look at it now (another holds a lock on it): send it again.
    Busy,
}

/// What a worker says of itself when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// This incarnation.
    pub id: WorkerId,
    /// The name of the machine, for people only.
    pub host: String,
    /// The process id, for people only.
    pub pid: u32,
    /// The version of `jobs`.
    pub version: String,
    /// Which queues it serves, in order.
    pub queues: Vec<String>,
    /// Which kinds it knows.
    pub kinds: Vec<String>,
    /// How many jobs it runs at once.
    pub concurrency: usize,
}

impl WorkerInfo {
    /// A worker of this process.
    pub fn new(id: WorkerId) -> Self {
        Self {
            id,
            host: String::new(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            queues: Vec::new(),
            kinds: Vec::new(),
            concurrency: 0,
        }
    }
}

/// A sign of life.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Who lives.
    pub worker: WorkerId,
    /// The claims that it holds, or has asked for and not yet heard of.
    pub claims: Vec<ClaimId>,
    /// The newest claim id that existed when `claims` was written down. Younger ones are none of this
    /// beat's business.
    pub newest: Option<ClaimId>,
}

/// What a worker learns from its beat.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Orders {
    /// Whether the storage still counts it among the living. If not, its jobs are others' by now: it
    /// cancels them and starts over under a new identity.
    pub alive: bool,
    /// Claims that it named and that are gone: their jobs are others' by now. Also those that took no
    /// job, or were closed, or have not arrived: the worker looks at those it believes to hold.
    pub missing: Vec<ClaimId>,
}

impl Orders {
    /// What a living worker hears.
    pub fn alive(missing: Vec<ClaimId>) -> Self {
        Self {
            alive: true,
            missing,
        }
    }

    /// What a worker hears that was declared dead.
    pub fn dead() -> Self {
        Self::default()
    }
}

/// A worker, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Who.
    pub worker: WorkerId,
    /// Raised by each beat. Compare it with itself after a while: no clock is involved.
    pub beat: i64,
    /// Declared dead before; it still holds claims.
    pub dead: bool,
}

/// A request to take a dead worker's jobs back.
#[derive(Clone, Copy, Debug)]
pub struct RescueRequest {
    /// Whose.
    pub worker: WorkerId,
    /// The number of its beat that the caller has watched not to move.
    pub beat: i64,
    /// A job whose worker died this often is Failed.
    pub lost_limit: u32,
    /// The reason for that.
    pub lost_reason: &'static str,
    /// How many jobs to take back at most in one call.
    pub limit: usize,
}

impl RescueRequest {
    /// Whether a job that was lost so often before may be to blame if no suspect was noted: all but
    /// those that would be Failed by it, because they are not started without being noted.
    pub const fn may_blame(&self, lost: u32) -> bool {
        !is_last_chance(lost, self.lost_limit)
    }
}

/// What a rescue did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Jobs given back to their queues.
    pub released: u64,
    /// Jobs that had killed too many workers.
    pub failed: u64,
    /// Whether the worker may still hold something: call again.
    pub more: bool,
}

/// What an operator can do to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// Ends it: Deleted. Any state but the final ones Succeeded and Deleted; a running job is
    /// cancelled. The reason is `Deleted by ACTOR`, or `Deleted by ACTOR: REASON`.
    Delete,
    /// Runs a final job again, due now, from the start of its counters, without reason and result, with
    /// its history kept. It waits for no parents any more and does not expire. It takes its unique key
    /// again (unless that is held for a period, which counts from when the job was stored); if another holds
    /// it by now the answer is [`Answer::KeyHeld`]. Its batch, if it has ended, is open again until the job
    /// is final once more.
    Requeue,
    /// Makes a Scheduled job due now, and an Awaiting one, which then waits for no parents any more; but a
    /// member of a batch that is not complete stays Awaiting, and is answered with that. An Enqueued one is left as it is, which counts as
    /// done and is written down.
    RunNow,
    /// Makes a Scheduled or Enqueued job due at another time; what else is known of it stays.
    Reschedule(Due),
}

impl Verb {
    /// The verb as written into event rows and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Requeue => "requeue",
            Self::RunNow => "run_now",
            Self::Reschedule(_) => "reschedule",
        }
    }
}

/// An operator's order.
#[derive(Clone, Debug)]
pub struct Command {
    /// What.
    pub verb: Verb,
    /// To which jobs.
    pub jobs: Vec<JobId>,
    /// Who orders it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// What became of an order for one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Done.
    Done {
        /// Where the job stood.
        from: State,
        /// Where it stands now.
        to: State,
    },
    /// The verb does not apply to a job in this state. Nothing was changed.
    WrongState(State),
    /// The job is not requeued, because this other job holds its unique key now. Nothing was changed.
    KeyHeld(JobId),
    /// No job has this id.
    Unknown,
}

/// How long finished jobs are kept. A job's own `keep_for` comes first. A time too long for the
/// storage's calendar ([`Duration::MAX`]) means for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Defaults to 7 days.
    pub succeeded: Duration,
    /// Defaults to 30 days.
    pub failed: Duration,
    /// Defaults to 7 days.
    pub deleted: Duration,
}

impl Retention {
    /// Nothing is ever removed.
    pub const FOREVER: Self = Self {
        succeeded: Duration::MAX,
        failed: Duration::MAX,
        deleted: Duration::MAX,
    };
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            succeeded: 7 * DAY,
            failed: 30 * DAY,
            deleted: 7 * DAY,
        }
    }
}

/// A hint that something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// Jobs were put into this queue.
    Jobs(Arc<str>),
    /// A job was deleted while it ran.
    Cancelled(JobId),
    /// Workers were told to leave queues or kinds alone, or no longer, or in which order to serve them.
    Queues,
    /// Anything may have happened: the connection that hints come by was lost and is back.
    Everything,
}
