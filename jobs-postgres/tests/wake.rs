//! Hints from other processes: here, from another storage on the same schema.

mod home;

use std::time::Duration;

use home::{Home, url};
use jobs_core::job::{JobId, NewJob, WorkerId};
use jobs_core::storage::{Control, ControlVerb, Scope, Storage, Wake, WorkerInfo};
use jobs_postgres::PgStorage;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::broadcast::Receiver;
use tokio::time::{sleep, timeout};

/// How long to wait for what must come at once on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A storage whose connections can be told from others.
async fn named(home: &Home, name: &str) -> PgStorage {
    let separator = if url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}application_name={name}", url());
    home.builder().url(url).connect().await.unwrap()
}

fn unique(what: &str) -> String {
    format!(
        "{what}_{}",
        &uuid::Uuid::new_v4().simple().to_string()[..16]
    )
}

/// Server processes of this name that are listening.
async fn listeners(name: &str) -> i64 {
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let look = "select count(*) from pg_stat_activity where application_name = $1 and query ilike 'listen%'";
    let row = sqlx::query(look)
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.get(0)
}

async fn eventually_listening(name: &str, wanted: i64) {
    let waiting = async {
        while listeners(name).await != wanted {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(
        waited.is_ok(),
        "{name}: there are {} listeners, not {wanted}",
        listeners(name).await
    );
}

async fn hears(hints: &mut Receiver<Wake>, wanted: &Wake) {
    let listening = async { while hints.recv().await.unwrap() != *wanted {} };
    let heard = timeout(PATIENCE, listening).await;
    assert!(heard.is_ok(), "there was no hint {wanted:?}");
}

/// One that listens and has a worker, and another.
async fn two(home: &Home) -> (PgStorage, Receiver<Wake>, PgStorage, String) {
    let name = unique("listener");
    let here = named(home, &name).await;
    here.register(&WorkerInfo::new(WorkerId::new()))
        .await
        .unwrap();
    let hints = here.wake();
    eventually_listening(&name, 1).await;
    let there = home.builder().connect().await.unwrap();
    (here, hints, there, name)
}

#[tokio::test]
async fn others_hear_of_jobs_pauses_and_cancellations() {
    let home = Home::new();
    let (here, mut hints, there, _) = two(&home).await;
    assert!(here.wakes_across_processes());
    let job = NewJob::new(JobId::new(), "add", "{}");
    there.insert(&[job]).await.unwrap();
    hears(&mut hints, &Wake::Jobs("default".into())).await;
    let control = Control {
        verb: ControlVerb::Pause(Scope::queues("default").unwrap(), None),
        actor: "ada".into(),
        reason: None,
    };
    there.control(&control).await.unwrap();
    hears(&mut hints, &Wake::Queues).await;
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let call = format!("select \"{}\".enqueue('add', queue => 'sql')", home.name());
    sqlx::query(AssertSqlSafe(call))
        .execute(&mut connection)
        .await
        .unwrap();
    hears(&mut hints, &Wake::Jobs("sql".into())).await;
}

#[tokio::test]
async fn a_lost_connection_comes_back_and_says_so() {
    let home = Home::new();
    let (_here, mut hints, there, name) = two(&home).await;
    let mut connection = PgConnection::connect(&url()).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    sqlx::query(end)
        .bind(&name)
        .execute(&mut connection)
        .await
        .unwrap();
    hears(&mut hints, &Wake::Everything).await;
    eventually_listening(&name, 1).await;
    there
        .insert(&[NewJob::new(JobId::new(), "add", "{}")])
        .await
        .unwrap();
    hears(&mut hints, &Wake::Jobs("default".into())).await;
}

#[tokio::test]
async fn the_last_clone_takes_the_listener_with_it() {
    let home = Home::new();
    let (here, hints, _there, name) = two(&home).await;
    let clone = here.clone();
    drop(here);
    assert_eq!(listeners(&name).await, 1);
    drop(clone);
    eventually_listening(&name, 0).await;
    drop(hints);
}

#[test]
fn a_new_runtime_takes_over() {
    let home = Home::new();
    let name = unique("runtime");
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let storage = first.block_on(async {
        let storage = named(&home, &name).await;
        drop(storage.wake());
        eventually_listening(&name, 1).await;
        storage
    });
    drop(first);
    runtime().block_on(async {
        eventually_listening(&name, 0).await;
        let mut hints = storage.wake();
        eventually_listening(&name, 1).await;
        // What the first runtime left behind does not keep this one from storing jobs.
        storage
            .insert(&[NewJob::new(JobId::new(), "add", "{}")])
            .await
            .unwrap();
        hears(&mut hints, &Wake::Jobs("default".into())).await;
    });
}
