//! Storing jobs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::parents::Awaits;
use super::tables::{Job, Place, Tables};
use crate::error::{Error, Result};
use crate::job::{JobId, NewJob, OnConflict, ParentId, StoredOptions};
use crate::storage::{Inserted, check_rules};

/// What is to become of one job of a request.
#[derive(Clone, Copy)]
enum Fate {
    /// It is stored already.
    Known,
    /// Another holds its key.
    Held(JobId),
    New,
}

impl Tables {
    /// Stores jobs, all or none: whatever can be wrong is looked for before anything is written.
    pub(super) fn insert(&mut self, jobs: &[NewJob], now: DateTime<Utc>) -> Result<Vec<Inserted>> {
        if jobs.iter().all(|job| job.rules.is_none()) {
            return Ok(jobs.iter().map(|job| self.store_plain(job, now)).collect());
        }
        check_rules(jobs)?;
        let fates = self.fates(jobs, now)?;
        let jobs = follow_the_holders(jobs, &fates)?;
        self.rules_hold(&jobs, &fates)?;
        let both = jobs.iter().zip(&fates);
        let answers = both
            .map(|(job, fate)| self.store(job, *fate, now))
            .collect();
        // Only now, because a job may come before its parents.
        for (job, fate) in jobs.iter().zip(&fates) {
            if matches!(fate, Fate::New) && job.rules.is_some() {
                self.look_at_parents(job.id, now);
            }
        }
        Ok(answers)
    }

    fn fates(&self, jobs: &[NewJob], now: DateTime<Utc>) -> Result<Vec<Fate>> {
        // Of jobs of one request the first gets the key.
        let mut taken: HashMap<(&str, &str), JobId> = HashMap::new();
        let mut fates = Vec::with_capacity(jobs.len());
        for job in jobs {
            let unique = job.rules.as_ref().and_then(|rules| rules.unique.as_ref());
            fates.push(match unique {
                _ if self.jobs.contains_key(&job.id) => Fate::Known,
                None => Fate::New,
                Some(unique) => {
                    let key = (&*job.kind, &*unique.key);
                    let holder = self.keys.holder(key.0, key.1, now);
                    match holder.or_else(|| taken.get(&key).copied()) {
                        Some(holder) if unique.on_conflict == OnConflict::Error => {
                            let key = unique.key.clone();
                            return Err(Error::Duplicate { holder, key });
                        }
                        Some(holder) => Fate::Held(holder),
                        None => {
                            taken.insert(key, job.id);
                            Fate::New
                        }
                    }
                }
            });
        }
        Ok(fates)
    }

    /// Whether what the rules of new jobs name is there. What is stored already is not looked at again:
    /// its parents may be gone by now.
    fn rules_hold(&self, jobs: &[NewJob], fates: &[Fate]) -> Result<()> {
        let mut together = None;
        for (job, fate) in jobs.iter().zip(fates) {
            let (Fate::New, Some(rules)) = (fate, &job.rules) else {
                continue;
            };
            for parent in &rules.parents {
                let ParentId::Job(id) = parent.of else {
                    continue;
                };
                let together = together
                    .get_or_insert_with(|| jobs.iter().map(|job| job.id).collect::<HashSet<_>>());
                if !self.jobs.contains_key(&id) && !together.contains(&id) {
                    return Err(Error::UnknownJob(id));
                }
            }
            self.batches_hold(rules)?;
        }
        let both = jobs.iter().zip(fates);
        let new = both.filter(|(_, fate)| matches!(fate, Fate::New));
        self.no_circle(new.map(|(job, _)| job))
    }

    fn store(&mut self, job: &NewJob, fate: Fate, now: DateTime<Utc>) -> Inserted {
        match fate {
            Fate::Known => return Inserted::existing(job.id),
            Fate::Held(holder) => {
                self.on_conflict(holder, job, now);
                return Inserted::existing(holder);
            }
            Fate::New if job.rules.is_none() => return self.store_plain(job, now),
            Fate::New => {}
        }
        if let Some(rules) = &job.rules {
            self.declare_limits(&rules.limits);
        }
        let row = self.row(job, now);
        self.jobs.insert(job.id, row);
        self.take_key(job.id);
        self.join_batch(job.id);
        self.expires(job.id);
        self.hold_back(job.id);
        Inserted::new(job.id)
    }

    fn store_plain(&mut self, job: &NewJob, now: DateTime<Utc>) -> Inserted {
        if self.jobs.contains_key(&job.id) {
            return Inserted::existing(job.id);
        }
        let row = self.row(job, now);
        self.jobs.insert(job.id, row);
        self.enqueue(job.id, job.due.at(now));
        Inserted::new(job.id)
    }

    fn row(&mut self, job: &NewJob, now: DateTime<Utc>) -> Job {
        Job {
            kind: self.name(&job.kind),
            args: job.args.clone(),
            queue: self.name(&job.queue),
            priority: job.priority,
            options: options(job),
            rules: job.rules.clone(),
            awaits: Awaits::new(),
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

pub(super) fn options(job: &NewJob) -> Option<Box<StoredOptions>> {
    let options = Some(&job.options).filter(|options| !options.is_default());
    options.map(|options| Box::new(options.clone()))
}

/// Lets the children of jobs whose key another holds wait for that one. By that they may wait for
/// themselves now, which is refused.
fn follow_the_holders<'a>(jobs: &'a [NewJob], fates: &[Fate]) -> Result<Cow<'a, [NewJob]>> {
    let both = jobs.iter().zip(fates);
    let held = both.filter_map(|(job, fate)| match fate {
        Fate::Held(holder) => Some((job.id, *holder)),
        _ => None,
    });
    let held: HashMap<JobId, JobId> = held.collect();
    if held.is_empty() {
        return Ok(Cow::Borrowed(jobs));
    }
    let mut jobs = jobs.to_vec();
    for (job, fate) in jobs.iter_mut().zip(fates) {
        if let (Fate::New, Some(rules)) = (fate, &mut job.rules) {
            rules.follow(&held);
        } else {
            // It is not stored; nobody waits for it.
            job.rules = job.rules.take().map(|mut rules| {
                rules.parents.clear();
                rules.input = None;
                rules
            });
        }
    }
    check_rules(&jobs)?;
    Ok(Cow::Owned(jobs))
}
