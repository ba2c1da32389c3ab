//! What a worker provides to the jobs it runs.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use tokio_util::sync::CancellationToken;

use super::{JobContext, JobError};
use crate::client::Client;

/// A parameter of a job that the worker fills in: a pool, a mailer, a configuration. It is given to
/// the worker with `.data(value)` and cloned for each run, so that what is costly to clone belongs
/// into an [`Arc`](std::sync::Arc).
///
/// A worker that was not given a `T` refuses to start if one of its jobs takes a `Data<T>`.
///
/// ```
/// # use jobs_core::handler::Data;
/// #[derive(Clone)]
/// struct Mailer;
///
/// async fn send_welcome(user_id: i64, Data(mailer): Data<Mailer>) {}
///
/// let _ = send_welcome(42, Data(Mailer)); // in a test: just call it
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<T> Deref for Data<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Data<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A type that a job may take as a parameter marked `#[inject]`: made anew for each run from what the
/// worker provides, and not stored with the job.
///
/// ```
/// # use jobs_core::handler::{FromContext, JobContext, JobError, Requirement};
/// /// The tenant that a job works for, taken from one of its tags.
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
///         let tenant = ctx.tags().iter().find_map(|tag| tag.strip_prefix("tenant:"));
///         Ok(Self(tenant.ok_or("the job has no tag `tenant:…`")?.into()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be injected into a job",
    label = "does not implement `jobs::FromContext`",
    note = "implement `jobs::FromContext` for it, or take it as `Data<{Self}>` and give it to the worker with `.data(..)`"
)]
pub trait FromContext: Sized + Send {
    /// Makes the value for one run. An error is an attempt that failed, as if the job had returned it.
    fn from_context(ctx: &JobContext) -> impl Future<Output = Result<Self, JobError>> + Send;

    /// What a worker must have been given for this to work. Checked when the worker starts. Defaults
    /// to nothing.
    fn requires() -> Vec<Requirement> {
        Vec::new()
    }
}

impl<T: Clone + Send + Sync + 'static> Data<T> {
    /// What the worker was given.
    pub(super) fn of(ctx: &JobContext) -> Result<Self, JobError> {
        ctx.data().map(Self).ok_or_else(|| {
            let name = type_name::<T>();
            format!("this worker has no Data<{name}>: give it one with .data(..)").into()
        })
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for Data<T> {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        Self::of(ctx)
    }

    fn requires() -> Vec<Requirement> {
        vec![Requirement::data::<T>()]
    }
}

impl FromContext for JobContext {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        Ok(ctx.clone())
    }
}

impl FromContext for Client {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        Ok(ctx.client().clone())
    }
}

impl FromContext for CancellationToken {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        Ok(ctx.cancellation())
    }
}

/// Something that a worker must have been given before it may run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Requirement {
    /// The type, as the compiler names it.
    pub type_name: &'static str,
    /// The type.
    pub type_id: TypeId,
}

impl Requirement {
    /// A value that jobs take as `Data<T>`.
    pub fn data<T: 'static>() -> Self {
        Self {
            type_name: type_name::<T>(),
            type_id: TypeId::of::<T>(),
        }
    }
}

/// The values that a worker was given for its jobs, one of each type.
///
/// ```
/// # use jobs_core::handler::DataMap;
/// let mut data = DataMap::new();
/// data.insert("a greeting");
/// assert_eq!(data.get(), Some("a greeting"));
/// assert_eq!(data.get::<u64>(), None);
/// ```
#[derive(Default)]
pub struct DataMap(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl DataMap {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value in, and gives back the one of the same type that it replaces.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let old = self.0.insert(TypeId::of::<T>(), Box::new(value))?;
        old.downcast().ok().map(|old| *old)
    }

    /// A clone of the value of this type.
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref().cloned()
    }

    /// Whether it has what is required.
    pub fn provides(&self, requirement: &Requirement) -> bool {
        self.0.contains_key(&requirement.type_id)
    }
}

impl fmt::Debug for DataMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataMap({} values)", self.0.len())
    }
}
