//! One job on its way to a storage.

use std::fmt;
use std::future::IntoFuture;
use std::slice;

use super::settings::{Settings, job_options};
use super::within::Target;
use super::{BoxFuture, JobHandle, only};
use crate::error::Result;
use crate::job::Job;

/// A job that will be enqueued when this is awaited.
///
/// The answer comes when the job is committed: it is never lost after that. Mistakes in the options or
/// the arguments are returned by the `await`, and then nothing was stored.
///
/// ```
/// # use jobs_core::{client::{Client, Enqueue}, job::{Job, Priority}, storage::MemoryStorage};
/// # use std::time::Duration;
/// # #[derive(serde::Serialize)] struct SendWelcome { user_id: i64 }
/// # impl Job for SendWelcome { const KIND: &'static str = "send_welcome"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs_core::Result<()> {
/// # let client = Client::new(MemoryStorage::new());
/// let welcome = Enqueue::new(SendWelcome { user_id: 42 })
///     .delay(Duration::from_secs(600))
///     .queue("mail")
///     .priority(Priority::HIGH)
///     .tag("vip")
///     .on(&client)
///     .await?;
/// # assert_eq!(welcome.record().await?.queue, "mail");
/// # Ok(()) }
/// ```
#[must_use = "a job is enqueued only when this is awaited"]
pub struct Enqueue<'t, J: Job> {
    jobs: J,
    settings: Settings,
    target: Target<'t>,
}

impl<J: Job> Enqueue<'static, J> {
    /// A job to be enqueued.
    pub fn new(job: J) -> Self {
        Self {
            jobs: job,
            settings: Settings::default(),
            target: Target::default(),
        }
    }
}

job_options!(Enqueue);

impl<J: Job> Enqueue<'_, J> {
    /// What a kill, a lost connection or a dropped future means here: nothing was sent before the last
    /// line; in it the job has its id, and whoever sends it again sends that id.
    async fn send(self) -> Result<JobHandle<J::Output>> {
        let (client, transaction) = self.target.resolve()?;
        let job = self.settings.complete::<J>()?.job(&client, &self.jobs)?;
        let inserted = match transaction {
            Some(mut transaction) => only(
                transaction
                    .insert(client.storage(), slice::from_ref(&job))
                    .await?,
            ),
            None => client.insert_one(job).await,
        };
        Ok(JobHandle::new(Some(client), inserted?.id))
    }
}

impl<'t, J: Job> IntoFuture for Enqueue<'t, J> {
    type Output = Result<JobHandle<J::Output>>;
    type IntoFuture = BoxFuture<'t, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<J: Job> fmt::Debug for Enqueue<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue")
            .field("kind", &J::KIND)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
