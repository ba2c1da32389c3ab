//! Where a test takes place: a storage of its own, which nobody else uses and which is gone afterwards.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, panic, process, thread};

use jobs::inspect::{JobRecord, StateCounts};
use jobs::{Client, JobEntry, JobId, RunningWorker, State, StorageHandle, Worker, WorkerBuilder};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::runtime::{Builder, Runtime};

use super::{Effects, PATIENCE, long, until};
use crate::kinds::named;

/// Which storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    non_camel_case_types,
    reason = "they are also the names of the tests that run on them"
)]
pub(crate) enum Kind {
    memory,
    sqlite,
    postgres,
}

/// A storage of a test's own, and a folder.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// What `jobs::connect` takes; another process can use it too, save for memory.
    pub(crate) url: String,
    pub(crate) dir: PathBuf,
    pub(crate) storage: StorageHandle,
    pub(crate) client: Client,
    pub(crate) effects: Effects,
}

/// Runs a test in a place of its own on each of these storages, all at the same time, and clears up,
/// however the test ends.
pub(crate) fn on(kinds: &[Kind], test: impl AsyncFn(&Place) + Copy + Send) {
    let failed = thread::scope(|scope| {
        let tests: Vec<_> = kinds
            .iter()
            .map(|kind| (kind, scope.spawn(move || on_one(*kind, test))))
            .collect();
        let joined = tests.into_iter().map(|(kind, test)| (kind, test.join()));
        joined
            .filter(|(_, ended)| ended.is_err())
            .map(|(kind, _)| *kind)
            .collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "failed on {failed:?}; see above");
}

fn on_one(kind: Kind, test: impl AsyncFn(&Place)) {
    run(Place::new(kind), test);
}

/// Runs a test in a place, on a runtime of its own, and clears up.
pub(crate) fn run(place: impl Future<Output = Place>, test: impl AsyncFn(&Place)) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let place = runtime.block_on(place);
    let test = async {
        let ended = tokio::time::timeout(longest(), test(&place)).await;
        assert!(ended.is_ok(), "not ended after {:?}: it hangs", longest());
    };
    let ended = panic::catch_unwind(panic::AssertUnwindSafe(|| runtime.block_on(test)));
    if ended.is_err() {
        place.tell();
    }
    place.remove(runtime);
    if let Err(panic) = ended {
        panic::resume_unwind(panic);
    }
}

/// A test that waits for what never comes must say so, instead of holding up all others for ever.
fn longest() -> Duration {
    Duration::from_secs(if long() { 3_600 } else { 600 })
}

/// The server that the tests use.
pub(crate) fn server_url() -> String {
    env::var("TEST_DATABASE_URL").expect(
        "TEST_DATABASE_URL is not set: run the tests with ./test, which starts a PostgreSQL for them",
    )
}

/// The URL of another database of the same server.
pub(crate) fn database_url(server: &str, database: &str) -> String {
    let options = PgConnectOptions::from_str(server).unwrap();
    options.database(database).to_url_lossy().to_string()
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = env::temp_dir().join(format!("jobs-it-{}-{count}", process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

impl Place {
    async fn new(kind: Kind) -> Self {
        let dir = folder();
        let url = match kind {
            Kind::memory => "memory:".into(),
            Kind::sqlite => format!("sqlite://{}", dir.join("jobs.db").display()),
            Kind::postgres => create_database(&server_url(), &dir).await,
        };
        Self::at(kind, url, dir).await
    }

    /// A place in a database that was made for it.
    async fn at(kind: Kind, url: String, dir: PathBuf) -> Self {
        let storage = jobs::connect(&url).await.unwrap();
        let client = Client::new(storage.clone());
        let effects = Effects::new(&dir);
        Self {
            kind,
            url,
            dir,
            storage,
            client,
            effects,
        }
    }

    /// A place on a server of the test's own; the server goes with all that is in it.
    pub(crate) async fn on_server(server: &str) -> Self {
        let dir = folder();
        let url = create_database(server, &dir).await;
        Self::at(Kind::postgres, url, dir).await
    }

    /// The same, with the tables on a small disk that the server was given.
    pub(crate) async fn on_disk(server: &str, disk: &std::path::Path) -> Self {
        let mut connection = PgConnection::connect(server).await.unwrap();
        let space = format!(
            "create tablespace small location '{}/space'",
            disk.display()
        );
        connection
            .execute(sqlx::AssertSqlSafe(space))
            .await
            .unwrap();
        let dir = folder();
        let url = create_database(server, &dir).await;
        let name = dir.file_name().unwrap().to_str().unwrap().replace('-', "_");
        let moved = format!("alter database {name} set tablespace small");
        connection
            .execute(sqlx::AssertSqlSafe(moved))
            .await
            .unwrap();
        Self::at(Kind::postgres, url, dir).await
    }

    /// A worker in this process, for these jobs.
    pub(crate) fn worker(&self, jobs: Vec<&'static JobEntry>) -> WorkerBuilder {
        Worker::builder(self.storage.clone())
            .jobs(jobs)
            .data(self.effects.clone())
    }

    /// Starts a worker in this process for all the jobs there are, set up as the test says.
    pub(crate) async fn start(
        &self,
        set_up: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> RunningWorker {
        let worker = set_up(self.worker(named(&[])));
        worker.start().await.unwrap()
    }

    /// What is known of a job.
    pub(crate) async fn record(&self, id: JobId) -> JobRecord {
        self.storage
            .inspect()
            .job(id)
            .await
            .unwrap()
            .expect("the job is stored")
    }

    /// Waits until a job is as wanted.
    pub(crate) async fn until(&self, id: JobId, wanted: impl Fn(&JobRecord) -> bool) -> JobRecord {
        let look = async || self.record(id).await;
        until("a job is as wanted", PATIENCE, look, wanted).await
    }

    /// Waits until a job stands there.
    pub(crate) async fn until_state(&self, id: JobId, state: State) -> JobRecord {
        self.until(id, |record| record.state == state).await
    }

    /// Waits until a job has said that it started. It is `Processing` before that, from the moment at which a
    /// worker has it, and until it starts the worker may still give it back.
    pub(crate) async fn until_started(&self, id: JobId) {
        let look = async || self.effects.of_job("start", id).len();
        until("a job has started", PATIENCE, look, |starts| *starts > 0).await;
    }

    /// Waits until so many jobs have said that they started.
    pub(crate) async fn started(&self, jobs: usize) {
        let look = async || self.effects.of("start").len();
        until("they run", PATIENCE, look, |started| *started == jobs).await;
    }

    /// Waits until nothing is waiting or running any more.
    pub(crate) async fn drained(&self, patience: Duration) {
        let look = async || self.storage.inspect().counts().await.ok();
        let wanted =
            |counts: &Option<_>| counts.is_some_and(|counts: StateCounts| counts.unfinished() == 0);
        until("all jobs are finished", patience, look, wanted).await;
    }

    /// Waits until all that happens has happened: what is left waits for others.
    pub(crate) async fn drained_but_awaiting(&self) {
        let look = async || self.storage.inspect().counts().await.unwrap();
        let wanted = |counts: &StateCounts| counts.unfinished() == counts.awaiting;
        until("all jobs have ended that can", PATIENCE, look, wanted).await;
    }

    /// What the workers in other processes said, for whoever reads of the failure.
    fn tell(&self) {
        eprintln!("on {:?}, {}:", self.kind, self.url);
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                eprintln!("-- {}\n{text}", path.display());
            }
        }
    }

    fn remove(self, runtime: Runtime) {
        let Self {
            kind,
            url,
            dir,
            storage,
            client,
            ..
        } = self;
        drop((storage, client));
        if kind == Kind::postgres {
            runtime.block_on(drop_database(&url));
        }
        // Workers in this process that a test did not stop end here.
        runtime.shutdown_timeout(Duration::from_secs(1));
        let _ = fs::remove_dir_all(dir);
    }
}

async fn create_database(server: &str, dir: &std::path::Path) -> String {
    let name = dir.file_name().unwrap().to_str().unwrap().replace('-', "_");
    let mut connection = PgConnection::connect(server).await.unwrap();
    let sql = format!("create database {name} template template0");
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    database_url(server, &name)
}

/// Does its best: a test may have taken the server away.
async fn drop_database(url: &str) {
    let options = PgConnectOptions::from_str(url).unwrap();
    let name = options.get_database().unwrap().to_owned();
    let server = options.database("postgres").connect().await;
    if let Ok(mut connection) = server {
        let sql = format!("drop database if exists {name} with (force)");
        let _ = connection.execute(sqlx::AssertSqlSafe(sql)).await;
    }
}
