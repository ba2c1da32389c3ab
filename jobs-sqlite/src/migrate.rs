//! Creating and upgrading the tables.

use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use jobs_core::{Error, Result};

use crate::SqliteStorage;
use crate::clock;
use crate::fault;
use crate::queries::PLACEHOLDER;
use crate::writer::Durability;

/// The migrations, in order; the first leads to version 1. Files that were released never change.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_tables.sql"),
    include_str!("migrations/0002_rules.sql"),
    include_str!("migrations/0003_recurring.sql"),
];

/// The version of the tables that this crate works with.
const CURRENT: i64 = MIGRATIONS.len() as i64;

pub(crate) const META: &str = "create table if not exists jobs_meta (\
     key text not null primary key, value integer not null) strict, without rowid";

impl SqliteStorage {
    pub(crate) async fn run_migrations(&self) -> Result<()> {
        // Mostly there is nothing to do, and then nobody who writes is disturbed.
        let mut found = self.version().await?;
        if found < CURRENT {
            let prefix = self.0.prefix.clone();
            let doing = format!("migrating {}", self.0.file);
            let upgrade = self.write(Durability::Full, &doing, move |tx, _| {
                let prefix = prefix.clone();
                Box::pin(async move { upgrade(tx, &prefix).await })
            });
            found = upgrade.await?;
        }
        self.judge(found)
    }

    pub(crate) async fn compare_schema(&self) -> Result<()> {
        self.judge(self.version().await?)
    }

    /// The version of the tables in the file; 0 if there are none.
    async fn version(&self) -> Result<i64> {
        let version = AssertSqlSafe(render(
            "select value from jobs_meta where key = 'version'",
            &self.0.prefix,
        ));
        let row = async { Ok(sqlx::query(version).fetch_optional(self.reads()?).await?) };
        let row: fault::Result<_> = row.await;
        match row {
            Ok(row) => Ok(row.map_or(0, |row| row.get(0))),
            Err(fault) if fault.is_missing_table() => Ok(0),
            Err(fault) => Err(fault.during(&format!("reading the version of {}", self.0.file))),
        }
    }

    /// What to say of tables of this version.
    fn judge(&self, found: i64) -> Result<()> {
        let (file, prefix) = (&self.0.file, &self.0.prefix);
        match found {
            CURRENT => Ok(()),
            0 => Err(Error::Schema(format!(
                "{file} has no tables of jobs with the prefix {prefix}: run the migrations \
                 (`storage.migrate()`)"
            ))),
            older if older < CURRENT => Err(Error::Schema(format!(
                "the tables of jobs in {file} are at version {older}, this program needs version \
                 {CURRENT}: run the migrations (`storage.migrate()`)"
            ))),
            newer => Err(Error::Schema(format!(
                "the tables of jobs in {file} are at version {newer}, this program knows only version \
                 {CURRENT}: a newer program has upgraded them; upgrade this one too"
            ))),
        }
    }
}

fn render(sql: &str, prefix: &str) -> String {
    sql.replace(PLACEHOLDER, prefix)
}

/// Brings the tables up to the current version, in the transaction of the caller: a process that dies in
/// between leaves them as they were, and one that comes second finds nothing to do. Answers the version
/// that was found, or the current one.
async fn upgrade(tx: &mut SqliteConnection, prefix: &str) -> fault::Result<i64> {
    run(tx, META, prefix).await?;
    let known = "select value from jobs_meta where key = 'version'";
    let row = sqlx::query(AssertSqlSafe(render(known, prefix)))
        .fetch_optional(&mut *tx)
        .await?;
    let found = row.map_or(0, |row| row.get::<i64, _>(0));
    if found >= CURRENT {
        return Ok(found);
    }
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        run(tx, migration, prefix).await?;
    }
    let now = clock::now();
    let note = format!(
        "insert into jobs_meta (key, value) values ('version', {CURRENT}), ('clock', {now})
         on conflict (key) do update set value = excluded.value where key = 'version'"
    );
    run(tx, &note, prefix).await?;
    Ok(CURRENT)
}

async fn run(tx: &mut SqliteConnection, sql: &str, prefix: &str) -> fault::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(render(sql, prefix)))
        .execute(tx)
        .await?;
    Ok(())
}
