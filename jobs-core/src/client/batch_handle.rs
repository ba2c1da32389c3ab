//! What one has of a batch that was stored.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::operation::{Cause, cause};
use super::parents::conditions;
use super::{BoxFuture, Client, Enqueue, EnqueueMany, JobHandle};
use crate::error::{Error, Result};
use crate::job::{BatchId, Job, JobRecord, State};
use crate::storage::{BatchRecord, JobFilter, JobPage};

/// How soon to look again whether a batch has ended, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A batch that was stored. Cheap to clone; dropping it does nothing to the batch.
#[derive(Clone)]
pub struct BatchHandle {
    id: BatchId,
    client: Option<Client>,
}

conditions!(impl[] BatchHandle, Batch);

impl Client {
    /// A handle on a batch whose id is known. Whether there is such a batch is not asked.
    pub fn batch(&self, id: BatchId) -> BatchHandle {
        BatchHandle::new(Some(self.clone()), id)
    }
}

impl BatchHandle {
    pub(super) fn new(client: Option<Client>, id: BatchId) -> Self {
        Self { id, client }
    }

    /// A handle on a batch whose id is known, of the [current client](Client::current) at each call.
    /// Whether there is such a batch is not asked.
    pub fn of(id: BatchId) -> Self {
        Self::new(None, id)
    }

    /// The batch's identity: keep it, and [`of`](Self::of) or [`Client::batch`] make a handle of it again.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// How far it is: its counts are those of a second ago at most.
    ///
    /// Fails with [`Error::UnknownBatch`] if there is no such batch: never stored, or removed after its
    /// retention.
    pub async fn record(&self) -> Result<BatchRecord> {
        let record = self.client()?.inspect().batch(self.id).await?;
        record.ok_or(Error::UnknownBatch(self.id))
    }

    /// Waits until all members are final. One that is Failed counts as final: the batch has then ended as
    /// Failed. Jobs of the batch that wait for the success of a failed one keep it from ending.
    ///
    /// A storage that cannot be reached is waited for as long as the client's `retry_for`. Fails as
    /// [`record`](Self::record) does.
    pub async fn wait(&self) -> Result<BatchRecord> {
        loop {
            if let Some(record) = self.wait_for(Duration::MAX).await? {
                return Ok(record);
            }
        }
    }

    /// Waits until all members are final, but at most this long: then `None`.
    pub async fn wait_for(&self, time: Duration) -> Result<Option<BatchRecord>> {
        let mut looks = Looks::new(&self.client()?, time);
        loop {
            let seen = self.record().await;
            let ended = seen.map(|record| record.finished_at.is_some().then_some(record));
            if let Some(answer) = looks.or_wait(ended).await {
                return answer;
            }
        }
    }

    /// A job to be enqueued as a member, if the batch has not ended.
    pub fn add<J: Job>(&self, job: Enqueue<'static, J>) -> Enqueue<'static, J> {
        self.with_client(job.in_batch(self.id), Enqueue::on)
    }

    /// Jobs to be enqueued as members, if the batch has not ended.
    pub fn add_many<J: Job>(&self, jobs: EnqueueMany<'static, J>) -> EnqueueMany<'static, J> {
        self.with_client(jobs.in_batch(self.id), EnqueueMany::on)
    }

    fn with_client<B>(&self, builder: B, on: impl FnOnce(B, &Client) -> B) -> B {
        match &self.client {
            Some(client) => on(builder, client),
            None => builder,
        }
    }

    /// Cancels it, and the batches in it: nothing can be added, what runs is told to stop, and all members
    /// that are not final are Deleted. Answers how many. One that has ended is left alone.
    pub fn cancel(&self) -> BatchOperation {
        BatchOperation {
            batch: self.clone(),
            cause: Cause::default(),
        }
    }

    /// Lets an ended or cancelled batch take members again, and end once more. Jobs that waited for its
    /// first end are not run again.
    pub async fn reopen(&self) -> Result<()> {
        self.client()?.storage().reopen_batch(self.id).await
    }

    /// Its members that match, newest first, a page at a time; not those of batches in it.
    pub async fn members(&self, filter: &JobFilter) -> Result<JobPage> {
        let filter = JobFilter {
            batch: Some(self.id),
            ..filter.clone()
        };
        self.client()?.inspect().jobs(&filter).await
    }

    /// What the members of a kind returned that have Succeeded, in the order in which they were enqueued:
    /// `batch.results::<Resize>()`, where `Resize` are the arguments of the job `resize`. Reads all of them
    /// into memory.
    ///
    /// Fails with [`Error::NoResult`] if a result was not kept or does not read as the job's output.
    pub async fn results<J>(&self) -> Result<Vec<J::Output>>
    where
        J: Job<Output: DeserializeOwned>,
    {
        let filter = JobFilter {
            kind: Some(J::KIND.into()),
            state: Some(State::Succeeded),
            ..JobFilter::default()
        };
        let records = self.all_members(filter).await?;
        records.into_iter().map(super::handle::read).collect()
    }

    /// All members that match, oldest first.
    pub(super) async fn all_members(&self, mut filter: JobFilter) -> Result<Vec<JobRecord>> {
        filter.limit = 1_000;
        let mut all = Vec::new();
        loop {
            let page = self.members(&filter).await?;
            all.extend(page.jobs);
            filter.before = page.next;
            if filter.before.is_none() {
                break;
            }
        }
        all.reverse();
        Ok(all)
    }

    pub(super) fn client(&self) -> Result<Client> {
        self.client.clone().map_or_else(Client::current, Ok)
    }

    /// A handle on one of its jobs.
    pub(super) fn job<T>(&self, record: &JobRecord) -> JobHandle<T> {
        JobHandle::new(self.client.clone(), record.id)
    }
}

/// Looks at a storage again and again, until there is something to be seen or the time is over.
pub(super) struct Looks {
    ends: Option<Instant>,
    reached: Instant,
    pause: Duration,
    retry_for: Duration,
}

impl Looks {
    pub(super) fn new(client: &Client, time: Duration) -> Self {
        let now = Instant::now();
        Self {
            ends: now.checked_add(time),
            reached: now,
            pause: FIRST_PAUSE,
            retry_for: client.0.retry_for,
        }
    }

    /// The answer, if this was the last look; else nothing, after a pause.
    pub(super) async fn or_wait<T>(
        &mut self,
        seen: Result<Option<T>>,
    ) -> Option<Result<Option<T>>> {
        match seen {
            Ok(Some(found)) => return Some(Ok(Some(found))),
            Ok(None) => self.reached = Instant::now(),
            Err(error) if error.is_transient() && self.reached.elapsed() < self.retry_for => {}
            Err(error) => return Some(Err(error)),
        }
        let left = self
            .ends
            .map(|ends| ends.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Some(Ok(None));
        }
        sleep(self.pause.min(left.unwrap_or(self.pause))).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        None
    }
}

impl From<BatchHandle> for BatchId {
    fn from(batch: BatchHandle) -> Self {
        batch.id
    }
}

impl From<&BatchHandle> for BatchId {
    fn from(batch: &BatchHandle) -> Self {
        batch.id
    }
}

impl fmt::Debug for BatchHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchHandle").field(&self.id).finish()
    }
}

/// The cancelling of a batch, carried out when this is awaited. If the connection is lost, it is not tried
/// again; doing it twice is harmless.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct BatchOperation {
    batch: BatchHandle,
    cause: Cause,
}

cause!(BatchOperation);

impl BatchOperation {
    async fn carry_out(self) -> Result<u64> {
        let client = self.batch.client()?;
        let (actor, reason) = self.cause.complete(&client)?;
        client
            .storage()
            .cancel_batch(self.batch.id, &actor, reason.as_deref())
            .await
    }
}

impl IntoFuture for BatchOperation {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}
