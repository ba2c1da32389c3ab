//! What is declared to recur.

use std::fmt;
use std::time::Duration;

use jobs_cron::{Days, MisfireRule, Moment};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::job::{NewJob, Overlap, RecurringSpec, Timing, check_kind, check_queue};

/// One `#[recurring(..)]` of a function. The attribute makes one.
#[derive(Clone, Copy, Debug)]
pub struct RecurringEntry {
    /// Its name: no other has it. Defaults to the kind of the job.
    pub id: &'static str,
    /// The expression.
    pub schedule: &'static str,
    /// The time zone that it is read in.
    pub zone: &'static str,
    /// What it means to restrict the day of the month and the weekday.
    pub days: Option<Days>,
    /// Nothing occurs before: a date, or a date and time, in the time zone.
    pub starts: Option<&'static str>,
    /// Nothing occurs after: a date, or a date and time, in the time zone.
    pub ends: Option<&'static str>,
    /// What happens to occurrences that nobody was there to run.
    pub misfire: MisfireRule,
    /// What happens when the run before has not finished.
    pub overlap: Overlap,
    /// By how much runs may be late on purpose.
    pub jitter: Duration,
    /// Where its runs wait. Defaults to the kind's queue.
    pub queue: Option<&'static str>,
    /// Where the attribute is written, for messages.
    pub file: &'static str,
    /// Where the attribute is written, for messages.
    pub line: u32,
    /// Makes the job of a run.
    pub job: fn(&Client) -> Result<NewJob>,
}

impl RecurringEntry {
    /// Where the attribute is written, as `src/mail.rs:11`.
    pub fn location(&self) -> impl fmt::Display {
        let Self { file, line, .. } = self;
        fmt::from_fn(move |f| write!(f, "{file}:{line}"))
    }

    /// When it runs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], if the attribute did not check it.
    pub fn timing(&self) -> Result<Timing> {
        let mut timing = Timing::new(self.schedule);
        timing.zone = self.zone.into();
        timing.days = self.days;
        let tz = timing.schedule()?.tz();
        let moment = |text: Option<&str>| {
            let moment = text.map(Moment::parse).transpose();
            moment.map_err(|mistake| Error::Invalid(mistake.render()))
        };
        timing.starts = moment(self.starts)?.map(|moment| moment.starts_at(tz));
        timing.ends = moment(self.ends)?.map(|moment| moment.ends_at(tz));
        timing.schedule()?;
        Ok(timing)
    }

    /// What it declares, as this client would store it.
    ///
    /// # Errors
    ///
    /// If its arguments cannot be stored, or its schedule cannot be read.
    pub fn spec(&self, client: &Client) -> Result<RecurringSpec> {
        let mut job = (self.job)(client)?;
        if let Some(queue) = self.queue {
            job.queue = queue.into();
        }
        let mut spec = RecurringSpec::new(job, self.timing()?);
        spec.misfire = self.misfire;
        spec.overlap = self.overlap;
        spec.jitter = self.jitter;
        Ok(spec)
    }

    /// What is wrong with it; the attribute has checked this, entries written by hand come unchecked.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let id = check_kind(self.id).map_err(|_| {
            format!(
                "{:?} cannot be the id of a recurring job: it must match [A-Za-z0-9_.:-]{{1,128}}",
                self.id
            )
        });
        let queue = self.queue.map_or(Ok(()), check_queue);
        let checks = [
            id,
            queue.map_err(|error| error.to_string()),
            self.timing().map(drop).map_err(|error| error.to_string()),
        ];
        let problems: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
        problems.into_iter().map(|problem| {
            let (id, place) = (self.id, self.location());
            format!("recurring job \"{id}\" ({place}): {problem}")
        })
    }
}
