//! Databases that are not there, not ours, or not as they should be; and settings at their limits.
//! (Longer than 400 lines: one test for each mistake.)

use std::process::Command;
use std::{env, fs};

use jobs::{Client, Error, PgStorage, State, StorageHandle, Worker};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::kinds::{hold, named, note};
use crate::setup::{PATIENCE, Place, Server, on_each, run, until};

/// What `jobs::connect` says; it says something in the end, and never a password.
async fn refused(url: &str) -> String {
    let connecting = tokio::time::timeout(PATIENCE, jobs::connect(url));
    let connected = connecting.await.expect("it does not wait for ever");
    let error = connected.unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
    error
}

/// The URL of a database as another user sees it.
fn as_user(url: &str, user: &str, password: &str) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    options
        .username(user)
        .password(password)
        .to_url_lossy()
        .to_string()
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn nobody_listens_there() {
    // Bound, so that it is nobody else's, and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let error = refused(&format!("postgres://ada:secret@127.0.0.1:{port}/app")).await;
    let told = [
        &format!("127.0.0.1:{port}"),
        "\"app\"",
        "\"ada\"",
        "refused",
    ];
    assert!(told.iter().all(|word| error.contains(*word)), "{error}");
}

#[tokio::test]
async fn somebody_listens_there_who_says_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refused(&format!("postgres://ada:secret@127.0.0.1:{port}/app")).await;
    assert!(
        error.contains(&port.to_string()) && error.contains("no answer within"),
        "{error}"
    );
}

on_each!(a_database_that_is_not_there: postgres);

async fn a_database_that_is_not_there(place: &Place) {
    let options: PgConnectOptions = place.url.parse().unwrap();
    let elsewhere = options.database("nothing_here").to_url_lossy().to_string();
    let error = refused(&elsewhere).await;
    assert!(error.contains("\"nothing_here\" does not exist"), "{error}");
}

/// A server on which passwords count.
#[test]
fn a_wrong_password() {
    let server = Server::start();
    run(Place::on_server(&server.url), async |place: &Place| {
        let rules = place.dir.join("pg_hba.conf");
        let trusted = "host all postgres 127.0.0.1/32 trust\nlocal all postgres trust\n";
        fs::write(
            &rules,
            format!("{trusted}host all all 127.0.0.1/32 scram-sha-256\n"),
        )
        .unwrap();
        execute(&place.url, "create role ada login password 'right'").await;
        execute(
            &place.url,
            &format!("alter system set hba_file = '{}'", rules.display()),
        )
        .await;
        server.restart().await;
        let error = refused(&as_user(&place.url, "ada", "secret")).await;
        assert!(
            error.contains("password authentication failed for user \"ada\""),
            "{error}"
        );
    });
}

on_each!(a_user_without_rights: postgres);

async fn a_user_without_rights(place: &Place) {
    let (role, database) = (
        unique(place),
        place
            .dir
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('-', "_"),
    );
    execute(
        &place.url,
        &format!("create role {role} login password 'secret'"),
    )
    .await;
    let url = as_user(&place.url, &role, "secret");
    // The tables are there, and not for this user.
    let error = refused(&url).await;
    assert!(
        error.contains("permission denied for schema jobs"),
        "{error}"
    );
    // They are not there, and this user may not make them.
    execute(&place.url, "drop schema jobs cascade").await;
    let error = refused(&url).await;
    let told = [
        &format!("permission denied for database {database}"),
        "CREATE",
        "migration_sql",
    ];
    assert!(told.iter().all(|word| error.contains(*word)), "{error}");
    // Whoever may do that much needs nothing else.
    execute(
        &place.url,
        &format!("create schema jobs authorization {role}"),
    )
    .await;
    let storage = jobs::connect(&url).await.unwrap();
    run_some(&storage, place).await;
    execute(
        &place.url,
        &format!("drop owned by {role} cascade; drop role {role}"),
    )
    .await;
}

fn unique(place: &Place) -> String {
    format!(
        "user_{}",
        place
            .dir
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('-', "_")
    )
}

/// Runs some jobs in a storage, in this process.
async fn run_some(storage: &StorageHandle, place: &Place) {
    let client = Client::new(storage.clone());
    let worker = Worker::builder(storage.clone())
        .jobs(named(&[]))
        .data(place.effects.clone())
        .poll_interval(PATIENCE)
        .start()
        .await
        .unwrap();
    for n in 0..5 {
        let handle = note.enqueue(n).on(&client).await.unwrap();
        let result = tokio::time::timeout(PATIENCE / 2, handle.result()).await;
        assert_eq!(result.expect("no wake-up").unwrap(), n);
    }
    for handle in note.enqueue_many(0..200).on(&client).await.unwrap() {
        handle.result().await.unwrap();
    }
    worker.stop().await;
    assert_eq!(storage.inspect().counts().await.unwrap().unfinished(), 0);
}

on_each!(a_schema_whose_name_needs_quoting: postgres);

async fn a_schema_whose_name_needs_quoting(place: &Place) {
    for schema in ["My jobs-1", "select", "jobs.jobs", "Größe"] {
        let storage = PgStorage::builder()
            .url(&place.url)
            .schema(schema)
            .connect()
            .await
            .unwrap();
        // Enqueued through one storage, and run by a worker of another: the wake-up finds its way.
        let other = PgStorage::builder()
            .url(&place.url)
            .schema(schema)
            .connect()
            .await
            .unwrap();
        let client = Client::new(storage);
        let worker = Worker::builder(other)
            .jobs(named(&[]))
            .data(place.effects.clone())
            .poll_interval(PATIENCE);
        let worker = worker.start().await.unwrap();
        let handle = note.enqueue(1).on(&client).await.unwrap();
        let result = tokio::time::timeout(PATIENCE / 2, handle.result()).await;
        assert_eq!(result.expect(schema).unwrap(), 1);
        worker.stop().await;
    }
    // The one that every place has is another.
    assert_eq!(place.storage.inspect().counts().await.unwrap().succeeded, 0);
    for schema in ["", "public", "pg_jobs", "a\"b", "a\0b"] {
        let error = PgStorage::builder()
            .url(&place.url)
            .schema(schema)
            .connect()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}

on_each!(a_pool_of_one_connection: postgres);

async fn a_pool_of_one_connection(place: &Place) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&place.url)
        .await
        .unwrap();
    let storage: StorageHandle = PgStorage::builder()
        .pool(pool.clone())
        .connect()
        .await
        .unwrap()
        .into();
    run_some(&storage, place).await;
    // It is still the user's own.
    let one: i32 = sqlx::query_scalar("select 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(one, 1);
    pool.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be() {
    let dir = env::temp_dir().join(format!("jobs-it-{}-file", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let missing = dir.join("missing");
    let error = refused(&format!("sqlite://{}/jobs.db", missing.display())).await;
    assert!(
        error.contains(&format!("no directory {}", missing.display())),
        "{error}"
    );
    let error = refused(&format!("sqlite://{}", dir.display())).await;
    assert!(error.contains("is a directory"), "{error}");
    let text = dir.join("text.db");
    fs::write(
        &text,
        "these are words and no database, and there are enough of them for a page",
    )
    .unwrap();
    let error = refused(&format!("sqlite://{}", text.display())).await;
    assert!(
        error.contains("text.db") && error.contains("not a database"),
        "{error}"
    );
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("these are words")
    );
    fs::remove_dir_all(&dir).unwrap();
}

/// Moves the version of the tables, as a program of another version would have.
async fn shift_version(place: &Place, by: i32) {
    if place.url.starts_with("sqlite") {
        let sql = format!("update jobs_meta set value = value + ({by}) where key = 'version'");
        let mut connection = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    } else {
        let sql = format!("update jobs.schema_version set version = version + ({by})");
        execute(&place.url, &sql).await;
    }
}

on_each!(tables_of_another_version: sqlite, postgres);

async fn tables_of_another_version(place: &Place) {
    let waiting = note.enqueue(1).on(&place.client).await.unwrap();
    for (by, advice) in [(100, "newer"), (-100, "migrat")] {
        shift_version(place, by).await;
        let error = place.worker(named(&[])).start().await.unwrap_err();
        assert!(
            matches!(&error, Error::Schema(why) if why.contains(advice)),
            "{error}"
        );
        if by > 0 {
            let error = jobs::connect(&place.url).await.unwrap_err();
            assert!(
                matches!(&error, Error::Schema(why) if why.contains(advice)),
                "{error}"
            );
        }
        shift_version(place, -by).await;
    }
    // Nothing was changed: it works as before.
    assert_eq!(waiting.record().await.unwrap().run, 0);
    let worker = place.worker(named(&[])).start().await.unwrap();
    assert_eq!(waiting.result().await.unwrap(), 1);
    worker.stop().await;
}

/// A small disk of its own, if this machine lets us make one.
struct Disk<'a>(&'a std::path::Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a std::path::Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

on_each!(a_full_disk: sqlite);

async fn a_full_disk(place: &Place) {
    let at = place.dir.join("disk");
    let Some(disk) = Disk::mount(&at) else {
        eprintln!("skipped: a test of a full disk must mount a small one, and this user may not");
        return;
    };
    let storage = jobs::connect(&format!("sqlite://{}/jobs.db", at.display()))
        .await
        .unwrap();
    let client = Client::new(storage.clone());
    let worker = Worker::builder(storage.clone())
        .jobs(named(&[]))
        .data(place.effects.clone());
    let worker = worker.start().await.unwrap();
    // What others keep on this disk, and will take away again.
    let ballast = at.join("ballast");
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    // One runs, and will end while there is no room to write that down.
    let running = hold.enqueue("go").on(&client).await.unwrap();
    place.started(1).await;
    client.queue("later").pause().await.unwrap();
    let mut stored = Vec::new();
    let error = loop {
        match note.enqueue_many(0..200).queue("later").on(&client).await {
            Ok(more) => stored.extend_from_slice(more.ids()),
            Err(error) => break error,
        }
        assert!(stored.len() < 100_000, "the disk is not full");
    };
    assert!(error.to_string().contains("full"), "{error}");
    // To the last byte.
    let crumbs = fs::write(at.join("crumbs"), vec![1; 8 << 20]);
    assert!(crumbs.is_err());
    place.effects.open_gate("go");
    until(
        "it ends",
        PATIENCE,
        async || place.effects.of("end"),
        |it| it.len() == 1,
    )
    .await;
    let error = note
        .enqueue_many(vec![i64::MAX; 2_000])
        .on(&client)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    // Room again: all goes on by itself, and what was acknowledged is there.
    fs::remove_file(&ballast).unwrap();
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
    let record = ended.expect("the worker goes on").unwrap();
    assert_eq!((record.state, record.attempt), (State::Succeeded, 1));
    for id in stored {
        assert!(
            storage.inspect().job(id).await.unwrap().is_some(),
            "{id} is gone"
        );
    }
    worker.stop().await;
    drop((client, storage, disk));
}
