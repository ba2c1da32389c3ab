//! Jobs inside the caller's own transaction.

use async_trait::async_trait;

use super::{Inserted, NewBatch, Settlement, Storage};
use crate::error::Result;
use crate::job::{NewJob, WorkerId};

/// A connection or a transaction of the caller's in which jobs of storage `S` can be stored and
/// completed. They commit or roll back with everything else in it.
///
/// The storage is a type parameter so that a storage's crate may implement this for the connection
/// types of its driver; callers never name it.
#[diagnostic::on_unimplemented(
    message = "jobs cannot be enqueued within `{Self}`",
    label = "not a transaction or connection of a storage",
    note = "give `&mut tx`, where `tx` is a transaction or a connection of the database that the jobs are in; the \
            storage's feature (`postgres`, `sqlite`) must be switched on"
)]
#[async_trait]
pub trait Within<S: Storage>: Send {
    /// Stores jobs; they become visible when the caller commits.
    async fn insert(&mut self, storage: &S, jobs: &[NewJob]) -> Result<Vec<Inserted>>;

    /// Stores a batch with these members; both become visible when the caller commits.
    async fn create_batch(
        &mut self,
        storage: &S,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>>;

    /// Settles one run that succeeded, with its effects, in the caller's transaction. Fails if the
    /// run is not the worker's any more; the caller must then roll back.
    async fn complete(&mut self, storage: &S, worker: WorkerId, run: &Settlement) -> Result<()>;
}

#[async_trait]
impl<S: Storage, C: Within<S> + ?Sized> Within<S> for &mut C {
    async fn insert(&mut self, storage: &S, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        (**self).insert(storage, jobs).await
    }

    async fn create_batch(
        &mut self,
        storage: &S,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        (**self).create_batch(storage, batch, jobs).await
    }

    async fn complete(&mut self, storage: &S, worker: WorkerId, run: &Settlement) -> Result<()> {
        (**self).complete(storage, worker, run).await
    }
}
