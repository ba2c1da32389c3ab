//! Where jobs go: to a client's storage, by itself or within the caller's transaction.

use std::any::type_name;
use std::marker::PhantomData;

use async_trait::async_trait;

use super::{Client, counted};
use crate::error::{Error, Result};
use crate::job::NewJob;
use crate::storage::{Inserted, NewBatch, Storage, StorageHandle, Within};

/// Where jobs go.
#[derive(Default)]
pub(super) struct Target<'t> {
    pub(super) client: Option<Client>,
    transaction: Option<Box<dyn AnyTransaction + 't>>,
}

impl<'t> Target<'t> {
    pub(super) fn within<'u, S: Storage, C: Within<S>>(self, transaction: &'u mut C) -> Target<'u>
    where
        't: 'u,
    {
        Target {
            client: self.client,
            transaction: Some(Box::new(Erased(transaction, PhantomData::<fn(S)>))),
        }
    }

    /// Whether nothing was said of it.
    pub(super) fn is_default(&self) -> bool {
        self.client.is_none() && self.transaction.is_none()
    }

    /// The client that was given, or the current one of the task that asks.
    pub(super) fn resolve(self) -> Result<(Client, Option<Box<dyn AnyTransaction + 't>>)> {
        let client = self.client.map_or_else(Client::current, Ok)?;
        Ok((client, self.transaction))
    }
}

/// A transaction of whatever driver. The type of its storage is known where it was given and must be
/// found again behind the handle of a client, which has no type parameter.
#[async_trait]
pub(super) trait AnyTransaction: Send {
    /// Stores jobs. Never tried again: after an error the transaction is the caller's to end.
    async fn insert(&mut self, storage: &StorageHandle, jobs: &[NewJob]) -> Result<Vec<Inserted>>;

    /// Stores a batch with its members, as [`insert`](Self::insert) does.
    async fn create_batch(
        &mut self,
        storage: &StorageHandle,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>>;
}

struct Erased<'t, S, C>(&'t mut C, PhantomData<fn(S)>);

impl<S: Storage, C> Erased<'_, S, C> {
    /// The storage that the transaction belongs to, if the client's jobs are there.
    fn own<'s>(&self, storage: &'s StorageHandle) -> Result<&'s S> {
        storage.downcast_ref::<S>().ok_or_else(|| {
            Error::Invalid(format!(
                "the jobs of this client are in the storage `{}`, to which a `{}` does not belong: use a client of \
                 the same database with `.on(&client)`",
                storage.name(),
                type_name::<C>(),
            ))
        })
    }
}

#[async_trait]
impl<S: Storage, C: Within<S>> AnyTransaction for Erased<'_, S, C> {
    async fn insert(&mut self, storage: &StorageHandle, jobs: &[NewJob]) -> Result<Vec<Inserted>> {
        let own = self.own(storage)?;
        counted(self.0.insert(own, jobs).await?, jobs.len())
    }

    async fn create_batch(
        &mut self,
        storage: &StorageHandle,
        batch: &NewBatch,
        jobs: &[NewJob],
    ) -> Result<Vec<Inserted>> {
        let own = self.own(storage)?;
        counted(self.0.create_batch(own, batch, jobs).await?, jobs.len())
    }
}
