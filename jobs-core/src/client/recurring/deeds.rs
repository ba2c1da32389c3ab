//! What operators do to a recurring job that there is.

use std::future::IntoFuture;

use chrono::{DateTime, Utc};

use super::Recurring;
use crate::client::BoxFuture;
use crate::client::operation::{Cause, cause};
use crate::error::{Error, Result};
use crate::job::{JobId, RecurringRecord};
use crate::lifecycle::RecurringChange;

/// One run of a recurring job, beside its schedule, when this is awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Trigger {
    pub(super) recurring: Recurring,
    pub(super) cause: Cause,
}

cause!(Trigger);

/// What became of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triggered {
    /// The job that runs; [`Client::handle`](crate::client::Client::handle) makes a handle of it.
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
    pub(super) recurring: Recurring,
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) cause: Cause,
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
pub(super) enum Verb {
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
    pub(super) recurring: Recurring,
    pub(super) verb: Verb,
    pub(super) cause: Cause,
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
