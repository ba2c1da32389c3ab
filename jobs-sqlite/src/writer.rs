//! The one connection of this process that writes, and the task that owns it.
//!
//! A commit waits for the disk, so the task takes whatever is asked for at that moment, does it in one
//! transaction, commits once, and only then answers. A caller that stops waiting changes nothing: what it
//! asked for is done or not done as a whole.
//!
//! Should one request of a transaction fail, the transaction is rolled back and each request is done again
//! on its own, so that it alone fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::time::Instant;

use jobs_core::storage::Wake;

use crate::fault::{Fault, Result};
use crate::queries::Queries;
use crate::rules;
use crate::wake::{Hints, Lookout};

/// Most requests done in one transaction: their callers wait for each other.
const MOST_AT_ONCE: usize = 256;

/// Below this, waiting for others is not worth a timer.
const SLOW: Duration = Duration::from_millis(3);

/// A future that borrows the connection of the transaction.
pub(crate) type Doing<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

/// Whether a commit must outlive a power failure. A kill of the process or of all processes takes
/// nothing that was committed, whatever this says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It must.
    Full,
    /// If the machine goes down, it may be as if it had not happened: so with claims and signs of life,
    /// which mean nothing once every process is gone.
    Process,
}

/// Something to be done in a transaction, and somebody who waits for it.
trait Request: Send {
    fn durability(&self) -> Durability;
    fn attempt<'t>(
        &'t mut self,
        tx: &'t mut SqliteConnection,
        queries: &'t Queries,
    ) -> Doing<'t, ()>;
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Pending<F, A, T> {
    durability: Durability,
    work: F,
    after: A,
    done: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, A, T> Request for Pending<F, A, T>
where
    F: for<'t> FnMut(&'t mut SqliteConnection, &'t Queries) -> Doing<'t, T> + Send,
    A: FnOnce(&T) + Send,
    T: Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn attempt<'t>(
        &'t mut self,
        tx: &'t mut SqliteConnection,
        queries: &'t Queries,
    ) -> Doing<'t, ()> {
        Box::pin(async move {
            self.done = Some((self.work)(tx, queries).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let Self {
            after, done, reply, ..
        } = *self;
        let answer = outcome.and_then(|()| done.ok_or(Fault::Stopped));
        if let Ok(done) = &answer {
            after(done);
        }
        // Whoever asked may be gone; what was done is done.
        let _ = reply.send(answer);
    }
}

/// The way to the task that writes. The task ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Box<dyn Request>>);

impl Writer {
    /// Does `work` in a transaction, alone or with what else is waiting, and answers after the commit.
    /// `work` may be called again after a rollback. `after` is called once it is committed, whether or
    /// not the caller still waits: it tells others what has happened.
    pub(crate) async fn run<T, F, A>(&self, durability: Durability, work: F, after: A) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnMut(&'t mut SqliteConnection, &'t Queries) -> Doing<'t, T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Pending {
            durability,
            work,
            after,
            done: None,
            reply,
        });
        self.0.send(request).await.map_err(|_| Fault::Stopped)?;
        answer.await.map_err(|_| Fault::Stopped)?
    }
}

/// How the task that writes treats the file.
pub(crate) struct Settings {
    /// The statements.
    pub(crate) queries: Arc<Queries>,
    /// How to open the file; `PRAGMA synchronous` is ours.
    pub(crate) options: SqliteConnectOptions,
    /// How long to wait for another process that is writing.
    pub(crate) patience: Duration,
    /// Whether commits that must be durable wait for the disk.
    pub(crate) full: bool,
    /// Whom to tell what other processes do.
    pub(crate) wakes: broadcast::Sender<Wake>,
    /// Notified when somebody begins to listen.
    pub(crate) listeners: Arc<Notify>,
}

/// Starts the task on a connection that is open.
pub(crate) fn start(connection: SqliteConnection, settings: Settings) -> Writer {
    let (sender, requests) = mpsc::channel(1_024);
    let task = Task {
        requests,
        connection: Some(connection),
        synchronous: None,
        lookout: Lookout::new(settings.options.get_filename()),
        last: (0, Duration::ZERO),
        settings,
    };
    tokio::spawn(task.run());
    Writer(sender)
}

struct Task {
    requests: mpsc::Receiver<Box<dyn Request>>,
    /// None after a failure that left it in an unknown state; opened again for the next transaction.
    connection: Option<SqliteConnection>,
    /// What `PRAGMA synchronous` was last set to.
    synchronous: Option<Durability>,
    lookout: Lookout,
    /// How many requests were served together last, and how long it took.
    last: (usize, Duration),
    settings: Settings,
}

impl Task {
    async fn run(mut self) {
        let mut batch = Vec::new();
        let listeners = Arc::clone(&self.settings.listeners);
        let queries = Arc::clone(&self.settings.queries);
        loop {
            let listening = self.settings.wakes.receiver_count() > 0;
            let told = self.lookout.told(listening);
            tokio::select! {
                biased;
                received = self.requests.recv_many(&mut batch, MOST_AT_ONCE) => match received {
                    0 => break,
                    _ => self.serve_all(&mut batch).await,
                },
                () = told.news.notified(), if listening => {}
                () = tokio::time::sleep_until(self.lookout.closely), if listening => {}
                () = rules::alarm(&queries) => self.look_at_limits(&mut batch).await,
                () = listeners.notified(), if !listening => {}
            }
            if !listening {
                self.lookout.rest();
            } else if let Some(connection) = &mut self.connection
                && self.lookout.has_changed(connection).await
            {
                // Nobody listens any more: then nobody needs to know.
                let _ = self.settings.wakes.send(Wake::Everything);
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the file");
        }
    }

    /// Time has passed: limits may let somebody in.
    async fn look_at_limits(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        self.settings
            .queries
            .alarm
            .store(i64::MAX, Ordering::Relaxed);
        let wakes = self.settings.wakes.clone();
        let (reply, _) = oneshot::channel();
        batch.push(Box::new(Pending {
            durability: Durability::Full,
            work: rules::ripen,
            after: move |hints: &Hints| hints.send(&wakes),
            done: None,
            reply,
        }));
        self.serve(batch).await;
    }

    async fn serve_all(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        self.gather(batch).await;
        let (begun, size) = (Instant::now(), batch.len());
        self.serve(batch).await;
        self.last = (size, begun.elapsed());
    }

    /// Waits for more requests, if it is likely that they come: those who were answered together a moment
    /// ago are about to ask again, and whoever misses this commit waits for two. It takes a small part
    /// of the time of a commit at most, and where the disk is quick or the caller alone, none.
    async fn gather(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        let (size, took) = self.last;
        let deadline = Instant::now() + took / 8;
        while batch.len() < MOST_AT_ONCE {
            if let Ok(request) = self.requests.try_recv() {
                batch.push(request);
                continue;
            }
            if batch.len() >= size || took < SLOW {
                return;
            }
            match tokio::time::timeout_at(deadline, self.requests.recv()).await {
                Ok(Some(request)) => batch.push(request),
                _ => return,
            }
        }
    }

    /// Does all of `batch`, together if that goes well, else one by one.
    async fn serve(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        let outcome = self.transaction(batch).await;
        match outcome {
            Err(Failed::Within(_)) if batch.len() > 1 => {
                for mut request in batch.drain(..) {
                    let outcome = self.transaction(std::slice::from_mut(&mut request)).await;
                    request.answer(outcome.map_err(Failed::into_fault));
                }
            }
            outcome => {
                let outcome = outcome.map_err(Failed::into_fault);
                for request in batch.drain(..) {
                    request.answer(outcome.clone());
                }
            }
        }
    }

    async fn transaction(&mut self, batch: &mut [Box<dyn Request>]) -> Result<(), Failed> {
        let durability = if batch.iter().any(|r| r.durability() == Durability::Full) {
            Durability::Full
        } else {
            Durability::Process
        };
        let mut connection = self.begin(durability).await.map_err(Failed::Begin)?;
        let mut outcome = Ok(());
        for request in batch {
            outcome = request
                .attempt(&mut connection, &self.settings.queries)
                .await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            outcome = execute(&mut connection, "commit").await;
        }
        if let Err(fault) = outcome {
            // Some failures (a full disk, an I/O error) have rolled back already; then this one says so.
            // A connection that is not good for a `begin` afterwards is replaced.
            let _ = execute(&mut connection, "rollback").await;
            if fault.leaves_connection_sound() {
                self.connection = Some(connection);
            } else {
                self.forget(connection).await;
            }
            return Err(Failed::Within(fault));
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn forget(&mut self, connection: SqliteConnection) {
        self.synchronous = None;
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "closing the file after a failure");
        }
    }

    /// Takes the right to write. `immediate`: a transaction that reads first and writes later is refused
    /// when somebody else has written in between.
    async fn begin(&mut self, durability: Durability) -> Result<SqliteConnection> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.synchronous = None;
                // What others wrote meanwhile cannot be told from what we did.
                self.lookout.rest();
                self.settings.options.connect().await?
            }
        };
        let begun = self.begin_on(&mut connection, durability).await;
        match begun {
            Ok(()) => Ok(connection),
            Err(fault) => {
                if fault.is_busy() {
                    self.connection = Some(connection);
                } else {
                    self.forget(connection).await;
                }
                Err(fault)
            }
        }
    }

    async fn begin_on(&mut self, tx: &mut SqliteConnection, durability: Durability) -> Result<()> {
        if self.synchronous != Some(durability) {
            let full = self.settings.full && durability == Durability::Full;
            let pragma = if full {
                "pragma synchronous = full"
            } else {
                "pragma synchronous = normal"
            };
            execute(tx, pragma).await?;
            self.synchronous = Some(durability);
        }
        let deadline = Instant::now() + self.settings.patience;
        loop {
            match execute(tx, "begin immediate").await {
                // SQLite's own way of waiting sleeps up to 100 ms at a time: two busy processes would
                // starve each other. The steps here are short and of random length.
                Err(fault) if fault.is_busy() && Instant::now() < deadline => {
                    let step = Duration::from_micros(fastrand::u64(300..3_000));
                    tokio::time::sleep(step).await;
                }
                outcome => return outcome,
            }
        }
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

/// Where a transaction failed.
enum Failed {
    /// Nothing was done, and doing it in smaller parts would not help.
    Begin(Fault),
    /// It was rolled back.
    Within(Fault),
}

impl Failed {
    fn into_fault(self) -> Fault {
        match self {
            Self::Begin(fault) | Self::Within(fault) => fault,
        }
    }
}
