//! Many jobs of one kind on their way to a storage.

use std::fmt;
use std::future::IntoFuture;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::rules::{Key, job_rules};
use super::settings::{Settings, Template, job_options};
use super::within::Target;
use super::{Batch, BoxFuture, Client, JobHandle};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, NewJob, encode_args};
use crate::storage::Inserted;

/// How many jobs go into one transaction at most.
pub(super) const MOST_AT_ONCE: usize = 100_000;

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
    jobs: Many<J>,
    settings: Settings,
    target: Target<'t>,
}

/// Makes the unique key of each job.
type KeyOf<J> = Box<dyn Fn(&J) -> String + Send + Sync>;

struct Many<J> {
    jobs: Vec<J>,
    key_of: Option<KeyOf<J>>,
}

impl<J: Job> EnqueueMany<'static, J> {
    /// Jobs to be enqueued.
    pub fn new(jobs: impl IntoIterator<Item = J>) -> Self {
        Self {
            jobs: Many {
                // One more than anything takes is too many, and will be told; an iterator may be endless.
                jobs: jobs.into_iter().take(Batch::LIMIT + 1).collect(),
                key_of: None,
            },
            settings: Settings::default(),
            target: Target::default(),
        }
    }
}

job_options!(EnqueueMany);
job_rules!(EnqueueMany);

impl<J: Job> EnqueueMany<'_, J> {
    /// How many jobs can be enqueued at once: 100,000. All of them are in memory at once and are stored
    /// in one transaction, which must not become long enough to disturb others. A
    /// [`Batch`](super::Batch) takes more.
    pub const LIMIT: usize = MOST_AT_ONCE;

    /// Gives each job a unique key of 1 to 256 bytes. Of those with one key the first is stored, and only
    /// if nobody else holds it; the handles of the others are the holder's, and
    /// [say so](JobHandle::is_existing).
    pub fn unique_by(mut self, key: impl Fn(&J) -> String + Send + Sync + 'static) -> Self {
        self.jobs.key_of = Some(Box::new(key));
        self.settings.unique(Key::Each);
        self
    }

    async fn send(self) -> Result<EnqueuedMany<J::Output>> {
        let (client, transaction) = self.target.resolve()?;
        let mut encoder = Encoder::new(self.jobs, self.settings)?;
        if encoder.left() > Self::LIMIT {
            return Err(Error::Invalid(format!(
                "{} jobs are too many to be enqueued all or none: at most {} at once; enqueue them in parts, or put \
                 them into a batch",
                encoder.left(),
                Self::LIMIT
            )));
        }
        let jobs = encoder.encode(&client, usize::MAX).await?;
        // Until here nothing was sent. The ids are made: sending again cannot store a job twice.
        let inserted = match transaction {
            _ if jobs.is_empty() => Vec::new(),
            Some(mut transaction) => transaction.insert(client.storage(), &jobs).await?,
            None => client.insert(&jobs).await?,
        };
        let of_others = |(inserted, job): (Inserted, &NewJob)| Stored {
            id: inserted.id,
            existing: inserted.existing && inserted.id != job.id,
        };
        let stored = inserted.into_iter().zip(&jobs).map(of_others).collect();
        Ok(EnqueuedMany::new(client, stored))
    }

    /// The jobs, to be stored together with others, a part at a time.
    pub(super) fn encoder(self, of: &str) -> Result<Encoder<J>> {
        if !self.target.is_default() {
            return Err(Error::Invalid(format!(
                "jobs of a {of} are stored with it: say `.on(..)` and `.within(..)` of the {of}"
            )));
        }
        Encoder::new(self.jobs, self.settings)
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.jobs.len()
    }
}

/// Encodes jobs one after the other.
pub(super) struct Encoder<J> {
    template: Template,
    jobs: std::iter::Enumerate<std::vec::IntoIter<J>>,
    key_of: Option<KeyOf<J>>,
}

impl<J: Job> Encoder<J> {
    fn new(jobs: Many<J>, settings: Settings) -> Result<Self> {
        Ok(Self {
            template: settings.complete::<J>()?,
            jobs: jobs.jobs.into_iter().enumerate(),
            key_of: jobs.key_of,
        })
    }

    fn left(&self) -> usize {
        self.jobs.len()
    }

    /// The next jobs, at most so many; none at the end.
    pub(super) async fn encode(&mut self, client: &Client, most: usize) -> Result<Vec<NewJob>> {
        let mut encoded = Vec::with_capacity(self.left().min(most));
        let mut turn = 0;
        while encoded.len() < most
            && let Some((index, job)) = self.jobs.next()
        {
            let job = self.one(client, &job).map_err(|error| {
                Error::Invalid(format!("item {index}, counted from 0: {error}"))
            })?;
            turn += job.args.len();
            encoded.push(job);
            if turn >= TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(encoded)
    }

    fn one(&self, client: &Client, job: &J) -> Result<NewJob> {
        let key = self.key_of.as_ref().map(|key_of| key_of(job));
        let args = encode_args(job, client.0.args_limit)?;
        self.template.encoded(client, J::KIND, args, key)
    }
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
            .field("jobs", &self.len())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Jobs that were enqueued together, in the order in which they were given. Iterates over their handles.
pub struct EnqueuedMany<T> {
    client: Client,
    ids: Vec<JobId>,
    /// Which of them stood there before; empty if none did.
    existing: Vec<bool>,
    output: PhantomData<fn() -> T>,
}

/// Which job stands for the one that was given.
struct Stored {
    id: JobId,
    existing: bool,
}

impl<T> EnqueuedMany<T> {
    fn new(client: Client, stored: Vec<Stored>) -> Self {
        let any = stored.iter().any(|stored| stored.existing);
        let existing = stored.iter().filter(|_| any).map(|stored| stored.existing);
        Self {
            client,
            existing: existing.collect(),
            ids: stored.iter().map(|stored| stored.id).collect(),
            output: PhantomData,
        }
    }

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
        (0..self.ids.len()).map(|at| handle(&self.client, self.ids[at], &self.existing, at))
    }
}

fn handle<T>(client: &Client, id: JobId, existing: &[bool], at: usize) -> JobHandle<T> {
    client
        .handle(id)
        .existing(existing.get(at).copied().unwrap_or(false))
}

impl<T> IntoIterator for EnqueuedMany<T> {
    type Item = JobHandle<T>;
    type IntoIter = Handles<T>;

    fn into_iter(self) -> Handles<T> {
        Handles {
            client: self.client,
            ids: self.ids.into_iter().enumerate(),
            existing: self.existing,
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
    ids: std::iter::Enumerate<std::vec::IntoIter<JobId>>,
    existing: Vec<bool>,
    output: PhantomData<fn() -> T>,
}

impl<T> Iterator for Handles<T> {
    type Item = JobHandle<T>;

    fn next(&mut self) -> Option<JobHandle<T>> {
        let (at, id) = self.ids.next()?;
        Some(handle(&self.client, id, &self.existing, at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl<T> ExactSizeIterator for Handles<T> {}

impl<T> fmt::Debug for Handles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.ids.clone().map(|(_, id)| id))
            .finish()
    }
}
