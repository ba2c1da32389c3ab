//! What a job's function may take and return, as traits with words of their own: the compiler shows
//! these words instead of a list of bounds from other crates.

use std::any::TypeId;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Data, FromContext, JobContext, JobError};

/// A type that can be an argument of a job. Implemented for everything that is `Serialize`,
/// `Deserialize`, `Clone`, `Debug`, `Send` and `Sync` and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a job",
    label = "cannot be stored with the job and read back",
    note = "an argument must implement `Serialize`, `Deserialize`, `Clone`, `Debug`, `Send` and `Sync`; types of other \
            crates often do with their feature `serde`, `Arc` and `Rc` with serde's feature `rc`",
    note = "if it is a service of the worker and not data, take `Data<{Self}>`, or mark the parameter `#[inject]`"
)]
pub trait JobArg: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> JobArg for T {}

/// A type that can be the result of a job. Implemented for everything that is `Serialize` and `Send`
/// and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a job",
    label = "cannot be stored",
    note = "a result must implement `Serialize` and `Send` and borrow nothing; return `()` when nobody reads it",
    note = "a job that can fail returns `Result<T, E>`"
)]
pub trait JobOutput: Serialize + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + Send + 'static> JobOutput for T {}

/// A type that can be the error of a job: whatever converts into a [`JobError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a job",
    label = "not an error that a job may return",
    note = "a job may return any `std::error::Error` that is `Send`, `Sync` and `'static`, `anyhow::Error`, \
            `Box<dyn Error + Send + Sync>`, `String`, or `JobError`"
)]
pub trait IntoJobError {
    /// The error as workers know it.
    fn into_job_error(self) -> JobError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<JobError> + 'static> IntoJobError for E {
    fn into_job_error(self) -> JobError {
        let error = self.into();
        if TypeId::of::<E>() == TypeId::of::<JobError>() {
            error
        } else {
            // Converted here and not by a `?` in the handler: this place says nothing.
            error.without_place()
        }
    }
}

/// `Result`, under whatever alias it was written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Result` and is none",
    label = "a job that can fail returns a `std::result::Result`, or an alias of one"
)]
pub trait ResultLike {
    /// What a success holds.
    type Ok;
    /// What a failure holds.
    type Err;
    /// The result under its own name.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> ResultLike for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }
}

/// A parameter that is known by its name, `Data<T>`, so that no `#[inject]` is needed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to a job",
    label = "not a `jobs::Data` of something that is `Clone`, `Send` and `Sync`",
    note = "every run gets a clone: derive `Clone`, or put it into an `Arc`, here and in `.data(..)`"
)]
pub trait Given: FromContext {
    /// Makes the value for one run, without waiting for anything.
    fn given(ctx: &JobContext) -> Result<Self, JobError>;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Given for Data<T> {
    fn given(ctx: &JobContext) -> Result<Self, JobError> {
        Self::of(ctx)
    }
}
