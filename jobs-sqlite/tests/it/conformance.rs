//! What every storage must do.

use jobs_sqlite::SqliteStorage;

use crate::stage::Folder;

async fn fresh() -> (SqliteStorage, Folder) {
    let folder = Folder::new();
    (folder.open().await, folder)
}

jobs_core::testing::conformance!(fresh);
