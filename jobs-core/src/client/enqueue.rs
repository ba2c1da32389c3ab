//! One job on its way to a storage.

use std::fmt;
use std::future::IntoFuture;

use super::chain::{Chain, Then};
use super::rules::{Key, job_rules};
use super::settings::{Settings, job_options};
use super::within::Target;
use super::{BoxFuture, Client, JobHandle};
use crate::error::{Error, Result};
use crate::job::{Job, NewJob};

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
    jobs: Chain<J>,
    settings: Settings,
    target: Target<'t>,
}

impl<J: Job> Enqueue<'static, J> {
    /// A job to be enqueued.
    pub fn new(job: J) -> Self {
        Self {
            jobs: Chain::of(job),
            settings: Settings::default(),
            target: Target::default(),
        }
    }
}

job_options!(Enqueue);
job_rules!(Enqueue);

impl<'t, J: Job> Enqueue<'t, J> {
    /// Is not stored if another job of its kind holds this key, of 1 to 256 bytes: the handle is then
    /// that job's, and [says so](JobHandle::is_existing). See [`unique_until`](Self::unique_until) and
    /// [`on_conflict`](Self::on_conflict).
    ///
    /// ```
    /// # use jobs_core::{client::Client, job::Job, storage::MemoryStorage};
    /// # #[derive(serde::Serialize)] struct SendWelcome { user_id: i64 }
    /// # impl Job for SendWelcome { const KIND: &'static str = "send_welcome"; type Output = (); }
    /// # async fn example(client: Client) -> jobs_core::Result<()> {
    /// let first = client.enqueue(SendWelcome { user_id: 42 }).unique("welcome-42").await?;
    /// let again = client.enqueue(SendWelcome { user_id: 42 }).unique("welcome-42").await?;
    /// assert_eq!((again.id(), again.is_existing()), (first.id(), true));
    /// # Ok(()) }
    /// ```
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.settings.unique(Key::Given(key.into()));
        self
    }

    /// Lets another job follow, which runs when this one has succeeded and gets its result as first
    /// argument: `add.enqueue(1, 2).then(&show)`, or, if it takes more arguments,
    /// `add.enqueue(1, 2).then(report.with("title"))`. The compiler checks that they fit.
    ///
    /// All of them are stored at once. What is said after this is said of the job that follows, and the
    /// handle is that of the last one.
    pub fn then<N: Then<J::Output>>(self, next: N) -> Enqueue<'t, N::Job> {
        let Self {
            jobs,
            settings,
            target,
        } = self;
        Enqueue {
            jobs: jobs.then(settings, next),
            settings: Settings::default(),
            target,
        }
    }

    /// What a kill, a lost connection or a dropped future means here: nothing was sent before the last
    /// lines; in them the jobs have their ids, and whoever sends them again sends those ids.
    async fn send(self) -> Result<JobHandle<J::Output>> {
        let (client, transaction) = self.target.resolve()?;
        let mut jobs = self.jobs.jobs(self.settings, &client)?;
        let last = jobs[jobs.len() - 1].id;
        let inserted = match transaction {
            Some(mut transaction) => transaction.insert(client.storage(), &jobs).await?,
            None if jobs.len() == 1 => vec![client.insert_one(jobs.remove(0)).await?],
            None => client.insert(&jobs).await?,
        };
        let inserted = inserted[inserted.len() - 1];
        let handle = JobHandle::new(Some(client), inserted.id);
        // The id of its own says that an earlier try has stored it.
        Ok(handle.existing(inserted.existing && inserted.id != last))
    }

    /// The jobs, to be stored together with others; what stores them has the client and the transaction.
    pub(super) fn jobs(self, client: &Client, of: &str) -> Result<Vec<NewJob>> {
        if !self.target.is_default() {
            return Err(Error::Invalid(format!(
                "a job of a {of} is stored with it: say `.on(..)` and `.within(..)` of the {of}"
            )));
        }
        self.jobs.jobs(self.settings, client)
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
