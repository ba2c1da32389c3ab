//! Tests that need the inside of the storage, or SQL beside it. They need a server:
//! `TEST_DATABASE_URL`.

mod batches;
mod cancel;
mod care;
mod command;
mod floors;
mod flow;
mod guards;
mod invariants;
mod late;
mod limits;
mod messages;
mod plans;
mod race;
mod retention;
mod runtime;
mod statements;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use jobs_core::job::{ClaimId, JobId, NewJob, QueuePattern, WorkerId};
use jobs_core::lifecycle::Transition;
use jobs_core::storage::{
    ClaimRequest, Claimed, ClaimedJob, Flush, QueueShare, Settlement, Storage, WorkerInfo,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{PgStorage, PgStorageBuilder};

pub(crate) fn url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL names a server to test with; `scripts/postgres start` makes one")
}

/// A schema of its own for one test, removed afterwards, whatever comes.
pub(crate) struct Home {
    pub(crate) schema: String,
}

impl Home {
    pub(crate) fn builder(&self) -> PgStorageBuilder {
        PgStorage::builder().url(url()).schema(&self.schema)
    }

    pub(crate) async fn storage(&self) -> PgStorage {
        self.builder()
            .connect()
            .await
            .expect("the test server answers")
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&url())
            .await
            .expect("the test server answers")
    }

    /// Carries out statements beside the storage, in a session.
    pub(crate) async fn run(&self, session: &mut PgConnection, sql: &str) {
        let ran = sqlx::raw_sql(self.sql(sql)).execute(session).await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The same in a session of their own.
    pub(crate) async fn run_alone(&self, sql: &str) {
        self.run(&mut self.connection().await, sql).await;
    }

    /// A statement beside the storage, with the schema filled in.
    pub(crate) fn sql(&self, sql: &str) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(self.text(sql))
    }

    pub(crate) fn text(&self, sql: &str) -> Arc<str> {
        let schema = crate::schema::Schema::new(&self.schema).unwrap();
        schema.render(sql)
    }
}

/// Whether the long runs were asked for (`./test --long`).
pub(crate) fn long() -> bool {
    std::env::var("JOBS_TEST_LONG").is_ok_and(|value| value == "1")
}

/// A test that waits for what never comes must say so, instead of holding up all others for ever.
fn longest() -> Duration {
    Duration::from_secs(if long() { 3_600 } else { 600 })
}

/// How long to wait for what must come at once on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn test<F, T>(body: F)
where
    F: FnOnce(Arc<Home>) -> T,
    T: Future<Output = ()>,
{
    let home = Arc::new(Home {
        schema: format!("test {}", uuid::Uuid::new_v4().simple()),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let inner = home.clone();
    let body = async {
        let ended = tokio::time::timeout(longest(), body(inner)).await;
        assert!(ended.is_ok(), "not ended after {:?}: it hangs", longest());
    };
    let run = AssertUnwindSafe(|| runtime.block_on(body));
    let outcome = std::panic::catch_unwind(run);
    runtime.block_on(async {
        let mut connection = home.connection().await;
        let drop: Arc<str> = format!("drop schema if exists \"{}\" cascade", home.schema).into();
        // A storage goes on with what follows from its last commit, and takes its locks in another order.
        for _ in 0..10 {
            let drop = sqlx::raw_sql(AssertSqlSafe(drop.clone()));
            match drop.execute(&mut connection).await {
                Err(error) if crate::error::code(&error).as_deref() == Some("40P01") => {}
                dropped => {
                    dropped.unwrap();
                    break;
                }
            }
        }
    });
    if let Err(error) = outcome {
        std::panic::resume_unwind(error);
    }
}

pub(crate) fn new_job() -> NewJob {
    NewJob::new(JobId::new(), "add", r#"{"b":1,"a":-0.0}"#)
}

pub(crate) async fn worker(storage: &PgStorage) -> WorkerId {
    let id = WorkerId::new();
    storage.register(&WorkerInfo::new(id)).await.unwrap();
    id
}

pub(crate) fn request(worker: WorkerId, queue: &str, limit: usize) -> ClaimRequest {
    ClaimRequest {
        worker,
        claim: ClaimId::new(),
        queues: vec![QueueShare {
            queues: QueuePattern::new(queue).unwrap(),
            limit,
        }],
        limit,
        unknown_kinds: Arc::default(),
    }
}

pub(crate) async fn claim(
    storage: &PgStorage,
    worker: WorkerId,
    limit: usize,
) -> (ClaimId, Claimed) {
    let request = request(worker, "*", limit);
    (request.claim, storage.claim(&request).await.unwrap())
}

pub(crate) fn settlement(job: &ClaimedJob, claim: ClaimId, transition: Transition) -> Settlement {
    Settlement {
        job: job.id,
        run: job.run,
        claim,
        kind: job.kind.clone(),
        queue: job.queue.clone(),
        attempt: job.attempt,
        ran_for: Some(Duration::from_millis(3)),
        ended_ago: Duration::from_millis(1),
        transition,
    }
}

pub(crate) fn success() -> Transition {
    Transition::Succeed {
        result: Some("[1]".into()),
        note: None,
    }
}

pub(crate) fn flush(worker: WorkerId, claim: ClaimId, jobs: &[ClaimedJob], closed: bool) -> Flush {
    Flush {
        worker,
        settlements: jobs
            .iter()
            .map(|job| settlement(job, claim, success()))
            .collect(),
        closed: closed.then_some(claim).into_iter().collect(),
    }
}
