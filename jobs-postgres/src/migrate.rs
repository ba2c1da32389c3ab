//! Creating and upgrading the tables.
//!
//! All that is missing is applied in one transaction, one process at a time: it happens whole or
//! not at all. Migrations only add, so that workers of the version before go on while others are
//! upgraded.

use std::sync::Arc;

use jobs_core::{Error, Result};
use sqlx::{AssertSqlSafe, Row};

use crate::pool::Lease;
use crate::schema::Schema;
use crate::store::{MINUTES, Store};

/// Every migration there is; its version is its place, counted from 1.
const MIGRATIONS: [(&str, &str); 12] = [
    ("0001_tables", include_str!("migrations/0001_tables.sql")),
    ("0002_upkeep", include_str!("migrations/0002_upkeep.sql")),
    (
        "0003_workers_and_operators",
        include_str!("migrations/0003_workers_and_operators.sql"),
    ),
    (
        "0004_every_job",
        include_str!("migrations/0004_every_job.sql"),
    ),
    ("0005_rules", include_str!("migrations/0005_rules.sql")),
    ("0006_ends", include_str!("migrations/0006_ends.sql")),
    (
        "0007_insert_with_rules",
        include_str!("migrations/0007_insert_with_rules.sql"),
    ),
    ("0008_batches", include_str!("migrations/0008_batches.sql")),
    ("0009_removal", include_str!("migrations/0009_removal.sql")),
    (
        "0010_recurring",
        include_str!("migrations/0010_recurring.sql"),
    ),
    ("0011_limits", include_str!("migrations/0011_limits.sql")),
    ("0012_care", include_str!("migrations/0012_care.sql")),
];

/// The version of the tables that this code works with.
const VERSION: i32 = MIGRATIONS.len() as i32;

/// The statements that bring the tables of a schema from version `from` (0: there are none) to the
/// one that this version of the crate works with, for people who migrate with a tool of their own.
/// Run them in one transaction.
///
/// # Errors
///
/// [`Error::Invalid`] if the schema cannot have this name, or if there is no such version.
pub fn migration_sql(schema: &str, from: usize) -> Result<String> {
    let schema = Schema::new(schema)?;
    if from > MIGRATIONS.len() {
        return Err(Error::Invalid(format!(
            "there is no version {from} of the tables: the newest is {VERSION}"
        )));
    }
    let mut script = String::new();
    if from == 0 {
        script += &format!("create schema if not exists {schema};\n");
    }
    for (number, (name, sql)) in MIGRATIONS.iter().enumerate().skip(from) {
        script += &format!("\n-- {name}\n{}", schema.render(sql));
        let version = number + 1;
        script += &format!("\ninsert into {schema}.schema_version (version) values ({version});\n");
    }
    Ok(script)
}

pub(crate) async fn migrate(store: &Store) -> Result<()> {
    let doing = format!("migrate the schema {}", store.schema);
    let mut lease = store.acquire(&doing).await?;
    match version(store, &mut lease, &doing).await? {
        Some(VERSION) => return Ok(()),
        Some(newer) if newer > VERSION => return Err(newer_tables(store, newer)),
        _ => {}
    }
    // Another process may be at it, and a large upgrade takes its time.
    lease.patience = MINUTES;
    lease.begin(&doing).await?;
    let lock = format!(
        "select pg_advisory_xact_lock(hashtext('{}'), 0)",
        store.schema.channel()
    );
    lease.script(&doing, lock.into()).await?;
    // Another process may have done it while this one waited.
    let script: Arc<str> = match version(store, &mut lease, &doing).await? {
        Some(VERSION) => "select".into(),
        Some(newer) if newer > VERSION => return Err(newer_tables(store, newer)),
        None if has_schema(store, &mut lease, &doing).await? => {
            // To create it again, even if it exists, takes a right on the whole database.
            let script = migration_sql(store.schema.name(), 0)?;
            let create = format!("create schema if not exists {};\n", store.schema);
            script.trim_start_matches(&create).into()
        }
        found => migration_sql(store.schema.name(), found.unwrap_or(0) as usize)?.into(),
    };
    lease
        .script(&doing, script)
        .await
        .map_err(|failure| explain(store, failure.error))?;
    lease.commit(&doing).await?;
    Ok(())
}

fn explain(store: &Store, error: Error) -> Error {
    let Error::Storage { doing, source } = error else {
        return error;
    };
    let rights = format!(
        "{doing} (needed once: CREATE on the database, or an existing schema {} in which this user may CREATE; or let \
         somebody who may run the statements of `jobs::migration_sql()`)",
        store.schema
    );
    Error::Storage {
        doing: rights,
        source,
    }
}

pub(crate) async fn check_schema(store: &Store) -> Result<()> {
    let doing = format!("look at the schema {}", store.schema);
    let mut lease = store.acquire(&doing).await?;
    match version(store, &mut lease, &doing).await? {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(newer_tables(store, newer)),
        Some(older) => Err(Error::Schema(format!(
            "the tables of the jobs in schema {} are of version {older}, and this program needs {VERSION}: run \
             `storage.migrate()`, or the statements of `jobs::migration_sql({:?}, {older})`",
            store.schema,
            store.schema.name(),
        ))),
        None => Err(Error::Schema(format!(
            "schema {} has no tables of the jobs: run `storage.migrate()`, or the statements of \
             `jobs::migration_sql({:?}, 0)`",
            store.schema,
            store.schema.name(),
        ))),
    }
}

fn newer_tables(store: &Store, found: i32) -> Error {
    Error::Schema(format!(
        "the tables of the jobs in schema {} are of version {found}, and this program knows no later than {VERSION}: use a \
         newer version of `jobs`; nothing was changed",
        store.schema
    ))
}

/// The version of the tables; `None` if there are none.
async fn version(store: &Store, lease: &mut Lease<'_>, doing: &str) -> Result<Option<i32>> {
    // Not `to_regclass`: within a transaction it may answer from what this connection knew before it waited.
    let look = sqlx::query(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = $1 and c.relname = 'schema_version')",
    );
    let row = lease
        .row(doing, look.bind(store.schema.name()).persistent(false))
        .await?;
    if !row.get::<bool, _>(0) {
        return Ok(None);
    }
    let read = format!("select max(version) from {}.schema_version", store.schema);
    let row = lease
        .row(doing, sqlx::query(AssertSqlSafe(read)).persistent(false))
        .await?;
    Ok(row.get(0))
}

async fn has_schema(store: &Store, lease: &mut Lease<'_>, doing: &str) -> Result<bool> {
    let look = sqlx::query("select exists (select from pg_namespace where nspname = $1)");
    let row = lease
        .row(doing, look.bind(store.schema.name()).persistent(false))
        .await?;
    Ok(row.get(0))
}
