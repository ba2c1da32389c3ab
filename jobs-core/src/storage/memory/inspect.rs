//! The read side.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::tables::{Job, Tables};
use super::tickets::{Lane, Tickets};
use crate::job::{JobId, JobRecord, State};
use crate::storage::{JobFilter, QueueRecord, StateCounts};

/// One look at a long list: how many jobs are looked at before others get a turn.
const GLANCE: usize = 1_000;

impl Job {
    pub(super) fn record(&self, id: JobId, now: DateTime<Utc>) -> JobRecord {
        JobRecord {
            id,
            kind: self.kind.to_string(),
            args: self.args.clone(),
            queue: self.queue.to_string(),
            priority: self.priority,
            state: self.state(now),
            reason: self.reason.clone(),
            attempt: self.attempt,
            lost: self.lost,
            run: self.run,
            options: self.options.as_deref().cloned().unwrap_or_default(),
            rules: self.rules.clone(),
            limited_by: None, // The job does not know: see `Tables::record`.
            created_at: self.created_at,
            due_at: self.due_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            worker: self.worker,
            result: self.result.clone(),
        }
    }

    fn matches(&self, filter: &JobFilter, now: DateTime<Utc>) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let tagged = |tag: &String| {
            let options = self.options.as_ref();
            options.is_some_and(|options| options.tags.contains(tag))
        };
        let batch = self.rules.as_ref().and_then(|rules| rules.batch);
        filter.state.is_none_or(|state| state == self.state(now))
            && is(&filter.kind, &self.kind)
            && is(&filter.queue, &self.queue)
            && filter.tag.as_ref().is_none_or(tagged)
            && (filter.batch.is_none() || filter.batch == batch)
    }
}

impl Tables {
    pub(super) fn record(&self, id: JobId, now: DateTime<Utc>) -> Option<JobRecord> {
        let job = self.jobs.get(&id)?;
        let mut record = job.record(id, now);
        record.limited_by = self.limits.before(id).map(Into::into);
        Some(record)
    }

    /// Looks at the next jobs before `before` and collects those that match, `most` at most. Answers
    /// where to go on, if there is more to look at.
    pub(super) fn glance(
        &self,
        filter: &JobFilter,
        before: Option<JobId>,
        found: &mut Vec<JobRecord>,
        most: usize,
        now: DateTime<Utc>,
    ) -> Option<JobId> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let jobs = self.jobs.range((Bound::Unbounded, end)).rev();
        for (seen, (&id, job)) in jobs.enumerate() {
            let waits = |parent| self.dependencies.waits(id, parent);
            if job.matches(filter, now) && filter.waits_for.is_none_or(waits) {
                found.extend(self.record(id, now));
            }
            if found.len() == most || seen + 1 == GLANCE {
                return Some(id);
            }
        }
        None
    }

    pub(super) fn counts(&self, now: DateTime<Utc>) -> StateCounts {
        let held = |&claim| self.held(claim).count() as u64;
        let mut counts = StateCounts {
            processing: self.claims.keys().map(held).sum(),
            awaiting: self.dependencies.awaiting,
            ..StateCounts::default()
        };
        for (_, lanes) in self.tickets.queues().chain(self.blocked.queues()) {
            let (due, later) = Tickets::count(lanes, now);
            counts.enqueued += due;
            counts.scheduled += later;
        }
        for state in [State::Succeeded, State::Failed, State::Deleted] {
            *counts.of(state) = self.finished.count(state);
        }
        counts
    }

    pub(super) fn queues(&self, now: DateTime<Utc>) -> Vec<QueueRecord> {
        let mut queues: BTreeMap<Arc<str>, QueueRecord> = BTreeMap::new();
        let blank = |name: &Arc<str>| QueueRecord {
            name: name.to_string(),
            pause: None,
            enqueued: 0,
            scheduled: 0,
            processing: 0,
            oldest_due: None,
        };
        for (name, lanes) in self.tickets.queues().chain(self.blocked.queues()) {
            let queue = queues.entry(name.clone()).or_insert_with(|| blank(name));
            let (due, later) = Tickets::count(lanes, now);
            queue.enqueued += due;
            queue.scheduled += later;
            let first = |lane: &Lane| lane.first(&[]);
            let oldest = lanes
                .values()
                .filter_map(first)
                .chain(queue.oldest_due)
                .min();
            queue.oldest_due = oldest.filter(|at| *at <= now);
        }
        for id in self.claims.keys().flat_map(|&claim| self.held(claim)) {
            let name = &self.jobs[&id].queue;
            let queue = queues.entry(name.clone()).or_insert_with(|| blank(name));
            queue.processing += 1;
        }
        for (pattern, pause) in self.told.of_queues(now) {
            if let Some(name) = pattern.exact() {
                let name: Arc<str> = name.into();
                let queue = queues.entry(name.clone());
                queue.or_insert_with(|| blank(&name)).pause = Some(pause.clone());
                continue;
            }
            let matched = |(name, _): &(&Arc<str>, &mut QueueRecord)| pattern.matches(name);
            for (_, queue) in queues.iter_mut().filter(matched) {
                queue.pause = Some(pause.clone());
            }
        }
        queues.into_values().collect()
    }
}
