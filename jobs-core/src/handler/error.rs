//! What a job may fail with, and what its error may ask for.

use std::any::{TypeId, type_name};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::JobEntry;
use crate::job::{AttemptOutcome, ErrorReport};
use crate::lifecycle::{Advice, Failure, Outcome, in_words};

/// Deepest chain of causes that is followed; an error may name itself as its cause.
const DEEPEST_CHAIN: usize = 32;

/// Any error, as a job fails with it: `?` turns every `std::error::Error`, `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>` and text into it and notes the line.
///
/// It is no `std::error::Error` itself, because no type can be that and be made from all of them by
/// `?`; keep it for the outermost function. What says how to go on is a [`Directive`], an ordinary
/// error, which every handler returns in the same way, whatever its own error type:
///
/// ```
/// # use jobs_core::handler::JobError;
/// # use std::time::Duration;
/// async fn fetch(url: String) -> Result<(), JobError> {
///     let port: u16 = "80".parse()?;
///     if url.is_empty() {
///         Err(JobError::discard("no address"))?;
///     }
///     Err(JobError::retry_after(Duration::from_secs(600)))?
/// }
/// ```
pub struct JobError {
    error: Kept,
    type_name: Option<&'static str>,
    location: Option<&'static Location<'static>>,
    backtrace: Backtrace,
}

enum Kept {
    Boxed(Box<dyn Error + Send + Sync>),
    /// Kept whole: inside a `Box<dyn Error>` it does not say what it was made of.
    #[cfg(feature = "anyhow")]
    Anyhow(anyhow::Error),
}

impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> From<E> for JobError {
    #[track_caller]
    fn from(error: E) -> Self {
        Self {
            type_name: telling_name::<E>(),
            location: Some(Location::caller()),
            backtrace: Backtrace::capture(),
            error: Kept::new(error),
        }
    }
}

impl Kept {
    #[cfg(not(feature = "anyhow"))]
    fn new<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::Boxed(error.into())
    }

    #[cfg(feature = "anyhow")]
    fn new<E: Into<Box<dyn Error + Send + Sync>> + 'static>(error: E) -> Self {
        let mut slot = Some(error);
        let erased = &mut slot as &mut dyn std::any::Any;
        if let Some(whole) = erased
            .downcast_mut::<Option<anyhow::Error>>()
            .and_then(Option::take)
        {
            return Self::Anyhow(whole);
        }
        Self::Boxed(slot.map_or_else(|| "unknown".into(), Into::into))
    }

    fn as_error(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Boxed(error) => error.as_ref(),
            #[cfg(feature = "anyhow")]
            Self::Anyhow(error) => error.as_ref(),
        }
    }
}

impl JobError {
    /// An error that has the job tried again after `delay`, whatever its backoff says. It uses an
    /// attempt; when none is left the job is Failed.
    pub fn retry_after(delay: Duration) -> Directive {
        Directive(Wish::RetryAfter(delay))
    }

    /// An error that makes the job Failed at once, because trying again cannot help. `why` is for the
    /// people who will look at it.
    pub fn discard(why: impl Into<String>) -> Directive {
        Directive(Wish::Discard(why.into()))
    }

    /// An error that has the job run again after `delay` without having used an attempt: what it
    /// waits for is not there yet. Any number of times.
    ///
    /// ```
    /// # use jobs_core::handler::JobError;
    /// # use std::{path::Path, time::Duration};
    /// async fn read(path: String) -> Result<String, std::io::Error> {
    ///     if !Path::new(&path).exists() {
    ///         // An ordinary error: any error type that can hold one will do.
    ///         return Err(std::io::Error::other(JobError::snooze(Duration::from_secs(60))));
    ///     }
    ///     std::fs::read_to_string(path)
    /// }
    /// ```
    pub fn snooze(delay: Duration) -> Directive {
        Directive(Wish::Snooze(delay))
    }

    /// The error of type `E`, if it is one or was caused by one.
    ///
    /// ```
    /// # use jobs_core::handler::JobError;
    /// # use std::io;
    /// let error = JobError::from(io::Error::from(io::ErrorKind::TimedOut));
    /// assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::TimedOut);
    /// ```
    pub fn downcast_ref<E: Error + Send + Sync + 'static>(&self) -> Option<&E> {
        #[cfg(feature = "anyhow")]
        if let Kept::Anyhow(error) = &self.error
            && let Some(found) = error.downcast_ref()
        {
            return Some(found);
        }
        self.chain().find_map(|error| error.downcast_ref())
    }

    /// Whether it is an `E` or was caused by one.
    pub fn is<E: Error + Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The error and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first = Some(self.error.as_error());
        std::iter::successors(first, |&error| error.source()).take(DEEPEST_CHAIN)
    }

    /// Everything known about the error, to be kept.
    pub fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::of(self.error.as_error());
        // A directive is its own cause, see `Wish`; whoever is transparent says the same once more.
        let wish = self.chain().position(|error| error.is::<Wish>());
        if let Some(cause) = wish.and_then(|at| at.checked_sub(1)) {
            let above = self.chain().nth(cause).map(ToString::to_string);
            if above.as_ref() == report.causes.get(cause) {
                report.causes.remove(cause);
            }
        }
        if let Some(name) = self.type_name {
            report = report.with_type(name);
        }
        if let Some(location) = self.location {
            report = report.with_location(location);
        }
        match self.backtrace() {
            Some(trace) => report.with_backtrace(trace),
            None => report,
        }
    }

    fn backtrace(&self) -> Option<String> {
        #[cfg(feature = "anyhow")]
        if let Kept::Anyhow(error) = &self.error {
            return captured(error.backtrace());
        }
        captured(&self.backtrace)
    }

    /// Forgets where it was made.
    pub(super) fn without_place(mut self) -> Self {
        self.location = None;
        self.backtrace = Backtrace::disabled();
        self
    }

    /// How an attempt ended that returned this error.
    pub(super) fn into_outcome(self, entry: &JobEntry) -> Outcome {
        let (how, advice) = match self.wish() {
            Some(Wish::Snooze(delay)) => return Outcome::Snoozed { delay: *delay },
            Some(Wish::RetryAfter(delay)) => (AttemptOutcome::Failed, Advice::RetryAfter(*delay)),
            Some(Wish::Discard(why)) => (
                AttemptOutcome::Discarded,
                // As it is kept in the report: some databases store no NUL, and no text of any length.
                Advice::GiveUp(format!(
                    "Discarded: {}",
                    ErrorReport::new(why.to_string()).message
                )),
            ),
            None if entry.retry_if.is_some_and(|worth_it| !worth_it(&self)) => {
                let report = self.report();
                let reason = format!("Not retried, as its `retry_if` says: {}", report.headline());
                (AttemptOutcome::Failed, Advice::GiveUp(reason))
            }
            None => (AttemptOutcome::Failed, Advice::Policy),
        };
        Outcome::Failed(Failure {
            report: self.report(),
            how,
            advice,
        })
    }

    fn wish(&self) -> Option<&Wish> {
        if let Some(Directive(wish)) = self.downcast_ref() {
            return Some(wish);
        }
        self.downcast_ref()
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Kept::Boxed(error) => fmt::Debug::fmt(error, f),
            #[cfg(feature = "anyhow")]
            Kept::Anyhow(error) => fmt::Debug::fmt(error, f),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.error.as_error(), f)
    }
}

/// What a job that ends early asks for: [`JobError::retry_after`], [`JobError::discard`],
/// [`JobError::snooze`].
///
/// An ordinary error, found by the worker wherever it is in the chain of causes: in an
/// `anyhow::Error` with or without context, in a `Box<dyn Error>`, behind `#[error(transparent)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive(Wish);

/// The second layer: `anyhow::Error` and `#[error(transparent)]` hide the error they are made of and
/// begin their chain with its source, which is why a directive is its own source.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    RetryAfter(Duration),
    Discard(String),
    Snooze(Duration),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryAfter(delay) => write!(f, "asked to be tried again in {}", in_words(*delay)),
            Self::Discard(why) => f.write_str(why),
            Self::Snooze(delay) => write!(f, "asked to be run again in {}", in_words(*delay)),
        }
    }
}

impl Error for Wish {}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Directive {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The name of the type, unless it says nothing about the error.
fn telling_name<E: 'static>() -> Option<&'static str> {
    let mute = [
        TypeId::of::<String>(),
        TypeId::of::<&'static str>(),
        TypeId::of::<Box<dyn Error + Send + Sync>>(),
    ];
    let name = type_name::<E>();
    (!mute.contains(&TypeId::of::<E>()) && name != "anyhow::Error").then_some(name)
}

fn captured(trace: &Backtrace) -> Option<String> {
    (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
