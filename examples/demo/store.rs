//! Where the jobs are kept.

use std::hash::{DefaultHasher, Hash, Hasher};

use jobs::inspect::JobFilter;
use jobs::prelude::*;
use jobs::{PgStorage, State, StorageHandle};

use crate::analyse::run_of;
use crate::options::Options;

pub(crate) struct Store {
    pub(crate) storage: StorageHandle,
    /// For people.
    pub(crate) place: String,
}

/// Opens the store of this folder: each has its own, so that an interrupted run can be found again.
pub(crate) async fn open(options: &Options) -> anyhow::Result<Store> {
    let mut hash = DefaultHasher::new();
    options.dir.hash(&mut hash);
    let name = format!("jobs_demo_{:08x}", hash.finish() as u32);
    if let Ok(url) = std::env::var("DATABASE_URL") {
        let storage = PgStorage::builder()
            .url(&url)
            .schema(&name)
            .connect()
            .await?;
        return Ok(Store {
            storage: storage.into(),
            place: format!("PostgreSQL, schema {name}"),
        });
    }
    let file = std::env::temp_dir().join(name).with_extension("db");
    let storage = jobs::connect(&format!("sqlite://{}", file.display())).await?;
    Ok(Store {
        storage,
        place: file.display().to_string(),
    })
}

/// The run whose jobs are not all finished, if there is one.
pub(crate) async fn interrupted_run(client: &Client) -> anyhow::Result<Option<String>> {
    for state in [State::Enqueued, State::Scheduled, State::Processing] {
        let filter = JobFilter {
            state: Some(state),
            limit: 1,
            ..JobFilter::default()
        };
        let page = client.inspect().jobs(&filter).await?;
        if let Some(job) = page.jobs.first() {
            return Ok(run_of(&job.options.tags).map(str::to_owned));
        }
    }
    Ok(None)
}
