//! The folder of statements against the code, and against the server.

use std::collections::BTreeSet;

use sqlx::Executor;

use super::test;
use crate::schema::{Schema, Statements};

#[test]
fn every_file_is_used() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/queries");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let statements = Statements::new(&Schema::new("jobs").unwrap());
    let used: BTreeSet<String> = statements
        .all()
        .into_iter()
        .map(|(name, _)| format!("{name}.sql"))
        .collect();
    assert_eq!(files, used);
}

#[test]
fn every_statement_prepares() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        for (name, sql) in storage.store.sql.all() {
            let prepared = (&mut connection)
                .prepare(sqlx::SqlSafeStr::into_sql_str(sqlx::AssertSqlSafe(sql)))
                .await;
            prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}

#[test]
fn every_statement_says_what_it_is_for() {
    let statements = Statements::new(&Schema::new("jobs").unwrap());
    for (name, sql) in statements.all() {
        assert!(sql.starts_with("-- "), "{name}");
    }
}

/// Nothing can be reckoned from an infinite time: who looks for the next due time would fail from then on.
#[test]
fn what_is_never_due_is_refused() {
    test(|home| async move {
        let _storage = home.storage().await;
        let mut connection = home.connection().await;
        let never = home.sql("select jobs.enqueue('add', run_at => 'infinity')");
        let refused = connection.execute(sqlx::raw_sql(never)).await.unwrap_err();
        assert!(refused.to_string().contains("due at infinity"), "{refused}");
        let now = home.sql("select jobs.enqueue('add', run_at => '-infinity')");
        connection.execute(sqlx::raw_sql(now)).await.unwrap();
    });
}
