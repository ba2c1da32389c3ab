//! Batches on their way to a storage, some thousand jobs at a time.

use std::mem;

use async_trait::async_trait;

use super::batch::{Batch, Content, Jobs};
use super::enqueue_many::Encoder;
use super::{BoxFuture, Client, Enqueue, EnqueueMany, parents};
use crate::error::{Error, Result};
use crate::job::{BatchId, Job, NewJob, ParentId};
use crate::storage::NewBatch;

/// How many jobs go to the storage in one request.
const CHUNK: usize = 5_000;

/// After this many bytes of arguments a request is sent with fewer jobs.
const CHUNK_BYTES: usize = 4 << 20;

/// How many jobs are encoded before their bytes are looked at.
const STEP: usize = 50;

/// A batch on its way to the storage.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) client: Client,
    pub(super) batch: NewBatch,
    stored: usize,
}

/// What is still to be stored of it.
pub(super) struct Rest {
    pub(super) callbacks: Vec<NewJob>,
    pub(super) members: Vec<Box<dyn Members>>,
    batches: Vec<Batch<'static>>,
}

impl Filling {
    pub(super) fn new(
        client: Client,
        parent: Option<BatchId>,
        content: Content,
    ) -> Result<(Self, Rest)> {
        let Content {
            name,
            keep_for,
            mut members,
            callbacks,
            batches,
            ..
        } = content;
        members.reverse();
        let mut new = NewBatch::new(client.new_id().as_uuid().into());
        (new.name, new.keep_for, new.parent) = (name, keep_for, parent);
        let mut callback_jobs = Vec::new();
        for (on, jobs) in callbacks {
            let mut jobs = jobs(&client)?;
            let rules = jobs[0].rules.get_or_insert_default();
            rules.parents.push(parents::of(ParentId::Batch(new.id), on));
            callback_jobs.extend(jobs);
        }
        let filling = Self {
            client,
            batch: new,
            stored: 0,
        };
        Ok((
            filling,
            Rest {
                callbacks: callback_jobs,
                members,
                batches,
            },
        ))
    }

    /// Stores all of it, and lets it run.
    pub(super) async fn store(&mut self, mut rest: Rest) -> Result<()> {
        if rest.batches.is_empty() {
            let first = self.chunk(&mut rest.members).await?;
            if rest.members.is_empty() {
                // All in one request: nobody ever sees less than the whole.
                return self.create(rest.callbacks, first, true).await;
            }
            self.create(rest.callbacks, first, false).await?;
            self.insert_all(&mut rest.members).await?;
            return self.client.storage().seal_batch(self.batch.id).await;
        }
        self.store_open(rest).await?;
        self.client.storage().seal_batch(self.batch.id).await
    }

    /// Stores all of it, but lets nothing run: that the outermost batch is not sealed holds back all that is
    /// in it, and to seal it is one step. A kill before that leaves what is removed after an hour.
    pub(super) fn store_open(&mut self, mut rest: Rest) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let first = self.chunk(&mut rest.members).await?;
            self.create(rest.callbacks, first, false).await?;
            self.insert_all(&mut rest.members).await?;
            for batch in rest.batches {
                let (client, around) = (self.client.clone(), Some(self.batch.id));
                let (mut inner, rest) = Self::new(client, around, batch.into_content())?;
                inner.store_open(rest).await?;
            }
            Ok(())
        })
    }

    async fn create(
        &mut self,
        mut jobs: Vec<NewJob>,
        members: Vec<NewJob>,
        sealed: bool,
    ) -> Result<()> {
        self.batch.sealed = sealed;
        self.stored += members.len();
        jobs.extend(members);
        let Self { client, batch, .. } = self;
        let stored = client
            .storage()
            .create_batch_retrying(batch, &jobs, client.0.retry_for);
        super::counted(stored.await?, jobs.len()).map(drop)
    }

    pub(super) async fn insert_all(&mut self, members: &mut Vec<Box<dyn Members>>) -> Result<()> {
        loop {
            let jobs = self.chunk(members).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            self.insert(jobs).await?;
        }
    }

    pub(super) async fn insert(&mut self, jobs: Vec<NewJob>) -> Result<()> {
        self.stored += jobs.len();
        if self.stored > Batch::LIMIT {
            return Err(Error::Invalid(format!(
                "a batch may have {} members at most: seal this one and start another",
                Batch::LIMIT
            )));
        }
        self.client.insert(&jobs).await.map(drop)
    }

    /// The next jobs for one request, and takes away what is empty; none at the end. The last of `members`
    /// comes first.
    pub(super) async fn chunk(&self, members: &mut Vec<Box<dyn Members>>) -> Result<Vec<NewJob>> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while let Some(next) = members.last_mut() {
            let more = next
                .next(&self.client, (CHUNK - jobs.len()).min(STEP))
                .await?;
            if more.is_empty() {
                members.pop();
                continue;
            }
            bytes += more.iter().map(|job| job.args.len()).sum::<usize>();
            jobs.extend(self.members(more)?);
            if jobs.len() >= CHUNK || bytes >= CHUNK_BYTES {
                break;
            }
        }
        Ok(jobs)
    }

    /// Makes members of jobs.
    pub(super) fn members(&self, mut jobs: Vec<NewJob>) -> Result<Vec<NewJob>> {
        for job in &mut jobs {
            make_member(job, &self.batch)?;
        }
        Ok(jobs)
    }
}

/// Makes a job a member of a batch.
pub(super) fn make_member(job: &mut NewJob, batch: &NewBatch) -> Result<()> {
    let rules = job.rules.get_or_insert_default();
    if let Some(other) = rules.batch.replace(batch.id) {
        return Err(Error::Invalid(format!(
            "a job of the kind `{}` cannot be a member of this batch and of batch {other}: leave `.in_batch(..)` out",
            job.kind
        )));
    }
    job.options.keep_for = job.options.keep_for.or(batch.keep_for);
    Ok(())
}

pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let why = match name.len() {
        0 => "is empty: leave it out instead",
        257.. => "is longer than 256 bytes",
        _ if name.contains('\0') => {
            "contains a NUL character, which databases do not store as text"
        }
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("the name of the {what} {why}")))
}

/// Where members come from.
#[async_trait]
pub(super) trait Members: Send {
    /// The next jobs, at most so many unless a chain is longer; none at the end.
    async fn next(&mut self, client: &Client, most: usize) -> Result<Vec<NewJob>>;
}

/// One job, or a chain.
pub(super) struct One(Option<Jobs>);

impl One {
    pub(super) fn new<J: Job>(job: Enqueue<'static, J>) -> Self {
        Self(Some(Box::new(|client| job.jobs(client, "batch"))))
    }
}

#[async_trait]
impl Members for One {
    async fn next(&mut self, client: &Client, _: usize) -> Result<Vec<NewJob>> {
        self.0
            .take()
            .map_or_else(|| Ok(Vec::new()), |jobs| jobs(client))
    }
}

/// Many jobs of one kind.
pub(super) enum Several<J: Job> {
    Given(Box<EnqueueMany<'static, J>>),
    Encoding(Box<Encoder<J>>),
}

#[async_trait]
impl<J: Job> Members for Several<J> {
    async fn next(&mut self, client: &Client, most: usize) -> Result<Vec<NewJob>> {
        if let Self::Given(jobs) = self {
            let jobs = mem::replace(&mut **jobs, EnqueueMany::new([]));
            *self = Self::Encoding(Box::new(jobs.encoder("batch")?));
        }
        match self {
            Self::Encoding(encoder) => encoder.encode(client, most).await,
            Self::Given(_) => Ok(Vec::new()),
        }
    }
}
