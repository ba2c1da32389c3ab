//! The seam between policy and database.
//!
//! [`Storage`] is the write side and [`Inspect`] the read side; both speak of jobs, never of tables.
//! Batch is the base: one is a batch of one. All times are the storage's: callers send durations.
//!
//! **Ownership.** [`JobRecord::run`](crate::job::JobRecord::run) numbers the ownerships of a job.
//! Whoever ends an ownership (settle, release, rescue, an operator's verb) raises it by one; whoever
//! acts for one names the number it was given and is refused if it has moved on. That is the whole
//! fence: a worker that lost its claim can never record an outcome, and an outcome that arrives twice
//! counts once.
//!
//! **Places.** A job that waits has exactly one place: a ticket (due now or later), an entry in the
//! claim of a worker, or a line before a limit. A job that is Awaiting, or final, has none.

mod batch;
mod check;
mod circle;
mod control;
mod finished;
mod handle;
mod handover;
mod inspect;
mod limit;
mod memory;
mod observed;
#[cfg(test)]
pub(crate) mod probe;
mod recurring;
mod request;
mod runtime;
mod within;

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

use crate::error::Result;
use crate::job::{BatchId, ClaimId, JobId, LimitRule, NewJob, WorkerId};
use crate::lifecycle::RecurringChange;

pub use batch::{BatchRecord, NewBatch};
pub use check::{check_limit, check_rules};
pub use circle::{CircleSearch, waits_in_a_circle};
pub use control::{
    Control, ControlEvent, ControlVerb, Controls, OrderRecord, Pause, PauseRecord, Scope,
};
pub use handle::StorageHandle;
pub(crate) use handover::Taker;
pub use inspect::{
    Inspect, JobFilter, JobPage, QueueRecord, StatRecord, StateCounts, WorkerRecord,
};
pub use limit::{LimitRecord, Start};
pub use memory::MemoryStorage;
pub(crate) use observed::RETRY_FOR;
pub use recurring::{
    Changed, Judgement, RecurringDue, RecurringRequest, judge, read_recurring, stand_ins,
};
pub use request::{
    Answer, Beat, ClaimRequest, Claimed, ClaimedJob, Command, Flush, HandedOver, Inserted, Orders,
    Presence, QueueShare, Refusal, Refused, RescueRequest, Rescued, Retention, Settlement, Verb,
    Wake, WorkerInfo,
};
pub use runtime::check_runtime;
pub use within::Within;

/// How long before it is due a job must be hinted at when it is stored: 3 seconds. Of one that is due later workers learn in
/// time by asking.
pub const HINTED_AHEAD: Duration = Duration::from_secs(3);

/// What a database must do for jobs to live in it. Third parties implement it too; the conformance
/// suite (`jobs_core::testing`) says whether they did.
///
/// Each method is atomic: it happens whole or not at all, whenever the process, the connection or the
/// database dies. Methods may be called from many tasks and processes at once.
#[async_trait]
pub trait Storage: Inspect + Any + Send + Sync + 'static {
    /// What this storage is called in messages: `postgres`, `sqlite`, `memory`.
    fn name(&self) -> &'static str;

    /// The storage's idea of the present, as far as it is known without asking.
    fn now(&self) -> DateTime<Utc>;

    /// Stores jobs, each with a ticket, all or none. A job whose id is stored already is left as it
    /// is, so that an insert can be repeated when its answer was lost. No id appears twice in a request.
    /// Arguments, kind, queue and options come back to the letter as they were given.
    ///
    /// What a job's [rules](NewJob::rules) ask for is seen to in this order, and an error of any job leaves
    /// nothing stored (those that [`check_rules`] finds come before all). A job that is stored already is
    /// left out of all this, whatever has become of its parents and its batch since:
    ///
    /// 1. *Unique*: if another job of its kind holds the key, that one is the answer, and becomes what
    ///    [`OnConflict`](crate::job::OnConflict) says; the new one is not stored. Of jobs of one request
    ///    the first gets the key. A child in the request waits for the holder then, and takes its input
    ///    from it: that is what the child's rules say once they are stored.
    /// 2. *Batch*: it must be known and not have ended ([`Error::UnknownBatch`](crate::Error::UnknownBatch),
    ///    [`Error::Invalid`](crate::Error::Invalid)); cancelled ones take no members either.
    /// 3. *Parents*: each must be known, or be in the request, before its child or after it
    ///    ([`Error::UnknownJob`](crate::Error::UnknownJob), `UnknownBatch`). While one of them has not ended
    ///    as its condition says the job is Awaiting and has no ticket; if one has ended otherwise for good
    ///    ([`Condition::met_by`](crate::job::Condition::met_by)) it is stored Deleted, and counted as such,
    ///    with a [reason](crate::job::ParentId::reason) that names the parent.
    /// 4. *Limits*: it gets its ticket when all of them let it, and not before it is due: in the order of
    ///    priority, due time and id for each key, keys in turn. A job waits in one line at a time, that of
    ///    the first of its limits that refuses it, and uses none of the others meanwhile. What is
    ///    paused is passed over. What can be let in is let in at once where possible, within a second
    ///    in any case. Of a limit's declarations the last one stored holds.
    ///
    /// A due time counts from the insert, also for jobs that have to wait for others: what becomes ready
    /// later than it is due is due when it becomes ready.
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>>;

    /// Stores new jobs, which are due now and without rules, together with a claim of this worker for them,
    /// in one step: as if the worker had claimed them right after the insert. What is paused (its queue or
    /// kind), or all of them if the worker is not among the living, gets a ticket instead; so does what has to
    /// wait for a limit of its queue, when its turn has come.
    ///
    /// `None` says that nothing was done, or that the answer was lost, or that a job was stored already: the
    /// caller then inserts them, and the claim counts as one in doubt. A storage that gains nothing by it
    /// always answers so.
    async fn insert_taken(
        &self,
        jobs: &[NewJob],
        worker: WorkerId,
        claim: ClaimId,
    ) -> Result<Option<HandedOver>> {
        let _ = (jobs, worker, claim);
        Ok(None)
    }

    /// Takes due jobs that are not paused, in order, and gives them to the worker under the claim that the
    /// request names. Never waits for anybody. The answer may be short, or empty,
    /// although more is due (somebody else was looking at it); then a later call finds it.
    ///
    /// Queues are served in the order of the shares. Within a queue the order is priority, then due
    /// time, then id. Among the queues of one share (a pattern) priority comes first too; equals are
    /// taken from each queue in turn, so that none starves, however small the limit.
    ///
    /// A worker that is not registered, or was declared dead, gets nothing. If its death was declared
    /// while it asked, it may get something; the next rescue takes that back.
    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed>;

    /// How long until the next job in these queues falls due, or a pause ends, if that is known; zero if
    /// one is due. Paused queues and kinds, and the kinds excluded by the request, do not count, and how
    /// many jobs the request asks for does not matter. A job that is due and waits before a limit does not
    /// count (nobody knows when it is let in: that is hinted at); one that falls due later may.
    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<std::time::Duration>>;

    /// Writes down how runs ended and what follows, fenced by run and claim, and ends the claims that
    /// are named as closed. Answers which outcomes were refused; all others are applied.
    ///
    /// An outcome is applied if the job's run is the one named, the named claim exists and is the
    /// worker's, and the job is still held under it. What follows, beside the run that is raised:
    ///
    /// | | place, state | `attempt` | `reason` | attempt row | counted as |
    /// |---|---|---|---|---|---|
    /// | succeed | Succeeded | + 1 | the note, or none | | succeeded |
    /// | fail | Failed | + 1 | its | its outcome | failed |
    /// | retry | ticket, due after the delay | + 1 | its | its outcome | retried |
    /// | snooze | ticket, due after the delay | | its | `snoozed` | |
    /// | release | ticket, due now | | stays | | |
    /// | delete | Deleted | | its | | deleted |
    ///
    /// A job with limits gets its ticket, here and everywhere, only when they let it; what it held of them is
    /// free when its run ends. When a job becomes final its unique key is free (unless it is held for a
    /// period), its batch is told, and the jobs that wait for it are looked at: those whose
    /// [condition](crate::job::Condition) is met by all parents become ready, in the same step where
    /// possible and within a second in any case; those for which it cannot be met any more are Deleted,
    /// and so on. A job that becomes final again, after a requeue, does not let a child run twice.
    ///
    /// An attempt row has the number `attempt + 1`. Its end, and the job's, lies `ended_ago` before now,
    /// its start `ran_for` before that (a release leaves the job's times as they are).
    async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>>;

    /// Stores a batch together with jobs, all or nothing: its first members (whose rules name it), and what
    /// waits for it. More members can be [inserted](Self::insert) as long as it has not ended. Repeating
    /// it is harmless: a batch whose id is stored already is left as it is, and so are its jobs. A batch that
    /// is sealed and has no members ends at once.
    ///
    /// The batch that it is a member of must be known, not ended and not cancelled, as for a job. A job
    /// that waits for a batch that it is in, itself or by the batches around its own, would wait for
    /// itself: [`Error::Invalid`](crate::Error::Invalid), here and in every insert. So would one that waits for
    /// somebody who waits for its batch, however many are between them, as far as
    /// [`CircleSearch`] goes.
    ///
    /// As long as a batch is not sealed its members are Awaiting, whatever they wait for besides, and no
    /// verb but a deletion moves them. Batches in it are not sealed either then, whatever is said of them
    /// here or done to them later: they are complete when it is.
    ///
    /// A batch ends when it is sealed and all its members are final: then those that wait for it are looked
    /// at, as for a job, and it counts in the batch that it is a member of as
    /// [its outcome](BatchRecord::outcome) says. When a member of an ended batch is requeued the batch, and
    /// those around it, are open until all are final again; nobody who has run by the first end runs again.
    /// When a Failed member is Deleted it counts as Deleted instead, and a batch that has ended ends anew.
    async fn create_batch(&self, batch: &NewBatch, jobs: &[NewJob]) -> Result<Vec<Inserted>>;

    /// Makes a batch complete, and those in it, however deep: all their members run from now on, in one
    /// step, however many. Nothing is done to one that is sealed or cancelled, nor to one in a batch that is
    /// not sealed: it is sealed with that. One that nobody knows, or that is being removed because it was
    /// not sealed in time, is [`Error::UnknownBatch`](crate::Error::UnknownBatch), here and in the next two.
    async fn seal_batch(&self, batch: BatchId) -> Result<()>;

    /// Lets an ended or cancelled batch take members again. It has not ended then, nor has the batch that it
    /// is a member of, until what is added is final; one to which nothing is added stays open. A job that
    /// waited for its first end and has run is not run again. Nothing is done to one that has not ended.
    async fn reopen_batch(&self, batch: BatchId) -> Result<()>;

    /// Cancels a batch and those in it, complete or not: nothing can be added; members that are not final
    /// become Deleted (those that run are cancelled), with an event row `delete` each and the reason `its
    /// batch was cancelled by ACTOR`, or `its batch was cancelled by ACTOR: REASON`. Answers how many jobs
    /// did. It ends when all are Deleted, with the outcome Deleted. One that has ended, or is cancelled, is
    /// left alone.
    async fn cancel_batch(&self, batch: BatchId, actor: &str, reason: Option<&str>) -> Result<u64>;

    /// Says that a job is about to be started; called for those only that have a limit on starts. Answers
    /// whether the run is still the worker's: if not it must not be started. Repeating it counts once.
    ///
    /// A run whose start was not reported (the limit was set later, or is its queue's) counts as a start
    /// until it ends, and, if it was started at all, from its true start (`ran_for` before its end) then.
    async fn start(&self, start: &Start) -> Result<bool>;

    /// Sets how much a limit allows, whatever programs declare, or, with `None`, lets it be as they
    /// declare. It holds for jobs that are let in from now on; those beyond a limit that was lowered end as
    /// they do, and a job that is heavier than it counts as all of it. The name is that of the rule; one that lets nothing through, or of another name, is
    /// [`Error::Invalid`](crate::Error::Invalid) ([`check_limit`]). It may be set before anybody declares it.
    ///
    /// For a limit of a queue (`queue:NAME`) that nobody declares this makes it or takes it away. It counts
    /// every job of that queue, once, under one key, by itself: they need not name it. Jobs that
    /// wait in the queue when it is made wait for their turn from then on; those that run do not count.
    ///
    /// Who did it and why is one of the [`control_events`](Inspect::control_events), `set` or `reset`, written in the
    /// same step; what is refused leaves none.
    async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()>;

    /// Makes a worker known, or what it says of itself now. Repeating it is harmless, and does not bring back
    /// the dead.
    async fn register(&self, worker: &WorkerInfo) -> Result<()>;

    /// Says that a worker lives, and learns what has become of its claims: gives back to their queues
    /// the jobs of claims that the worker does not know (the answer to a claim was lost), no attempt
    /// used. A worker that is not registered is answered like a dead one.
    async fn beat(&self, beat: &Beat) -> Result<Orders>;

    /// Notes which job a worker is about to start although earlier workers died with it, or that it
    /// has ended: if this worker dies too, that job alone is to blame.
    async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()>;

    /// Ends a worker cleanly: what it still holds goes back to its queues, no attempt used, and it is
    /// listed no more. Its last claim must have been answered: one that arrives later is nobody's.
    async fn retire(&self, worker: WorkerId) -> Result<()>;

    /// Who has registered and not retired, with the number of their last beat; the dead are listed as
    /// long as they hold claims.
    async fn presences(&self) -> Result<Vec<Presence>>;

    /// Declares a worker dead if its beat has not moved since the caller saw it, and gives its jobs
    /// back to their queues, due now, or fails those that have killed too many workers. A worker whose
    /// beat has moved is left alone. May be repeated, and by many at once: each job is taken back once.
    ///
    /// To blame is the job that the worker noted as its [suspect](Self::suspect), if it noted one, else
    /// every job that it held but those on their [last chance](crate::lifecycle::is_last_chance) (they
    /// would have been noted before they were started). A job that is to blame gets `lost + 1` and an
    /// attempt row `lost`; all get a new run.
    async fn rescue(&self, request: &RescueRequest) -> Result<Rescued>;

    /// Which of these jobs the given run no longer owns: deleted by an operator, rescued, settled, or
    /// unknown.
    async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>>;

    /// Carries out an operator's verb on each job, with an event row each; jobs that do not allow it
    /// are answered with the state they were found in, and nothing is written for them. Answers come in
    /// the order of the jobs; no job appears twice in a command. See [`Verb`] for each.
    async fn command(&self, command: &Command) -> Result<Vec<Answer>>;

    /// Tells all workers something, with an event row. Claims that start after the answer heed it, with all
    /// that it allows again, however long that has waited. A pause with an end is none from then on, by the
    /// storage's clock. Repeating it is harmless, but for another event.
    async fn control(&self, control: &Control) -> Result<()>;

    /// The recurring jobs of these kinds whose [time](crate::job::RecurringRecord::look_at) has come, earliest
    /// first. Reads nothing of the others.
    async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue>;

    /// Compares and sets: each change is made, with its jobs as by [`insert`](Self::insert), if the record has
    /// the version that it was made from (or, where it is to be made, if there is none), and left undone
    /// otherwise; all those that are made are made in one step, and an error leaves nothing changed. A
    /// change whose result is there already counts as made, so that it can be repeated when the answer was
    /// lost; its jobs are not stored again. Never waits for a record that another is changing. No id appears
    /// twice in a request.
    ///
    /// A change that [holds](crate::lifecycle::Hold) for a job that is stored and not final stores what it
    /// says for that, and no job. In which place that job is does not matter: it may run, wait for its
    /// turn, for other jobs or for a limit.
    ///
    /// Jobs whose unique keys others hold are not stored; then the record is written as
    /// [`Judgement::rewrite`] says. A change that is made, or held, and has an
    /// [event](RecurringChange::event) leaves that too, among the
    /// [`control_events`](Inspect::control_events), in the same step.
    async fn change_recurring(&self, changes: &[RecurringChange]) -> Result<Vec<Changed>>;

    /// Folds counters and does what else must happen every second. Cheap when there is nothing to do.
    /// What was settled before it is in [`Inspect::stats`] after it.
    ///
    /// Lets in what limits allow by now; ends batches whose members are final; looks at the children of
    /// what has ended; and deletes jobs that [expire](crate::job::Rules::expires_in): those whose time is
    /// over and that were never started (no attempt, no loss, no start, not Processing), with the
    /// reason `was not started within 1 h`. Batches that have not been sealed for an hour are removed with
    /// all that is in them; those that waited for one are Deleted, whatever their condition. (One in a batch
    /// that is not sealed goes with that, however old it is.)
    async fn tick(&self) -> Result<()>;

    /// Makes room ahead and removes finished jobs whose time is up, with their history; answers how many
    /// went. Called every few minutes. Never blocks the hot path. Counters stay, 90 days at least. Also
    /// removes what counts no more (keys whose period is over, starts, full buckets), and, where a waiting job
    /// could be in no place at all, brings such jobs back.
    async fn retain(&self, retention: &Retention) -> Result<u64>;

    /// Creates or upgrades the tables. Running it again, or in many processes at once, is harmless.
    async fn migrate(&self) -> Result<()>;

    /// Fails with [`Error::Schema`](crate::Error::Schema) if the tables are missing, too old or too
    /// new, saying what to run. Changes nothing.
    async fn check_schema(&self) -> Result<()>;

    /// A stream of hints that something happened which a worker may want to look at. Hints may be
    /// missing (workers also poll) and may be spurious. `lagged` means: look at everything. What is done
    /// through this very storage is hinted at here without the database's help.
    fn wake(&self) -> broadcast::Receiver<Wake>;

    /// Whether hints from other processes arrive here by themselves, of what they store that falls due
    /// [soon](HINTED_AHEAD) as well as of what is due. Workers then ask for the [next due time](Self::next_due) a
    /// little more often than that. Where hints do not arrive they ask after each poll, and poll for cancellations too.
    fn wakes_across_processes(&self) -> bool;
}
