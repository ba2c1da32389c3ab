//! The one door to a storage.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Storage;

/// A storage of any kind, to be handed around: cheap to clone, and all clones are the same storage.
///
/// Make one for each database and clone it for clients and workers: what shares a handle wakes each
/// other without the database.
#[derive(Clone)]
pub struct StorageHandle(Arc<dyn Storage>);

impl StorageHandle {
    /// Puts a storage behind the door.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }

    /// The storage itself, if it is of this type.
    pub fn downcast_ref<S: Storage>(&self) -> Option<&S> {
        let storage: &dyn std::any::Any = self.0.as_ref();
        storage.downcast_ref()
    }
}

impl<S: Storage> From<S> for StorageHandle {
    fn from(storage: S) -> Self {
        Self::new(storage)
    }
}

impl Deref for StorageHandle {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl fmt::Debug for StorageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StorageHandle").field(&self.name()).finish()
    }
}
