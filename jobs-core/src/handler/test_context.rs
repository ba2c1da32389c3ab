//! Contexts for tests of applications.

use std::sync::Arc;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::{ContextParts, DataMap, JobContext, WorkerScope};
use crate::client::Client;
use crate::job::{ClaimId, JobId, Metadata, NewJob, Priority, Rules, StoredOptions, WorkerId};
use crate::storage::{ClaimedJob, MemoryStorage};

/// A [`JobContext`] in the making, for a test that calls a job's function itself.
#[derive(Debug)]
#[must_use = "`.build()` makes the context"]
pub struct TestContext {
    job: ClaimedJob,
    data: DataMap,
    client: Client,
    cancellation: CancellationToken,
}

impl JobContext {
    /// A context for a test that calls a job's function itself: that of the first attempt of a job of
    /// the kind `test` in the queue `default`, which has just become due. Its client has a storage in
    /// memory of its own.
    ///
    /// ```
    /// # use jobs_core::handler::JobContext;
    /// let ctx = JobContext::for_test().attempt(2).data("Hello").build();
    /// assert_eq!((ctx.attempt(), ctx.data()), (2, Some("Hello")));
    /// ```
    pub fn for_test() -> TestContext {
        TestContext {
            job: ClaimedJob {
                id: JobId::new(),
                kind: "test".into(),
                args: "{}".into(),
                queue: NewJob::DEFAULT_QUEUE.into(),
                priority: Priority::NORMAL,
                options: None,
                rules: None,
                attempt: 0,
                lost: 0,
                run: 1,
                due_at: Utc::now(),
            },
            data: DataMap::new(),
            client: Client::new(MemoryStorage::new()),
            cancellation: CancellationToken::new(),
        }
    }
}

impl TestContext {
    /// The arguments, as JSON text. Defaults to `{}`.
    pub fn args(mut self, args: impl Into<String>) -> Self {
        self.job.args = args.into();
        self
    }

    /// The name under which the job is stored. Defaults to `test`.
    pub fn kind(mut self, kind: &str) -> Self {
        self.job.kind = kind.into();
        self
    }

    /// Where the job waited. Defaults to `default`.
    pub fn queue(mut self, queue: &str) -> Self {
        self.job.queue = queue.into();
        self
    }

    /// The number of the attempt, counted from 1. Defaults to 1.
    pub fn attempt(mut self, number: u32) -> Self {
        self.job.attempt = number.saturating_sub(1);
        self
    }

    /// One more tag of the job. Defaults to none.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        let options = self
            .job
            .options
            .get_or_insert_with(|| Box::new(StoredOptions::default()));
        options.tags.push(tag.into());
        self
    }

    /// One more value of the job's metadata, which jobs that it enqueues inherit. Defaults to none.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let options = self
            .job
            .options
            .get_or_insert_with(|| Box::new(StoredOptions::default()));
        let (value, inherit) = (value.into(), true);
        options
            .metadata
            .insert(name.into(), Metadata { value, inherit });
        self
    }

    /// What the job waited for and is a member of. Defaults to nothing.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.job.rules = Some(Box::new(rules));
        self
    }

    /// One more value that the worker was given. Defaults to none.
    pub fn data<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.data.insert(value);
        self
    }

    /// What [`JobContext::client`] returns. Defaults to a client of an empty storage in memory.
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// The token that tells the job to stop. Defaults to one that nobody cancels.
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// The context.
    pub fn build(self) -> JobContext {
        let Self {
            job,
            data,
            client,
            cancellation,
        } = self;
        let storage = client.storage().clone();
        let worker = WorkerScope::new(WorkerId::new(), storage, client, Arc::new(data));
        JobContext::new(ContextParts {
            job,
            claim: ClaimId::new(),
            worker: Arc::new(worker),
            cancellation,
        })
    }
}
