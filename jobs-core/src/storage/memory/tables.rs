//! The rows, and the few moves that every verb is made of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::batch::Batches;
use super::control::Told;
use super::expiry::Expiry;
use super::finished::Finished;
use super::limits::Limits;
use super::parents::{Awaits, Dependencies};
use super::recurring::Recurrings;
use super::stats::Stats;
use super::tickets::{Spot, Tickets};
use super::unique::Keys;
use crate::job::{
    AttemptOutcome, AttemptRecord, ClaimId, EventRecord, JobId, ParentId, Priority, Rules, State,
    StoredOptions, WorkerId,
};
use crate::storage::{Wake, WorkerInfo};

/// More snoozes than this are not kept of one job: a job that waits for something may snooze for ever.
const MOST_SNOOZES: usize = 100;

/// Everything there is. What is true between two calls:
///
/// - a waiting job has exactly one place: a ticket, a turn in `limits`, or an entry with its `run` in a
///   claim;
/// - a job has permits only while it has a ticket or is in a claim;
/// - an Awaiting job has none, and a parent in `awaits` for each of its rows in `dependencies`;
/// - a final job has none, and is in `finished`;
/// - a claim belongs to a worker that is in `workers`, and lies in that worker's `claims`.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) tickets: Tickets,
    pub(super) claims: HashMap<ClaimId, Claim>,
    pub(super) workers: HashMap<WorkerId, Worker>,
    pub(super) told: Told,
    pub(super) finished: Finished,
    pub(super) dependencies: Dependencies,
    pub(super) keys: Keys,
    pub(super) batches: Batches,
    pub(super) expiry: Expiry,
    pub(super) limits: Limits,
    /// The jobs that wait before limits, or for their time to do so; as `tickets`, to be counted.
    pub(super) blocked: Tickets,
    pub(super) stats: Stats,
    pub(super) recurrings: Recurrings,
    /// For each pattern of several queues, which of them was served last.
    pub(super) served: HashMap<String, Arc<str>>,
    pub(super) latest: DateTime<Utc>,
    names: HashSet<Arc<str>>,
    pub(super) touched: BTreeSet<Arc<str>>,
    cancelled: Vec<JobId>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kind: Arc<str>,
    pub(super) args: String,
    pub(super) queue: Arc<str>,
    pub(super) priority: Priority,
    pub(super) options: Option<Box<StoredOptions>>,
    pub(super) rules: Option<Box<Rules>>,
    /// What it still waits for.
    pub(super) awaits: Awaits,
    pub(super) created_at: DateTime<Utc>,
    pub(super) due_at: DateTime<Utc>,
    pub(super) place: Place,
    pub(super) run: i32,
    pub(super) attempt: u32,
    pub(super) lost: u32,
    pub(super) reason: Option<String>,
    pub(super) result: Option<String>,
    pub(super) worker: Option<WorkerId>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    /// Who ended the ownership before the current one with an outcome, if one did: tells an outcome
    /// that arrives twice from one that comes too late.
    pub(super) settled_by: Option<WorkerId>,
    /// Paid for only by jobs with a past.
    pub(super) history: Option<Box<History>>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On its way from one place to the next.
    Nowhere,
    Awaiting,
    /// Before a limit, or for later and then before a limit.
    Line,
    Ticket,
    Claim(ClaimId),
    Final(State),
}

#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) events: Vec<EventRecord>,
}

/// Jobs that were taken at once, each with the number of its ownership.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) worker: WorkerId,
    pub(super) jobs: Vec<(JobId, i32)>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) info: WorkerInfo,
    pub(super) started_at: DateTime<Utc>,
    pub(super) beat_at: DateTime<Utc>,
    pub(super) beat: i64,
    pub(super) dead_at: Option<DateTime<Utc>>,
    pub(super) suspect: Option<JobId>,
    pub(super) claims: BTreeSet<ClaimId>,
}

impl Job {
    pub(super) fn spot(&self) -> Spot {
        Spot {
            queue: self.queue.clone(),
            priority: self.priority,
            kind: self.kind.clone(),
            run_at: self.due_at,
        }
    }

    pub(super) fn state(&self, now: DateTime<Utc>) -> State {
        match self.place {
            Place::Awaiting => State::Awaiting,
            Place::Ticket | Place::Line if self.due_at > now => State::Scheduled,
            Place::Ticket | Place::Line | Place::Nowhere => State::Enqueued,
            Place::Claim(_) => State::Processing,
            Place::Final(state) => state,
        }
    }

    pub(super) fn remember(&mut self, attempt: AttemptRecord) {
        let attempts = &mut self.history.get_or_insert_default().attempts;
        let snoozed = |attempt: &AttemptRecord| attempt.outcome == AttemptOutcome::Snoozed;
        if snoozed(&attempt) && attempts.iter().filter(|&old| snoozed(old)).count() >= MOST_SNOOZES
        {
            let oldest = attempts.iter().position(snoozed).expect("counted above");
            attempts.remove(oldest);
        }
        attempts.push(attempt);
    }
}

impl Tables {
    /// One copy of each name of a queue or kind, shared by all jobs.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    /// Ends the current ownership of a job and lets it wait: a ticket for `run_at`.
    pub(super) fn wait(&mut self, id: JobId, run_at: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.run += 1;
        self.limits.free(id);
        self.enqueue(id, run_at);
    }

    /// Ends the current ownership of a job, wherever it is: it is Deleted, and counted as such.
    pub(super) fn delete(&mut self, id: JobId, reason: String, now: DateTime<Utc>) {
        self.lift(id);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.reason = Some(reason);
        self.stats.at(now, &job.queue, &job.kind).deleted += 1;
        self.finish(id, State::Deleted, now);
    }

    /// Lets a job wait that has no place: with a ticket, unless it has limits to be let in by, or its
    /// batch is not complete.
    pub(super) fn enqueue(&mut self, id: JobId, run_at: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.due_at = run_at;
        if job.rules.is_some() && self.is_in_unsealed_batch(id) {
            return self.hold_back(id);
        }
        if !self.waits_for_limits(id) {
            self.give_ticket(id);
        }
    }

    /// Writes a ticket. The job has none, and whoever had it has it no more.
    pub(super) fn give_ticket(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.place = Place::Ticket;
        self.tickets.add(id, &job.spot());
        self.touched.insert(job.queue.clone());
    }

    /// Ends the current ownership of a job and the job itself, by whichever door it came: the one place
    /// that sees to what a final job leaves behind.
    pub(super) fn finish(&mut self, id: JobId, state: State, at: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.run += 1;
        self.limits.free(id);
        job.place = Place::Final(state);
        job.finished_at = Some(at);
        self.finished.add(id, state, at, job.keep_for());
        if job.rules.is_some() {
            self.key_at_end(id);
            self.never_expires(id);
            self.member_at_end(id, state);
        }
        self.dependencies.ended(ParentId::Job(id), state);
    }

    /// Takes a job out of wherever it is, because its ownership ends otherwise than with an outcome.
    pub(super) fn lift(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.settled_by = None;
        }
        self.vacate(id);
    }

    /// Takes a job out of wherever it is, so that it can go elsewhere.
    pub(super) fn vacate(&mut self, id: JobId) {
        self.limits.free(id);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        match (
            std::mem::replace(&mut job.place, Place::Nowhere),
            job.finished_at.take(),
        ) {
            (Place::Awaiting, _) => self.forget_parents(id),
            (Place::Line, _) => {
                self.limits.leave(id, job);
                self.blocked.remove(id, &job.spot());
            }
            (Place::Ticket, _) => self.tickets.remove(id, &job.spot()),
            (Place::Final(state), Some(at)) => self.finished.remove(id, state, at, job.keep_for()),
            _ => {}
        }
    }

    /// The jobs of a claim that are still held under it.
    pub(super) fn held(&self, claim: ClaimId) -> impl Iterator<Item = JobId> + '_ {
        let entries = self.claims.get(&claim).into_iter();
        let held = move |&(id, run): &(JobId, i32)| {
            let job = self.jobs.get(&id);
            job.is_some_and(|job| job.run == run && job.place == Place::Claim(claim))
        };
        entries
            .flat_map(|claim| claim.jobs.iter())
            .copied()
            .filter(held)
            .map(|(id, _)| id)
    }

    /// Ends a claim; the jobs held under it go back to their queues as if it had never been made.
    pub(super) fn give_back(&mut self, claim: ClaimId, now: DateTime<Utc>) {
        let held: Vec<_> = self.held(claim).collect();
        for id in held {
            self.lift(id);
            self.wait(id, now);
        }
        self.end(claim);
    }

    /// Forgets a claim under which nothing is held any more.
    pub(super) fn end(&mut self, claim: ClaimId) {
        let Some(row) = self.claims.remove(&claim) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&row.worker) {
            worker.claims.remove(&claim);
        }
    }

    pub(super) fn cancel(&mut self, id: JobId) {
        self.cancelled.push(id);
    }

    /// The hints that the moves since the last call are worth.
    pub(super) fn hints(&mut self) -> Vec<Wake> {
        let cancelled = self.cancelled.drain(..).map(Wake::Cancelled);
        let touched = std::mem::take(&mut self.touched);
        cancelled
            .chain(touched.into_iter().map(Wake::Jobs))
            .collect()
    }
}
