//! jobs, with the settings that everybody gets: a worker of 64, and all history kept.
//!
//! `PEERS_JOBS_SHARED=1` has producers and worker share one storage handle, as most programs do: then
//! they wake each other without the database. Without it they are as far apart as two processes.

use std::any::Any;
use std::sync::OnceLock;

use jobs::StorageHandle;
use jobs::prelude::*;
use peers_harness::{async_trait, on_job, Contestant, Payload};
use serde_json::{json, Value};
use sqlx09::PgPool;

#[job]
async fn bench(id: u64, data: String) {
    let _ = data;
    on_job(id);
}

impl From<Payload> for Bench {
    fn from(Payload { id, data }: Payload) -> Self {
        Self { id, data }
    }
}

struct Peer {
    storage: StorageHandle,
    client: Client,
    /// For the questions of the harness.
    pool: PgPool,
}

static SHARED: OnceLock<StorageHandle> = OnceLock::new();

fn shared() -> bool {
    std::env::var("PEERS_JOBS_SHARED").is_ok_and(|v| v == "1")
}

impl Peer {
    async fn count(&self, sql: &'static str) -> anyhow::Result<u64> {
        let count: i64 = sqlx09::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(count as u64)
    }
}

#[async_trait]
impl Contestant for Peer {
    const NAME: &'static str = "jobs";
    const VERSION: &'static str = "0.1.0";
    const FINISHED_JOBS: &'static str = "kept";
    const BULK_API: &'static str = "Client::enqueue_many";

    fn config() -> Value {
        json!({"settings": "defaults", "concurrency": 64, "shared_handle": shared()})
    }

    async fn migrate(db: &str) -> anyhow::Result<()> {
        jobs::connect(db).await?;
        Ok(())
    }

    async fn connect(db: &str) -> anyhow::Result<Self> {
        let storage = match SHARED.get() {
            Some(storage) if shared() => storage.clone(),
            _ => jobs::connect(db).await?,
        };
        if shared() {
            SHARED.get_or_init(|| storage.clone());
        }
        Ok(Self {
            client: Client::new(&storage),
            pool: PgPool::connect_lazy(db)?,
            storage,
        })
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> anyhow::Result<()> {
        self.client
            .enqueue_many(jobs.into_iter().map(Bench::from))
            .await?;
        Ok(())
    }

    async fn enqueue(&self, job: Payload) -> anyhow::Result<()> {
        self.client.enqueue(Bench::from(job)).await?;
        Ok(())
    }

    async fn start_worker(&self) -> anyhow::Result<Box<dyn Any + Send>> {
        let worker = Worker::builder(&self.storage).start().await?;
        Ok(Box::new(worker))
    }

    async fn unfinished(&self) -> anyhow::Result<u64> {
        self.count("SELECT count(*) FROM jobs.job WHERE state < 2").await
    }

    /// A job that waits has a ticket, or an entry in a claim; what has neither is settled. The count
    /// above, of every body, is what the harness checks it with.
    async fn all_finished(&self) -> anyhow::Result<bool> {
        let sql = "SELECT NOT EXISTS (SELECT FROM jobs.claim) AND NOT EXISTS (SELECT FROM jobs.ticket)";
        Ok(sqlx09::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    async fn failed(&self) -> anyhow::Result<u64> {
        self.count("SELECT count(*) FROM jobs.job WHERE state = 3").await
    }
}

fn main() {
    peers_harness::main::<Peer>();
}
