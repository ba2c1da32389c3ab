//! Runs jobs.
//!
//! A [`Worker`] has these parts, each a file: the *dispatcher* claims jobs and holds a few, *runners*
//! take them from there and run them (`executor`), the *settler* writes down how they ended, the
//! *heartbeat* shows that the worker lives, and *revocation* notices what was taken away. They share a
//! `Crew`, which is one incarnation: a worker that others took for dead starts over with a new one.

mod appetite;
mod builder;
mod caps;
mod config;
mod crew;
mod dispatcher;
mod executor;
mod handover;
mod heartbeat;
mod held;
mod incarnation;
mod ledger;
mod prefetch;
mod queues;
mod readiness;
mod revocation;
mod running;
mod running_worker;
mod serving;
mod settler;
mod signals;

pub use builder::WorkerBuilder;
pub use incarnation::Worker;
pub use running_worker::RunningWorker;
