//! A storage of any kind, to be handed around.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::finished::{Finished, Watch};
use super::handover::Takers;
use super::{Inspect, Storage};
use crate::job::JobId;

/// A storage of any kind, to be handed around: cheap to clone, and all clones are the same storage.
///
/// Make one for each database and clone it for clients and workers: what shares a handle wakes each
/// other without the database.
///
/// The handle is the one door to its storage: its own methods are those of [`Storage`] with a tracing
/// span, timing, and another try where that is safe. What only reads is reached by dereferencing.
#[derive(Clone)]
pub struct StorageHandle(Arc<Door>);

struct Door {
    storage: Box<dyn Storage>,
    finished: Finished,
    takers: Takers,
}

impl StorageHandle {
    /// Puts a storage behind the door.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(Door {
            storage: Box::new(storage),
            finished: Finished::default(),
            takers: Takers::default(),
        }))
    }

    /// The storage itself, if it is of this type.
    pub fn downcast_ref<S: Storage>(&self) -> Option<&S> {
        let storage: &dyn Any = self.0.storage.as_ref();
        storage.downcast_ref()
    }

    /// The read side.
    pub fn inspect(&self) -> &dyn Inspect {
        self.0.storage.as_ref()
    }

    /// Tells when this process learns that a job has ended.
    pub(crate) fn watch(&self, job: JobId) -> Watch<'_> {
        self.0.finished.watch(job)
    }

    /// How many jobs somebody in this process waits for.
    pub(crate) fn watched(&self) -> u32 {
        self.0.finished.watched()
    }

    pub(super) fn takers(&self) -> &Takers {
        &self.0.takers
    }

    pub(super) fn finished(&self) -> &Finished {
        &self.0.finished
    }
}

impl<S: Storage> From<S> for StorageHandle {
    fn from(storage: S) -> Self {
        Self::new(storage)
    }
}

impl From<&Self> for StorageHandle {
    fn from(handle: &Self) -> Self {
        handle.clone()
    }
}

impl Deref for StorageHandle {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        self.0.storage.as_ref()
    }
}

impl fmt::Debug for StorageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StorageHandle").field(&self.name()).finish()
    }
}
