//! Limits: how much each allows, who uses it, and who waits in line before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::meter::Meter;
use super::tables::{Job, Tables};
use crate::job::{Bound, Excess, JobId, LimitRule, Priority};
use crate::storage::LimitRecord;

/// A place in a line: who comes first.
pub(super) type InLine = (Priority, DateTime<Utc>, JobId);

/// All limits, and the jobs that have one.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) all: BTreeMap<Arc<str>, Limit>,
    /// Limited jobs that are not due: they are in no line yet, and use nothing.
    later: BTreeSet<(DateTime<Utc>, JobId)>,
    /// In which line the others wait that have not been let in.
    waits_at: HashMap<JobId, (Arc<str>, String)>,
    /// What those use that have been let in.
    permits: HashMap<JobId, Vec<Permit>>,
    /// Lines in which something may have become possible.
    pub(super) kicked: BTreeMap<Arc<str>, BTreeSet<String>>,
    /// How many of the limits are of queues: mostly none, and then jobs without limits of their own need
    /// not look.
    queues: usize,
}

#[derive(Debug, Default)]
pub(super) struct Limit {
    declared: Option<(Bound, Excess)>,
    set: Option<(Bound, Excess)>,
    meters: BTreeMap<String, Meter>,
    /// Who waits, by key; lines without jobs do not exist.
    pub(super) lines: BTreeMap<String, BTreeSet<InLine>>,
    /// The key that was served last.
    pub(super) served: String,
}

#[derive(Debug)]
pub(super) struct Permit {
    pub(super) limit: Arc<str>,
    pub(super) key: String,
    pub(super) weight: u32,
    pub(super) started: bool,
}

/// A limit that a job counts against.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) limit: Arc<str>,
    pub(super) key: String,
    pub(super) weight: u32,
}

impl Limit {
    /// What holds now: what was set, else what is declared.
    pub(super) fn rule(&self) -> Option<(Bound, Excess)> {
        self.set.or(self.declared)
    }

    /// What a job counts: one that is heavier than a limit that was lowered counts as all of it.
    pub(super) fn weight(&self, weight: u32) -> u32 {
        let most = self.rule().map_or(weight, |(bound, _)| bound.capacity());
        weight.min(most)
    }

    pub(super) fn has_room(&mut self, one: &Use, now: DateTime<Utc>) -> bool {
        let Some((bound, _)) = self.rule() else {
            return true;
        };
        let weight = self.weight(one.weight);
        let meter = self.meters.entry(one.key.clone()).or_default();
        meter.has_room(&bound, weight, now)
    }

    fn record(&mut self, name: &str, now: DateTime<Utc>) -> Option<LimitRecord> {
        let (bound, excess) = self.rule()?;
        let rule = LimitRule {
            name: name.to_owned().into(),
            bound,
            excess,
        };
        let used = self.meters.values_mut().map(|it| it.used(&bound, now));
        Some(LimitRecord {
            declared: self.set.and(self.declared),
            used: used.sum(),
            waiting: self.lines.values().map(|line| line.len() as u64).sum(),
            ..LimitRecord::new(rule)
        })
    }
}

impl Limits {
    /// What a job counts against: what its rules say, and its queue's limit, if there is one.
    pub(super) fn uses(&self, job: &Job) -> Vec<Use> {
        let own = job.rules.iter().flat_map(|rules| &rules.limits);
        let mut uses: Vec<_> = own
            .filter(|own| self.all.contains_key(&*own.rule.name))
            .map(|own| Use {
                limit: own.rule.name.as_ref().into(),
                key: own.key.clone(),
                weight: own.weight,
            })
            .collect();
        if self.queues > 0 {
            let name: Arc<str> = queue_limit(&job.queue).into();
            let new = uses.iter().all(|one| one.limit != name);
            if new && self.all.contains_key(&name) {
                uses.push(Use {
                    limit: name,
                    key: String::new(),
                    weight: 1,
                });
            }
        }
        uses
    }

    /// Whether a job has to be let in before it may have a ticket.
    pub(super) fn concern(&self, job: &Job) -> bool {
        let own = job.rules.as_ref().is_some_and(|it| !it.limits.is_empty());
        (own || self.queues > 0) && !self.uses(job).is_empty()
    }

    /// Takes a rule as a program declares it; answers whether the limit is new.
    pub(super) fn declare(&mut self, rule: &LimitRule) -> bool {
        let declared = Some((rule.bound, rule.excess));
        if let Some(limit) = self.all.get_mut(&*rule.name) {
            if limit.declared != declared {
                limit.declared = declared;
                self.kick(&rule.name);
            }
            return false;
        }
        let limit = Limit {
            declared,
            ..Limit::default()
        };
        self.add(&rule.name, limit);
        true
    }

    /// Takes a rule as an operator sets it; answers whether the limit is new.
    pub(super) fn set(&mut self, rule: &LimitRule) -> bool {
        let set = Some((rule.bound, rule.excess));
        if let Some(limit) = self.all.get_mut(&*rule.name) {
            limit.set = set;
            self.kick(&rule.name);
            return false;
        }
        let limit = Limit {
            set,
            ..Limit::default()
        };
        self.add(&rule.name, limit);
        true
    }

    fn add(&mut self, name: &str, limit: Limit) {
        self.queues += usize::from(name.starts_with(QUEUE));
        self.all.insert(name.into(), limit);
    }

    /// Lets a limit be as it is declared. If it is not, it is gone, and those who waited for it are the
    /// answer.
    pub(super) fn unset(&mut self, name: &str) -> Vec<JobId> {
        let Some(limit) = self.all.get_mut(name) else {
            return Vec::new();
        };
        limit.set = None;
        if limit.declared.is_some() {
            self.kick(name);
            return Vec::new();
        }
        for permits in self.permits.values_mut() {
            permits.retain(|permit| &*permit.limit != name);
        }
        self.queues -= usize::from(name.starts_with(QUEUE));
        let gone = self.all.remove(name).unwrap_or_default();
        let waiting = gone.lines.into_values().flatten();
        waiting.map(|(_, _, id)| id).collect()
    }

    /// All lines of a limit are looked at.
    pub(super) fn kick(&mut self, name: &str) {
        if let Some((name, limit)) = self.all.get_key_value(name)
            && !limit.lines.is_empty()
        {
            let keys = limit.lines.keys().cloned();
            self.kicked.entry(name.clone()).or_default().extend(keys);
        }
    }

    pub(super) fn kick_one(&mut self, limit: &Arc<str>, key: &str) {
        let waits = |limit: &Limit| limit.lines.contains_key(key);
        if self.all.get(limit).is_some_and(waits) {
            let keys = self.kicked.entry(limit.clone()).or_default();
            keys.insert(key.to_owned());
        }
    }

    /// All lines are looked at, or all of limits by which time alone makes room.
    pub(super) fn kick_all(&mut self, only_rates: bool) {
        let concerned = |limit: &Limit| {
            let rate = limit.rule().is_some_and(|(bound, _)| bound.is_rate());
            rate || !only_rates
        };
        let names = self.all.iter().filter(|(_, limit)| concerned(limit));
        for name in names.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.kick(&name);
        }
    }

    /// A job waits for its time.
    pub(super) fn wait_for_time(&mut self, id: JobId, due: DateTime<Utc>) {
        self.later.insert((due, id));
    }

    /// The jobs whose time has come.
    pub(super) fn fall_due(&mut self, now: DateTime<Utc>) -> Vec<JobId> {
        let mut due = Vec::new();
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.later.pop_first().map(|(_, id)| id));
        }
        due
    }

    /// A job gets in line.
    pub(super) fn line_up(&mut self, id: JobId, job: &Job, one: &Use) {
        let Some(limit) = self.all.get_mut(&one.limit) else {
            return;
        };
        let line = limit.lines.entry(one.key.clone()).or_default();
        line.insert((job.priority, job.due_at, id));
        self.waits_at
            .insert(id, (one.limit.clone(), one.key.clone()));
        self.kick_one(&one.limit, &one.key);
    }

    /// A job leaves its line, or waits for its time no more.
    pub(super) fn leave(&mut self, id: JobId, job: &Job) {
        self.later.remove(&(job.due_at, id));
        let Some((name, key)) = self.waits_at.remove(&id) else {
            return;
        };
        let Some(limit) = self.all.get_mut(&name) else {
            return;
        };
        if let Some(line) = limit.lines.get_mut(&key) {
            line.remove(&(job.priority, job.due_at, id));
            if line.is_empty() {
                limit.lines.remove(&key);
            }
        }
        // Whoever is first in line now may be lighter.
        self.kick_one(&name, &key);
    }

    /// The limit before which a job waits.
    pub(super) fn before(&self, id: JobId) -> Option<&str> {
        self.waits_at.get(&id).map(|(limit, _)| &**limit)
    }

    /// A job is let in: it uses all its limits until its run ends.
    pub(super) fn admit(&mut self, id: JobId, uses: Vec<Use>) {
        let mut permits = Vec::with_capacity(uses.len());
        for Use { limit, key, weight } in uses {
            let Some(row) = self.all.get_mut(&limit) else {
                continue;
            };
            let weight = row.weight(weight);
            row.meters.entry(key.clone()).or_default().take(weight);
            permits.push(Permit {
                limit,
                key,
                weight,
                started: false,
            });
        }
        self.permits.insert(id, permits);
    }

    /// A job is started, as far as its limits care.
    pub(super) fn start(&mut self, id: JobId, at: DateTime<Utc>) {
        let Some(permits) = self.permits.get_mut(&id) else {
            return;
        };
        for permit in permits.iter_mut().filter(|permit| !permit.started) {
            let Some(limit) = self.all.get_mut(&permit.limit) else {
                continue;
            };
            let bound = limit.rule().map(|(bound, _)| bound);
            let meter = limit.meters.get_mut(&permit.key);
            if let (Some(bound), Some(meter)) = (bound, meter)
                && bound.is_rate()
            {
                meter.start(&bound, permit.weight, at);
                permit.started = true;
            }
        }
    }

    /// A job's run has ended, or it has lost its ticket: what it used is free, but for starts.
    pub(super) fn free(&mut self, id: JobId) {
        if self.permits.is_empty() {
            return;
        }
        for permit in self.permits.remove(&id).into_iter().flatten() {
            let limit = self.all.get_mut(&permit.limit);
            if let Some(meter) = limit.and_then(|limit| limit.meters.get_mut(&permit.key)) {
                meter.give_back(permit.weight, permit.started);
            }
            self.kick_one(&permit.limit, &permit.key);
        }
    }

    /// Whether somebody is ahead of a job in the line of another limit: it must not pass there.
    pub(super) fn is_ahead(&self, one: &Use, turn: InLine, may_go: impl Fn(JobId) -> bool) -> bool {
        let line = self
            .all
            .get(&one.limit)
            .and_then(|it| it.lines.get(&one.key));
        let mut ahead = line
            .into_iter()
            .flatten()
            .take_while(|other| **other < turn);
        ahead.any(|(_, _, id)| may_go(*id))
    }

    pub(super) fn records(&mut self, now: DateTime<Utc>) -> Vec<LimitRecord> {
        let all = self.all.iter_mut();
        all.filter_map(|(name, limit)| limit.record(name, now))
            .collect()
    }

    /// Forgets keys that nobody uses.
    pub(super) fn forget(&mut self, now: DateTime<Utc>) {
        for limit in self.all.values_mut() {
            if let Some((bound, _)) = limit.rule() {
                limit.meters.retain(|_, meter| !meter.is_idle(&bound, now));
            }
        }
    }
}

const QUEUE: &str = "queue:";

fn queue_limit(queue: &str) -> String {
    format!("{QUEUE}{queue}")
}

impl Tables {
    /// A limit of a queue has come to be: the jobs that wait there wait for their turn from now on.
    pub(super) fn queue_is_limited(&mut self, limit: &str) {
        let Some(queue) = limit.strip_prefix(QUEUE) else {
            return;
        };
        let waiting: Vec<_> = self.tickets.of(queue).collect();
        for id in waiting {
            self.line_up_again(id);
        }
    }

    /// Takes a job from where it waits and lets it wait where it is to wait now, without a new run.
    pub(super) fn line_up_again(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let due = job.due_at;
        self.vacate(id);
        self.enqueue(id, due);
    }
}
