//! What one has of a job that was enqueued.

use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::parents::conditions;
use super::{Client, Operation};
use crate::error::{Error, Result};
use crate::job::{JobId, JobRecord, State, decode_result};
use crate::storage::Verb;

/// How soon to look again whether a job has ended, at first and at last. A job that ends in this process
/// is heard of at once.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What each job that this process waits for adds to the pauses of all of them: however many there are,
/// the storage is asked 2,000 times a second at most.
const PAUSE_EACH: Duration = Duration::from_micros(500);

/// A job that was enqueued, and that returns a `T`. Cheap to clone; dropping it does nothing to the job.
pub struct JobHandle<T> {
    id: JobId,
    client: Option<Client>,
    existing: bool,
    output: PhantomData<fn() -> T>,
}

conditions!(impl[T] JobHandle<T>, Job);

impl<T> JobHandle<T> {
    pub(super) fn new(client: Option<Client>, id: JobId) -> Self {
        Self {
            id,
            client,
            existing: false,
            output: PhantomData,
        }
    }

    pub(super) fn existing(self, existing: bool) -> Self {
        Self { existing, ..self }
    }

    /// Whether this is another job than the one that was to be enqueued: it holds the same unique key.
    pub fn is_existing(&self) -> bool {
        self.existing
    }

    /// A handle on a job whose id and output are known, of the [current client](Client::current) at each
    /// call. Whether there is such a job is not asked.
    pub fn of(id: JobId) -> Self {
        Self::new(None, id)
    }

    /// The job's identity: keep it, and [`of`](Self::of) or [`Client::handle`] make a handle of it again.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Where the job stands.
    ///
    /// Fails with [`Error::UnknownJob`] if there is no such job: never stored (its transaction has not
    /// committed yet, or was rolled back), or removed after its retention.
    pub async fn state(&self) -> Result<State> {
        Ok(self.record().await?.state)
    }

    /// Everything that the storage knows of the job. Fails as [`state`](Self::state) does.
    pub async fn record(&self) -> Result<JobRecord> {
        let record = self.client()?.inspect().job(self.id).await?;
        record.ok_or(Error::UnknownJob(self.id))
    }

    /// Cancels the job, in the client's name: it is Deleted. If it runs, its cancellation token is set and
    /// its outcome does not count. Fails with [`Error::WrongState`] if it has ended.
    pub fn cancel(&self) -> Operation {
        Operation::new(self.client.clone(), Verb::Delete, self.id)
    }

    /// Waits until the job is final: Succeeded, Failed with no retry left, or Deleted. Retries count as not
    /// final, so this may take hours; see [`wait_for`](Self::wait_for).
    ///
    /// A storage that cannot be reached is waited for as long as the client's `retry_for`. Fails as
    /// [`state`](Self::state) does.
    pub async fn wait(&self) -> Result<JobRecord> {
        loop {
            if let Some(record) = self.wait_for(Duration::MAX).await? {
                return Ok(record);
            }
        }
    }

    /// Waits until the job is final, but at most this long: then `None`.
    pub async fn wait_for(&self, time: Duration) -> Result<Option<JobRecord>> {
        let client = self.client()?;
        let ends = Instant::now().checked_add(time);
        let watch = client.storage().watch(self.id);
        let mut reached = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            // Enabled before the look: what happens after the look wakes it.
            let mut ended = pin!(watch.ended.notified());
            ended.as_mut().enable();
            match client.inspect().job(self.id).await {
                Ok(None) => return Err(Error::UnknownJob(self.id)),
                Ok(Some(record)) if record.state.is_final() => return Ok(Some(record)),
                Ok(Some(_)) => reached = Instant::now(),
                Err(error) if error.is_transient() && reached.elapsed() < client.0.retry_for => {}
                Err(error) => return Err(error),
            }
            let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let crowd = PAUSE_EACH.saturating_mul(client.storage().watched());
            let wait = pause.max(crowd);
            let _ = timeout(wait.min(left.unwrap_or(wait)), ended).await;
            pause = (pause + pause / 2).min(LONGEST_PAUSE);
        }
    }

    fn client(&self) -> Result<Client> {
        self.client.clone().map_or_else(Client::current, Ok)
    }
}

impl<T: DeserializeOwned> JobHandle<T> {
    /// Waits until the job is final, and returns what it returned.
    ///
    /// Fails with [`Error::NoResult`] if the job was Failed or Deleted, or if its result was not kept or
    /// is no `T`; otherwise as [`wait`](Self::wait) does.
    ///
    /// ```no_run
    /// # use jobs_core::{client::Client, job::Job};
    /// # #[derive(serde::Serialize)] struct Add { a: i64, b: i64 }
    /// # impl Job for Add { const KIND: &'static str = "add"; type Output = i64; }
    /// # async fn example(client: Client) -> jobs_core::Result<()> {
    /// let sum: i64 = client.enqueue(Add { a: 1, b: 2 }).await?.result().await?;
    /// # Ok(()) }
    /// ```
    pub async fn result(&self) -> Result<T> {
        read(self.wait().await?)
    }

    /// Like [`result`](Self::result), but `None` if the job is not final after this time.
    pub async fn result_for(&self, time: Duration) -> Result<Option<T>> {
        self.wait_for(time).await?.map(read).transpose()
    }
}

/// What a job returned that is final.
pub(crate) fn read<T: DeserializeOwned>(record: JobRecord) -> Result<T> {
    let JobRecord {
        id: job,
        state,
        reason,
        result,
        ..
    } = record;
    let none = |reason| Err(Error::NoResult { job, state, reason });
    if state != State::Succeeded {
        return none(reason.unwrap_or_else(|| "no reason was recorded".into()));
    }
    match (decode_result(result.as_deref()), reason) {
        // A note at a job that succeeded says why its result is not there.
        (_, Some(note)) if result.is_none() => none(note),
        (Ok(value), _) => Ok(value),
        (Err(error), _) => none(format!(
            "what it returned does not read as `{}`: {error}",
            std::any::type_name::<T>()
        )),
    }
}

impl<T> Clone for JobHandle<T> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id).existing(self.existing)
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobHandle").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests;
