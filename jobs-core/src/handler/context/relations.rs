//! What a job knows of others: those that it waited for, those that it is stored with, and what it hands
//! down.

use serde::de::DeserializeOwned;

use super::JobContext;
use crate::client::{BatchHandle, FlowHandle, handed_down, handing_down, read};
use crate::error::{Error, Result};
use crate::job::{JobId, JobRecord, Parent, ParentId, Rules};

impl JobContext {
    fn rules(&self) -> Option<&Rules> {
        self.0.job.rules.as_deref()
    }

    /// What the job has waited for, in the order in which it was said.
    pub fn parents(&self) -> &[Parent] {
        self.rules().map_or(&[], |rules| &rules.parents)
    }

    /// What another job returned, above all one of its [parents](Self::parents).
    ///
    /// # Errors
    ///
    /// [`Error::NoResult`] if it has not Succeeded, or if its result was not kept or is no `T`;
    /// [`Error::UnknownJob`] if there is no such job (any more).
    ///
    /// ```
    /// # use jobs_core::{handler::{JobContext, JobError}, job::JobId};
    /// async fn report(left: JobId, right: JobId, ctx: JobContext) -> Result<u64, JobError> {
    ///     Ok(ctx.parent_result::<u64>(left).await? + ctx.parent_result::<u64>(right).await?)
    /// }
    /// ```
    pub async fn parent_result<T: DeserializeOwned>(&self, job: JobId) -> Result<T> {
        let record = self.0.worker.storage.inspect().job(job).await?;
        result(record.ok_or(Error::UnknownJob(job))?)
    }

    /// What all jobs returned that it has waited for, in the order in which it was said; batches are left out.
    /// They must have returned the same type.
    ///
    /// # Errors
    ///
    /// As [`parent_result`](Self::parent_result).
    pub async fn parent_results<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let mut results = Vec::new();
        for parent in self.parents() {
            if let ParentId::Job(job) = parent.of {
                results.push(self.parent_result(job).await?);
            }
        }
        Ok(results)
    }

    /// The batch that it has waited for; the first, if there are several.
    pub fn parent_batch(&self) -> Option<BatchHandle> {
        let batch = self.parents().iter().find_map(|parent| match parent.of {
            ParentId::Batch(batch) => Some(batch),
            ParentId::Job(_) => None,
        });
        batch.map(|batch| self.client().batch(batch))
    }

    /// The batch that it is a member of. More jobs can be added to it from here, and whoever waits for the
    /// batch waits for them too:
    ///
    /// ```
    /// # use jobs_core::{client::Enqueue, handler::{JobContext, JobError}, job::Job};
    /// # #[derive(serde::Serialize)] struct Page { n: u32 }
    /// # impl Job for Page { const KIND: &'static str = "page"; type Output = (); }
    /// async fn split(pages: u32, ctx: JobContext) -> Result<(), JobError> {
    ///     for n in 0..pages {
    ///         let page = Enqueue::new(Page { n });
    ///         match ctx.batch() {
    ///             Some(batch) => batch.add(page).await?,
    ///             None => page.await?,
    ///         };
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn batch(&self) -> Option<BatchHandle> {
        let batch = self.rules()?.batch?;
        Some(self.client().batch(batch))
    }

    /// Its name among the nodes of its flow, if it is one.
    pub fn node(&self) -> Option<&str> {
        self.rules()?.node.as_deref()
    }

    /// The flow that it is a node of.
    pub fn flow(&self) -> Option<FlowHandle> {
        let batch = self.node().and(self.rules()?.batch)?;
        Some(self.client().flow(batch))
    }

    /// What another node of its flow returned.
    ///
    /// # Errors
    ///
    /// As [`parent_result`](Self::parent_result), and [`Error::Invalid`] if it is no node of a flow, or no node
    /// is called so.
    pub async fn node_result<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let flow = self.flow().ok_or_else(|| {
            let (kind, id) = (self.kind(), self.id());
            Error::Invalid(format!("job {id} of the kind `{kind}` is no node of a flow, so that there is no node `{name}`"))
        })?;
        result(flow.find(name).await?)
    }

    /// A value that the job was given, or has inherited: `.metadata("locale", "de")`.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let metadata = &self.0.job.options.as_deref()?.metadata;
        metadata.get(name).map(|metadata| metadata.value.as_str())
    }

    /// Runs a future as if it were the handler's own, for tasks that the handler spawns: what it enqueues
    /// goes to the same client and inherits the same metadata.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let inherited = handed_down(self.0.job.options.as_deref());
        self.client().scope(handing_down(inherited, future))
    }
}

fn result<T: DeserializeOwned>(record: JobRecord) -> Result<T> {
    if record.state.is_final() {
        return read(record);
    }
    Err(Error::NoResult {
        job: record.id,
        state: record.state,
        reason: "it has not ended".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Enqueue};
    use crate::job::{BatchId, Condition, Job};
    use crate::storage::MemoryStorage;

    #[derive(serde::Serialize)]
    struct Ping {}
    impl Job for Ping {
        const KIND: &'static str = "ping";
        type Output = u8;
    }

    #[tokio::test]
    async fn a_job_without_rules_knows_nobody() {
        let ctx = JobContext::for_test().build();
        assert!(ctx.parents().is_empty() && ctx.batch().is_none() && ctx.parent_batch().is_none());
        assert!(ctx.node().is_none() && ctx.flow().is_none() && ctx.metadata("x").is_none());
        let error = ctx.node_result::<u8>("x").await.unwrap_err().to_string();
        assert!(error.contains("no node of a flow"), "{error}");
    }

    #[tokio::test]
    async fn rules_say_who_the_others_are() {
        let (batch, job) = (BatchId::new(), JobId::new());
        let mut rules = Rules::default();
        for of in [ParentId::Job(job), ParentId::Batch(batch)] {
            rules.parents.push(Parent {
                of,
                on: Condition::Any,
            });
        }
        rules.batch = Some(batch);
        rules.node = Some("a".into());
        let ctx = JobContext::for_test()
            .rules(rules)
            .metadata("tenant", "acme")
            .build();
        assert_eq!(ctx.parents().len(), 2);
        assert_eq!(ctx.batch().unwrap().id(), batch);
        assert_eq!(ctx.parent_batch().unwrap().id(), batch);
        assert_eq!((ctx.node(), ctx.flow().unwrap().id()), (Some("a"), batch));
        assert_eq!(ctx.metadata("tenant"), Some("acme"));
        let error = ctx.parent_result::<u8>(job).await.unwrap_err();
        assert!(
            matches!(error, Error::UnknownJob(id) if id == job),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_has_not_ended_has_no_result() {
        let client = Client::new(MemoryStorage::new());
        let ping = Enqueue::new(Ping {}).on(&client).await.unwrap();
        let ctx = JobContext::for_test().client(client).build();
        let error = ctx
            .parent_result::<u8>(ping.id())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("Enqueued: it has not ended"), "{error}");
    }
}
