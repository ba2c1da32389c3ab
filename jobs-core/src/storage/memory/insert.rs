//! Storing jobs.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::tables::{Job, Place, Tables};
use crate::error::{Error, Result};
use crate::job::{JobId, NewJob, ParentId};
use crate::storage::{Inserted, check_rules};

impl Tables {
    /// Stores jobs, all or none: whatever can be wrong is looked for before anything is written.
    pub(super) fn insert(&mut self, jobs: &[NewJob], now: DateTime<Utc>) -> Result<Vec<Inserted>> {
        check_rules(jobs)?;
        self.parents_are_known(jobs)?;
        let answers = jobs.iter().map(|job| self.store(job, now)).collect();
        // Only now, because a job may come before its parents.
        for job in jobs.iter().filter(|job| job.rules.is_some()) {
            self.look_at_parents(job.id, now);
        }
        Ok(answers)
    }

    fn parents_are_known(&self, jobs: &[NewJob]) -> Result<()> {
        let waits = |job: &&NewJob| job.rules.as_ref().is_some_and(|it| !it.parents.is_empty());
        let mut waiting = jobs.iter().filter(waits).peekable();
        if waiting.peek().is_none() {
            return Ok(());
        }
        let together: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
        // What is stored already is not looked at again: its parents may be gone by now.
        for job in waiting.filter(|job| !self.jobs.contains_key(&job.id)) {
            for parent in job.rules.iter().flat_map(|rules| &rules.parents) {
                match parent.of {
                    ParentId::Job(id) if together.contains(&id) || self.jobs.contains_key(&id) => {}
                    ParentId::Job(id) => return Err(Error::UnknownJob(id)),
                    ParentId::Batch(id) => return Err(Error::UnknownBatch(id)),
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, job: &NewJob, now: DateTime<Utc>) -> Inserted {
        if self.jobs.contains_key(&job.id) {
            return Inserted::existing(job.id);
        }
        let row = self.row(job, now);
        let waits = row.rules.is_some();
        self.jobs.insert(job.id, row);
        if waits {
            self.hold_back(job.id);
        } else {
            self.enqueue(job.id, job.due.at(now));
        }
        Inserted::new(job.id)
    }

    fn row(&mut self, job: &NewJob, now: DateTime<Utc>) -> Job {
        let options = Some(&job.options).filter(|options| !options.is_default());
        Job {
            kind: self.name(&job.kind),
            args: job.args.clone(),
            queue: self.name(&job.queue),
            priority: job.priority,
            options: options.map(|options| Box::new(options.clone())),
            rules: job.rules.clone(),
            awaits: Vec::new(),
            created_at: now,
            due_at: job.due.at(now),
            place: Place::Nowhere,
            run: 0,
            attempt: 0,
            lost: 0,
            reason: None,
            result: None,
            worker: None,
            started_at: None,
            finished_at: None,
            settled_by: None,
            history: None,
        }
    }
}
