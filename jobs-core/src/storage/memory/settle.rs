//! Writing down how runs ended.

use chrono::{DateTime, Utc};

use super::tables::{Job, Place, Tables};
use crate::clock::{earlier, later};
use crate::job::{AttemptOutcome, AttemptRecord, ErrorReport, State, WorkerId};
use crate::lifecycle::Transition;
use crate::storage::{Flush, Refusal, Refused, Settlement};

impl Tables {
    pub(super) fn settle(&mut self, flush: &Flush, now: DateTime<Utc>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for run in &flush.settlements {
            match self.refusal(flush.worker, run) {
                None => self.apply(flush.worker, run, now),
                Some(why) => refused.push(Refused {
                    job: run.job,
                    run: run.run,
                    why,
                }),
            }
        }
        for &claim in &flush.closed {
            let own = self.claims.get(&claim).map(|claim| claim.worker) == Some(flush.worker);
            // A claim under which something is held stays, whatever the worker believes: without it
            // the job would be nowhere.
            if own && self.held(claim).next().is_none() {
                self.end(claim);
            }
        }
        refused
    }

    /// Why an outcome may not be written down: the fence.
    fn refusal(&self, worker: WorkerId, run: &Settlement) -> Option<Refusal> {
        let Some(job) = self.jobs.get(&run.job) else {
            return Some(Refusal::Superseded);
        };
        let claim = self.claims.get(&run.claim);
        let held = job.run == run.run
            && job.place == Place::Claim(run.claim)
            && claim.is_some_and(|claim| claim.worker == worker);
        if held {
            None
        } else if job.run == run.run + 1 && job.settled_by == Some(worker) {
            Some(Refusal::AlreadySettled)
        } else {
            Some(Refusal::Superseded)
        }
    }

    fn apply(&mut self, worker: WorkerId, run: &Settlement, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&run.job) else {
            return;
        };
        let ended = earlier(now, run.ended_ago);
        if let Some(time) = run.ran_for {
            // If its start was not reported.
            self.limits.start(run.job, earlier(ended, time));
        }
        let stat = self.stats.at(now, &job.queue, &job.kind);
        job.settled_by = Some(worker);
        job.worker = Some(worker);
        if !matches!(run.transition, Transition::Release { .. }) {
            job.started_at = run.ran_for.map(|time| earlier(ended, time));
        }
        match &run.transition {
            Transition::Succeed { result, note } => {
                stat.succeeded += 1;
                stat.ran(run.ran_for);
                job.attempt += 1;
                job.result.clone_from(result);
                job.reason.clone_from(note);
                self.finish(run.job, State::Succeeded, ended);
            }
            Transition::Retry {
                delay,
                reason,
                how,
                report,
            } => {
                stat.retried += 1;
                stat.ran(run.ran_for);
                job.write_attempt(run, *how, reason, Some(report), ended);
                job.attempt += 1;
                self.wait(run.job, later(now, *delay));
            }
            Transition::Fail {
                reason,
                how,
                report,
            } => {
                stat.failed += 1;
                stat.ran(run.ran_for);
                job.write_attempt(run, *how, reason, Some(report), ended);
                job.attempt += 1;
                self.finish(run.job, State::Failed, ended);
            }
            Transition::Delete { reason } => {
                stat.deleted += 1;
                job.reason = Some(reason.clone());
                self.finish(run.job, State::Deleted, ended);
            }
            Transition::Snooze { delay, reason } => {
                job.write_attempt(run, AttemptOutcome::Snoozed, reason, None, ended);
                self.wait(run.job, later(now, *delay));
            }
            Transition::Release { .. } => self.wait(run.job, now),
        }
    }
}

impl Job {
    fn write_attempt(
        &mut self,
        run: &Settlement,
        how: AttemptOutcome,
        reason: &str,
        report: Option<&ErrorReport>,
        ended: DateTime<Utc>,
    ) {
        self.reason = Some(reason.into());
        self.remember(AttemptRecord {
            number: self.attempt + 1,
            worker: self.worker,
            started_at: self.started_at,
            reason: reason.into(),
            error: report.cloned(),
            ..AttemptRecord::new(run.job, run.run, how, ended)
        });
    }
}
