//! Connecting, creating the tables, and what is said when that does not work.

mod home;

use std::time::Duration;

use home::{Home, url};
use jobs_core::Error;
use jobs_core::job::{JobId, NewJob};
use jobs_core::storage::{Inspect, Storage};
use jobs_postgres::{PgStorage, migration_sql};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;

/// The test server's URL with another user, database or port.
fn elsewhere(user: &str, port: Option<u16>, database: &str) -> String {
    let options: sqlx::postgres::PgConnectOptions = url().parse().unwrap();
    let port = port.unwrap_or(options.get_port());
    format!("postgres://{user}@{}:{port}/{database}", options.get_host())
}

async fn run(sql: String) {
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn refusal(url: &str) -> String {
    let connecting = timeout(Duration::from_secs(60), PgStorage::connect(url));
    let connected = connecting.await.expect("it does not wait for ever");
    connected.unwrap_err().to_string()
}

#[tokio::test]
async fn nobody_answers() {
    // Port 1 belongs to a service that nobody has run for decades.
    let error = refusal("postgres://ada:secret@127.0.0.1:1/app").await;
    for said in ["127.0.0.1:1", "\"app\"", "\"ada\"", "cannot be reached"] {
        assert!(error.contains(said), "{error}");
    }
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn the_database_does_not_exist() {
    let error = refusal(&elsewhere("postgres", None, "no_such_database")).await;
    assert!(
        error.contains("no_such_database") && error.contains("does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn the_url_is_not_one() {
    let error = refusal("mysql://localhost/app").await;
    assert!(
        error.contains("postgres://") && error.contains("\"mysql\""),
        "{error}"
    );
    assert!(!refusal("postgres://host:port/app").await.is_empty());
    let error = PgStorage::builder().connect().await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

/// A role without rights, removed in the end.
struct Role(String);

impl Role {
    async fn new() -> Self {
        let name = format!("role_{}", uuid::Uuid::new_v4().simple());
        run(format!("create role {name} login")).await;
        Self(name)
    }

    async fn remove(self) {
        run(format!("drop owned by {0}; drop role {0}", self.0)).await;
    }
}

#[tokio::test]
async fn the_user_may_not_create() {
    let (home, role) = (Home::new(), Role::new().await);
    let options: sqlx::postgres::PgConnectOptions = url().parse().unwrap();
    let database = options.get_database().unwrap_or("postgres").to_owned();
    let theirs = elsewhere(&role.0, None, &database);
    let error = home
        .builder()
        .url(&theirs)
        .connect()
        .await
        .unwrap_err()
        .to_string();
    for said in [
        "lacks a right",
        "CREATE on the database",
        "permission denied",
    ] {
        assert!(error.contains(said), "{error}");
    }
    // With no more than the use of what is there a program can enqueue.
    let storage = home.builder().connect().await.unwrap();
    let (schema, name) = (home.name(), &role.0);
    run(format!(
        "grant usage on schema \"{schema}\" to {name}; grant select, insert, update, delete on all tables in schema \
         \"{schema}\" to {name}; grant usage on all sequences in schema \"{schema}\" to {name}"
    ))
    .await;
    let limited = home.builder().url(&theirs).connect().await.unwrap();
    let job = NewJob::new(JobId::new(), "add", "{}");
    limited.insert(std::slice::from_ref(&job)).await.unwrap();
    assert!(storage.job(job.id).await.unwrap().is_some());
    run(format!("revoke select on \"{schema}\".job from {name}")).await;
    let error = limited.job(job.id).await.unwrap_err().to_string();
    assert!(
        error.contains("lacks a right") && error.contains("table job"),
        "{error}"
    );
    drop(limited);
    role.remove().await;
}

#[tokio::test]
async fn many_processes_start_at_once() {
    let home = Home::new();
    let connecting = (0..8).map(|_| tokio::spawn(home.builder().connect()));
    for storage in connecting.collect::<Vec<_>>() {
        storage
            .await
            .unwrap()
            .unwrap()
            .check_schema()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_tables_are_missing_and_not_to_be_made() {
    let home = Home::new();
    let builder = home.builder().auto_migrate(false);
    let error = builder.clone().connect().await.unwrap_err();
    assert!(matches!(error, Error::Schema(_)), "{error}");
    assert!(error.to_string().contains("migration_sql"), "{error}");
    // With the statements that it names they can be made by hand.
    run(migration_sql(home.name(), 0).unwrap()).await;
    builder
        .connect()
        .await
        .unwrap()
        .check_schema()
        .await
        .unwrap();
}

#[tokio::test]
async fn newer_tables_are_left_alone() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    run(format!(
        "insert into \"{}\".schema_version (version) values (1000)",
        home.name()
    ))
    .await;
    for error in [
        storage.check_schema().await.unwrap_err(),
        storage.migrate().await.unwrap_err(),
        home.builder().connect().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Schema(_)), "{error}");
        assert!(
            error.to_string().contains("newer version of `jobs`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn tables_that_vanish_are_named() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    run(format!("drop schema \"{}\" cascade", home.name())).await;
    let job = NewJob::new(JobId::new(), "add", "{}");
    let error = storage.insert(&[job]).await.unwrap_err();
    assert!(matches!(error, Error::Schema(_)), "{error}");
}

#[tokio::test]
async fn arguments_that_are_no_json_are_refused() {
    let home = Home::new();
    let storage = home.builder().connect().await.unwrap();
    let good = NewJob::new(JobId::new(), "add", "{}");
    let bad = NewJob::new(JobId::new(), "add", "{");
    let error = storage.insert(&[good.clone(), bad]).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error}");
    assert!(storage.job(good.id).await.unwrap().is_none(), "all or none");
}
