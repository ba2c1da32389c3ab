//! What one has of a flow that was stored.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch_handle::Looks;
use super::{BatchHandle, BatchOperation, Client, JobHandle};
use crate::error::{Error, Result};
use crate::job::{BatchId, JobId, JobRecord, State};
use crate::storage::{Answer, JobFilter, StateCounts};

/// A flow that was stored: a batch whose members have names. Cheap to clone; dropping it does nothing to the
/// flow.
#[derive(Clone, Debug)]
pub struct FlowHandle(BatchHandle);

/// How far a flow is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FlowProgress {
    /// How many nodes stand in each state.
    pub counts: StateCounts,
    /// Each node, parents first.
    pub nodes: Vec<NodeRecord>,
}

/// How far one node of a flow is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeRecord {
    /// Its name in the flow.
    pub name: String,
    /// Its job.
    pub job: JobId,
    /// Where that stands.
    pub state: State,
    /// Why it stands there, in plain words, unless it is where a job without trouble would be.
    pub reason: Option<String>,
}

impl FlowProgress {
    /// Whether all nodes are final.
    pub fn is_finished(&self) -> bool {
        self.counts.unfinished() == 0
    }

    /// Whether nothing will happen any more: all nodes are final, or wait for some that are Failed.
    pub fn stands_still(&self) -> bool {
        self.counts.unfinished() == self.counts.awaiting
            && (self.counts.awaiting == 0 || self.counts.failed > 0)
    }
}

impl Client {
    /// A handle on a flow whose id is known. Whether there is such a flow is not asked.
    pub fn flow(&self, id: BatchId) -> FlowHandle {
        FlowHandle(self.batch(id))
    }
}

impl FlowHandle {
    pub(super) fn of_batch(batch: BatchHandle) -> Self {
        Self(batch)
    }

    /// A handle on a flow whose id is known, of the [current client](Client::current) at each call. Whether
    /// there is such a flow is not asked.
    pub fn of(id: BatchId) -> Self {
        Self(BatchHandle::of(id))
    }

    /// The flow's identity: keep it, and [`of`](Self::of) or [`Client::flow`] make a handle of it again.
    pub fn id(&self) -> BatchId {
        self.0.id()
    }

    /// The flow as the batch that it is, to wait for it as a whole: `.after(flow.batch().on_any())`.
    pub fn batch(&self) -> &BatchHandle {
        &self.0
    }

    /// How far it is. Fails with [`Error::UnknownBatch`] if there is no such flow.
    pub async fn progress(&self) -> Result<FlowProgress> {
        let records = self.records().await?;
        let mut counts = StateCounts::default();
        records
            .iter()
            .for_each(|record| *counts.of(record.state) += 1);
        let nodes = records.into_iter().map(|record| NodeRecord {
            name: node(&record).unwrap_or_default().into(),
            job: record.id,
            state: record.state,
            reason: record.reason,
        });
        Ok(FlowProgress {
            counts,
            nodes: nodes.collect(),
        })
    }

    /// Waits until nothing will happen any more: all nodes are final, or those that are not wait for some that
    /// are Failed. See [`FlowProgress::is_finished`].
    pub async fn wait(&self) -> Result<FlowProgress> {
        loop {
            if let Some(progress) = self.wait_for(Duration::MAX).await? {
                return Ok(progress);
            }
        }
    }

    /// As [`wait`](Self::wait), but at most this long: then `None`.
    pub async fn wait_for(&self, time: Duration) -> Result<Option<FlowProgress>> {
        let mut looks = Looks::new(&self.0.client()?, time);
        loop {
            let seen = self.progress().await;
            let ended = seen.map(|progress| progress.stands_still().then_some(progress));
            if let Some(answer) = looks.or_wait(ended).await {
                return answer;
            }
        }
    }

    /// A handle on the job of a node. Its output is yours to know.
    ///
    /// Fails with [`Error::Invalid`] if no node is called so.
    pub async fn node<T>(&self, name: &str) -> Result<JobHandle<T>> {
        Ok(self.0.job(&self.find(name).await?))
    }

    /// Waits until the job of a node is final, and returns what it returned. Fails as
    /// [`JobHandle::result`] does, and as [`node`](Self::node).
    pub async fn result<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.node(name).await?.result().await
    }

    /// Cancels it as a whole: what runs is told to stop, and all nodes that are not final are Deleted. Answers
    /// how many.
    pub fn cancel(&self) -> BatchOperation {
        self.0.cancel()
    }

    /// Runs the nodes that are Failed again, in the client's name, and with them what waits for their success.
    /// Answers their names. What has Succeeded is not run again.
    pub async fn resume(&self) -> Result<Vec<String>> {
        let client = self.0.client()?;
        let filter = JobFilter {
            state: Some(State::Failed),
            ..JobFilter::default()
        };
        let failed = self.0.all_members(filter).await?;
        let answers = client
            .requeue_many(failed.iter().map(|record| record.id))
            .because("the flow is resumed")
            .await?;
        let resumed = failed
            .iter()
            .zip(answers)
            .filter(|(_, (_, answer))| matches!(answer, Answer::Done { .. }));
        Ok(resumed
            .filter_map(|(record, _)| node(record).map(str::to_owned))
            .collect())
    }

    pub(crate) async fn find(&self, name: &str) -> Result<JobRecord> {
        let records = self.records().await?;
        let known = records
            .iter()
            .filter_map(node)
            .take(20)
            .map(|name| format!("`{name}`"));
        let unknown = format!(
            "no node of the flow is called `{name}`; they are {}",
            known.collect::<Vec<_>>().join(", ")
        );
        let found = records
            .into_iter()
            .find(|record| node(record) == Some(name));
        found.ok_or(Error::Invalid(unknown))
    }

    async fn records(&self) -> Result<Vec<JobRecord>> {
        let mut records = self.0.all_members(JobFilter::default()).await?;
        if records.is_empty() {
            // An answer only if there is such a flow.
            self.0.record().await?;
        }
        // Members that were added later have no name.
        records.retain(|record| node(record).is_some());
        Ok(records)
    }
}

fn node(record: &JobRecord) -> Option<&str> {
    record.rules.as_ref()?.node.as_deref()
}
