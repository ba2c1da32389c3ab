//! Jobs that wait for others.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};

use super::tables::{Place, Tables};
use crate::error::Result;
use crate::job::{Condition, JobId, NewJob, Parent, ParentId, State};
use crate::storage::CircleSearch;

/// What a job still waits for: how each of them has to end, and which of its parents it is.
pub(super) type Awaits = BTreeMap<ParentId, (usize, Condition)>;

/// Who waits for whom, as long as the parent has not ended as the child wants it.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    children: HashMap<ParentId, BTreeMap<JobId, Condition>>,
    /// Parents with children that have ended and have not been looked at since.
    ended: VecDeque<(ParentId, State)>,
    /// How many jobs are Awaiting.
    pub(super) awaiting: u64,
}

impl Dependencies {
    /// A parent has ended; remembered if somebody waits for it.
    pub(super) fn ended(&mut self, parent: ParentId, end: State) {
        if self.children.contains_key(&parent) {
            self.ended.push_back((parent, end));
        }
    }

    /// Whether all parents that have ended have been looked at.
    pub(super) fn is_quiet(&self) -> bool {
        self.ended.is_empty()
    }

    /// Who waits for a parent.
    fn of(&self, parent: ParentId) -> Vec<(JobId, Condition)> {
        let children = self.children.get(&parent);
        let children = children.into_iter().flatten();
        children.map(|(&child, &on)| (child, on)).collect()
    }

    pub(super) fn waits(&self, child: JobId, parent: ParentId) -> bool {
        let children = self.children.get(&parent);
        children.is_some_and(|children| children.contains_key(&child))
    }

    fn add(&mut self, child: JobId, parent: ParentId, on: Condition) {
        let children = self.children.entry(parent).or_default();
        children.insert(child, on);
    }

    fn remove(&mut self, child: JobId, parent: ParentId) {
        let Some(children) = self.children.get_mut(&parent) else {
            return;
        };
        children.remove(&child);
        if children.is_empty() {
            self.children.remove(&parent);
        }
    }
}

impl Tables {
    /// Makes a job Awaiting that has no place yet.
    pub(super) fn hold_back(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.place = Place::Awaiting;
            self.dependencies.awaiting += 1;
        }
    }

    /// Decides for a job that has just been stored whether it has to wait, may run, or never will.
    pub(super) fn look_at_parents(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        // A parent of the same request that is Deleted at once has been looked at by then, not this.
        if job.place != Place::Awaiting {
            return;
        }
        let parents = job.rules.iter().flat_map(|rules| &rules.parents);
        let mut awaits = Awaits::new();
        for (place, parent) in parents.enumerate() {
            let end = self.end_of(parent.of);
            match end.map(|end| (end, parent.on.met_by(end))) {
                Some((_, Some(true))) => {}
                Some((end, Some(false))) => return self.delete(id, parent.of.reason(end), now),
                None | Some((_, None)) => {
                    awaits.insert(parent.of, (place, parent.on));
                }
            }
        }
        for (&parent, &(_, on)) in &awaits {
            self.dependencies.add(id, parent, on);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.awaits = awaits;
        }
        self.runs_if_ready(id, now);
    }

    /// None of the new jobs waits for somebody who would wait for it.
    pub(super) fn no_circle<'j>(
        &self,
        jobs: impl Iterator<Item = &'j NewJob> + Clone,
    ) -> Result<()> {
        let mut search = CircleSearch::new(jobs, |parent| match parent {
            ParentId::Job(id) => self.jobs.get(&id).is_some_and(|job| !job.awaits.is_empty()),
            ParentId::Batch(id) => self.end_of_batch(id).is_none(),
        });
        while let Some(some) = search.next() {
            for awaited in some {
                let around = match awaited {
                    ParentId::Job(id) => self.batch_of(id),
                    ParentId::Batch(id) => self.batches.get(&id).and_then(|it| it.record.parent),
                };
                let children = self.dependencies.of(awaited).into_iter();
                let children = children.map(|(child, _)| ParentId::Job(child));
                for waiter in children.chain(around.map(ParentId::Batch)) {
                    search.found(waiter, awaited);
                }
            }
        }
        search.end()
    }

    /// How a parent has ended, if it has.
    fn end_of(&self, parent: ParentId) -> Option<State> {
        match parent {
            ParentId::Job(id) => match self.jobs.get(&id)?.place {
                Place::Final(state) => Some(state),
                _ => None,
            },
            ParentId::Batch(id) => self.end_of_batch(id),
        }
    }

    /// Lets an Awaiting job run if it waits for nothing any more, not for the rest of its batch either.
    pub(super) fn runs_if_ready(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let ready = job.place == Place::Awaiting && job.awaits.is_empty();
        if ready && !self.is_in_unsealed_batch(id) {
            let due = job.due_at.max(now);
            self.lift(id);
            self.enqueue(id, due);
        }
    }

    /// Looks at the children of all that has ended, and at theirs, until nothing more follows.
    pub(super) fn resolve(&mut self, now: DateTime<Utc>) {
        while let Some((parent, end)) = self.dependencies.ended.pop_front() {
            for (child, on) in self.dependencies.of(parent) {
                match on.met_by(end) {
                    Some(true) => {
                        self.forget_parent(child, parent);
                        self.runs_if_ready(child, now);
                    }
                    Some(false) => self.delete(child, parent.reason(end), now),
                    None => {}
                }
            }
        }
    }

    /// A parent that is Failed is removed: who still waited for it to be run again waits in vain.
    pub(super) fn parent_is_removed(&mut self, parent: ParentId, now: DateTime<Utc>) {
        let reason = format!("{} and was removed", parent.reason(State::Failed));
        self.parent_is_gone(parent, &reason, now);
    }

    /// A parent is not there any more: its children are Deleted.
    pub(super) fn parent_is_gone(&mut self, parent: ParentId, reason: &str, now: DateTime<Utc>) {
        for (child, _) in self.dependencies.of(parent) {
            self.delete(child, reason.into(), now);
        }
    }

    fn forget_parent(&mut self, child: JobId, parent: ParentId) {
        self.dependencies.remove(child, parent);
        if let Some(job) = self.jobs.get_mut(&child) {
            job.awaits.remove(&parent);
        }
    }

    /// An Awaiting job goes elsewhere, and waits for nobody any more.
    pub(super) fn forget_parents(&mut self, child: JobId) {
        let Some(job) = self.jobs.get_mut(&child) else {
            return;
        };
        for parent in std::mem::take(&mut job.awaits).into_keys() {
            self.dependencies.remove(child, parent);
        }
        self.dependencies.awaiting -= 1;
    }

    /// What a job still waits for.
    pub(super) fn awaited(&self, id: JobId) -> Vec<Parent> {
        let awaits = self.jobs.get(&id).map(|job| &job.awaits);
        let mut awaits: Vec<_> = awaits.into_iter().flatten().collect();
        awaits.sort_by_key(|(_, (place, _))| *place);
        let parent = |(&of, &(_, on)): (&ParentId, &(usize, Condition))| Parent { of, on };
        awaits.into_iter().map(parent).collect()
    }
}
