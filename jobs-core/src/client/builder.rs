//! The settings of a client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::coalesce::Coalescer;
use super::{Client, Inner};
use crate::job::ARGS_LIMIT;
use crate::storage::{RETRY_FOR, StorageHandle};

/// Sets up a [`Client`]; made by [`Client::builder`].
///
/// ```
/// # use jobs_core::{client::Client, storage::MemoryStorage};
/// let client = Client::builder(MemoryStorage::new())
///     .args_limit(64 * 1024)
///     .actor("billing")
///     .build();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct ClientBuilder {
    storage: StorageHandle,
    args_limit: usize,
    retry_for: Duration,
    coalesce: bool,
    max_batch: usize,
    actor: Option<String>,
}

impl ClientBuilder {
    pub(super) fn new(storage: StorageHandle) -> Self {
        Self {
            storage,
            args_limit: ARGS_LIMIT,
            retry_for: RETRY_FOR,
            coalesce: true,
            max_batch: 1_000,
            actor: None,
        }
    }

    /// How large the arguments of one job may be, in bytes of JSON. Larger ones are an error when the
    /// job is enqueued. Defaults to 1 MiB.
    pub fn args_limit(mut self, bytes: usize) -> Self {
        self.args_limit = bytes;
        self
    }

    /// How long enqueueing goes on trying while the storage cannot be reached or is busy; then the
    /// error is returned. No job is stored twice by that. Zero tries once. Defaults to 5 seconds.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Whether jobs that are enqueued one by one at the same time share statements. Each `await` still
    /// returns after its own job is committed. Defaults to true.
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// How many jobs share a statement at most. Defaults to 1,000; 0 means 1.
    pub fn max_batch(mut self, jobs: usize) -> Self {
        self.max_batch = jobs.max(1);
        self
    }

    /// In whose name operators' verbs are carried out where none is given. Defaults to the name of the
    /// program and its process id.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        let Self {
            storage,
            args_limit,
            retry_for,
            coalesce,
            max_batch,
            actor,
        } = self;
        let coalescer =
            coalesce.then(|| Arc::new(Coalescer::new(storage.clone(), retry_for, max_batch)));
        Client(Arc::new(Inner {
            storage,
            args_limit,
            retry_for,
            actor: actor.unwrap_or_else(this_program),
            coalescer,
        }))
    }
}

fn this_program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or("program".as_ref());
    format!("{} ({})", name.to_string_lossy(), std::process::id())
}
