//! What recurs: made, changed, triggered, paused and removed at run time.

mod deeds;
mod draft;

use std::time::Duration;

use tracing::info;

use super::operation::Cause;
use super::{Client, Enqueue};
use crate::error::{Error, Result};
use crate::job::{Deed, Job, RecurringRecord};
use crate::lifecycle::RecurringChange;
use crate::storage::Changed;
use deeds::Verb;
use draft::{Mode, Words};

pub use deeds::{PauseRecurring, RecurringOperation, Trigger, Triggered};
pub use draft::RecurringDraft;

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

    /// Runs it once now, paused or not, and leaves its schedule as it is. With [`Overlap::Skip`](crate::job::Overlap::Skip) nothing is
    /// run while the run before has not finished, with [`Overlap::Queue`](crate::job::Overlap::Queue) it runs after that; nor is anything
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
    /// with [`Misfire::All`](jobs_cron::Misfire::All).
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
