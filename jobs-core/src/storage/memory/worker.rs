//! Workers: their coming, their signs of life, their end, and what becomes of their jobs.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::{Tables, Worker};
use crate::job::{AttemptOutcome, AttemptRecord, ClaimId, JobId, State, WorkerId};
use crate::storage::{Beat, Orders, Presence, RescueRequest, Rescued, WorkerInfo, WorkerRecord};

/// Why a job is back in its queue although nobody gave it back.
const DIED: &str = "its worker died while running it";

impl Tables {
    pub(super) fn register(&mut self, info: &WorkerInfo, now: DateTime<Utc>) {
        // Repeated, it says what has changed; it does not bring back the dead.
        let worker = self.workers.entry(info.id).or_insert_with(|| Worker {
            info: info.clone(),
            started_at: now,
            beat_at: now,
            beat: 0,
            dead_at: None,
            suspect: None,
            claims: BTreeSet::new(),
        });
        if worker.dead_at.is_none() {
            worker.info = info.clone();
        }
    }

    pub(super) fn beat(&mut self, beat: &Beat, now: DateTime<Utc>) -> Orders {
        let living = |worker: &&mut Worker| worker.dead_at.is_none();
        let Some(worker) = self.workers.get_mut(&beat.worker).filter(living) else {
            return Orders::dead();
        };
        worker.beat += 1;
        worker.beat_at = now;
        let named: BTreeSet<ClaimId> = beat.claims.iter().copied().collect();
        let missing = named.difference(&worker.claims).copied().collect();
        let stray: Vec<_> = worker
            .claims
            .difference(&named)
            .copied()
            .filter(|claim| Some(*claim) <= beat.newest)
            .collect();
        for claim in stray {
            self.give_back(claim, now);
        }
        Orders::alive(missing)
    }

    pub(super) fn suspect(&mut self, worker: WorkerId, job: Option<JobId>) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.suspect = job;
        }
    }

    pub(super) fn retire(&mut self, worker: WorkerId, now: DateTime<Utc>) {
        let Some(row) = self.workers.get(&worker) else {
            return;
        };
        for claim in row.claims.clone() {
            self.give_back(claim, now);
        }
        self.workers.remove(&worker);
    }

    pub(super) fn presences(&self) -> Vec<Presence> {
        let listed = |worker: &&Worker| worker.dead_at.is_none() || !worker.claims.is_empty();
        let presence = |worker: &Worker| Presence {
            worker: worker.info.id,
            beat: worker.beat,
            dead: worker.dead_at.is_some(),
        };
        self.workers.values().filter(listed).map(presence).collect()
    }

    pub(super) fn workers(&self, now: DateTime<Utc>) -> Vec<WorkerRecord> {
        let day_ago = now - TimeDelta::days(1);
        let recent = |worker: &&Worker| worker.dead_at.is_none_or(|at| at > day_ago);
        let record = |worker: &Worker| WorkerRecord {
            info: worker.info.clone(),
            started_at: worker.started_at,
            beat_at: worker.beat_at,
            dead_at: worker.dead_at,
            processing: worker
                .claims
                .iter()
                .map(|&claim| self.held(claim).count() as u64)
                .sum(),
        };
        let mut workers: Vec<_> = self.workers.values().filter(recent).map(record).collect();
        workers.sort_by_key(|worker| (worker.started_at, worker.info.id));
        workers
    }

    pub(super) fn rescue(&mut self, request: &RescueRequest, now: DateTime<Utc>) -> Rescued {
        let mut rescued = Rescued::default();
        let unmoved = |worker: &&mut Worker| worker.beat == request.beat;
        let Some(worker) = self.workers.get_mut(&request.worker).filter(unmoved) else {
            return rescued;
        };
        worker.dead_at.get_or_insert(now);
        let suspect = worker.suspect;
        let mut left = request.limit;
        for claim in worker.claims.clone() {
            let held: Vec<_> = self.held(claim).take(left).collect();
            left -= held.len();
            for id in held {
                match self.take_back(id, suspect, request, now) {
                    State::Failed => rescued.failed += 1,
                    _ => rescued.released += 1,
                }
            }
            if self.held(claim).next().is_some() {
                rescued.more = true;
                break;
            }
            self.end(claim);
        }
        rescued
    }

    /// Takes one job from a dead worker. To blame is the job that the worker noted as its suspect; if
    /// it noted none, any may have been it but those that one more death would fail: they would have
    /// been noted before they were started.
    fn take_back(
        &mut self,
        id: JobId,
        suspect: Option<JobId>,
        request: &RescueRequest,
        now: DateTime<Utc>,
    ) -> State {
        self.lift(id);
        let Some(job) = self.jobs.get_mut(&id) else {
            return State::Enqueued;
        };
        let blamed = suspect.map_or(request.may_blame(job.lost), |suspect| suspect == id);
        if !blamed {
            self.wait(id, now);
            return State::Enqueued;
        }
        job.lost += 1;
        let fatal = job.lost >= request.lost_limit;
        let reason = if fatal { request.lost_reason } else { DIED };
        job.reason = Some(reason.into());
        job.remember(AttemptRecord {
            number: job.attempt + 1,
            worker: Some(request.worker),
            reason: reason.into(),
            ..AttemptRecord::new(id, job.run, AttemptOutcome::Lost, now)
        });
        if !fatal {
            self.wait(id, now);
            return State::Enqueued;
        }
        self.stats.at(now, &job.queue, &job.kind).failed += 1;
        self.finish(id, State::Failed, now);
        State::Failed
    }

    /// Forgets workers that died more than a day ago and hold nothing.
    pub(super) fn bury(&mut self, now: DateTime<Utc>) {
        let day_ago = now - TimeDelta::days(1);
        self.workers.retain(|_, worker| {
            !worker.claims.is_empty() || worker.dead_at.is_none_or(|at| at > day_ago)
        });
    }
}
