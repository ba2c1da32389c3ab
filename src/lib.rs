//! Background jobs for Rust: typed by the compiler, kept in PostgreSQL or SQLite, fast and never lost.
//! Annotate a function, enqueue it, and any number of workers on any number of machines run it.
//!
//! ```standalone_crate
//! use jobs::prelude::*;
//!
//! #[job(queue = "mail", retries = 5, timeout = "30s")]
//! async fn greet(name: String, greeting: Data<&'static str>) -> String {
//!     format!("{}, {name}!", *greeting)
//! }
//!
//! #[tokio::main]
//! async fn main() -> jobs::Result<()> {
//!     let storage = jobs::connect("memory:").await?;
//!     Client::new(storage.clone()).install();
//!     let worker = Worker::builder(storage).queues(["mail"]).data("Hello").start().await?;
//!
//!     let greeting = greet.enqueue("world").await?;
//!     assert_eq!(greeting.result().await?, "Hello, world!");
//!     worker.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! - [`job`](macro@job) says what the attribute takes, and what it makes of a function.
//! - [`Client`] creates jobs and looks after them, [`Worker`] runs them, a storage holds them ([`connect`]).
//! - [`JobContext`], [`Data`] and [`FromContext`] are what a job may take besides its arguments;
//!   [`JobError`] is how it says what shall happen when it fails.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `postgres` | yes | the storage in PostgreSQL, `postgres://…` |
//! | `sqlite` | yes | the storage in an SQLite file, `sqlite://jobs.db` |
//! | `anyhow` | no | an `anyhow::Error` that a job returns is kept whole: `retry_if` and the recorded attempts see what is in it |
//! | `testing` | no | `JobContext::for_test()`, a context for tests that call a job's function, and the conformance suite for storages |
//!
//! The storage in this process's memory, `memory:`, is always there.

mod connect;
mod time;

// The guides show both storages.
#[cfg(all(feature = "postgres", feature = "sqlite"))]
pub mod guide;
pub mod inspect;
pub mod prelude;
pub mod schedule;

pub use connect::connect;
pub use time::{days, hours, minutes, seconds};

pub use jobs_core::client::{
    AnyHandle, Batch, BatchHandle, BatchOperation, BulkOperation, Client, ClientBuilder,
    ControlOperation, Drain, Enqueue, EnqueueMany, EnqueuedMany, Flow, FlowHandle, FlowProgress,
    Handles, JobHandle, KindHandle, LimitHandle, LimitOperation, Moved, NodeRecord, OpenBatch,
    Operation, Partial, PauseOperation, QueueHandle, Then,
};
pub use jobs_core::client::{
    PauseRecurring, Recurring, RecurringDraft, RecurringOperation, Trigger, Triggered,
};
pub use jobs_core::handler::PruneRecurring;
pub use jobs_core::handler::RecurringEntry;
#[cfg(feature = "testing")]
pub use jobs_core::handler::TestContext;
pub use jobs_core::handler::{
    Argument, Data, Directive, FromContext, JobContext, JobEntry, JobError, JobFn, Registry,
    Requirement,
};
pub use jobs_core::job::{
    AttemptOutcome, Backoff, BatchId, Bound, ClaimId, Condition, Due, ErrorReport, Excess, IdError,
    Job, JobDefaults, JobId, LimitRule, LimitUse, OnConflict, Parent, ParentId, Priority,
    QueueOrder, QueuePattern, State, StoredOptions, UniqueUntil, WorkerId,
};
pub use jobs_core::job::{
    Deed, Occurrence, Origin, Overlap, RecurringPause, RecurringRecord, RecurringRun,
    RecurringSpec, Timing,
};
pub use jobs_core::storage::{MemoryStorage, Retention, StorageHandle};
pub use jobs_core::worker::{RunningWorker, Worker, WorkerBuilder};
pub use jobs_core::{Error, Result};
pub use jobs_cron::{Days, Misfire, Schedule};

/// ```
/// use jobs::prelude::*;
///
/// #[job]
/// async fn resize(image: i64) {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs::Result<()> {
/// let worker = Worker::builder(jobs::connect("memory:").await?).jobs(jobs![resize]).start().await?;
/// worker.stop().await;
/// # Ok(()) }
/// ```
pub use jobs_core::jobs;

/// Makes a job of a function.
#[doc = include_str!("job.md")]
pub use jobs_macros::job;

/// Says when a job recurs.
#[doc = include_str!("recurring.md")]
pub use jobs_macros::recurring;

#[cfg(feature = "postgres")]
pub use jobs_postgres::{PgStorage, migration_sql};
#[cfg(feature = "sqlite")]
pub use jobs_sqlite::SqliteStorage;

/// What the attributes expand to names only what is in here. It is no part of the API: it changes
/// without notice.
#[doc(hidden)]
pub mod __private {
    pub use jobs_core::client::{Enqueue, EnqueueMany, Partial, Then};
    pub use jobs_core::handler::expansion::{
        Days, Injected, InjectedNow, Misfire, MisfireRule, Probe, Unknown, argument, fallible,
        injected, injected_now, inventory, recurring_job, requires_all, serde, success,
    };
    pub use jobs_core::handler::{
        Argument, BoxFuture, EntryRef, JobArg, JobContext, JobEntry, JobError, JobFn,
        RecurringEntry, ResultLike, blocking, perform,
    };
    pub use jobs_core::job::{
        Backoff, Bound, Job, JobDefaults, LimitDefaults, LimitRule, OnConflict, Overlap, Priority,
        UniqueDefaults, UniqueUntil, Weight,
    };
    pub use jobs_core::lifecycle::Outcome;
    pub use jobs_macros::recurring_unread as recurring;
}
