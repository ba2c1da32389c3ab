//! The core of `jobs`: what a job is, how it lives, and the worker that runs it; storages plug in
//! below. Users depend on the crate `jobs`, which re-exports what they need; storages depend on this
//! one.
//!
//! The floors, every import pointing down: `worker` and `maintenance`, `client` and `handler`,
//! `storage`, `lifecycle`, `job`, `clock` and `error`.

pub mod client;
pub mod clock;
pub mod handler;
pub mod job;
pub mod lifecycle;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod worker;

mod error;
mod maintenance;

pub use error::{Error, Result};
pub use worker::Worker;
