//! What operators do to jobs: each deed with a name and, if given, a reason.

use std::future::IntoFuture;

use super::{BoxFuture, Client};
use crate::error::{Error, Result};
use crate::job::{Due, JobId, State};
use crate::storage::{Answer, Command, Verb};

/// How many jobs one request to the storage names: it must not hold the locks of too many.
const CHUNK: usize = 1_000;

impl Client {
    /// Ends a job: Deleted. If it runs, it is cancelled. Not if it is Succeeded or Deleted.
    ///
    /// ```
    /// # use jobs_core::{client::Client, job::{Job, State}, storage::MemoryStorage};
    /// # #[derive(serde::Serialize)] struct Ping {}
    /// # impl Job for Ping { const KIND: &'static str = "ping"; type Output = (); }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
    /// # let client = Client::new(MemoryStorage::new());
    /// let ping = client.enqueue(Ping {}).await?;
    /// let moved = client.delete(ping.id()).by("ada").because("sent by mistake").await?;
    /// assert_eq!((moved.from, moved.to), (State::Enqueued, State::Deleted));
    /// # Ok(()) }
    /// ```
    pub fn delete(&self, job: JobId) -> Operation {
        Operation::new(Some(self.clone()), Verb::Delete, job)
    }

    /// Runs a final job again, from the start of its counters, with its history kept.
    pub fn requeue(&self, job: JobId) -> Operation {
        Operation::new(Some(self.clone()), Verb::Requeue, job)
    }

    /// Makes a Scheduled or Awaiting job due now. An Enqueued one is left as it is.
    pub fn run_now(&self, job: JobId) -> Operation {
        Operation::new(Some(self.clone()), Verb::RunNow, job)
    }

    /// Makes a Scheduled or Enqueued job due at another time.
    pub fn reschedule(&self, job: JobId, due: Due) -> Operation {
        Operation::new(Some(self.clone()), Verb::Reschedule(due), job)
    }

    /// Does [`delete`](Self::delete) to each of these jobs.
    pub fn delete_many(&self, jobs: impl IntoIterator<Item = JobId>) -> BulkOperation {
        BulkOperation::new(self, Verb::Delete, jobs)
    }

    /// Does [`requeue`](Self::requeue) to each of these jobs.
    pub fn requeue_many(&self, jobs: impl IntoIterator<Item = JobId>) -> BulkOperation {
        BulkOperation::new(self, Verb::Requeue, jobs)
    }

    /// Does [`run_now`](Self::run_now) to each of these jobs.
    pub fn run_now_many(&self, jobs: impl IntoIterator<Item = JobId>) -> BulkOperation {
        BulkOperation::new(self, Verb::RunNow, jobs)
    }

    /// Does [`reschedule`](Self::reschedule) to each of these jobs.
    pub fn reschedule_many(
        &self,
        jobs: impl IntoIterator<Item = JobId>,
        due: Due,
    ) -> BulkOperation {
        BulkOperation::new(self, Verb::Reschedule(due), jobs)
    }
}

/// In whose name, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
}

impl Cause {
    /// Both, checked: they are shown to people and kept in every storage.
    pub(super) fn complete(self, client: &Client) -> Result<(String, Option<String>)> {
        let actor = self.actor.unwrap_or_else(|| client.0.actor.clone());
        if actor.trim().is_empty() {
            return Err(Error::Invalid(
                "`.by(..)` must say who acts, and this is empty".into(),
            ));
        }
        for (text, what) in [(Some(&actor), "actor"), (self.reason.as_ref(), "reason")] {
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(Error::Invalid(format!(
                    "the {what} contains a NUL character, which databases do not store as text"
                )));
            }
        }
        Ok((actor, self.reason))
    }
}

macro_rules! cause {
    ($name:ident) => {
        impl $name {
            /// In whose name. Defaults to the client's actor.
            pub fn by(mut self, actor: impl Into<String>) -> Self {
                self.cause.actor = Some(actor.into());
                self
            }

            /// Why, in the actor's words. Kept with the deed.
            pub fn because(mut self, reason: impl Into<String>) -> Self {
                self.cause.reason = Some(reason.into());
                self
            }
        }
    };
}

pub(super) use cause;

/// An operator's verb for one job, carried out when this is awaited.
///
/// Fails with [`Error::UnknownJob`] or, if the verb does not apply to a job in the state that it was found
/// in, with [`Error::WrongState`]; then nothing was changed. If the connection is lost, it is not tried
/// again: it may have been carried out.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Operation {
    client: Option<Client>,
    verb: Verb,
    job: JobId,
    cause: Cause,
}

cause!(Operation);

/// Where an operator found a job, and where it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it stood.
    pub from: State,
    /// Where it stands.
    pub to: State,
}

impl Operation {
    pub(super) fn new(client: Option<Client>, verb: Verb, job: JobId) -> Self {
        Self {
            client,
            verb,
            job,
            cause: Cause::default(),
        }
    }

    async fn carry_out(self) -> Result<Moved> {
        let Self {
            client, verb, job, ..
        } = self;
        check(verb)?;
        let client = client.map_or_else(Client::current, Ok)?;
        let (actor, reason) = self.cause.complete(&client)?;
        let command = Command {
            verb,
            jobs: vec![job],
            actor,
            reason,
        };
        match answers(&client, &command).await?[0] {
            Answer::Done { from, to } => Ok(Moved { from, to }),
            Answer::WrongState(state) => Err(Error::WrongState {
                job,
                verb: in_words(verb),
                state,
            }),
            Answer::KeyHeld(holder) => Err(Error::KeyHeld { job, holder }),
            Answer::Unknown => Err(Error::UnknownJob(job)),
        }
    }
}

impl IntoFuture for Operation {
    type Output = Result<Moved>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

/// An operator's verb for many jobs, carried out when this is awaited; answers for each job, in order.
///
/// They go to the storage by the thousand, so that nobody waits long for their locks. An error in between
/// leaves those before done; the whole can be repeated, and those that are done answer their state.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct BulkOperation {
    client: Client,
    verb: Verb,
    jobs: Vec<JobId>,
    cause: Cause,
}

cause!(BulkOperation);

impl BulkOperation {
    fn new(client: &Client, verb: Verb, jobs: impl IntoIterator<Item = JobId>) -> Self {
        Self {
            client: client.clone(),
            verb,
            jobs: jobs.into_iter().collect(),
            cause: Cause::default(),
        }
    }

    async fn carry_out(self) -> Result<Vec<(JobId, Answer)>> {
        let Self {
            client, verb, jobs, ..
        } = self;
        check(verb)?;
        let (actor, reason) = self.cause.complete(&client)?;
        let mut done = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            let command = Command {
                verb,
                jobs: chunk.to_vec(),
                actor: actor.clone(),
                reason: reason.clone(),
            };
            let answers = answers(&client, &command).await?;
            done.extend(chunk.iter().copied().zip(answers));
        }
        Ok(done)
    }
}

impl IntoFuture for BulkOperation {
    type Output = Result<Vec<(JobId, Answer)>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

fn check(verb: Verb) -> Result<()> {
    match verb {
        Verb::Reschedule(due) => due.check(),
        _ => Ok(()),
    }
}

async fn answers(client: &Client, command: &Command) -> Result<Vec<Answer>> {
    let answers = client.storage().command(command).await?;
    if answers.len() == command.jobs.len() {
        return Ok(answers);
    }
    Err(Error::Storage {
        doing: in_words(command.verb).into(),
        source: format!(
            "the storage gave {} answers for {} jobs; this is a bug in it",
            answers.len(),
            command.jobs.len()
        )
        .into(),
    })
}

/// A verb as it stands in "cannot … job".
fn in_words(verb: Verb) -> &'static str {
    match verb {
        Verb::Delete => "delete",
        Verb::Requeue => "requeue",
        Verb::RunNow => "run",
        Verb::Reschedule(_) => "reschedule",
    }
}
