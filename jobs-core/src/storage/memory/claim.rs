//! Taking due jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::control::Stopped;
use super::tables::{Claim, Job, Place, Tables};
use super::tickets::{Lane, Lanes, Tickets};
use crate::error::{Error, Result};
use crate::job::{ClaimId, JobId, NewJob, Priority, WorkerId};
use crate::storage::{ClaimRequest, Claimed, ClaimedJob, HandedOver, QueueShare};

/// What a request may not have.
struct LeftAlone {
    stopped: Stopped,
    /// Paused, or unknown to the worker.
    kinds: Vec<String>,
}

impl LeftAlone {
    fn new(mut stopped: Stopped, request: &ClaimRequest) -> Self {
        let mut kinds = std::mem::take(&mut stopped.kinds);
        kinds.extend(request.unknown_kinds.iter().cloned());
        Self { stopped, kinds }
    }
}

impl Tables {
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: DateTime<Utc>) -> Result<Claimed> {
        let stopped = self.told.stopped(now);
        let mut claimed = Claimed {
            jobs: Vec::new(),
            paused: stopped.queues.clone(),
            paused_kinds: stopped.kinds.iter().map(|kind| (&**kind).into()).collect(),
            order: self.told.order.as_ref().map(|record| record.order.clone()),
        };
        if self.claims.contains_key(&request.claim) {
            return Err(Error::Rejected {
                doing: format!("claim jobs as {}", request.claim),
                source: "this claim exists: make a new id for each call".into(),
            });
        }
        // A worker that was declared dead hears of it at its next beat.
        let living = |tables: &Self| {
            let worker = tables.workers.get(&request.worker);
            worker.is_some_and(|worker| worker.dead_at.is_none())
        };
        if !living(self) {
            return Ok(claimed);
        }
        let left_alone = LeftAlone::new(stopped, request);
        self.limits.kick_all(true);
        self.admit(now);
        let mut picked = Vec::new();
        for (at, share) in request.queues.iter().enumerate() {
            let limit = share.limit.min(request.limit - picked.len());
            self.pick(request, &left_alone, at, limit, now, &mut picked);
        }
        claimed.jobs = picked
            .iter()
            .map(|&id| self.hand_out(id, request))
            .collect();
        let taken = claimed.jobs.iter().map(|job| (job.id, job.run)).collect();
        self.write_claim(request.worker, request.claim, taken);
        Ok(claimed)
    }

    pub(super) fn next_due(&self, request: &ClaimRequest, now: DateTime<Utc>) -> Option<Duration> {
        let left_alone = LeftAlone::new(self.told.stopped(now), request);
        let shares = 0..request.queues.len();
        let serve = |at| {
            let lanes = |tickets| {
                let queues = Self::served_by(tickets, request, &left_alone, at).into_iter();
                queues.flat_map(|(_, lanes)| lanes.values())
            };
            let kinds = &left_alone.kinds;
            let waiting = lanes(&self.tickets).filter_map(|lane| lane.first(kinds));
            // Of those that have to be let in nothing is known but when they may ask.
            let asking = lanes(&self.blocked).filter_map(|lane| lane.first_after(now, kinds));
            waiting.chain(asking).min()
        };
        let first = shares
            .filter_map(serve)
            .chain(self.told.next_end(now))
            .min()?;
        Some((first - now).to_std().unwrap_or_default())
    }

    /// The queues with tickets that the share number `at` is to serve: not those of an earlier share.
    fn served_by<'a>(
        tickets: &'a Tickets,
        request: &'a ClaimRequest,
        left_alone: &LeftAlone,
        at: usize,
    ) -> Vec<(&'a Arc<str>, &'a Lanes)> {
        let (earlier, pattern) = (&request.queues[..at], &request.queues[at].queues);
        let taken = |queue: &str| {
            let matches = |share: &QueueShare| share.queues.matches(queue);
            earlier.iter().any(matches) || left_alone.stopped.has(queue)
        };
        match pattern.exact() {
            Some(name) => tickets
                .queue(name)
                .filter(|_| !taken(name))
                .into_iter()
                .collect(),
            None => tickets
                .queues()
                .filter(|(name, _)| pattern.matches(name) && !taken(name))
                .collect(),
        }
    }

    /// Chooses up to `limit` due jobs of a share: the more urgent first, whatever their queue; among
    /// equals one from each queue in turn, going on where the last claim stopped.
    fn pick(
        &mut self,
        request: &ClaimRequest,
        left_alone: &LeftAlone,
        at: usize,
        limit: usize,
        now: DateTime<Utc>,
        picked: &mut Vec<JobId>,
    ) {
        let mut left = limit;
        let pattern = request.queues[at].queues.as_str();
        let mut last = self.served.get(pattern).cloned();
        let mut by_priority: BTreeMap<Priority, Vec<(&Arc<str>, &Lane)>> = BTreeMap::new();
        for (name, lanes) in Self::served_by(&self.tickets, request, left_alone, at) {
            for (priority, lane) in lanes {
                by_priority.entry(*priority).or_default().push((name, lane));
            }
        }
        for mut lanes in by_priority.into_values() {
            if left == 0 {
                break;
            }
            if let Some(last) = &last {
                let next = lanes.partition_point(|(name, _)| *name <= last);
                lanes.rotate_left(next);
            }
            let mut lanes: Vec<_> = lanes
                .into_iter()
                .map(|(name, lane)| {
                    let due = lane
                        .in_order(&left_alone.kinds)
                        .take_while(|(run_at, _)| *run_at <= now);
                    (name, due)
                })
                .collect();
            while left > 0 && !lanes.is_empty() {
                lanes.retain_mut(|(name, due)| {
                    if left == 0 {
                        return true;
                    }
                    let Some((_, id)) = due.next() else {
                        return false;
                    };
                    picked.push(id);
                    left -= 1;
                    last = Some((*name).clone());
                    true
                });
            }
        }
        if let (Some(last), None) = (last, request.queues[at].queues.exact()) {
            self.served.insert(pattern.into(), last);
        }
    }

    /// Stores jobs, each either in the worker's hands or with a ticket.
    pub(super) fn insert_taken(
        &mut self,
        jobs: &[NewJob],
        worker: WorkerId,
        claim: ClaimId,
        now: DateTime<Utc>,
    ) -> Option<HandedOver> {
        if jobs.iter().any(|job| self.jobs.contains_key(&job.id)) {
            return None;
        }
        self.insert(jobs, now).ok()?;
        let lives = self.workers.get(&worker);
        let lives = lives.is_some_and(|worker| worker.dead_at.is_none());
        let stopped = self.told.stopped(now);
        let paused = |job: &NewJob| {
            stopped.has(&job.queue) || stopped.kinds.iter().any(|kind| *kind == job.kind)
        };
        // A queue may have a limit: then they are to be let in first.
        let has_ticket = |job: &NewJob| self.jobs[&job.id].place == Place::Ticket;
        let free = |job: &&NewJob| lives && !paused(job) && has_ticket(job);
        let taken: Vec<_> = jobs.iter().filter(free).map(|job| job.id).collect();
        for id in &taken {
            self.take_out(*id, worker, claim);
        }
        self.write_claim(worker, claim, taken.iter().map(|&id| (id, 0)).collect());
        Some(HandedOver { taken, due_at: now })
    }

    /// Puts a job with a ticket into a worker's hands.
    fn take_out(&mut self, id: JobId, worker: WorkerId, claim: ClaimId) -> &Job {
        let job = self.jobs.get_mut(&id).expect("a ticket is of a job");
        self.tickets.remove(id, &job.spot());
        job.place = Place::Claim(claim);
        job.worker = Some(worker);
        job
    }

    fn hand_out(&mut self, id: JobId, request: &ClaimRequest) -> ClaimedJob {
        self.key_at_start(id);
        let job = self.take_out(id, request.worker, request.claim);
        ClaimedJob {
            id,
            kind: job.kind.clone(),
            args: job.args.clone(),
            queue: job.queue.clone(),
            priority: job.priority,
            options: job.options.clone(),
            rules: job.rules.clone(),
            attempt: job.attempt,
            lost: job.lost,
            run: job.run,
            due_at: job.due_at,
        }
    }

    fn write_claim(&mut self, worker: WorkerId, claim: ClaimId, jobs: Vec<(JobId, i32)>) {
        if jobs.is_empty() {
            return;
        }
        self.claims.insert(claim, Claim { worker, jobs });
        if let Some(row) = self.workers.get_mut(&worker) {
            row.claims.insert(claim);
        }
    }
}
