//! Jobs that are enqueued, and completed, in the caller's own transaction.

use std::time::{Duration, Instant};

use jobs::{Data, JobContext, JobEntry, JobError, State, WorkerBuilder, job, jobs};
use sqlx::{PgPool, SqlitePool};

use crate::kinds::{AT_ONCE, named, note};
use crate::setup::{Effects, PATIENCE, Place, on_all, on_each};

/// A job that pays, and says so in the same transaction. It dies, gives up or forgets where it is told to,
/// if nothing of it has happened before.
macro_rules! pay {
    ($how:ident, $db:ident, $effects:ident, $ctx:ident) => {{
        $effects.write("start", &$ctx);
        let first = $effects.of_job("start", $ctx.id()).len() == 1;
        let mut tx = $db.begin().await?;
        let insert = sqlx::query("insert into payment (job) values ($1)");
        insert.bind($ctx.id().to_string()).execute(&mut *tx).await?;
        $ctx.complete_within(&mut tx).await?;
        match &*$how {
            "dies before" if first => std::process::abort(),
            "rolls back" if first => tx.rollback().await?,
            "forgets" if first => drop(tx),
            _ => tx.commit().await?,
        }
        match &*$how {
            "dies after" if first => std::process::abort(),
            "fails after" => Err("too late to fail".into()),
            _ => Ok(()),
        }
    }};
}

#[job(name = "e2e.pay_postgres")]
async fn pay_postgres(
    how: String,
    db: Data<PgPool>,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<(), JobError> {
    pay!(how, db, effects, ctx)
}

#[job(name = "e2e.pay_sqlite")]
async fn pay_sqlite(
    how: String,
    db: Data<SqlitePool>,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<(), JobError> {
    pay!(how, db, effects, ctx)
}

/// The jobs that pay in a database of this URL.
fn paying(url: &str) -> Vec<&'static JobEntry> {
    if url.starts_with("sqlite") {
        jobs![pay_sqlite]
    } else {
        jobs![pay_postgres]
    }
}

/// Whether these are the jobs that a worker shall run.
pub(crate) fn are_paying(kinds: &[String]) -> bool {
    kinds.iter().any(|kind| kind == "pay")
}

/// Gives a worker the jobs that pay, and what they pay with.
pub(crate) fn provide(worker: WorkerBuilder, url: &str) -> WorkerBuilder {
    let worker = worker.jobs(paying(url));
    if url.starts_with("sqlite") {
        worker.data(SqlitePool::connect_lazy(url).unwrap())
    } else {
        worker.data(PgPool::connect_lazy(url).unwrap())
    }
}

on_all!(a_job_is_completed_with_its_own_writes_exactly_once: sqlite, postgres);

async fn a_job_is_completed_with_its_own_writes_exactly_once(place: &Place) {
    execute(place, "create table payment (job text not null)").await;
    // Whatever becomes of the process, somebody lives to see it.
    let (beat, death) = crate::setup::QUICK;
    let witness = place
        .worker(named(&["e2e.noop".into()]))
        .queues(["elsewhere"])
        .liveness(beat, death);
    let witness = witness.start().await.unwrap();
    let hows = [
        "commits",
        "rolls back",
        "forgets",
        "fails after",
        "dies before",
        "dies after",
    ];
    let mut ids = Vec::new();
    for how in hows {
        let client = &place.client;
        let handle = match place.url.starts_with("sqlite") {
            true => pay_sqlite.enqueue(how).backoff(AT_ONCE).on(client).await,
            false => pay_postgres.enqueue(how).backoff(AT_ONCE).on(client).await,
        };
        ids.push((how, handle.unwrap().id()));
        // One worker each: those that die take nobody with them. Another one follows.
        let dies = how.starts_with("dies");
        let pay = || {
            place.spawn(|orders| {
                orders.kinds = vec!["pay".into()];
                orders.liveness = dies.then_some(crate::setup::QUICK);
            })
        };
        let mut worker = pay();
        let end = Instant::now() + PATIENCE;
        let mut deaths = 0;
        while place.storage.inspect().counts().await.unwrap().unfinished() > 0
            || (dies && deaths == 0)
        {
            if worker.has_ended() {
                (deaths, worker) = (deaths + 1, pay());
            }
            assert!(Instant::now() < end, "{how} was not done");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(deaths, u32::from(dies), "{how}");
    }
    for (how, id) in ids {
        let record = place.record(id).await;
        let (attempt, lost, runs) = match how {
            // The first run said that it was done, and was not.
            "rolls back" | "forgets" => (2, 0, 2),
            "dies before" => (1, 1, 2),
            // Done once and for all when it was committed, whatever came later.
            _ => (1, 0, 1),
        };
        assert_eq!(
            (record.state, record.attempt, record.lost),
            (State::Succeeded, attempt, lost),
            "{how}"
        );
        assert_eq!(place.effects.of_job("start", id).len(), runs, "{how}");
        assert_eq!(payments(place, &id.to_string()).await, 1, "{how}");
        let attempts = place.storage.inspect().attempts(id).await.unwrap();
        if attempt == 2 {
            let words = attempts[0].error.as_ref().unwrap().message.clone();
            assert!(words.contains("rolled back"), "{how}: {words}");
        }
    }
    crate::counters::assert_exact(place).await;
    witness.stop().await;
}

async fn execute(place: &Place, sql: &'static str) {
    if place.url.starts_with("sqlite") {
        let pool = SqlitePool::connect(&place.url).await.unwrap();
        sqlx::query(sql).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = PgPool::connect(&place.url).await.unwrap();
        sqlx::query(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

async fn payments(place: &Place, job: &str) -> i64 {
    let sql = "select count(*) from payment where job = $1";
    if place.url.starts_with("sqlite") {
        let pool = SqlitePool::connect(&place.url).await.unwrap();
        sqlx::query_scalar(sql)
            .bind(job)
            .fetch_one(&pool)
            .await
            .unwrap()
    } else {
        let pool = PgPool::connect(&place.url).await.unwrap();
        sqlx::query_scalar(sql)
            .bind(job)
            .fetch_one(&pool)
            .await
            .unwrap()
    }
}

/// What holds for the transactions of both databases.
macro_rules! enqueue_within {
    ($place:ident, $pool:ty) => {{
        let worker = $place.worker(named(&[])).start().await.unwrap();
        let pool = <$pool>::connect(&$place.url).await.unwrap();
        let client = &$place.client;

        let mut tx = pool.begin().await.unwrap();
        let alone = note.enqueue(1).within(&mut tx).on(client).await.unwrap();
        let many = note
            .enqueue_many(2..=4)
            .within(&mut *tx)
            .on(client)
            .await
            .unwrap();
        // Not there before the commit, for nobody.
        let unknown = alone.state().await.unwrap_err();
        assert!(matches!(unknown, jobs::Error::UnknownJob(_)), "{unknown}");
        assert_eq!(
            $place
                .storage
                .inspect()
                .counts()
                .await
                .unwrap()
                .unfinished(),
            0
        );
        tx.commit().await.unwrap();
        assert_eq!(alone.result().await.unwrap(), 1);
        for (handle, n) in many.handles().zip(2..) {
            assert_eq!(handle.result().await.unwrap(), n);
        }

        let mut tx = pool.begin().await.unwrap();
        let alone = note.enqueue(5).within(&mut tx).on(client).await.unwrap();
        let many = note
            .enqueue_many(6..=8)
            .within(&mut tx)
            .on(client)
            .await
            .unwrap();
        tx.rollback().await.unwrap();
        // What came later is done, and of these there is no trace.
        assert_eq!(
            note.enqueue(9)
                .on(client)
                .await
                .unwrap()
                .result()
                .await
                .unwrap(),
            9
        );
        for id in many.ids().iter().chain([&alone.id()]) {
            assert!($place.storage.inspect().job(*id).await.unwrap().is_none());
        }

        // A connection without a transaction is one of one statement.
        let mut connection = pool.acquire().await.unwrap();
        let alone = note
            .enqueue(10)
            .within(&mut connection)
            .on(client)
            .await
            .unwrap();
        assert_eq!(alone.result().await.unwrap(), 10);
        let alone = note
            .enqueue(11)
            .within(&mut *connection)
            .on(client)
            .await
            .unwrap();
        assert_eq!(alone.result().await.unwrap(), 11);
        assert_eq!($place.effects.of("note").len(), 4 + 1 + 2);

        // A transaction of another database than the client's.
        let elsewhere = jobs::Client::new(jobs::connect("memory:").await.unwrap());
        let mut tx = pool.begin().await.unwrap();
        let error = note
            .enqueue(12)
            .within(&mut tx)
            .on(&elsewhere)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        drop((tx, connection));
        worker.stop().await;
        pool.close().await;
    }};
}

on_each!(a_job_shares_the_fate_of_the_transaction: sqlite, postgres);

async fn a_job_shares_the_fate_of_the_transaction(place: &Place) {
    if place.url.starts_with("sqlite") {
        enqueue_within!(place, SqlitePool);
    } else {
        enqueue_within!(place, PgPool);
    }
}
