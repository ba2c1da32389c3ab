//! The one door: every verb of a storage with a span, its timing, and another try where that is safe.
//!
//! Two errors may be tried again. A conflict was certainly not carried out, whatever the verb. After a
//! lost connection nobody knows; then only what is harmless to repeat is: an insert, whose jobs have their
//! ids already, so that a storage leaves a job that it has as it is, and the sealing of a batch. Settlements are as safe, but a worker repeats those
//! by its own rules, for longer.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{Instrument, debug_span, field, warn};

use super::{
    Answer, Beat, ClaimRequest, Claimed, Command, Control, Flush, HandedOver, Inserted, NewBatch,
    Orders, Presence, Refused, RescueRequest, Rescued, Retention, Start, StorageHandle, WorkerInfo,
};
use super::{Changed, RecurringDue, RecurringRequest};
use crate::error::{Error, Result};
use crate::job::{BatchId, ClaimId, JobId, LimitRule, NewJob, WorkerId};
use crate::lifecycle::{RecurringChange, Transition};

/// How long an insert is tried again by default.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(5);

/// How long the sealing of a batch is tried again: who gave the batch to be stored cannot send it anew.
const SEAL_FOR: Duration = Duration::from_secs(30);

/// How long a verb is tried again after it met a conflict: those pass in milliseconds or not at all.
const CONFLICTS_FOR: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The verbs of [`Storage`](super::Storage), observed; see there for what they do. A conflict is tried
/// again for up to a second.
impl StorageHandle {
    /// Stores jobs. After a lost connection, too, this is tried again, for up to 5 s.
    pub async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        self.insert_retrying(jobs, RETRY_FOR).await
    }

    /// Stores jobs and, as long as the error is a transient one, tries again until `retry_for` is over.
    /// Then nobody knows whether the jobs are stored, unless the error is a conflict.
    pub async fn insert_retrying(
        &self,
        jobs: &[NewJob],
        retry_for: Duration,
    ) -> Result<Vec<Inserted>> {
        // An error of this is none of the insert's: what was not done, or nobody knows of, is done below.
        if let Ok(Some(inserted)) = self.hand_over(jobs).await {
            return Ok(inserted);
        }
        let again = |error: &Error| error.is_transient().then_some(retry_for);
        self.observe("insert", jobs.len(), again, || (**self).insert(jobs))
            .await
    }

    /// Stores new jobs together with a claim for them.
    pub async fn insert_taken(
        &self,
        jobs: &[NewJob],
        worker: WorkerId,
        claim: ClaimId,
    ) -> Result<Option<HandedOver>> {
        let never = |_: &Error| None;
        self.observe("insert_taken", jobs.len(), never, || {
            (**self).insert_taken(jobs, worker, claim)
        })
        .await
    }

    /// Takes due jobs for a worker.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        self.through("claim", request.limit, || (**self).claim(request))
            .await
    }

    /// How long until the next job falls due.
    pub async fn next_due(&self, request: &ClaimRequest) -> Result<Option<Duration>> {
        self.through("next_due", request.queues.len(), || {
            (**self).next_due(request)
        })
        .await
    }

    /// Writes down how runs ended, and tells those in this process who wait for these jobs.
    pub async fn settle(&self, flush: &Flush) -> Result<Vec<Refused>> {
        let jobs = flush.settlements.len();
        let refused = self
            .through("settle", jobs, || (**self).settle(flush))
            .await?;
        // Also those refused: one that its handler completed in its own transaction is among them.
        let ended = flush.settlements.iter().filter(|settlement| {
            matches!(
                settlement.transition,
                Transition::Succeed { .. } | Transition::Fail { .. }
            )
        });
        self.finished()
            .announce(ended.map(|settlement| settlement.job));
        Ok(refused)
    }

    /// Stores a batch with these members. Tried again like an insert.
    pub async fn create_batch_retrying(
        &self,
        batch: &NewBatch,
        jobs: &[NewJob],
        retry_for: Duration,
    ) -> Result<Vec<Inserted>> {
        let again = |error: &Error| error.is_transient().then_some(retry_for);
        self.observe("create_batch", jobs.len(), again, || {
            (**self).create_batch(batch, jobs)
        })
        .await
    }

    /// Makes a batch complete. Harmless to repeat: after a lost connection it is tried again for up to 30 s,
    /// and whoever finds it sealed knows that it was done. With many members it may take long before the
    /// connection is lost, so that these 30 s begin then.
    pub async fn seal_batch(&self, batch: BatchId) -> Result<()> {
        let until = from_the_first_failure(SEAL_FOR);
        let again = |error: &Error| error.is_transient().then(&until);
        self.observe("seal_batch", 1, again, || (**self).seal_batch(batch))
            .await
    }

    /// Lets an ended batch take members again.
    pub async fn reopen_batch(&self, batch: BatchId) -> Result<()> {
        self.through("reopen_batch", 1, || (**self).reopen_batch(batch))
            .await
    }

    /// Cancels a batch.
    pub async fn cancel_batch(
        &self,
        batch: BatchId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<u64> {
        self.through("cancel_batch", 1, || {
            (**self).cancel_batch(batch, actor, reason)
        })
        .await
    }

    /// Says that a job is about to be started.
    pub async fn start(&self, start: &Start) -> Result<bool> {
        self.through("start", 1, || (**self).start(start)).await
    }

    /// Sets how much a limit allows.
    pub async fn set_limit(
        &self,
        name: &str,
        rule: Option<&LimitRule>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        self.through("set_limit", 1, || {
            (**self).set_limit(name, rule, actor, reason)
        })
        .await
    }

    /// Makes a worker known.
    pub async fn register(&self, worker: &WorkerInfo) -> Result<()> {
        self.through("register", 1, || (**self).register(worker))
            .await
    }

    /// Says that a worker lives.
    pub async fn beat(&self, beat: &Beat) -> Result<Orders> {
        self.through("beat", beat.claims.len(), || (**self).beat(beat))
            .await
    }

    /// Notes which job a worker is about to start although an earlier worker died with it.
    pub async fn suspect(&self, worker: WorkerId, job: Option<JobId>) -> Result<()> {
        self.through("suspect", 1, || (**self).suspect(worker, job))
            .await
    }

    /// Ends a worker cleanly.
    pub async fn retire(&self, worker: WorkerId) -> Result<()> {
        self.through("retire", 1, || (**self).retire(worker)).await
    }

    /// Who has registered and not retired.
    pub async fn presences(&self) -> Result<Vec<Presence>> {
        self.through("presences", 0, || (**self).presences()).await
    }

    /// Takes a dead worker's jobs back.
    pub async fn rescue(&self, request: &RescueRequest) -> Result<Rescued> {
        self.through("rescue", request.limit, || (**self).rescue(request))
            .await
    }

    /// Which of these jobs the given run no longer owns.
    pub async fn revoked(&self, runs: &[(JobId, i32)]) -> Result<Vec<JobId>> {
        self.through("revoked", runs.len(), || (**self).revoked(runs))
            .await
    }

    /// Carries out an operator's verb, and tells those in this process who wait for these jobs.
    pub async fn command(&self, command: &Command) -> Result<Vec<Answer>> {
        let jobs = command.jobs.len();
        let answers = self
            .through("command", jobs, || (**self).command(command))
            .await?;
        self.finished().announce(command.jobs.iter().copied());
        Ok(answers)
    }

    /// Tells all workers what to leave alone, or what to serve first.
    pub async fn control(&self, control: &Control) -> Result<()> {
        self.through("control", 1, || (**self).control(control))
            .await
    }

    /// The recurring jobs that a scheduler has to look at.
    pub async fn due_recurring(&self, request: &RecurringRequest) -> Result<RecurringDue> {
        self.through("due_recurring", request.limit, || {
            (**self).due_recurring(request)
        })
        .await
    }

    /// Changes recurring jobs; harmless to repeat.
    pub(super) async fn change_recurring_once(
        &self,
        changes: &[RecurringChange],
    ) -> Result<Vec<Changed>> {
        let again = |error: &Error| error.is_transient().then_some(RETRY_FOR);
        self.observe("change_recurring", changes.len(), again, || {
            (**self).change_recurring(changes)
        })
        .await
    }

    /// Does what must happen every second.
    pub async fn tick(&self) -> Result<()> {
        self.through("tick", 0, || (**self).tick()).await
    }

    /// Makes room ahead and removes finished jobs whose time is up.
    pub async fn retain(&self, retention: &Retention) -> Result<u64> {
        self.through("retain", 0, || (**self).retain(retention))
            .await
    }

    /// Creates or upgrades the tables.
    pub async fn migrate(&self) -> Result<()> {
        self.through("migrate", 0, || (**self).migrate()).await
    }

    /// Fails if the tables are missing, too old or too new.
    pub async fn check_schema(&self) -> Result<()> {
        self.through("check_schema", 0, || (**self).check_schema())
            .await
    }

    async fn through<T, F: Future<Output = Result<T>>>(
        &self,
        verb: &'static str,
        items: usize,
        call: impl Fn() -> F,
    ) -> Result<T> {
        // PostgreSQL looks for deadlocks once somebody has waited for a second.
        let until = from_the_first_failure(CONFLICTS_FOR);
        let again = |error: &Error| error.is_conflict().then(&until);
        self.observe(verb, items, again, call).await
    }

    /// Calls until there is an answer, or an error that `again` gives no time for.
    async fn observe<T, F: Future<Output = Result<T>>>(
        &self,
        verb: &'static str,
        items: usize,
        again: impl Fn(&Error) -> Option<Duration>,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let span = debug_span!(
            "storage",
            storage = self.name(),
            verb,
            items,
            tries = field::Empty,
            micros = field::Empty,
        );
        let done = span.clone();
        let calls = async {
            let start = Instant::now();
            let mut tries = 0;
            let answer = loop {
                tries += 1;
                let error = match call().await {
                    Ok(answer) => break Ok(answer),
                    Err(error) => error,
                };
                let left = again(&error).map(|time| time.saturating_sub(start.elapsed()));
                let Some(pause) = left.and_then(|left| pause_before(tries, left)) else {
                    break Err(tried(error, tries, start.elapsed()));
                };
                warn!(verb, tries, ?pause, "trying again: {error}");
                tokio::time::sleep(pause).await;
            };
            done.record("tries", tries);
            done.record("micros", start.elapsed().as_micros() as u64);
            answer
        };
        calls.instrument(span).await
    }
}

/// Until when something is tried again, counted from its beginning, that may take long until it fails: for this time from the
/// first failure on.
fn from_the_first_failure(time: Duration) -> impl Fn() -> Duration {
    let (start, failed) = (Instant::now(), OnceLock::new());
    move || *failed.get_or_init(|| start.elapsed()) + time
}

/// Says how often a request was tried that has failed in the end.
fn tried(mut error: Error, tries: u32, time: Duration) -> Error {
    if let Error::Unavailable { doing, .. } | Error::Conflict { doing, .. } = &mut error
        && tries > 1
    {
        let seconds = time.as_secs_f64();
        doing.push_str(&format!(" ({tries} tries in {seconds:.1} s)"));
    }
    error
}

/// How long to wait before another try, if there is time for one. Left to chance by half, so that those
/// who failed together do not come back together.
fn pause_before(tries: u32, left: Duration) -> Option<Duration> {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << tries.min(10))
        .min(LONGEST_PAUSE);
    let pause = longest.mul_f64(0.5 + 0.5 * fastrand::f64());
    // Without tokio there is nothing to wait with.
    (pause < left && Handle::try_current().is_ok()).then_some(pause)
}

#[cfg(test)]
mod tests;
