//! The jobs that wait, in the order in which they are to run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::job::{JobId, Priority};

/// From when on a job may run, and which: the order within a lane.
type Ticket = (DateTime<Utc>, JobId);

/// Where a ticket lies.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) queue: Arc<str>,
    pub(super) priority: Priority,
    pub(super) kind: Arc<str>,
    pub(super) run_at: DateTime<Utc>,
}

/// The jobs of one queue and priority, apart by kind, so that a claim steps over the kinds it must
/// leave alone without looking at each of their jobs.
#[derive(Debug, Default)]
pub(super) struct Lane(BTreeMap<Arc<str>, BTreeSet<Ticket>>);

impl Lane {
    /// The tickets of all kinds but the `unknown`, earliest first, those of later included.
    pub(super) fn in_order<'a>(
        &'a self,
        unknown: &'a [String],
    ) -> impl Iterator<Item = Ticket> + 'a {
        let mut kinds: Vec<_> = self
            .known(unknown)
            .map(|tickets| tickets.iter().copied().peekable())
            .collect();
        std::iter::from_fn(move || {
            let first = kinds
                .iter_mut()
                .filter_map(|tickets| tickets.peek().copied().map(|ticket| (ticket, tickets)))
                .min_by_key(|(ticket, _)| *ticket);
            first.and_then(|(_, tickets)| tickets.next())
        })
    }

    /// The time of the earliest ticket of all kinds but the `unknown`.
    pub(super) fn first(&self, unknown: &[String]) -> Option<DateTime<Utc>> {
        self.known(unknown)
            .filter_map(BTreeSet::first)
            .map(|(run_at, _)| *run_at)
            .min()
    }

    /// The time of the earliest ticket that is not due at `now`, of all kinds but the `unknown`.
    pub(super) fn first_after(
        &self,
        now: DateTime<Utc>,
        unknown: &[String],
    ) -> Option<DateTime<Utc>> {
        let later = |tickets: &BTreeSet<Ticket>| {
            let due = (now, JobId::from(uuid::Uuid::max()));
            tickets.range(due..).next().map(|(run_at, _)| *run_at)
        };
        self.known(unknown).filter_map(later).min()
    }

    fn known<'a>(&'a self, unknown: &'a [String]) -> impl Iterator<Item = &'a BTreeSet<Ticket>> {
        let known = |kind: &str| !unknown.iter().any(|unknown| unknown == kind);
        self.0
            .iter()
            .filter(move |(kind, _)| known(kind))
            .map(|(_, tickets)| tickets)
    }
}

/// The lanes of one queue, by priority. Lanes and queues without tickets do not exist.
pub(super) type Lanes = BTreeMap<Priority, Lane>;

/// All tickets.
#[derive(Debug, Default)]
pub(super) struct Tickets(BTreeMap<Arc<str>, Lanes>);

impl Tickets {
    pub(super) fn queues(&self) -> impl Iterator<Item = (&Arc<str>, &Lanes)> {
        self.0.iter()
    }

    pub(super) fn queue(&self, name: &str) -> Option<(&Arc<str>, &Lanes)> {
        self.0.get_key_value(name)
    }

    /// All jobs that wait in a queue.
    pub(super) fn of(&self, queue: &str) -> impl Iterator<Item = JobId> + '_ {
        let lanes = self.0.get(queue).into_iter().flat_map(BTreeMap::values);
        let tickets = lanes.flat_map(|lane| lane.0.values().flatten());
        tickets.map(|(_, id)| *id)
    }

    pub(super) fn add(&mut self, job: JobId, spot: &Spot) {
        let lanes = self.0.entry(spot.queue.clone()).or_default();
        let lane = lanes.entry(spot.priority).or_default();
        let kind = lane.0.entry(spot.kind.clone()).or_default();
        kind.insert((spot.run_at, job));
    }

    pub(super) fn remove(&mut self, job: JobId, spot: &Spot) {
        let Some(lanes) = self.0.get_mut(&spot.queue) else {
            return;
        };
        let Some(lane) = lanes.get_mut(&spot.priority) else {
            return;
        };
        let Some(kind) = lane.0.get_mut(&spot.kind) else {
            return;
        };
        kind.remove(&(spot.run_at, job));
        if kind.is_empty() {
            lane.0.remove(&spot.kind);
        }
        if lane.0.is_empty() {
            lanes.remove(&spot.priority);
        }
        if lanes.is_empty() {
            self.0.remove(&spot.queue);
        }
    }

    /// How many of a queue's tickets are due at `now` and how many later.
    pub(super) fn count(lanes: &Lanes, now: DateTime<Utc>) -> (u64, u64) {
        let kinds = lanes.values().flat_map(|lane| lane.0.values());
        kinds.fold((0, 0), |(due, later), tickets| {
            let n = tickets
                .iter()
                .take_while(|(run_at, _)| *run_at <= now)
                .count();
            (due + n as u64, later + (tickets.len() - n) as u64)
        })
    }
}
