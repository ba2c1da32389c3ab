//! What `#[job]` expands to calls these. They are no part of the API: only what the attribute of the
//! same version writes may use them.
//!
//! Generic code stands here and not in the expansion, so that it is compiled once.

use std::marker::PhantomData;

use super::{
    Data, FromContext, IntoJobError, JobArg, JobContext, JobError, Requirement, ResultLike,
};

pub use inventory;
pub use serde;

/// What a job returned that can fail.
pub fn fallible<R>(returned: R) -> Result<R::Ok, JobError>
where
    R: ResultLike<Err: IntoJobError>,
{
    returned.into_result().map_err(IntoJobError::into_job_error)
}

/// A parameter `Data<T>`: the most common of those that are injected, without a future.
pub fn data<T: Clone + Send + Sync + 'static>(ctx: &JobContext) -> Result<Data<T>, JobError> {
    Data::of(ctx)
}

/// Compiles if `T` can be stored.
pub const fn argument<T: JobArg>() {}

/// What one injected parameter requires.
pub fn requires<T: FromContext>() -> Vec<Requirement> {
    T::requires()
}

/// What all injected parameters require.
pub fn requires_all(all: &[fn() -> Vec<Requirement>]) -> Vec<Requirement> {
    all.iter().flat_map(|requires| requires()).collect()
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
