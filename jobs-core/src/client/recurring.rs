//! What recurs: made, changed, triggered, paused and removed at run time.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs_cron::{Days, Misfire};
use tracing::info;

use super::operation::{Cause, cause};
use super::{BoxFuture, Client, Enqueue};
use crate::error::{Error, Result};
use crate::job::{
    Deed, Due, Job, JobId, NewJob, Overlap, RecurringRecord, RecurringSpec, Timing, check_kind,
};
use crate::lifecycle::RecurringChange;
use crate::storage::Changed;

/// How many records one request reads.
const PAGE: usize = 1_000;

/// How often a change is prepared anew because somebody else was faster.
const TRIES: usize = 50;

impl Client {
    /// A recurring job, by its id: that of a `#[recurring(..)]`, or one made at run time. Whether there is
    /// one is not asked. What is done to it is kept, with who did it and why
    /// ([`Inspect::control_events`](crate::storage::Inspect::control_events)).
    ///
    /// ```
    /// # use jobs_core::{client::{Client, Enqueue}, job::Job, storage::MemoryStorage};
    /// # #[derive(serde::Serialize)] struct Report { tenant: i64 }
    /// # impl Job for Report { const KIND: &'static str = "report"; type Output = (); }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
    /// # let client = Client::new(MemoryStorage::new());
    /// let report = client.recurring("report-42");
    /// let made = report.create("0 3 * * MON-FRI", Enqueue::new(Report { tenant: 42 }))
    ///     .tz("Europe/Berlin")
    ///     .await?;
    /// assert_eq!(made.describe(), "at 03:00 on weekdays, Europe/Berlin");
    /// assert_eq!(made.upcoming(3).len(), 3);
    ///
    /// report.pause().because("the books are closed").await?;
    /// report.trigger().await?; // now, and only once
    /// report.resume().await?;
    /// report.remove().await?;
    /// # Ok(()) }
    /// ```
    pub fn recurring(&self, id: impl Into<String>) -> Recurring {
        Recurring {
            client: self.clone(),
            id: id.into(),
        }
    }

    /// What this client does now to what recurs, for a reason of its own.
    pub(crate) fn deed(&self, reason: &str) -> Deed {
        let actor = self.0.actor.clone();
        Deed::new(actor, Some(reason.into()), self.storage().now())
    }

    /// Everything that recurs, by id.
    pub async fn all_recurring(&self) -> Result<Vec<RecurringRecord>> {
        let mut all: Vec<RecurringRecord> = Vec::new();
        loop {
            let after = all.last().map(|record| record.id.clone());
            let page = self
                .inspect()
                .recurring_page(after.as_deref(), PAGE)
                .await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

/// A recurring job, by its id; made by [`Client::recurring`].
#[derive(Clone, Debug)]
pub struct Recurring {
    client: Client,
    id: String,
}

impl Recurring {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is known of it; `None` if there is none of this id.
    pub async fn get(&self) -> Result<Option<RecurringRecord>> {
        self.client.inspect().recurring(&self.id).await
    }

    /// Makes it: this job, as often as the schedule says. It fires from now on, never for the past.
    ///
    /// The job is one that could be enqueued (`report.enqueue(42).queue("slow")`), without a due time:
    /// that is the schedule's. Fails if there is a recurring job of this id already, unless it is the very
    /// same.
    pub fn create<J: Job>(
        &self,
        schedule: impl Into<String>,
        job: Enqueue<'static, J>,
    ) -> RecurringDraft {
        self.draft(Mode::Create).schedule(schedule).job(job)
    }

    /// Makes it, or makes it this, if there is one of this id. For programs that say at each start what
    /// recurs: nothing happens if it is the very same, so that a missed run is not lost.
    pub fn put<J: Job>(
        &self,
        schedule: impl Into<String>,
        job: Enqueue<'static, J>,
    ) -> RecurringDraft {
        self.draft(Mode::Put).schedule(schedule).job(job)
    }

    /// Changes what is said of it, and nothing else. If code declares it, the change counts, not the code,
    /// until it is [reverted](Self::revert). Where its times change it never fires for the past.
    ///
    /// Fails with [`Error::UnknownRecurring`] if there is none.
    pub fn change(&self) -> RecurringDraft {
        self.draft(Mode::Change)
    }

    /// Runs it once now, paused or not, and leaves its schedule as it is. With [`Overlap::Skip`] nothing is
    /// run while the run before has not finished, with [`Overlap::Queue`] it runs after that; nor is anything
    /// run while another job holds its unique key. The answer says which job runs instead.
    pub fn trigger(&self) -> Trigger {
        Trigger {
            recurring: self.clone(),
            cause: Cause::default(),
        }
    }

    /// Stops it from running by its schedule. A run that was started goes on.
    pub fn pause(&self) -> PauseRecurring {
        PauseRecurring {
            recurring: self.clone(),
            until: None,
            cause: Cause::default(),
        }
    }

    /// Lets it run by its schedule again. What was missed meanwhile does not run, unless it was set up
    /// with [`Misfire::All`].
    pub fn resume(&self) -> RecurringOperation {
        self.operation(Verb::Resume)
    }

    /// Makes it again what code declares, if it was changed at run time.
    pub fn revert(&self) -> RecurringOperation {
        self.operation(Verb::Revert)
    }

    /// Removes it. Its runs stay. If code declares it, the next worker that starts makes it again: pause
    /// it instead.
    pub fn remove(&self) -> RecurringOperation {
        self.operation(Verb::Remove)
    }

    fn operation(&self, verb: Verb) -> RecurringOperation {
        RecurringOperation {
            recurring: self.clone(),
            verb,
            cause: Cause::default(),
        }
    }

    fn draft(&self, mode: Mode) -> RecurringDraft {
        RecurringDraft {
            recurring: self.clone(),
            mode,
            job: None,
            words: Words::default(),
            cause: Cause::default(),
        }
    }

    /// Reads the record, prepares a change and makes it, anew if somebody was faster. Where there is
    /// nothing to change, nothing is done.
    async fn change_by(
        &self,
        mut prepare: impl FnMut(Option<&RecurringRecord>) -> Result<Option<RecurringChange>>,
    ) -> Result<Settled> {
        for tried in 0..TRIES {
            let before = self.get().await?;
            let Some(change) = prepare(before.as_ref())? else {
                return Ok(Settled {
                    before,
                    change: None,
                    held: false,
                });
            };
            let storage = self.client.storage();
            let answer = storage.change_recurring(vec![change.clone()]).await?;
            if let [answer @ (Changed::Done | Changed::Held)] = answer[..] {
                return Ok(Settled {
                    before,
                    change: Some(change),
                    held: answer == Changed::Held,
                });
            }
            let pause = Duration::from_millis(1 + 2 * tried as u64);
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        }
        Err(Error::Conflict {
            doing: format!("change the recurring job `{}`", self.id),
            source: "others go on changing it".into(),
        })
    }

    /// The same for one that there must be; answers what it is then.
    async fn change_known(
        &self,
        mut prepare: impl FnMut(&RecurringRecord) -> Result<Option<RecurringChange>>,
    ) -> Result<Settled> {
        self.change_by(|before| match before {
            Some(before) => prepare(before),
            None => Err(Error::UnknownRecurring(self.id.clone())),
        })
        .await
    }

    /// Who does something now, and why.
    fn deed(&self, cause: Cause) -> Result<Deed> {
        let (actor, reason) = cause.complete(&self.client)?;
        Ok(Deed::new(actor, reason, self.client.storage().now()))
    }

    fn log(&self, what: &str, by: &Deed) {
        let (actor, reason) = (&by.actor, by.reason.as_deref());
        info!(recurring = self.id, actor, reason, "recurring job {what}");
    }
}

/// What a change came to.
struct Settled {
    before: Option<RecurringRecord>,
    change: Option<RecurringChange>,
    held: bool,
}

impl Settled {
    /// Whether a job of it has a unique key.
    fn is_unique(&self) -> bool {
        let jobs = self.change.iter().flat_map(|change| &change.jobs);
        let mut rules = jobs.filter_map(|job| job.rules.as_ref());
        rules.any(|rules| rules.unique.is_some())
    }

    /// The recurring job as it is now, or, if it is gone, as it was.
    fn record(self) -> Option<RecurringRecord> {
        let now = self.change.and_then(|change| match self.held {
            true => change.hold.map(|hold| hold.to),
            false => change.to,
        });
        now.or(self.before)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Create,
    Put,
    Change,
}

type MakeJob = Box<dyn FnOnce(&Client) -> Result<NewJob> + Send>;

/// What is said of a recurring job when it is made or changed.
#[derive(Clone, Debug, Default)]
struct Words {
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
    recurring: Recurring,
    mode: Mode,
    job: Option<MakeJob>,
    words: Words,
    cause: Cause,
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

/// One run of a recurring job, beside its schedule, when this is awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Trigger {
    recurring: Recurring,
    cause: Cause,
}

cause!(Trigger);

/// What became of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triggered {
    /// The job that runs; [`Client::handle`] makes a handle of it.
    pub job: JobId,
    /// Whether no other was started: it is the run before, which has not finished, or holds the unique key.
    pub existing: bool,
}

impl Trigger {
    async fn carry_out(self) -> Result<Triggered> {
        let Self { recurring, cause } = self;
        let by = recurring.deed(cause)?;
        let settled = recurring
            .change_known(|before| {
                let new_id = || JobId::at(by.at);
                Ok(Some(RecurringChange::trigger(before, by.clone(), new_id)))
            })
            .await?;
        recurring.log("triggered", &by);
        let (existing, is_unique) = (settled.held, settled.is_unique());
        let run = settled.record().and_then(|record| record.last_run);
        let job = run.map(|run| run.job);
        match job.ok_or_else(|| Error::UnknownRecurring(recurring.id.clone()))? {
            job if is_unique && !existing => recurring.what_runs(job).await,
            job => Ok(Triggered { job, existing }),
        }
    }
}

impl Recurring {
    /// What a trigger came to whose job has a unique key: only the storage knows whether another held it.
    async fn what_runs(&self, job: JobId) -> Result<Triggered> {
        let stored = self.client.inspect().job(job).await?.is_some();
        let holder = match stored {
            true => None,
            false => self.get().await?.and_then(|record| record.key_held),
        };
        Ok(Triggered {
            job: holder.map_or(job, |holder| holder.job),
            existing: holder.is_some(),
        })
    }
}

impl IntoFuture for Trigger {
    type Output = Result<Triggered>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

/// Pausing a recurring job, carried out when this is awaited. Doing it again replaces who, why and until
/// when.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct PauseRecurring {
    recurring: Recurring,
    until: Option<DateTime<Utc>>,
    cause: Cause,
}

cause!(PauseRecurring);

impl PauseRecurring {
    /// Goes on by itself at this instant. Defaults to: when it is resumed.
    pub fn until(mut self, at: impl Into<DateTime<Utc>>) -> Self {
        self.until = Some(at.into());
        self
    }

    async fn carry_out(self) -> Result<RecurringRecord> {
        let Self {
            recurring,
            until,
            cause,
        } = self;
        let by = recurring.deed(cause)?;
        let pause =
            |before: &RecurringRecord| Ok(Some(RecurringChange::pause(before, by.clone(), until)));
        let settled = recurring.change_known(pause).await?;
        recurring.log("paused", &by);
        settled
            .record()
            .ok_or(Error::UnknownRecurring(recurring.id))
    }
}

impl IntoFuture for PauseRecurring {
    type Output = Result<RecurringRecord>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Resume,
    Revert,
    Remove,
}

/// What an operator does to a recurring job, carried out when this is awaited; the answer is what it is
/// then, or, if it was removed, what it was. Doing it again is harmless, save that what was removed is
/// unknown.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct RecurringOperation {
    recurring: Recurring,
    verb: Verb,
    cause: Cause,
}

cause!(RecurringOperation);

impl RecurringOperation {
    async fn carry_out(self) -> Result<RecurringRecord> {
        let Self {
            recurring,
            verb,
            cause,
        } = self;
        let by = recurring.deed(cause)?;
        let settled = recurring
            .change_known(|before| match verb {
                Verb::Resume => RecurringChange::resume(before, by.clone()),
                Verb::Revert => RecurringChange::revert(before, by.clone()),
                Verb::Remove => Ok(Some(RecurringChange::remove(before, by.clone()))),
            })
            .await?;
        if settled.change.is_some() {
            recurring.log(verb.done(), &by);
        }
        settled
            .record()
            .ok_or(Error::UnknownRecurring(recurring.id))
    }
}

impl Verb {
    const fn done(self) -> &'static str {
        match self {
            Self::Resume => "resumed",
            Self::Revert => "made again what code declares",
            Self::Remove => "removed",
        }
    }
}

impl IntoFuture for RecurringOperation {
    type Output = Result<RecurringRecord>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}
