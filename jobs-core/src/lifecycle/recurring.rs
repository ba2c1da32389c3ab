//! What becomes of a recurring job: fired, declared, changed, paused. Each answers a change that a
//! storage carries out whole or not at all, and only if nobody was faster.
//!
//! That is all there is to many schedulers without a leader. All of them may find the same occurrence
//! due; each prepares the same change from the same version, with a job of its own in it; the storage
//! lets one through, and for the others the version has moved on. Whoever is killed before that has
//! done nothing, and whoever is killed after it has done everything.

mod event;

use chrono::{DateTime, Utc};
use jobs_cron::Misfire;
use uuid::Uuid;

use crate::error::Result;
use crate::job::{
    Condition, Deed, JobId, NewJob, Occurrence, OnConflict, Origin, Overlap, Parent, ParentId,
    RecurringPause, RecurringRecord, RecurringRun, RecurringSpec, Rules,
};

pub use event::{RecurringEvent, RecurringVerb};

/// A change of one recurring job, to be carried out if it is still as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecurringChange {
    /// Which.
    pub id: String,
    /// The version that the change was made from; `None`: there is none of this id.
    pub from: Option<Uuid>,
    /// What it becomes; `None`: it is removed.
    pub to: Option<RecurringRecord>,
    /// Jobs that are stored in the same step.
    pub jobs: Vec<NewJob>,
    /// What happens instead while an earlier run has not finished.
    pub hold: Option<Box<Hold>>,
    /// Which operator's doing it is; none is that of a scheduler, or of a declaration in code.
    pub event: Option<Box<RecurringEvent>>,
    /// The run before.
    last_run: Option<RecurringRun>,
}

/// What happens instead of a change while a job is known and not final: no jobs are stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hold {
    /// The job that must be final.
    pub job: JobId,
    /// What the recurring job becomes then.
    pub to: RecurringRecord,
}

impl RecurringChange {
    /// Nothing but another record.
    fn of(before: Option<&RecurringRecord>, mut to: RecurringRecord) -> Self {
        to.version = Uuid::new_v4();
        Self {
            id: to.id.clone(),
            from: before.map(|record| record.version),
            to: Some(to),
            jobs: Vec::new(),
            hold: None,
            event: None,
            last_run: before.and_then(|record| record.last_run),
        }
    }

    /// The same, as an operator's doing.
    fn done(self, verb: RecurringVerb, by: Deed) -> Self {
        let event = RecurringEvent::of(verb, by);
        Self { event, ..self }
    }

    /// A recurring job that is made at run time. It fires from now on.
    ///
    /// # Errors
    ///
    /// If its schedule cannot be read.
    pub fn create(id: &str, spec: RecurringSpec, by: Deed) -> Result<Self> {
        let now = by.at;
        let record = new_record(id, spec, Origin::RunTime { by: by.clone() }, now)?;
        Ok(Self::of(None, record).done(RecurringVerb::Create, by))
    }

    /// What code declares, if that changes anything. What was edited at run time stays as it is.
    ///
    /// # Errors
    ///
    /// If its schedule cannot be read.
    pub fn declare(
        before: Option<&RecurringRecord>,
        id: &str,
        spec: RecurringSpec,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>> {
        let Some(before) = before else {
            let record = new_record(id, spec, Origin::Code, now)?;
            return Ok(Some(Self::of(None, record)));
        };
        let mut record = before.clone();
        match &mut record.origin {
            Origin::Code if before.spec.same_as(&spec) => return Ok(None),
            Origin::Code => take(&mut record, spec, now)?,
            Origin::Edited { declared, .. } if declared.same_as(&spec) => return Ok(None),
            Origin::Edited { declared, .. } => **declared = spec,
            Origin::RunTime { by } => {
                let (by, declared) = (by.clone(), Box::new(spec));
                record.origin = Origin::Edited { declared, by };
            }
        }
        Ok(Some(Self::of(Some(before), record)))
    }

    /// Another spec, by somebody at run time. Other times never make it fire for the past.
    ///
    /// # Errors
    ///
    /// If its schedule cannot be read.
    pub fn edit(before: &RecurringRecord, spec: RecurringSpec, by: Deed) -> Result<Self> {
        let mut record = before.clone();
        let (now, deed) = (by.at, by.clone());
        record.origin = match record.origin {
            Origin::Code => Origin::Edited {
                declared: Box::new(before.spec.clone()),
                by,
            },
            Origin::Edited { declared, .. } => Origin::Edited { declared, by },
            Origin::RunTime { .. } => Origin::RunTime { by },
        };
        take(&mut record, spec, now)?;
        Ok(Self::of(Some(before), record).done(RecurringVerb::Change, deed))
    }

    /// What code declares instead of what somebody made of it; `None` if nobody did, or if no code
    /// declares it.
    ///
    /// # Errors
    ///
    /// If the declared schedule cannot be read.
    pub fn revert(before: &RecurringRecord, by: Deed) -> Result<Option<Self>> {
        let Origin::Edited { declared, .. } = &before.origin else {
            return Ok(None);
        };
        let mut record = before.clone();
        record.origin = Origin::Code;
        take(&mut record, (**declared).clone(), by.at)?;
        let change = Self::of(Some(before), record);
        Ok(Some(change.done(RecurringVerb::Revert, by)))
    }

    /// No more runs by its schedule until it is resumed, or until a given time. Pausing what is paused
    /// replaces who, why and until when.
    pub fn pause(before: &RecurringRecord, by: Deed, until: Option<DateTime<Utc>>) -> Self {
        let mut record = before.clone();
        let by_whom = by.clone();
        record.pause = Some(RecurringPause { by, until });
        let mut change = Self::of(Some(before), record).done(RecurringVerb::Pause, by_whom);
        if let Some(event) = &mut change.event {
            event.until = until;
        }
        change
    }

    /// Runs by its schedule again; `None` if it is not paused. What was missed meanwhile does not run,
    /// unless its misfire rule is [`Misfire::All`].
    ///
    /// # Errors
    ///
    /// If its schedule cannot be read.
    pub fn resume(before: &RecurringRecord, by: Deed) -> Result<Option<Self>> {
        if before.pause.is_none() {
            return Ok(None);
        }
        let mut record = before.clone();
        go_on(&mut record, by.at)?;
        let change = Self::of(Some(before), record);
        Ok(Some(change.done(RecurringVerb::Resume, by)))
    }

    /// It is gone. Its runs stay.
    pub fn remove(before: &RecurringRecord, by: Deed) -> Self {
        let change = Self {
            to: None,
            ..Self::of(Some(before), before.clone())
        };
        change.done(RecurringVerb::Remove, by)
    }

    /// One run now, paused or not; the schedule stays as it is. Its [`Overlap`] is heeded.
    pub fn trigger(before: &RecurringRecord, by: Deed, new_id: impl FnMut() -> JobId) -> Self {
        let mut occurrence = Occurrence::new(before.id.clone(), by.at);
        occurrence.triggered = true;
        Self::run(before, before.clone(), vec![occurrence], new_id).done(RecurringVerb::Trigger, by)
    }

    /// What a scheduler does with it now; `None` if nothing is due.
    ///
    /// # Errors
    ///
    /// If its schedule cannot be read: a newer version wrote it. It is left alone then.
    pub fn fire(
        before: &RecurringRecord,
        now: DateTime<Utc>,
        new_id: impl FnMut() -> JobId,
    ) -> Result<Option<Self>> {
        if before.look_at().is_none_or(|at| at > now) {
            return Ok(None);
        }
        let mut record = before.clone();
        if let Some(until) = record.pause.as_ref().and_then(|pause| pause.until) {
            go_on(&mut record, until)?;
        }
        let due = record
            .schedule()?
            .due(record.seen, now, &record.spec.misfire);
        record.seen = due.last;
        record.next = due.next;
        if due.skipped_from.is_some() {
            record.skipped = due.skipped_from;
        }
        let occurrence = |at: &DateTime<Utc>| Occurrence::new(before.id.clone(), *at);
        let occurrences = due.run.iter().map(occurrence).collect();
        let mut change = Self::run(before, record, occurrences, new_id);
        change.refuse_nothing();
        Ok(Some(change))
    }

    /// Nobody is there to be told that another job holds the unique key: instead of refusing the whole
    /// change, and the same again at the next try, such an occurrence is passed over.
    fn refuse_nothing(&mut self) {
        let rules = self.jobs.iter_mut().filter_map(|job| job.rules.as_mut());
        for unique in rules.filter_map(|rules| rules.unique.as_mut()) {
            if unique.on_conflict == OnConflict::Error {
                unique.on_conflict = OnConflict::Skip;
            }
        }
    }

    /// What it becomes when jobs of it are not stored, because others hold their unique keys; `holder` says
    /// who, for such a job. `None`: all were stored.
    pub fn without(&self, holder: impl Fn(JobId) -> Option<JobId>) -> Option<RecurringRecord> {
        let mut record = self.to.clone()?;
        record.last_run = self.last_run;
        let mut all = true;
        for job in &self.jobs {
            let Some(Occurrence { at, triggered, .. }) = job.options.occurrence else {
                continue;
            };
            let Some(holder) = holder(job.id) else {
                record.last_run = Some(RecurringRun { at, job: job.id });
                continue;
            };
            all = false;
            record.key_held = Some(RecurringRun { at, job: holder });
            if !triggered {
                record.skipped = record.skipped.max(Some(at));
            }
        }
        (!all).then_some(record)
    }

    /// The jobs of these occurrences, and the record as it is then.
    fn run(
        before: &RecurringRecord,
        record: RecurringRecord,
        mut occurrences: Vec<Occurrence>,
        mut new_id: impl FnMut() -> JobId,
    ) -> Self {
        let overlap = record.spec.overlap;
        let mut to = record.clone();
        if overlap == Overlap::Skip && occurrences.len() > 1 {
            // The first of them is the run before of all others.
            to.skipped = occurrences.last().map(|occurrence| occurrence.at);
            occurrences.truncate(1);
        }
        let first = occurrences.first().map(|first| (first.at, first.triggered));
        let mut jobs = Vec::with_capacity(occurrences.len());
        for occurrence in occurrences {
            let (id, at) = (new_id(), occurrence.at);
            let mut job = record.job(id, occurrence);
            if let (Overlap::Queue, Some(last)) = (overlap, to.last_run) {
                wait_for(&mut job, last.job);
            }
            to.last_run = Some(RecurringRun { at, job: id });
            jobs.push(job);
        }
        let hold = match (overlap, before.last_run, first) {
            (Overlap::Skip, Some(last), Some((at, triggered))) => {
                let mut held = record;
                held.version = Uuid::new_v4();
                if !triggered {
                    held.skipped = to.skipped.max(Some(at));
                }
                Some(Box::new(Hold {
                    job: last.job,
                    to: held,
                }))
            }
            _ => None,
        };
        Self {
            jobs,
            hold,
            ..Self::of(Some(before), to)
        }
    }

    /// Waits no more for a job that is not known any more: it was final, else it would not be gone.
    /// Answers whether it waited for it.
    pub fn forget_parent(&mut self, gone: JobId) -> bool {
        let mut found = false;
        for rules in self.jobs.iter_mut().filter_map(|job| job.rules.as_mut()) {
            let before = rules.parents.len();
            rules
                .parents
                .retain(|parent| parent.of != ParentId::Job(gone));
            found |= rules.parents.len() < before;
        }
        found
    }
}

fn wait_for(job: &mut NewJob, parent: JobId) {
    let rules: &mut Rules = job.rules.get_or_insert_default();
    rules.parents.push(Parent {
        of: ParentId::Job(parent),
        on: Condition::Any,
    });
}

fn new_record(
    id: &str,
    spec: RecurringSpec,
    origin: Origin,
    now: DateTime<Utc>,
) -> Result<RecurringRecord> {
    let next = spec.timing.schedule()?.next_after(now);
    Ok(RecurringRecord {
        id: id.into(),
        version: Uuid::nil(),
        spec,
        origin,
        pause: None,
        seen: now,
        next,
        last_run: None,
        skipped: None,
        key_held: None,
        created_at: now,
    })
}

/// Puts another spec in. If its times are others, what was due before counts no more.
fn take(record: &mut RecurringRecord, spec: RecurringSpec, now: DateTime<Utc>) -> Result<()> {
    let schedule = spec.timing.schedule()?;
    if record.spec.timing != spec.timing {
        record.seen = now;
        record.next = schedule.next_after(now);
    }
    record.spec = spec;
    Ok(())
}

/// Ends a pause at this time.
fn go_on(record: &mut RecurringRecord, at: DateTime<Utc>) -> Result<()> {
    record.pause = None;
    if record.spec.misfire.misfire != Misfire::All {
        if record.next.is_some_and(|next| next <= at) {
            record.skipped = record.next;
        }
        record.seen = record.seen.max(at);
        record.next = record.schedule()?.next_after(record.seen);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
