//! Many jobs of one kind on their way to a storage.

use std::fmt;
use std::future::IntoFuture;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::settings::{Settings, Template, job_options};
use super::within::Target;
use super::{BoxFuture, Client, JobHandle};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, NewJob};

/// After this many bytes of arguments the others on this thread have their turn.
const TURN: usize = 256 * 1024;

/// Many jobs of one kind, which will be enqueued when this is awaited: all of them, or, after an error,
/// none. The options are those of [`Enqueue`](super::Enqueue) and hold for each.
///
/// Everything is checked before anything is sent; an error names the item. At most
/// [`LIMIT`](Self::LIMIT) jobs go into one call.
///
/// ```
/// # use jobs_core::{client::Client, job::Job, storage::MemoryStorage};
/// # #[derive(serde::Serialize)] struct Resize { image: i64 }
/// # impl Job for Resize { const KIND: &'static str = "resize"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
/// # let client = Client::new(MemoryStorage::new());
/// let resized = client.enqueue_many((1..=100).map(|image| Resize { image })).queue("images").await?;
/// assert_eq!(resized.len(), 100);
/// # Ok(()) }
/// ```
#[must_use = "jobs are enqueued only when this is awaited"]
pub struct EnqueueMany<'t, J: Job> {
    jobs: Vec<J>,
    settings: Settings,
    target: Target<'t>,
}

impl<J: Job> EnqueueMany<'static, J> {
    /// Jobs to be enqueued.
    pub fn new(jobs: impl IntoIterator<Item = J>) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            settings: Settings::default(),
            target: Target::default(),
        }
    }
}

job_options!(EnqueueMany);

impl<J: Job> EnqueueMany<'_, J> {
    /// How many jobs can be enqueued at once: 100,000. All of them are in memory at once and are stored
    /// in one transaction, which must not become long enough to disturb others.
    pub const LIMIT: usize = 100_000;

    async fn send(self) -> Result<EnqueuedMany<J::Output>> {
        let (client, transaction) = self.target.resolve()?;
        let template = self.settings.complete::<J>()?;
        if self.jobs.len() > Self::LIMIT {
            return Err(Error::Invalid(format!(
                "{} jobs are too many to be enqueued all or none: at most {} at once; enqueue them in parts",
                self.jobs.len(),
                Self::LIMIT
            )));
        }
        let jobs = encode(&client, &template, self.jobs).await?;
        // Until here nothing was sent. The ids are made: sending again cannot store a job twice.
        let inserted = match transaction {
            _ if jobs.is_empty() => Vec::new(),
            Some(mut transaction) => transaction.insert(client.storage(), &jobs).await?,
            None => client.insert(&jobs).await?,
        };
        let ids = inserted.into_iter().map(|inserted| inserted.id).collect();
        Ok(EnqueuedMany {
            client,
            ids,
            output: PhantomData,
        })
    }
}

async fn encode<J: Job>(client: &Client, template: &Template, jobs: Vec<J>) -> Result<Vec<NewJob>> {
    let mut encoded = Vec::with_capacity(jobs.len());
    let mut turn = 0;
    for (index, job) in jobs.into_iter().enumerate() {
        let job = template.job(client, &job);
        let job =
            job.map_err(|error| Error::Invalid(format!("item {index}, counted from 0: {error}")))?;
        turn += job.args.len();
        encoded.push(job);
        if turn >= TURN {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(encoded)
}

impl<'t, J: Job> IntoFuture for EnqueueMany<'t, J> {
    type Output = Result<EnqueuedMany<J::Output>>;
    type IntoFuture = BoxFuture<'t, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<J: Job> fmt::Debug for EnqueueMany<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueMany")
            .field("kind", &J::KIND)
            .field("jobs", &self.jobs.len())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Jobs that were enqueued together, in the order in which they were given. Iterates over their handles.
pub struct EnqueuedMany<T> {
    client: Client,
    ids: Vec<JobId>,
    output: PhantomData<fn() -> T>,
}

impl<T> EnqueuedMany<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Their ids.
    pub fn ids(&self) -> &[JobId] {
        &self.ids
    }

    /// Handles on them.
    pub fn handles(
        &self,
    ) -> impl ExactSizeIterator<Item = JobHandle<T>> + DoubleEndedIterator + FusedIterator + '_
    {
        self.ids.iter().map(|&id| self.client.handle(id))
    }
}

impl<T> IntoIterator for EnqueuedMany<T> {
    type Item = JobHandle<T>;
    type IntoIter = Handles<T>;

    fn into_iter(self) -> Handles<T> {
        Handles {
            client: self.client,
            ids: self.ids.into_iter(),
            output: PhantomData,
        }
    }
}

impl<T> fmt::Debug for EnqueuedMany<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnqueuedMany").field(&self.ids).finish()
    }
}

/// The handles of an [`EnqueuedMany`].
pub struct Handles<T> {
    client: Client,
    ids: std::vec::IntoIter<JobId>,
    output: PhantomData<fn() -> T>,
}

impl<T> Iterator for Handles<T> {
    type Item = JobHandle<T>;

    fn next(&mut self) -> Option<JobHandle<T>> {
        self.ids.next().map(|id| self.client.handle(id))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl<T> ExactSizeIterator for Handles<T> {}

impl<T> fmt::Debug for Handles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handles")
            .field(&self.ids.as_slice())
            .finish()
    }
}
