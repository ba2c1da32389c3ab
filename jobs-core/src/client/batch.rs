//! Many jobs that belong together, of whatever kinds, and what follows when all of them have ended.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use super::enqueue_many::MOST_AT_ONCE;
use super::filling::{Filling, Members, One, Several, check_name};
use super::within::{AnyTransaction, Target};
use super::{BatchHandle, BoxFuture, Client, Enqueue, EnqueueMany};
use crate::error::{Error, Result};
use crate::job::{BatchId, Condition, Job, NewJob};
use crate::storage::{Storage, Within};

/// Jobs that belong together, and what follows when all of them have ended. Stored when this is awaited,
/// whole or not at all.
///
/// Jobs that follow are plain jobs that wait for the batch; they are not members. The batch ends when all
/// its members are final: as Succeeded, as Failed if one of them is Failed, as Deleted if it was
/// cancelled. Members may be enqueued later too, as long as it has not ended: `.in_batch(&batch)`.
///
/// ```
/// # use jobs_core::{client::{Batch, Client, Enqueue, EnqueueMany}, job::Job, storage::MemoryStorage};
/// # #[derive(serde::Serialize)] struct Resize { image: i64 }
/// # impl Job for Resize { const KIND: &'static str = "resize"; type Output = (); }
/// # #[derive(serde::Serialize)] struct Publish {}
/// # impl Job for Publish { const KIND: &'static str = "publish"; type Output = (); }
/// # async fn example(client: Client) -> jobs_core::Result<()> {
/// let album = Batch::new()
///     .name("album 7")
///     .add_many(EnqueueMany::new((1..=100).map(|image| Resize { image })))
///     .on_success(Enqueue::new(Publish {}))
///     .on(&client)
///     .await?;
/// println!("{} of {} done", album.record().await?.succeeded, 100);
/// # Ok(()) }
/// ```
#[must_use = "a batch is stored only when this is awaited"]
pub struct Batch<'t> {
    content: Content,
    target: Target<'t>,
}

/// What a batch is to be, wherever it goes.
#[derive(Default)]
pub(super) struct Content {
    pub(super) name: Option<String>,
    pub(super) keep_for: Option<Duration>,
    pub(super) members: Vec<Box<dyn Members>>,
    /// How many jobs the members are, chains counted as one.
    count: usize,
    pub(super) callbacks: Vec<(Condition, Jobs)>,
    pub(super) batches: Vec<Batch<'static>>,
    mistake: Option<Error>,
}

/// One job, or a chain, to be made once the client is known.
pub(super) type Jobs = Box<dyn FnOnce(&Client) -> Result<Vec<NewJob>> + Send>;

impl Batch<'static> {
    /// How many members a batch may have when it is stored: 1,000,000.
    pub const LIMIT: usize = 1_000_000;

    /// A batch without members, which would end at once.
    pub fn new() -> Self {
        Self {
            content: Content::default(),
            target: Target::default(),
        }
    }
}

impl Default for Batch<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'t> Batch<'t> {
    /// What people call it: 1 to 256 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if let Err(error) = check_name("batch", &name) {
            self.content.mistake.get_or_insert(error);
        }
        self.content.name = Some(name);
        self
    }

    /// How long it and its members are kept once it has ended; a member's own time comes first. Defaults
    /// to the worker's retention.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.content.keep_for = Some(time);
        self
    }

    /// Adds a job, or a chain of jobs.
    #[expect(
        clippy::should_implement_trait,
        reason = "jobs are added, not summed up"
    )]
    pub fn add<J: Job>(mut self, job: Enqueue<'static, J>) -> Self {
        self.content.count += 1;
        self.content.members.push(Box::new(One::new(job)));
        self
    }

    /// Adds many jobs of one kind, up to a million. They are sent some thousand at a time; none of them
    /// runs before all are stored.
    pub fn add_many<J: Job>(mut self, jobs: EnqueueMany<'static, J>) -> Self {
        self.content.count += jobs.len();
        let jobs = Several::Given(Box::new(jobs));
        self.content.members.push(Box::new(jobs));
        self
    }

    /// Adds another batch as one member: this one does not end before it has, and it counts here as it
    /// ended.
    pub fn add_batch(mut self, batch: Batch<'static>) -> Self {
        self.content.batches.push(batch);
        self
    }

    /// Enqueues a job when all members have Succeeded (or were deleted one by one). While a member is
    /// Failed it waits on, because that may be run again; when the batch is cancelled, it is Deleted.
    pub fn on_success<J: Job>(self, job: Enqueue<'static, J>) -> Self {
        self.callback(Condition::Success, job)
    }

    /// Enqueues a job when all members have ended, and one of them is Failed.
    pub fn on_failure<J: Job>(self, job: Enqueue<'static, J>) -> Self {
        self.callback(Condition::Failure, job)
    }

    /// Enqueues a job when the batch was cancelled, and all members have ended.
    pub fn on_deletion<J: Job>(self, job: Enqueue<'static, J>) -> Self {
        self.callback(Condition::Deletion, job)
    }

    /// Enqueues a job when all members have ended, in whatever way.
    pub fn on_completion<J: Job>(self, job: Enqueue<'static, J>) -> Self {
        self.callback(Condition::Any, job)
    }

    fn callback<J: Job>(mut self, on: Condition, job: Enqueue<'static, J>) -> Self {
        let jobs: Jobs = Box::new(|client| job.jobs(client, "batch"));
        self.content.callbacks.push((on, jobs));
        self
    }

    /// Goes to the storage of this client. Defaults to [`Client::current`].
    pub fn on(mut self, client: &Client) -> Self {
        self.target.client = Some(client.clone());
        self
    }

    /// Stores the batch within the caller's own transaction or connection, as
    /// [`Enqueue::within`](super::Enqueue::within) does. For up to
    /// [100,000](super::EnqueueMany::LIMIT) members, and no batches in it.
    pub fn within<'u, S, C>(self, transaction: &'u mut C) -> Batch<'u>
    where
        't: 'u,
        S: Storage,
        C: Within<S>,
    {
        Batch {
            content: self.content,
            target: self.target.within(transaction),
        }
    }

    /// Stores the batch, to be filled bit by bit: what is added runs once it is
    /// [sealed](OpenBatch::seal). For more members than fit into memory, or for those that only come to
    /// light one after the other.
    pub async fn open(mut self) -> Result<OpenBatch> {
        let (client, transaction) = self.check()?;
        if transaction.is_some() {
            return Err(Error::Invalid(
                "a batch cannot be filled bit by bit within a transaction".into(),
            ));
        }
        let (mut filling, rest) = Filling::new(client, None, self.content)?;
        filling.store_open(rest).await?;
        Ok(OpenBatch { filling })
    }

    async fn send(mut self) -> Result<BatchHandle> {
        let (client, transaction) = self.check()?;
        let id = match transaction {
            Some(transaction) => self.send_within(&client, transaction).await?,
            None => {
                let (mut filling, rest) = Filling::new(client.clone(), None, self.content)?;
                filling.store(rest).await?;
                filling.batch.id
            }
        };
        Ok(BatchHandle::new(Some(client), id))
    }

    async fn send_within(
        self,
        client: &Client,
        mut transaction: Box<dyn AnyTransaction + 't>,
    ) -> Result<BatchId> {
        if !self.content.batches.is_empty() {
            return Err(Error::Invalid(
                "a batch with batches in it cannot be stored within a transaction: store it by itself".into(),
            ));
        }
        if self.content.count > MOST_AT_ONCE {
            return Err(Error::Invalid(format!(
                "a batch of {} jobs is too large for a transaction: at most {}; store it by itself",
                self.content.count, MOST_AT_ONCE
            )));
        }
        let (filling, mut rest) = Filling::new(client.clone(), None, self.content)?;
        let mut jobs = rest.callbacks;
        loop {
            let chunk = filling.chunk(&mut rest.members).await?;
            if chunk.is_empty() {
                break;
            }
            jobs.extend(chunk);
        }
        transaction
            .create_batch(client.storage(), &filling.batch, &jobs)
            .await?;
        Ok(filling.batch.id)
    }

    fn check(&mut self) -> Result<(Client, Option<Box<dyn AnyTransaction + 't>>)> {
        if let Some(mistake) = self.first_mistake() {
            return Err(mistake);
        }
        let total = self.total();
        if total > Batch::LIMIT {
            return Err(Error::Invalid(format!(
                "a batch of {total} jobs is too large: at most {}",
                Batch::LIMIT
            )));
        }
        std::mem::take(&mut self.target).resolve()
    }

    fn first_mistake(&mut self) -> Option<Error> {
        let own = self.content.mistake.take();
        own.or_else(|| {
            let mut inner = self.content.batches.iter_mut();
            inner.find_map(Batch::first_mistake_of_inner)
        })
    }

    fn total(&self) -> usize {
        let inner = self.content.batches.iter().map(Batch::total);
        self.content.count + inner.sum::<usize>()
    }
}

impl Batch<'static> {
    /// What it is to be, in a batch that says where it goes.
    pub(super) fn into_content(self) -> Content {
        self.content
    }

    fn first_mistake_of_inner(&mut self) -> Option<Error> {
        if !self.target.is_default() {
            return Some(Error::Invalid(
                "a batch in a batch is stored with it: say `.on(..)` of the outer one".into(),
            ));
        }
        self.first_mistake()
    }
}

impl<'t> IntoFuture for Batch<'t> {
    type Output = Result<BatchHandle>;
    type IntoFuture = BoxFuture<'t, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("name", &self.content.name)
            .field("members", &self.content.count)
            .field("batches", &self.content.batches)
            .finish_non_exhaustive()
    }
}

/// A batch that is being filled. Nothing in it runs before it is [sealed](Self::seal); if it is not sealed
/// within an hour, it is removed with all that is in it.
#[derive(Debug)]
#[must_use = "a batch that is not sealed is removed"]
pub struct OpenBatch {
    filling: Filling,
}

impl OpenBatch {
    /// Its identity.
    pub fn id(&self) -> BatchId {
        self.filling.batch.id
    }

    /// Adds a job, or a chain of jobs.
    pub async fn add<J: Job>(&mut self, job: Enqueue<'static, J>) -> Result<()> {
        let jobs = job.jobs(&self.filling.client, "batch")?;
        let jobs = self.filling.members(jobs)?;
        self.filling.insert(jobs).await
    }

    /// Adds many jobs of one kind.
    pub async fn add_many<J: Job>(&mut self, jobs: EnqueueMany<'static, J>) -> Result<()> {
        let mut members: Vec<Box<dyn Members>> = vec![Box::new(Several::Given(Box::new(jobs)))];
        self.filling.insert_all(&mut members).await
    }

    /// Makes the batch complete, with those in it, in one step: all members run from now on. With a million of
    /// them this may take some ten seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the connection was lost and the storage could not be reached again for 30 s. Then
    /// nobody knows whether it was done: the batch's [record](BatchHandle::record) tells later, by its `sealed_at`.
    pub async fn seal(self) -> Result<BatchHandle> {
        let Self { filling } = self;
        filling
            .client
            .storage()
            .seal_batch(filling.batch.id)
            .await?;
        Ok(BatchHandle::new(Some(filling.client), filling.batch.id))
    }
}
