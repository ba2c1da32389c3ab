//! How jobs are run: what a handler is given, what it may return, and how a worker finds it.
//!
//! 1. `#[job]` describes a function in a [`JobEntry`]; a [`Registry`] collects the entries and checks
//!    them all when a worker starts.
//! 2. A worker makes a [`JobContext`] for each run and calls the entry's `perform` with it.
//! 3. `perform` decodes the arguments, gets the injected parameters ([`FromContext`]), calls the
//!    function and turns what it returned into an [`Outcome`](crate::lifecycle::Outcome). A panic goes
//!    through; the worker catches it with [`catch_panic`].

mod bounds;
mod context;
mod data;
mod declared;
mod decode;
mod entry;
mod error;
#[doc(hidden)]
pub mod expansion;
mod panic;
mod perform;
mod recurring;
mod registry;
#[cfg(any(test, feature = "testing"))]
mod test_context;

use std::pin::Pin;

pub use bounds::{Given, IntoJobError, JobArg, JobOutput, ResultLike};
pub use context::{ContextParts, JobContext, WorkerScope};
pub use data::{Data, DataMap, FromContext, Requirement};
pub use declared::PruneRecurring;
pub(crate) use declared::declare;
pub use entry::{Argument, EntryRef, JobEntry, JobFn};
pub use error::{Directive, JobError};
pub(crate) use panic::catch;
pub use panic::{Panic, catch_panic};
pub use perform::{blocking, perform};
pub use recurring::RecurringEntry;
pub use registry::Registry;
#[cfg(any(test, feature = "testing"))]
pub use test_context::TestContext;

/// A future on the heap, whatever its type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
