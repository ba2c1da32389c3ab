//! A few connections, whatever the number of jobs.
//!
//! The connections of our own are kept here and not in the driver's pool, which asks the server on
//! every loan and every return whether the connection lives: two round trips for an enqueue that
//! takes one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobs_core::storage::check_runtime;
use jobs_core::{Error, Result};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{error::Elapsed, timeout};

use crate::error::{code, leaves_connection_usable, translate};

/// A statement with its parameters.
pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// How long a statement may go without an answer. A connection can die without a word (a cable, a
/// firewall).
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a new connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(crate) enum Pool {
    /// Ours.
    Own(Box<OwnPool>),
    /// The user's.
    Given(PgPool, AtomicU64),
}

pub(crate) struct OwnPool {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<PgConnection>>,
    losses: AtomicU64,
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn own(options: PgConnectOptions, connections: usize) -> Self {
        Self::Own(Box::new(OwnPool {
            options,
            permits: Arc::new(Semaphore::new(connections)),
            shared: Arc::default(),
        }))
    }

    pub(crate) fn given(pool: PgPool) -> Self {
        Self::Given(pool, AtomicU64::new(0))
    }

    /// How often a connection was lost. What was concluded from answers before that may not hold
    /// any more: it may be another server that answers now.
    pub(crate) fn losses(&self) -> u64 {
        match self {
            Self::Own(own) => own.shared.losses.load(Ordering::Acquire),
            Self::Given(_, losses) => losses.load(Ordering::Acquire),
        }
    }

    /// Everything that is asked of the database by a connection of ours comes by here.
    pub(crate) async fn acquire(&self, doing: &str) -> Result<Lease<'_>> {
        check_runtime(doing)?;
        let connection = match self {
            Self::Own(own) => Loan::Own(own.acquire(doing).await?),
            Self::Given(pool, _) => {
                let acquired = pool.acquire().await;
                if acquired.is_err() {
                    self.note_loss();
                }
                Loan::Given(acquired.map_err(|error| translate(doing, error))?)
            }
        };
        Ok(Lease {
            pool: self,
            loan: connection,
            // Nothing was asked of it yet.
            sound: true,
            in_transaction: false,
            patience: PATIENCE,
        })
    }

    fn note_loss(&self) {
        match self {
            Self::Own(own) => {
                own.shared.losses.fetch_add(1, Ordering::AcqRel);
                // The others were most likely lost with it; a new one costs less than a failed
                // statement.
                own.shared.idle().clear();
            }
            Self::Given(_, losses) => {
                losses.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

impl OwnPool {
    async fn acquire(&self, doing: &str) -> Result<OwnLoan> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let idle = self.shared.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.options, doing).await?,
        };
        Ok(OwnLoan {
            connection: Some(connection),
            shared: self.shared.clone(),
            _permit: permit,
        })
    }
}

/// Opens one connection, within a bounded time.
pub(crate) async fn connect(options: &PgConnectOptions, doing: &str) -> Result<PgConnection> {
    match timeout(CONNECT_PATIENCE, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| translate(doing, error)),
        Err(_) => Err(no_answer(doing, CONNECT_PATIENCE)),
    }
}

fn no_answer(doing: &str, patience: Duration) -> Error {
    let why = format!("no answer within {} s", patience.as_secs());
    Error::Unavailable {
        doing: doing.into(),
        source: why.into(),
    }
}

enum Loan {
    Own(OwnLoan),
    Given(PoolConnection<Postgres>),
}

struct OwnLoan {
    connection: Option<PgConnection>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

/// A connection on loan. It goes back only if its last statement was answered and no transaction is
/// open; if the future that used it is dropped in the middle, the connection is closed, so that
/// nobody waits for an answer that was meant for somebody else.
pub(crate) struct Lease<'p> {
    pool: &'p Pool,
    loan: Loan,
    sound: bool,
    in_transaction: bool,
    /// How long a statement may go without an answer.
    pub(crate) patience: Duration,
}

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The SQLSTATE, if the server gave one.
    pub(crate) code: Option<String>,
    /// In the words of the seam.
    pub(crate) error: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Lease<'_> {
    /// Sends a statement and reads all of its rows.
    pub(crate) async fn rows(
        &mut self,
        doing: &str,
        query: Statement,
    ) -> Result<Vec<PgRow>, Failure> {
        self.sound = false;
        let answer = timeout(self.patience, query.fetch_all(self.connection())).await;
        self.judge(doing, answer)
    }

    /// Sends a statement that answers with one row.
    pub(crate) async fn row(&mut self, doing: &str, query: Statement) -> Result<PgRow, Failure> {
        self.sound = false;
        let answer = timeout(self.patience, query.fetch_one(self.connection())).await;
        self.judge(doing, answer)
    }

    /// Sends text that may hold several statements, without parameters.
    pub(crate) async fn script(&mut self, doing: &str, sql: Arc<str>) -> Result<(), Failure> {
        self.sound = false;
        let patience = self.patience;
        let script = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.connection());
        let answer = timeout(patience, script).await;
        self.judge(doing, answer).map(drop)
    }

    /// Opens a transaction. Without `commit` it is rolled back by closing the connection.
    pub(crate) async fn begin(&mut self, doing: &str) -> Result<(), Failure> {
        self.script(doing, "begin".into()).await?;
        self.in_transaction = true;
        Ok(())
    }

    pub(crate) async fn commit(&mut self, doing: &str) -> Result<(), Failure> {
        self.script(doing, "commit".into()).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// The connection, with a transaction open: whoever sends something himself. If what he sends is not
    /// answered, the connection is closed.
    pub(crate) fn transaction(&mut self) -> &mut PgConnection {
        self.sound = false;
        self.connection()
    }

    /// Ends a transaction in which a statement failed, so that the connection can be used again.
    pub(crate) async fn rollback(&mut self, doing: &str) -> Result<(), Failure> {
        self.script(doing, "rollback".into()).await?;
        self.in_transaction = false;
        Ok(())
    }

    fn connection(&mut self) -> &mut PgConnection {
        match &mut self.loan {
            Loan::Own(own) => own
                .connection
                .as_mut()
                .expect("taken only when it is dropped"),
            Loan::Given(given) => given,
        }
    }

    fn judge<T>(
        &mut self,
        doing: &str,
        answer: Result<sqlx::Result<T>, Elapsed>,
    ) -> Result<T, Failure> {
        let error = match answer {
            Ok(Ok(value)) => {
                self.sound = true;
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.pool.note_loss();
                return Err(Failure {
                    code: None,
                    error: no_answer(doing, self.patience),
                });
            }
        };
        self.sound = leaves_connection_usable(&error);
        if !self.sound {
            self.pool.note_loss();
        }
        Err(Failure {
            code: code(&error),
            error: translate(doing, error),
        })
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let sound = self.sound && !self.in_transaction;
        match &mut self.loan {
            Loan::Own(own) => {
                if let Some(connection) = own.connection.take().filter(|_| sound) {
                    own.shared.idle().push(connection);
                }
            }
            Loan::Given(given) if !sound => given.close_on_drop(),
            Loan::Given(_) => {}
        }
    }
}
