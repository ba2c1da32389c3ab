//! Creates jobs and looks after them.

use crate::storage::StorageHandle;

/// Creates jobs in one storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    storage: StorageHandle,
}

impl Client {
    /// A client of this storage.
    pub fn new(storage: impl Into<StorageHandle>) -> Self {
        Self {
            storage: storage.into(),
        }
    }

    /// The storage that its jobs go to.
    pub fn storage(&self) -> &StorageHandle {
        &self.storage
    }
}
