//! Batches: made whole, completed, cancelled, opened again.

use std::sync::Arc;

use sqlx::SqliteConnection;
use uuid::Uuid;

use jobs_core::Result;
use jobs_core::job::{BatchId, JobId, NewJob};
use jobs_core::storage::{Answer, Command, Inserted, NewBatch, Verb};

use crate::SqliteStorage;
use crate::clock::{self, note_time};
use crate::command::obey;
use crate::fault::{self, Fault};
use crate::queries::Queries;
use crate::rules::{self, Step};
use crate::wake::Hints;
use crate::writer::{Doing, Durability};

/// Who cancels, and why.
struct Order {
    actor: String,
    reason: Option<String>,
}

impl SqliteStorage {
    pub(crate) async fn make_batch(
        &self,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        let (batch, jobs) = (Arc::new(batch.clone()), Arc::<[NewJob]>::from(jobs));
        self.step("storing a batch", move |tx, queries| {
            let (batch, jobs) = (Arc::clone(&batch), Arc::clone(&jobs));
            Box::pin(async move { create(tx, queries, &batch, &jobs).await })
        })
        .await
    }

    pub(crate) async fn complete_batch(&self, batch: BatchId) -> Result<()> {
        self.step("sealing a batch", move |tx, queries| {
            Box::pin(async move {
                let mut step = Step::new(tx, queries, clock::now());
                rules::seal(&mut step, batch).await?.map_err(Fault::Told)?;
                Ok(((), step.finish().await?))
            })
        })
        .await
    }

    pub(crate) async fn open_batch(&self, batch: BatchId) -> Result<()> {
        self.step("reopening a batch", move |tx, queries| {
            Box::pin(async move {
                let mut step = Step::new(tx, queries, clock::now());
                let opened = rules::take_again(&mut step, batch).await?;
                opened.map_err(Fault::Told)?;
                Ok(((), step.finish().await?))
            })
        })
        .await
    }

    pub(crate) async fn stop_batch(
        &self,
        batch: BatchId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<u64> {
        let order = Arc::new(Order {
            actor: actor.to_owned(),
            reason: reason.map(str::to_owned),
        });
        self.step("cancelling a batch", move |tx, queries| {
            let order = Arc::clone(&order);
            Box::pin(async move { cancel(tx, queries, batch, &order).await })
        })
        .await
    }

    /// Does something in a transaction and tells what it was worth.
    pub(crate) async fn step<T, F>(&self, doing: &str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnMut(&'t mut SqliteConnection, &'t Queries) -> Doing<'t, (T, Hints)>
            + Send
            + 'static,
    {
        let wakes = self.0.wakes.clone();
        let after = move |(_, hints): &(T, Hints)| hints.send(&wakes);
        let done = self.0.writer.run(Durability::Full, work, after).await;
        done.map(|(done, _)| done)
            .map_err(|fault| fault.during(doing))
    }
}

/// Stores a batch with its members.
pub(crate) async fn create(
    tx: &mut SqliteConnection,
    queries: &Queries,
    batch: &NewBatch,
    jobs: &[NewJob],
) -> fault::Result<(Vec<Inserted>, Hints)> {
    let mut step = Step::new(tx, queries, clock::now());
    let created = rules::create(&mut step, batch).await?;
    let known = created.map_err(Fault::Told)?;
    let stored = rules::store(&mut step, jobs).await?;
    let answers = stored.map_err(Fault::Told)?;
    if !known {
        rules::settle(&mut step, batch.id).await?;
    }
    note_time(step.tx, queries, step.now).await?;
    Ok((answers, step.finish().await?))
}

/// Cancels a batch and those in it, and deletes the members.
async fn cancel(
    tx: &mut SqliteConnection,
    queries: &Queries,
    batch: BatchId,
    order: &Order,
) -> fault::Result<(u64, Hints)> {
    let mut step = Step::new(&mut *tx, queries, clock::now());
    let cancelled = rules::cancel(&mut step, batch).await?;
    let cancelled = cancelled.map_err(Fault::Told)?;
    let mut hints = step.finish().await?;
    let mut deleted = 0;
    let actor = &order.actor;
    let why = match &order.reason {
        Some(reason) => format!("its batch was cancelled by {actor}: {reason}"),
        None => format!("its batch was cancelled by {actor}"),
    };
    for batch in &cancelled {
        let mut after = Uuid::nil();
        loop {
            let mut step = Step::new(&mut *tx, queries, clock::now());
            let open = rules::open_members(&mut step, *batch, after).await?;
            let Some(last) = open.last() else {
                break;
            };
            after = *last;
            let command = Command {
                verb: Verb::Delete,
                jobs: open.into_iter().map(JobId::from).collect(),
                actor: order.actor.clone(),
                reason: order.reason.clone(),
            };
            let (answers, others) = obey(&mut *tx, queries, &command, &why).await?;
            let done = |answer: &&Answer| matches!(answer, Answer::Done { .. });
            deleted += answers.iter().filter(done).count() as u64;
            hints.add(others);
        }
    }
    let mut step = Step::new(tx, queries, clock::now());
    for batch in cancelled {
        rules::settle(&mut step, batch).await?;
    }
    hints.add(step.finish().await?);
    Ok((deleted, hints))
}
