//! What is said of a recurring job when it is made or changed.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs_cron::{Days, Misfire};

use super::Recurring;
use crate::client::operation::{Cause, cause};
use crate::client::{BoxFuture, Client, Enqueue};
use crate::error::{Error, Result};
use crate::job::{
    Deed, Due, Job, NewJob, Overlap, RecurringRecord, RecurringSpec, Timing, check_kind,
};
use crate::lifecycle::RecurringChange;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Put,
    Change,
}

pub(super) type MakeJob = Box<dyn FnOnce(&Client) -> Result<NewJob> + Send>;

/// What is said of a recurring job when it is made or changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    schedule: Option<String>,
    zone: Option<String>,
    days: Option<Option<Days>>,
    starts: Option<Option<DateTime<Utc>>>,
    ends: Option<Option<DateTime<Utc>>>,
    misfire: Option<Misfire>,
    grace: Option<Duration>,
    cap: Option<usize>,
    overlap: Option<Overlap>,
    jitter: Option<Duration>,
}

impl Words {
    fn put_into(self, spec: &mut RecurringSpec) {
        fn set<T>(place: &mut T, word: Option<T>) {
            if let Some(word) = word {
                *place = word;
            }
        }
        set(&mut spec.timing.schedule, self.schedule);
        set(&mut spec.timing.zone, self.zone);
        set(&mut spec.timing.days, self.days);
        set(&mut spec.timing.starts, self.starts);
        set(&mut spec.timing.ends, self.ends);
        set(&mut spec.misfire.misfire, self.misfire);
        set(&mut spec.misfire.grace, self.grace);
        set(&mut spec.misfire.cap, self.cap);
        set(&mut spec.overlap, self.overlap);
        set(&mut spec.jitter, self.jitter);
    }
}

/// A recurring job that is made or changed when this is awaited; the answer is what it is then.
#[must_use = "nothing happens before this is awaited"]
pub struct RecurringDraft {
    pub(super) recurring: Recurring,
    pub(super) mode: Mode,
    pub(super) job: Option<MakeJob>,
    pub(super) words: Words,
    pub(super) cause: Cause,
}

cause!(RecurringDraft);

impl RecurringDraft {
    /// Runs at these times: `0 3 * * MON-FRI`, `@daily`, `@every 90s`.
    pub fn schedule(mut self, schedule: impl Into<String>) -> Self {
        self.words.schedule = Some(schedule.into());
        self
    }

    /// Runs this job, one that could be enqueued, without a due time.
    pub fn job<J: Job>(mut self, job: Enqueue<'static, J>) -> Self {
        self.job = Some(Box::new(|client| job.into_job(client)));
        self
    }

    /// The time zone that the schedule is read in, by its IANA name. Defaults to `UTC`.
    pub fn tz(mut self, zone: impl Into<String>) -> Self {
        self.words.zone = Some(zone.into());
        self
    }

    /// What it means to restrict the day of the month and the weekday. No default: a schedule that
    /// restricts both must say.
    pub fn days(mut self, days: Days) -> Self {
        self.words.days = Some(Some(days));
        self
    }

    /// What happens to occurrences that nobody was there to run. Defaults to [`Misfire::RunOnce`].
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.words.misfire = Some(misfire);
        self
    }

    /// How late an occurrence may be found and still count as on time. Defaults to 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.words.grace = Some(grace);
        self
    }

    /// How many occurrences run at most when several are due; of more, the latest. Defaults to 100.
    pub fn cap(mut self, runs: usize) -> Self {
        self.words.cap = Some(runs);
        self
    }

    /// What happens when the run before has not finished. Defaults to [`Overlap::Allow`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.words.overlap = Some(overlap);
        self
    }

    /// Makes each run due later than its occurrence by up to this much. Defaults to nothing.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.words.jitter = Some(most);
        self
    }

    /// Nothing occurs before this instant; `@every` counts from it. Defaults to no start.
    pub fn starts(mut self, at: impl Into<DateTime<Utc>>) -> Self {
        self.words.starts = Some(Some(at.into()));
        self
    }

    /// Nothing occurs after this instant. Defaults to no end.
    pub fn ends(mut self, at: impl Into<DateTime<Utc>>) -> Self {
        self.words.ends = Some(Some(at.into()));
        self
    }

    async fn carry_out(self) -> Result<RecurringRecord> {
        let Self {
            recurring,
            mode,
            job,
            words,
            cause,
        } = self;
        let (client, id) = (&recurring.client, &recurring.id);
        check_id(id)?;
        let job = job.map(|job| job(client)).transpose()?;
        job.iter().try_for_each(can_recur)?;
        let by = recurring.deed(cause)?;
        let settled = recurring.change_by(|before| {
            let spec = match (mode, before, &job) {
                (Mode::Change, None, _) => return Err(Error::UnknownRecurring(id.clone())),
                (Mode::Change, Some(before), job) => {
                    let mut spec = before.spec.clone();
                    if let Some(job) = job {
                        let other = RecurringSpec::new(job.clone(), spec.timing.clone());
                        spec = RecurringSpec {
                            misfire: spec.misfire,
                            overlap: spec.overlap,
                            jitter: spec.jitter,
                            ..other
                        };
                    }
                    spec
                }
                (_, _, Some(job)) => RecurringSpec::new(job.clone(), Timing::new("")),
                (_, _, None) => unreachable!("whoever makes one gives a job"),
            };
            let mut spec = spec;
            words.clone().put_into(&mut spec);
            draft(mode, before, id, spec, &by)
        });
        let settled = settled.await?;
        if settled.change.is_some() {
            recurring.log("made or changed", &by);
        }
        settled
            .record()
            .ok_or_else(|| Error::UnknownRecurring(id.clone()))
    }
}

impl<J: Job> Enqueue<'static, J> {
    /// The job as it would be stored, for what recurs.
    pub(crate) fn into_job(self, client: &Client) -> Result<NewJob> {
        let mut jobs = self.jobs(client, "recurring job")?;
        match (jobs.pop(), jobs.is_empty()) {
            (Some(job), true) => Ok(job),
            _ => Err(Error::Invalid(
                "a chain (`.then(..)`) does not recur: let its first job enqueue the rest".into(),
            )),
        }
    }
}

/// The change to this spec, if it is one.
fn draft(
    mode: Mode,
    before: Option<&RecurringRecord>,
    id: &str,
    spec: RecurringSpec,
    by: &Deed,
) -> Result<Option<RecurringChange>> {
    let schedule = spec.timing.schedule()?;
    let Some(before) = before else {
        if schedule.next_after(by.at).is_none() {
            return Err(Error::Invalid(format!(
                "`{id}` would never run: its schedule ({}) has no occurrence after {}",
                schedule.describe(),
                by.at
            )));
        }
        return RecurringChange::create(id, spec, by.clone()).map(Some);
    };
    if before.spec.same_as(&spec) {
        return Ok(None);
    }
    if mode == Mode::Create {
        return Err(Error::Invalid(format!(
            "there is a recurring job `{id}` already, and it is another one: change it, or give this one another id"
        )));
    }
    RecurringChange::edit(before, spec, by.clone()).map(Some)
}

fn check_id(id: &str) -> Result<()> {
    check_kind(id).map_err(|_| {
        let shown: String = id.chars().take(80).collect();
        Error::Invalid(format!(
            "{shown:?} cannot be the id of a recurring job: it must match [A-Za-z0-9_.:-]{{1,128}}"
        ))
    })
}

/// What makes sense for one job alone does not for one that recurs.
fn can_recur(job: &NewJob) -> Result<()> {
    let refuse = |why: &str| Err(Error::Invalid(format!("a job that recurs {why}")));
    if job.due != Due::Now {
        return refuse("is due when its schedule says: leave `.delay(..)` and `.at(..)` out");
    }
    let Some(rules) = &job.rules else {
        return Ok(());
    };
    if !rules.parents.is_empty() || rules.batch.is_some() {
        return refuse("cannot wait for other jobs and is no member of a batch");
    }
    Ok(())
}

impl IntoFuture for RecurringDraft {
    type Output = Result<RecurringRecord>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

impl std::fmt::Debug for RecurringDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecurringDraft")
            .field("recurring", &self.recurring)
            .field("mode", &self.mode)
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}
