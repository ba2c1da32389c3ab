//! What can be said of a job when it is enqueued, for one and for many alike.

use std::borrow::Cow;

use super::rules::{Asked, Plan};
use super::{Client, metadata};
use crate::error::{Error, Result};
use crate::job::{
    Backoff, Due, Job, NewJob, Priority, StoredOptions, check_kind, check_queue, check_tag,
    encode_args,
};

/// What was said of a job, and the first mistake in it: a builder has no way to fail before it is
/// awaited.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) queue: Option<Cow<'static, str>>,
    pub(super) priority: Option<Priority>,
    pub(super) due: Due,
    pub(super) options: StoredOptions,
    pub(super) asked: Asked,
    mistake: Option<Error>,
}

impl Settings {
    pub(super) fn queue(&mut self, queue: Cow<'static, str>) {
        match check_queue(&queue) {
            Ok(()) => self.queue = Some(queue),
            Err(error) => self.refuse(error),
        }
    }

    pub(super) fn backoff(&mut self, backoff: Backoff) {
        if let Backoff::Function(_) = backoff {
            self.refuse(Error::Invalid(
                "a backoff that is a function cannot be stored with a job: declare it on the job's kind, or use \
                 another one, such as `Backoff::List`"
                    .into(),
            ));
        }
        if let Err(error) = backoff.check() {
            self.refuse(error);
        }
        self.options.backoff = Some(backoff);
    }

    pub(super) fn timeout(&mut self, timeout: std::time::Duration) {
        if timeout.is_zero() {
            self.refuse(Error::Invalid(
                "a timeout of zero would end every attempt before it starts".into(),
            ));
        }
        self.options.timeout = Some(timeout);
    }

    pub(super) fn tag(&mut self, tag: String) {
        match check_tag(&tag) {
            Ok(()) if self.options.tags.contains(&tag) => {}
            Ok(()) => self.options.tags.push(tag),
            Err(error) => self.refuse(error),
        }
    }

    pub(super) fn refuse(&mut self, mistake: impl Into<Error>) {
        self.mistake.get_or_insert(mistake.into());
    }

    /// Adds what the kind declares, and checks all of it.
    pub(super) fn complete<J: Job>(mut self) -> Result<Template> {
        let defaults = J::DEFAULTS;
        check_kind(J::KIND)?;
        if let (None, Some(queue)) = (&self.queue, defaults.queue) {
            self.queue(queue.into());
        }
        for tag in defaults.tags {
            self.tag((*tag).into());
        }
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.due.check()?;
        metadata::inherit(&mut self.options)?;
        let priority = self.priority.or(defaults.priority);
        Ok(Template {
            queue: self.queue.unwrap_or(NewJob::DEFAULT_QUEUE.into()),
            priority: priority.unwrap_or_default(),
            due: self.due,
            options: self.options,
            plan: self.asked.complete(&defaults, self.due)?,
        })
    }
}

/// What jobs of one call have in common.
pub(super) struct Template {
    queue: Cow<'static, str>,
    priority: Priority,
    due: Due,
    options: StoredOptions,
    plan: Option<Box<Plan>>,
}

impl Template {
    /// A job for the storage.
    pub(super) fn job<J: Job>(&self, client: &Client, job: &J) -> Result<NewJob> {
        let args = encode_args(job, client.0.args_limit)?;
        self.encoded(client, J::KIND, args, None)
    }

    /// A job whose arguments are encoded. `own_key` is its unique key, if each job has one of its own.
    pub(super) fn encoded(
        &self,
        client: &Client,
        kind: &'static str,
        args: String,
        own_key: Option<String>,
    ) -> Result<NewJob> {
        let rules = self.plan.as_ref().map(|plan| plan.rules(&args, own_key));
        Ok(NewJob {
            queue: self.queue.clone(),
            priority: self.priority,
            due: self.due,
            options: self.options.clone(),
            rules: rules.transpose()?.map(Box::new),
            ..NewJob::new(client.new_id(), kind, args)
        })
    }
}

/// The options of [`Enqueue`](super::Enqueue) and [`EnqueueMany`](super::EnqueueMany): the same words
/// for both.
macro_rules! job_options {
    ($builder:ident) => {
        impl<'t, J: $crate::job::Job> $builder<'t, J> {
            /// Runs this long after the storage has taken it, by the storage's clock, not at once. Of
            /// this and [`at`](Self::at) the last one counts. More than 100,000 years are refused.
            pub fn delay(mut self, wait: ::std::time::Duration) -> Self {
                self.settings.due = $crate::job::Due::In(wait);
                self
            }

            /// Runs at this instant, by the storage's clock, or at once if that is past. Takes a
            /// `DateTime` of any zone and a `SystemTime`.
            pub fn at(mut self, instant: impl Into<::chrono::DateTime<::chrono::Utc>>) -> Self {
                // All of the past is at once, also what databases cannot count back to.
                let instant = instant.into().max(::chrono::DateTime::UNIX_EPOCH);
                self.settings.due = $crate::job::Due::At(instant);
                self
            }

            /// Waits in this queue: `[a-z0-9_.:-]{1,64}`. Defaults to the kind's, and there to
            /// `default`.
            pub fn queue(mut self, queue: impl Into<::std::borrow::Cow<'static, str>>) -> Self {
                self.settings.queue(queue.into());
                self
            }

            /// Its order within the queue. Defaults to the kind's, and there to
            /// [`Priority::NORMAL`](crate::job::Priority::NORMAL).
            pub fn priority(mut self, priority: $crate::job::Priority) -> Self {
                self.settings.priority = Some(priority);
                self
            }

            /// How often a failed attempt is repeated; 0 means that there is one attempt. Defaults to
            /// the kind's, and there to 10.
            pub fn retries(mut self, retries: u32) -> Self {
                self.settings.options.retries = Some(retries);
                self
            }

            /// How long to wait before a retry. A function cannot be given here, because it cannot be
            /// stored. Defaults to the kind's, and there to
            /// [`Backoff::Polynomial`](crate::job::Backoff::Polynomial).
            pub fn backoff(mut self, backoff: $crate::job::Backoff) -> Self {
                self.settings.backoff(backoff);
                self
            }

            /// How long one attempt may take; more than zero. Defaults to the kind's, and there to no
            /// limit.
            pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
                self.settings.timeout(timeout);
                self
            }

            /// How long the job is kept once it is finished. Defaults to the worker's retention.
            pub fn keep_for(mut self, time: ::std::time::Duration) -> Self {
                self.settings.options.keep_for = Some(time);
                self
            }

            /// Adds a label to find the job by: `[a-z0-9_.:-]{1,64}`. The kind's own tags stay.
            pub fn tag(mut self, tag: impl Into<String>) -> Self {
                self.settings.tag(tag.into());
                self
            }

            /// Adds several tags.
            pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
                tags.into_iter()
                    .for_each(|tag| self.settings.tag(tag.into()));
                self
            }

            /// Goes to the storage of this client. Defaults to [`Client::current`]
            /// (the one of the scope, or the installed one).
            ///
            /// [`Client::current`]: crate::client::Client::current
            pub fn on(mut self, client: &$crate::client::Client) -> Self {
                self.target.client = Some(client.clone());
                self
            }

            /// Stores within the caller's own transaction or connection (`&mut tx`): it becomes
            /// visible and runs when the caller commits, and leaves no trace when the caller rolls
            /// back. A failure leaves the transaction as the database leaves it: roll back.
            ///
            /// It must be one of the database that the client's jobs are in.
            pub fn within<'u, S, C>(self, transaction: &'u mut C) -> $builder<'u, J>
            where
                't: 'u,
                S: $crate::storage::Storage,
                C: $crate::storage::Within<S>,
            {
                let Self {
                    jobs,
                    settings,
                    target,
                } = self;
                $builder {
                    jobs,
                    settings,
                    target: target.within(transaction),
                }
            }
        }
    };
}

pub(super) use job_options;
