//! What all workers are told.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::{Job, Tables};
use crate::job::{LimitRule, QueuePattern};
use crate::lifecycle::RecurringEvent;
use crate::storage::{
    Control, ControlEvent, ControlVerb, Controls, OrderRecord, Pause, PauseRecord, Scope,
};

/// For how many days what workers were told is kept.
const KEPT_DAYS: i64 = 90;

/// What is paused, the order that was set, and what led to it. A pause that has ended is none, wherever it
/// is still written down.
#[derive(Debug, Default)]
pub(super) struct Told {
    pauses: BTreeMap<Scope, Pause>,
    pub(super) order: Option<OrderRecord>,
    events: VecDeque<ControlEvent>,
}

/// What a claim must leave alone.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    pub(super) queues: Vec<QueuePattern>,
    pub(super) kinds: Vec<String>,
}

impl Stopped {
    pub(super) fn has(&self, queue: &str) -> bool {
        self.queues.iter().any(|paused| paused.matches(queue))
    }

    /// Whether a job is among what is paused.
    pub(super) fn stops(&self, job: &Job) -> bool {
        self.has(&job.queue) || self.kinds.iter().any(|kind| **kind == *job.kind)
    }
}

impl Told {
    fn active(&self, now: DateTime<Utc>) -> impl Iterator<Item = (&Scope, &Pause)> {
        let is_on = move |(_, pause): &(&Scope, &Pause)| pause.until.is_none_or(|end| end > now);
        self.pauses.iter().filter(is_on)
    }

    pub(super) fn stopped(&self, now: DateTime<Utc>) -> Stopped {
        let mut stopped = Stopped::default();
        for (scope, _) in self.active(now) {
            match scope {
                Scope::Queues(pattern) => stopped.queues.push(pattern.clone()),
                Scope::Kind(kind) => stopped.kinds.push(kind.clone()),
            }
        }
        stopped
    }

    /// When the first pause ends by itself.
    pub(super) fn next_end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.active(now).filter_map(|(_, pause)| pause.until).min()
    }

    /// The pauses of queues, those of one queue alone last.
    pub(super) fn of_queues(
        &self,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (&QueuePattern, &Pause)> {
        let mut queues: Vec<_> = self
            .active(now)
            .filter_map(|(scope, pause)| match scope {
                Scope::Queues(pattern) => Some((pattern, pause)),
                Scope::Kind(_) => None,
            })
            .collect();
        queues.sort_by_key(|(pattern, _)| pattern.exact().is_some());
        queues.into_iter()
    }

    pub(super) fn controls(&self, now: DateTime<Utc>) -> Controls {
        let record = |(scope, pause): (&Scope, &Pause)| PauseRecord {
            scope: scope.clone(),
            pause: pause.clone(),
        };
        let mut pauses: Vec<_> = self.active(now).map(record).collect();
        pauses.sort_by(|one, other| one.scope.as_parts().cmp(&other.scope.as_parts()));
        Controls {
            pauses,
            order: self.order.clone(),
        }
    }

    pub(super) fn events(&self, limit: usize) -> Vec<ControlEvent> {
        self.events.iter().rev().take(limit).cloned().collect()
    }

    /// Notes what an operator did to a recurring job.
    pub(super) fn note(&mut self, id: &str, event: &RecurringEvent, now: DateTime<Utc>) {
        let by = (&*event.by.actor, event.by.reason.as_deref());
        self.events.push_back(ControlEvent {
            recurring: Some(id.into()),
            until: event.until,
            ..told(event.verb.as_str(), by, now)
        });
    }

    /// Notes what an operator did to a limit.
    pub(super) fn note_limit(
        &mut self,
        name: &str,
        rule: Option<&LimitRule>,
        by: (&str, Option<&str>),
        now: DateTime<Utc>,
    ) {
        let verb = if rule.is_some() { "set" } else { "reset" };
        self.events.push_back(ControlEvent {
            limit: Some(name.into()),
            rule: rule.cloned(),
            ..told(verb, by, now)
        });
    }

    pub(super) fn forget(&mut self, now: DateTime<Utc>) {
        self.pauses
            .retain(|_, pause| pause.until.is_none_or(|end| end > now));
        let kept = now - TimeDelta::days(KEPT_DAYS);
        self.events.retain(|event| event.at >= kept);
    }

    fn carry_out(&mut self, control: &Control, now: DateTime<Utc>) {
        let (actor, reason) = (&control.actor, &control.reason);
        let mut event = ControlEvent {
            scope: control.verb.scope().cloned(),
            ..told(control.verb.as_str(), (actor, reason.as_deref()), now)
        };
        match &control.verb {
            ControlVerb::Pause(scope, end) => {
                let mut pause = Pause::new(actor, now);
                pause.reason.clone_from(reason);
                pause.until = end.map(|end| end.at(now));
                event.until = pause.until;
                self.pauses.insert(scope.clone(), pause);
            }
            ControlVerb::Resume(scope) => self.pauses.retain(|paused, _| !scope.includes(paused)),
            ControlVerb::Order(order) => {
                event.order.clone_from(order);
                self.order = order.clone().map(|order| OrderRecord {
                    order,
                    actor: actor.clone(),
                    reason: reason.clone(),
                    since: now,
                });
            }
        }
        self.events.push_back(event);
    }
}

/// An event that says nothing but what was done, by whom and when.
fn told(verb: &str, (actor, reason): (&str, Option<&str>), now: DateTime<Utc>) -> ControlEvent {
    ControlEvent {
        at: now,
        verb: verb.into(),
        scope: None,
        recurring: None,
        limit: None,
        rule: None,
        until: None,
        order: None,
        actor: actor.into(),
        reason: reason.map(Into::into),
    }
}

impl Tables {
    pub(super) fn control(&mut self, control: &Control, now: DateTime<Utc>) {
        self.told.carry_out(control, now);
        self.limits.kick_all(false);
    }
}
