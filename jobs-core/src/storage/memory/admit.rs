//! Letting jobs in that wait before limits.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::control::Stopped;
use super::limits::{InLine, Use};
use super::tables::{Place, Tables};
use crate::clock::later;
use crate::error::{Error, Result};
use crate::job::{Excess, JobId, LimitRule, LimitUse};
use crate::lifecycle::in_words;
use crate::storage::{LimitRecord, Start, check_limit};

/// What becomes of a job whose turn it is.
enum Turn {
    /// All its limits have room.
    Comes,
    /// The limit before which it waits has none.
    Waits,
    /// Another limit has none: it waits before that one.
    Elsewhere(Use),
    /// A limit has none and does not let it wait.
    Exceeds(Arc<str>, Excess),
}

impl Tables {
    /// Lets a job that has limits wait for its time, or for its turn; answers whether it has any.
    pub(super) fn waits_for_limits(&mut self, id: JobId) -> bool {
        let now = self.latest;
        let Some(job) = self.jobs.get_mut(&id) else {
            return false;
        };
        if !self.limits.concern(job) {
            return false;
        }
        job.place = Place::Line;
        self.blocked.add(id, &job.spot());
        if job.due_at > now {
            self.limits.wait_for_time(id, job.due_at);
            self.touched.insert(job.queue.clone());
        } else if let Some(first) = self.limits.uses(job).first() {
            self.limits.line_up(id, job, first);
        }
        true
    }

    /// Lets in who may be let in by now.
    pub(super) fn admit(&mut self, now: DateTime<Utc>) {
        for id in self.limits.fall_due(now) {
            if let Some(job) = self.jobs.get(&id)
                && let Some(first) = self.limits.uses(job).first()
            {
                self.limits.line_up(id, job, first);
            }
        }
        if self.limits.kicked.is_empty() {
            return;
        }
        let stopped = self.told.stopped(now);
        while let Some((name, keys)) = self.limits.kicked.pop_first() {
            let served = self.limits.all.get(&name).map(|it| it.served.clone());
            // Keys in turn, going on where the last time stopped.
            let (before, mut turns): (Vec<_>, Vec<_>) = keys
                .into_iter()
                .partition(|key| Some(key) <= served.as_ref());
            turns.extend(before);
            let mut turns: Vec<_> = turns.into_iter().map(|key| (key, None)).collect();
            while !turns.is_empty() {
                let next = |(key, last): &mut (String, _)| {
                    self.next_in_line(&name, key, last, &stopped, now)
                };
                turns.retain_mut(next);
            }
        }
    }

    /// Looks at the job whose turn it is behind the `last` of its line; answers whether to look at the next.
    /// Those ahead of it stand still, and need not be passed over once more for each that comes.
    fn next_in_line(
        &mut self,
        name: &Arc<str>,
        key: &str,
        last: &mut Option<InLine>,
        stopped: &Stopped,
        now: DateTime<Utc>,
    ) -> bool {
        let line = self.limits.all.get(name).and_then(|it| it.lines.get(key));
        let behind = (last.map_or(Unbounded, Excluded), Unbounded);
        let mut line = line.into_iter().flat_map(|line| line.range(behind));
        let Some(&next) = line.find(|(_, _, id)| self.may_go(*id, stopped)) else {
            return false;
        };
        let (_, _, id) = *last.insert(next);
        match self.turn(id, name, stopped, now) {
            Turn::Waits => return false,
            Turn::Comes => {
                if let Some(limit) = self.limits.all.get_mut(name) {
                    key.clone_into(&mut limit.served);
                }
                self.let_in(id, now);
            }
            Turn::Elsewhere(other) => {
                if let Some(job) = self.jobs.get(&id) {
                    self.limits.leave(id, job);
                    self.limits.line_up(id, job, &other);
                }
            }
            Turn::Exceeds(limit, Excess::Reschedule(time)) => {
                let time_in_words = in_words(time);
                self.vacate(id);
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.reason = Some(format!(
                        "Limit {limit} is reached: again in {time_in_words}"
                    ));
                }
                self.enqueue(id, later(now, time));
            }
            Turn::Exceeds(limit, _) => self.delete(id, format!("Limit {limit} is reached"), now),
        }
        true
    }

    /// Whether a job is not paused: it would only stand in the way.
    fn may_go(&self, id: JobId, stopped: &Stopped) -> bool {
        self.jobs.get(&id).is_some_and(|job| !stopped.stops(job))
    }

    fn turn(&mut self, id: JobId, name: &Arc<str>, stopped: &Stopped, now: DateTime<Utc>) -> Turn {
        let Some(job) = self.jobs.get(&id) else {
            return Turn::Waits;
        };
        let turn = (job.priority, job.due_at, id);
        for one in self.limits.uses(job) {
            let own = one.limit == *name;
            let Some(limit) = self.limits.all.get_mut(&one.limit) else {
                continue;
            };
            if !limit.has_room(&one, now) {
                return match limit.rule() {
                    Some((_, Excess::Wait)) | None if own => Turn::Waits,
                    Some((_, Excess::Wait)) | None => Turn::Elsewhere(one),
                    Some((_, excess)) => Turn::Exceeds(one.limit, excess),
                };
            }
            if !own
                && self
                    .limits
                    .is_ahead(&one, turn, |id| self.may_go(id, stopped))
            {
                return Turn::Elsewhere(one);
            }
        }
        Turn::Comes
    }

    /// A job has its turn: it gets its ticket.
    fn let_in(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let uses = self.limits.uses(job);
        self.limits.leave(id, job);
        self.blocked.remove(id, &job.spot());
        job.due_at = job.due_at.max(now);
        self.limits.admit(id, uses);
        self.give_ticket(id);
    }

    /// Declares the limits of a job that is about to be stored.
    pub(super) fn declare_limits(&mut self, uses: &[LimitUse]) {
        for limit in uses {
            if self.limits.declare(&limit.rule) {
                self.queue_is_limited(&limit.rule.name);
            }
        }
    }

    pub(super) fn set_limit(&mut self, name: &str, rule: Option<&LimitRule>) -> Result<()> {
        let Some(rule) = rule else {
            for id in self.limits.unset(name) {
                self.line_up_again(id);
            }
            return Ok(());
        };
        check_limit(rule)?;
        if rule.name != name {
            let other = &rule.name;
            return Err(Error::Invalid(format!(
                "the rule for limit {name} is one for {other}"
            )));
        }
        if self.limits.set(rule) {
            self.queue_is_limited(name);
        }
        Ok(())
    }

    pub(super) fn start(&mut self, start: &Start, now: DateTime<Utc>) -> bool {
        let claim = self.claims.get(&start.claim);
        let own = claim.is_some_and(|claim| claim.worker == start.worker);
        let job = self.jobs.get(&start.job);
        let held =
            job.is_some_and(|job| job.run == start.run && job.place == Place::Claim(start.claim));
        if own && held {
            self.limits.start(start.job, now);
        }
        own && held
    }

    pub(super) fn limits(&mut self, now: DateTime<Utc>) -> Vec<LimitRecord> {
        self.limits.records(now)
    }
}
