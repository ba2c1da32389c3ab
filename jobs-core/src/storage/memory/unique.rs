//! Unique keys: who holds them, and what becomes of a job whose key another holds.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::tables::{Job, Place, Tables};
use crate::clock::later;
use crate::job::{JobId, NewJob, OnConflict, Unique};

/// Who holds which key, by kind.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<Arc<str>, HashMap<String, Held>>);

#[derive(Clone, Copy, Debug)]
struct Held {
    by: JobId,
    /// When it is free in any case.
    until: Option<DateTime<Utc>>,
}

impl Held {
    fn is_over(self, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Keys {
    /// Who holds a key now.
    pub(super) fn holder(&self, kind: &str, key: &str, now: DateTime<Utc>) -> Option<JobId> {
        let held = self.0.get(kind)?.get(key)?;
        (!held.is_over(now)).then_some(held.by)
    }

    fn take(&mut self, kind: &Arc<str>, unique: &Unique, held: Held) {
        let keys = self.0.entry(kind.clone()).or_default();
        keys.insert(unique.key.clone(), held);
    }

    /// The key may be another's by now, if its time was over: then it stays his.
    fn release(&mut self, kind: &str, key: &str, job: JobId) {
        let Some(keys) = self.0.get_mut(kind) else {
            return;
        };
        if keys.get(key).is_some_and(|held| held.by == job) {
            keys.remove(key);
        }
    }

    /// Forgets the keys whose time is over.
    pub(super) fn forget(&mut self, now: DateTime<Utc>) {
        for keys in self.0.values_mut() {
            keys.retain(|_, held| !held.is_over(now));
        }
        self.0.retain(|_, keys| !keys.is_empty());
    }
}

impl Job {
    fn unique(&self) -> Option<&Unique> {
        self.rules.as_ref()?.unique.as_ref()
    }
}

impl Tables {
    /// A job that has just been stored takes its key, which is free.
    pub(super) fn take_key(&mut self, id: JobId) {
        let Some((job, unique)) = self
            .jobs
            .get(&id)
            .and_then(|job| Some((job, job.unique()?)))
        else {
            return;
        };
        let until = unique.until.time().map(|time| later(job.created_at, time));
        self.keys.take(&job.kind, unique, Held { by: id, until });
    }

    /// A job that was final is to run again and takes its key back; or the answer is who holds it. One
    /// that is held for a period says how often jobs are stored, not run, and stays as it is.
    pub(super) fn take_key_back(&mut self, id: JobId, now: DateTime<Utc>) -> Result<(), JobId> {
        let Some((job, unique)) = self
            .jobs
            .get(&id)
            .and_then(|job| Some((job, job.unique()?)))
        else {
            return Ok(());
        };
        if !unique.until.ends_with_job() {
            return Ok(());
        }
        match self.keys.holder(&job.kind, &unique.key, now) {
            Some(holder) if holder != id => Err(holder),
            _ => {
                let until = unique.until.time().map(|time| later(now, time));
                let held = Held { by: id, until };
                self.keys.take(&job.kind, unique, held);
                Ok(())
            }
        }
    }

    /// A worker takes a job: a key that is held until then is free.
    pub(super) fn key_at_start(&mut self, id: JobId) {
        let job = self.jobs.get(&id);
        if let Some((job, unique)) = job.and_then(|job| Some((job, job.unique()?)))
            && unique.until.ends_at_start()
        {
            self.keys.release(&job.kind, &unique.key, id);
        }
    }

    /// A job is final: its key is free, unless it is held for a period.
    pub(super) fn key_at_end(&mut self, id: JobId) {
        let job = self.jobs.get(&id);
        if let Some((job, unique)) = job.and_then(|job| Some((job, job.unique()?)))
            && unique.until.ends_with_job()
        {
            self.keys.release(&job.kind, &unique.key, id);
        }
    }

    /// Another job holds the key of a new one: it becomes what the new one says, unless it runs or has
    /// ended.
    pub(super) fn on_conflict(&mut self, holder: JobId, new: &NewJob, now: DateTime<Utc>) {
        let how = new.rules.as_ref().and_then(|rules| rules.unique.as_ref());
        let due = match how.map(|unique| unique.on_conflict) {
            Some(OnConflict::Replace) => None,
            Some(OnConflict::Debounce) => Some(new.due.at(now)),
            _ => return,
        };
        let Some(job) = self.jobs.get(&holder) else {
            return;
        };
        let due = due.unwrap_or(job.due_at);
        let awaiting = match job.place {
            Place::Awaiting => true,
            Place::Ticket | Place::Line => false,
            Place::Nowhere | Place::Claim(_) | Place::Final(_) => return,
        };
        if !awaiting {
            self.lift(holder);
        }
        let queue = self.name(&new.queue);
        let limits = new.rules.as_ref().map(|rules| rules.limits.clone());
        self.declare_limits(limits.as_deref().unwrap_or_default());
        if let Some(job) = self.jobs.get_mut(&holder) {
            job.queue = queue;
            job.priority = new.priority;
            job.args.clone_from(&new.args);
            job.options = super::insert::options(new);
            if let Some(rules) = &mut job.rules {
                // What a limit is counted by is made from the arguments.
                rules.limits = limits.unwrap_or_default();
            }
            if awaiting {
                job.run += 1;
                job.due_at = due;
                return;
            }
        }
        self.wait(holder, due);
    }
}
