//! Background jobs for Rust: typed by the compiler, kept in PostgreSQL or SQLite, fast and never lost.

mod connect;
mod time;

pub mod inspect;
pub mod prelude;

pub use connect::connect;
pub use time::{days, hours, minutes, seconds};

pub use jobs_core::client::{
    BulkOperation, Client, ClientBuilder, Enqueue, EnqueueMany, EnqueuedMany, Handles, JobHandle,
    Moved, Operation, QueueOperation,
};
pub use jobs_core::handler::{
    Data, Directive, FromContext, JobContext, JobEntry, JobError, JobFn, Registry, Requirement,
};
pub use jobs_core::job::{
    AttemptOutcome, Backoff, ClaimId, Due, ErrorReport, Job, JobDefaults, JobId, Priority,
    QueuePattern, State, StoredOptions, WorkerId,
};
pub use jobs_core::storage::{MemoryStorage, Retention, StorageHandle};
pub use jobs_core::worker::{RunningWorker, Worker, WorkerBuilder};
pub use jobs_core::{Error, Result, jobs};

#[cfg(feature = "postgres")]
pub use jobs_postgres::PgStorage;
#[cfg(feature = "sqlite")]
pub use jobs_sqlite::SqliteStorage;
