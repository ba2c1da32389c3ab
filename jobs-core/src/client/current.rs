//! Which client a call uses that names none: the task's, else the process's.

use std::future::Future;
use std::sync::{PoisonError, RwLock};

use super::Client;
use crate::error::{Error, Result};

static INSTALLED: RwLock<Option<Client>> = RwLock::new(None);

tokio::task_local! {
    static SCOPED: Client;
}

impl Client {
    /// Makes this the client of every call in this process that names none with `.on(&client)`.
    /// Installing another one replaces it.
    pub fn install(&self) {
        *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(self.clone());
    }

    /// Runs a future in which this is the client of calls that name none, whatever the process's is.
    /// That is how tests run side by side. It does not reach into tasks that the future spawns: wrap
    /// those too.
    ///
    /// ```
    /// # use jobs_core::{client::{Client, Enqueue}, job::Job, storage::MemoryStorage};
    /// # #[derive(serde::Serialize)] struct Ping {}
    /// # impl Job for Ping { const KIND: &'static str = "ping"; type Output = (); }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
    /// let client = Client::new(MemoryStorage::new());
    /// let ping = client.scope(async { Enqueue::new(Ping {}).await }).await?;
    /// assert!(client.inspect().job(ping.id()).await?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPED.scope(self.clone(), future)
    }

    /// The client of calls that name none: that of the innermost [`scope`](Self::scope) around this
    /// task, else the one that was [installed](Self::install), else an error.
    pub fn current() -> Result<Self> {
        let installed = || {
            INSTALLED
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        SCOPED
            .try_with(Self::clone)
            .ok()
            .or_else(installed)
            .ok_or(Error::NoClient)
    }
}

/// Takes the scope of this task along to wherever `run` is called, such as a thread for blocking work.
pub(crate) fn carrying_scope<R>(run: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let run = super::metadata::carrying(run);
    let scoped = SCOPED.try_with(Client::clone).ok();
    move || match scoped {
        Some(client) => SCOPED.sync_scope(client, run),
        None => run(),
    }
}
