//! A database for one run, and what is asked of it from outside.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jobs::{MemoryStorage, StorageHandle};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::Result;
use crate::kinds::QUEUES;

/// Which storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
    Memory,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Postgres, Self::Sqlite, Self::Memory]
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or_else(|| format!("no storage `{name}`: postgres, sqlite or memory"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        })
    }
}

/// A database of one run: fresh, and gone afterwards.
pub(crate) enum Database {
    Postgres(Postgres),
    Sqlite { folder: PathBuf },
    Memory(StorageHandle),
}

/// A connection outside the database that is measured, so that measuring leaves no trace in its
/// counters, and one to it.
pub(crate) struct Postgres {
    admin: PgPool,
    name: String,
    url: String,
    /// Asks whether all is done; opened after the filling.
    inside: PgPool,
    /// The process of the server, if it runs on this machine.
    pub(crate) postmaster: Option<u32>,
}

impl Database {
    pub(crate) async fn create(kind: Kind, server: Option<&str>) -> Result<Self> {
        match (kind, server) {
            (Kind::Memory, _) => Ok(Self::Memory(MemoryStorage::new().into())),
            (Kind::Sqlite, _) => {
                let name = format!("jobs-bench-{}", std::process::id());
                let folder = std::env::temp_dir().join(name);
                std::fs::create_dir(&folder)?;
                Ok(Self::Sqlite { folder })
            }
            (Kind::Postgres, Some(server)) => Ok(Self::Postgres(Postgres::create(server).await?)),
            (Kind::Postgres, None) => Err("PostgreSQL needs --db".into()),
        }
    }

    /// What to give to `jobs::connect`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(postgres) => postgres.url.clone(),
            Self::Sqlite { folder } => format!("sqlite://{}/jobs.db", folder.display()),
            Self::Memory(_) => "memory:".into(),
        }
    }

    /// A storage handle with connections of its own, tables made.
    pub(crate) async fn connect(&self) -> Result<StorageHandle> {
        match self {
            Self::Memory(storage) => Ok(storage.clone()),
            _ => connect(&self.url()).await,
        }
    }

    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        match self {
            Self::Postgres(postgres) => Some(postgres),
            _ => None,
        }
    }

    /// Whether the database shows no job that is due or in anybody's hands, except for those that a limit
    /// keeps waiting, of which there were `blocked` and one was let in.
    pub(crate) async fn all_finished(&self, storage: &StorageHandle, blocked: u64) -> Result<bool> {
        if let Self::Postgres(postgres) = self {
            return postgres.all_finished().await;
        }
        let counts = storage.inspect().counts().await?;
        Ok(counts.enqueued + counts.processing < blocked.max(1))
    }

    /// How many jobs have succeeded, counted.
    pub(crate) async fn succeeded(&self, storage: &StorageHandle) -> Result<u64> {
        if let Self::Postgres(postgres) = self {
            let sql = "select count(*) from jobs.job where state = 2";
            let count: i64 = sqlx::query(sql).fetch_one(&postgres.inside).await?.get(0);
            return Ok(count as u64);
        }
        Ok(storage.inspect().counts().await?.succeeded)
    }

    pub(crate) async fn drop(self) -> Result<()> {
        match self {
            Self::Postgres(postgres) => postgres.drop().await,
            Self::Sqlite { folder } => Ok(std::fs::remove_dir_all(folder)?),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// A storage, tables made.
pub(crate) async fn connect(url: &str) -> Result<StorageHandle> {
    Ok(jobs::connect(url).await?)
}

impl Postgres {
    async fn create(server: &str) -> Result<Self> {
        let slash = server
            .find("://")
            .and_then(|scheme| server[scheme + 3..].find('/').map(|at| at + scheme + 3));
        let base = slash.map_or(server, |slash| &server[..slash]);
        let admin = pool(&format!("{base}/postgres")).await?;
        let name = format!("jobs_bench_{}", std::process::id());
        let run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&admin).await;
        run(format!("drop database if exists {name} with (force)")).await?;
        run(format!("create database {name}")).await?;
        // Every run starts right after a checkpoint: as many full-page images for each.
        run("checkpoint".into()).await?;
        let backend: i32 = sqlx::query("select pg_backend_pid()")
            .fetch_one(&admin)
            .await?
            .get(0);
        let url = format!("{base}/{name}");
        Ok(Self {
            inside: PgPoolOptions::new().max_connections(1).connect_lazy(&url)?,
            admin,
            url,
            name,
            postmaster: crate::meter::parent(backend as u32),
        })
    }

    /// What autovacuum does within a minute.
    pub(crate) async fn analyze(&self) -> Result<()> {
        sqlx::raw_sql("analyze").execute(&self.inside).await?;
        Ok(())
    }

    /// A session of somebody else's, in the middle of a long transaction.
    pub(crate) async fn hold_snapshot(&self) -> Result<PgConnection> {
        let mut session = PgConnection::connect(&self.url).await?;
        sqlx::raw_sql("begin isolation level repeatable read; select pg_current_xact_id()")
            .execute(&mut session)
            .await?;
        Ok(session)
    }

    pub(crate) async fn wal(&self) -> Result<f64> {
        self.figure("select (pg_current_wal_lsn() - '0/0')::float8")
            .await
    }

    /// Transactions committed by sessions that have ended or been idle for a while.
    pub(crate) async fn commits(&self) -> Result<f64> {
        let sql = "select xact_commit::float8 from pg_stat_database where datname = $1";
        let row = sqlx::query(sql).bind(&self.name).fetch_one(&self.admin);
        Ok(row.await?.get(0))
    }

    pub(crate) async fn size(&self) -> Result<f64> {
        let sql = "select pg_database_size($1)::float8";
        let row = sqlx::query(sql).bind(&self.name).fetch_one(&self.admin);
        Ok(row.await?.get(0))
    }

    async fn figure(&self, sql: &'static str) -> Result<f64> {
        Ok(sqlx::query(sql).fetch_one(&self.admin).await?.get(0))
    }

    /// Claims first: mostly there are some, and the tickets need not be looked at. In the order of the tickets' index: among
    /// a million that are not due, the planner expects one that is due soon enough to read the table from its beginning.
    async fn all_finished(&self) -> Result<bool> {
        let sql = "select not exists (select from jobs.claim) and not exists (
            select from unnest($1::text[]) q (name), lateral (
                select from jobs.ticket t where t.queue = q.name and t.priority = 0 and t.run_at <= now()
                order by t.run_at limit 1) t)";
        let queues: Vec<String> = QUEUES.map(str::to_owned).to_vec();
        let row = sqlx::query(sql).bind(queues).fetch_one(&self.inside);
        Ok(row.await?.get(0))
    }

    /// Ends all sessions in the database: a session that ends publishes its statistics.
    pub(crate) async fn end_sessions(&self) -> Result<()> {
        let sql =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
        for _ in 0..100 {
            let row = sqlx::query(sql).bind(&self.name).fetch_one(&self.admin);
            let left: i64 = row.await?.get(0);
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn drop(self) -> Result<()> {
        self.inside.close().await;
        let sql = format!("drop database if exists {} with (force)", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.admin)
            .await?;
        Ok(())
    }
}

async fn pool(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(1).connect(url).await?)
}
