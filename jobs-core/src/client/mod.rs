//! Creates jobs and looks after them.
//!
//! A [`Client`] says which storage; [`Enqueue`] and [`EnqueueMany`] are jobs on their way there, a
//! [`Batch`] and a [`Flow`] many that belong together, and a [`JobHandle`], [`BatchHandle`] or
//! [`FlowHandle`] is what one has afterwards. What operators do goes through a client too.

mod batch;
mod batch_handle;
mod builder;
mod chain;
mod coalesce;
mod control;
mod current;
mod drain;
mod enqueue;
mod enqueue_many;
mod filling;
mod flow;
mod flow_handle;
mod handle;
mod limits;
mod metadata;
mod operation;
mod parents;
mod recurring;
mod rules;
mod settings;
mod within;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::job::{Job, JobId, NewJob};
use crate::storage::{Inserted, Inspect, StorageHandle};
use coalesce::{Coalescer, Road};

pub use batch::{Batch, OpenBatch};
pub use batch_handle::{BatchHandle, BatchOperation};
pub use builder::ClientBuilder;
pub use chain::{Partial, Then};
pub use control::{ControlOperation, KindHandle, PauseOperation, QueueHandle};
pub(crate) use current::carrying_scope;
pub use drain::Drain;
pub use enqueue::Enqueue;
pub use enqueue_many::{EnqueueMany, EnqueuedMany, Handles};
pub use flow::Flow;
pub use flow_handle::{FlowHandle, FlowProgress, NodeRecord};
pub use handle::JobHandle;
pub(crate) use handle::read;
pub use limits::{LimitHandle, LimitOperation};
pub(crate) use metadata::{handed_down, handing_down};
pub use operation::{BulkOperation, Moved, Operation};
pub use parents::AnyHandle;
pub use recurring::{
    PauseRecurring, Recurring, RecurringDraft, RecurringOperation, Trigger, Triggered,
};

type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Creates jobs in one storage, and looks after them. Cheap to clone: make one and hand it around.
///
/// ```
/// # use jobs_core::{client::Client, job::Job, storage::MemoryStorage};
/// # #[derive(serde::Serialize)] struct SendWelcome { user_id: i64 }
/// # impl Job for SendWelcome { const KIND: &'static str = "send_welcome"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
/// let client = Client::new(MemoryStorage::new());
/// let welcome = client.enqueue(SendWelcome { user_id: 42 }).await?;
/// println!("{} is {}", welcome.id(), welcome.state().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    storage: StorageHandle,
    args_limit: usize,
    retry_for: Duration,
    actor: String,
    coalescer: Option<Arc<Coalescer>>,
}

impl Client {
    /// A client of this storage, with the default settings.
    pub fn new(storage: impl Into<StorageHandle>) -> Self {
        Self::builder(storage).build()
    }

    /// A client with other settings.
    pub fn builder(storage: impl Into<StorageHandle>) -> ClientBuilder {
        ClientBuilder::new(storage.into())
    }

    /// The storage that its jobs go to.
    pub fn storage(&self) -> &StorageHandle {
        &self.0.storage
    }

    /// The read side of the storage: jobs, counts, queues, workers.
    pub fn inspect(&self) -> &dyn Inspect {
        self.0.storage.inspect()
    }

    /// A job to be enqueued with this client. Nothing happens before the answer is awaited.
    pub fn enqueue<J: Job>(&self, job: J) -> Enqueue<'static, J> {
        Enqueue::new(job).on(self)
    }

    /// Jobs of one kind to be enqueued with this client, all or none of them.
    pub fn enqueue_many<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> EnqueueMany<'static, J> {
        EnqueueMany::new(jobs).on(self)
    }

    /// A handle on a job whose id and output are known. Whether there is such a job is not asked.
    pub fn handle<T>(&self, job: JobId) -> JobHandle<T> {
        JobHandle::new(Some(self.clone()), job)
    }

    /// A new id. Its time is the storage's: it says which day's table keeps the job.
    fn new_id(&self) -> JobId {
        JobId::at(self.0.storage.now())
    }

    /// Stores one job, together with others that are on their way at the same time, if it can go with others.
    async fn insert_one(&self, job: NewJob) -> Result<Inserted> {
        match (&self.0.coalescer, Road::of(&job)) {
            (Some(coalescer), Some(road)) => coalescer.insert(job, road).await,
            _ => only(self.insert(&[job]).await?),
        }
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        let inserted = self.0.storage.insert_retrying(jobs, self.0.retry_for);
        counted(inserted.await?, jobs.len())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(self.storage()).finish()
    }
}

impl From<&Self> for Client {
    fn from(client: &Self) -> Self {
        client.clone()
    }
}

/// A storage that answers for other jobs than it was given must not pass for one that stored them.
fn counted(inserted: Vec<Inserted>, jobs: usize) -> Result<Vec<Inserted>> {
    if inserted.len() == jobs {
        return Ok(inserted);
    }
    let answers = inserted.len();
    Err(Error::Storage {
        doing: "insert".into(),
        source: format!("the storage gave {answers} answers for {jobs} jobs; this is a bug in it")
            .into(),
    })
}

fn only(inserted: Vec<Inserted>) -> Result<Inserted> {
    counted(inserted, 1).map(|inserted| inserted[0])
}

#[cfg(test)]
mod tests;
