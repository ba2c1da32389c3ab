//! Runs jobs: a runner takes one after the other, and each goes through the same steps.
//!
//! 1. take a job from those held; a runner ends when there is none
//! 2. see to what its rules ask for, if it has any (`readiness`)
//! 3. note that it runs (from here on it can be cancelled)
//! 4. run the handler, within its time, with panics caught
//! 5. note that it has ended, and look at why it was cancelled, if it was
//! 6. decide what follows, and hand it to the settler
//!
//! kill -9 in any of them: the job is this worker's in the storage, is found there once the worker is
//! dead, and runs again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};

use super::crew::Crew;
use super::held::{Next, Taken};
use super::running::{Cancelled, Run};
use crate::client::{handed_down, handing_down};
use crate::handler::{ContextParts, JobContext, JobEntry, catch, catch_panic};
use crate::job::{AttemptOutcome, ErrorReport, StoredOptions};
use crate::lifecycle::{Advice, Failure, Outcome, RetryPolicy};

/// How many jobs in a row a runner runs before it lets other tasks of the process have the thread.
const IN_A_ROW: usize = 16;

/// Counts a runner out, however it ends.
struct Place<'a> {
    crew: &'a Crew,
    ended: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.crew.held.runner_dropped();
        }
        self.crew.runner_ended.notify_waiters();
    }
}

/// Lets the next job run that is on its last chance, however this one ends.
struct Risk<'a>(&'a Crew);

impl Drop for Risk<'_> {
    fn drop(&mut self) {
        self.0.held.risk_is_over();
    }
}

/// Lets the next job of a queue run of which only some may run at once, however this one ends.
struct Counted<'a>(&'a Crew, usize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.held.cap_has_room(self.1);
        self.0.appetite.cap_has_room();
    }
}

impl Crew {
    /// Starts runners for jobs that are held.
    pub(super) fn start_runners(self: &Arc<Self>, runners: usize) {
        for _ in 0..runners {
            let crew = Arc::clone(self);
            self.runtime.spawn(async move {
                let abort = crew.abort.clone();
                tokio::select! {
                    biased;
                    () = crew.run_jobs() => {}
                    () = abort.cancelled() => {}
                }
            });
        }
    }

    async fn run_jobs(&self) {
        let mut place = Place {
            crew: self,
            ended: false,
        };
        loop {
            for _ in 0..IN_A_ROW {
                match self.held.next() {
                    Next::Run(taken, left) => {
                        self.appetite.left(left);
                        self.run_job(*taken).await;
                    }
                    Next::End => {
                        place.ended = true;
                        self.appetite.slot_free();
                        return;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn run_job(&self, mut taken: Taken) {
        let cap = self.held.caps().of(&taken.job.queue);
        let _counted = cap.map(|cap| Counted(self, cap));
        if taken.job.rules.is_some()
            && let Err(outcome) = self.make_ready(&mut taken).await
        {
            return self.settle_unstarted(&taken, *outcome);
        }
        let risk = taken.is_on_its_last_chance().then(|| Risk(self));
        let Some(entry) = self.registry.find(&taken.job.kind) else {
            // Looked up when it was claimed, in the same registry.
            return self.settle_unstarted(&taken, released("its kind is not known"));
        };
        if risk.is_none() {
            return self.attempt(entry, taken).await;
        }
        // One more death and this job is Failed. Tell the others before starting it: should this worker
        // die too, this job alone is to blame, and not one that merely ran beside another.
        if let Err(error) = self.storage.suspect(self.id, Some(taken.job.id)).await {
            debug!(%error, job = %taken.job.id, "not started: its risk could not be noted");
            return self.settle_unstarted(&taken, released("the storage was away"));
        }
        self.attempt(entry, taken).await;
        if let Err(error) = self.storage.suspect(self.id, None).await {
            // The next suspect overwrites it; until then a death would be blamed on a job that is over,
            // which the storage does not count.
            debug!(%error, "a suspect could not be cleared");
        }
    }

    async fn attempt(&self, entry: &'static JobEntry, taken: Taken) {
        let Taken { job, claim, .. } = taken;
        let (policy, timeout) = self.policy(entry, job.options.as_deref());
        let inherited = handed_down(job.options.as_deref());
        let essentials = job.without_args();
        let context = JobContext::new(ContextParts {
            job,
            claim,
            worker: Arc::clone(&self.scope),
            cancellation: CancellationToken::new(),
        });
        let id = essentials.id;
        let run = Run {
            job: essentials,
            claim,
            started: Instant::now(),
            cancelled: None,
            context: context.clone(),
        };
        if let Err(run) = self.running.start(run) {
            // The old run, which nobody waits for any more, is still going on here. Leave the new one to
            // a worker in which it is alone.
            let outcome = released("an older run of it has not ended here");
            return self.settle(&run.job, claim, None, &policy, outcome);
        }
        let span = debug_span!("job", kind = entry.kind, %id, attempt = context.attempt());
        let outcome = self
            .client
            .scope(handing_down(
                inherited,
                run_handler(entry, context, timeout),
            ))
            .instrument(span)
            .await;
        let Some(run) = self.running.end(id) else {
            return;
        };
        let outcome = after_cancellation(run.cancelled, outcome);
        let ran_for = run.started.elapsed();
        // In this order: who sees that it has ended, and nothing left to record, knows that it is recorded.
        self.settle(&run.job, claim, Some(ran_for), &policy, outcome);
        self.appetite.job_ended(ran_for);
    }

    /// What holds for this job: its own options, else its kind's, else the worker's.
    fn policy(
        &self,
        entry: &JobEntry,
        own: Option<&StoredOptions>,
    ) -> (RetryPolicy, Option<Duration>) {
        let (kind, worker) = (&entry.defaults, &self.config);
        let retries = own.and_then(|own| own.retries).or(kind.retries);
        let backoff = own
            .and_then(|own| own.backoff.as_ref())
            .or(kind.backoff.as_ref());
        let timeout = own
            .and_then(|own| own.timeout)
            .or(kind.timeout)
            .or(worker.timeout);
        let policy = RetryPolicy {
            retries: retries.unwrap_or(worker.retry.retries),
            backoff: backoff.unwrap_or(&worker.retry.backoff).clone(),
        };
        (policy, timeout)
    }
}

async fn run_handler(
    entry: &'static JobEntry,
    context: JobContext,
    timeout: Option<Duration>,
) -> Outcome {
    let handler = catch_panic((entry.perform)(context));
    let ended = match timeout {
        None => handler.await,
        Some(limit) => {
            let mut handler = Box::pin(handler);
            match tokio::time::timeout(limit, handler.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    // A plain function goes on in its thread; what it returns is not looked at. A destructor may
                    // panic: that must not take this runner along, and the job with it.
                    let _ = catch(move || drop(handler));
                    return timed_out(limit);
                }
            }
        }
    };
    ended.unwrap_or_else(Outcome::from)
}

fn timed_out(limit: Duration) -> Outcome {
    let report = ErrorReport::new(format!(
        "timed out after {}",
        crate::lifecycle::in_words(limit)
    ));
    Outcome::Failed(Failure {
        report,
        how: AttemptOutcome::TimedOut,
        advice: Advice::Policy,
    })
}

/// A job that was told to stop, and then ended otherwise than well, has not failed: it did as told.
fn after_cancellation(cancelled: Option<Cancelled>, outcome: Outcome) -> Outcome {
    match (cancelled, outcome) {
        (Some(Cancelled::Shutdown), Outcome::Failed(_)) => released("its worker was shut down"),
        (Some(Cancelled::LostTouch), Outcome::Failed(_)) => {
            released("its worker lost touch with the storage")
        }
        // What was taken away is refused whatever it says. But the word of it may come late, when the worker
        // has been handed the job again: then it is still ours, and nothing was wrong with it.
        (Some(Cancelled::Revoked), Outcome::Failed(_)) => released("it was told to stop"),
        (_, outcome) => outcome,
    }
}

pub(super) fn released(reason: &str) -> Outcome {
    Outcome::Released {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_to_stop_has_not_failed() {
        for told in [
            Cancelled::Revoked,
            Cancelled::Shutdown,
            Cancelled::LostTouch,
        ] {
            let failed = timed_out(Duration::from_secs(1));
            let outcome = after_cancellation(Some(told), failed);
            assert!(matches!(outcome, Outcome::Released { .. }), "{told:?}");
        }
        let failed = timed_out(Duration::from_secs(1));
        let outcome = after_cancellation(None, failed);
        assert!(matches!(outcome, Outcome::Failed(_)));
    }
}
