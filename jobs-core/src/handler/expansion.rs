//! What `#[job]` expands to calls these. They are no part of the API: only what the attribute of the
//! same version writes may use them.
//!
//! Generic code stands here and not in the expansion, so that it is compiled once.

use std::marker::PhantomData;

use super::{
    BoxFuture, FromContext, Given, IntoJobError, JobArg, JobContext, JobError, JobOutput,
    Requirement, ResultLike,
};
use crate::client::{Client, Enqueue};
use crate::error::Error;
use crate::job::{ARGS_LIMIT, Job, NewJob, encode_result};
use crate::lifecycle::Success;

pub use inventory;
pub use jobs_cron::{Days, Misfire, MisfireRule};
pub use serde;

/// What a job returned that can fail.
pub fn fallible<R>(returned: R) -> Result<R::Ok, JobError>
where
    R: ResultLike<Err: IntoJobError>,
{
    returned.into_result().map_err(IntoJobError::into_job_error)
}

/// A success with this result. What cannot be kept leaves a note in its place: the work is done, and
/// doing it again would not help.
pub fn success<T: JobOutput>(value: T) -> Result<Success, JobError> {
    Ok(match encode_result(&value, ARGS_LIMIT) {
        Ok(result) => Success { result, note: None },
        Err(why) => Success {
            result: None,
            note: Some(format!("Its result could not be kept: {why}")),
        },
    })
}

/// Compiles if `T` can be stored.
pub const fn argument<T: JobArg>() {}

/// How a parameter of any type is filled in.
#[derive(Clone, Copy)]
pub struct Injected<T> {
    /// What for.
    pub requires: fn() -> Vec<Requirement>,
    /// Makes one. Boxed, so that the caller's future can be seen to be `Send` without the compiler
    /// looking into this one, where it is at a loss with lifetimes.
    pub get: for<'a> fn(&'a JobContext) -> BoxFuture<'a, Result<T, JobError>>,
}

/// How a parameter of type `T` is filled in. The only place where the compiler may say that it cannot.
pub const fn injected<T: FromContext + 'static>() -> Injected<T> {
    fn get<T: FromContext + 'static>(ctx: &JobContext) -> BoxFuture<'_, Result<T, JobError>> {
        Box::pin(T::from_context(ctx))
    }
    Injected {
        requires: T::requires,
        get,
    }
}

/// How a parameter `Data<T>` is filled in: without a future.
#[derive(Clone, Copy)]
pub struct InjectedNow<T> {
    /// What for.
    pub requires: fn() -> Vec<Requirement>,
    /// Makes one.
    pub get: fn(&JobContext) -> Result<T, JobError>,
}

/// How a parameter `Data<T>` is filled in. The only place where the compiler may say that it cannot.
pub const fn injected_now<T: Given>() -> InjectedNow<T> {
    InjectedNow {
        requires: T::requires,
        get: T::given,
    }
}

/// What all injected parameters require.
pub fn requires_all(all: &[fn() -> Vec<Requirement>]) -> Vec<Requirement> {
    all.iter().flat_map(|requires| requires()).collect()
}

/// The job of each run of a recurring job.
pub fn recurring_job<J: Job>(client: &Client, job: impl FnOnce() -> J) -> Result<NewJob, Error> {
    Enqueue::new(job()).into_job(client)
}

/// Asks the compiler what a type is. The inherent constants are there only for types that are what
/// they ask for, and come before those of [`Unknown`], which are there for all.
pub struct Probe<T>(PhantomData<T>);

/// The answers for types of which nothing is known.
pub trait Unknown {
    /// Whether a worker can fill it in.
    const INJECTED: bool = false;
    /// Whether it is a `Result`.
    const RESULT: bool = false;
}

impl<T> Unknown for Probe<T> {}

impl<T: FromContext> Probe<T> {
    /// A worker can fill it in.
    pub const INJECTED: bool = true;
}

impl<T, E> Probe<Result<T, E>> {
    /// It is a `Result`.
    pub const RESULT: bool = true;
}
