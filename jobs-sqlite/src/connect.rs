//! Opening the file.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use tokio::sync::{Notify, broadcast};

use jobs_core::storage::check_runtime;
use jobs_core::{Error, Result};

use crate::fault::Fault;
use crate::queries::{PLACEHOLDER, Queries};
use crate::wake::HINTS;
use crate::writer::{self, Settings};
use crate::{Inner, SqliteStorage};

/// Connections that only read: people's questions, and those of a worker between two claims.
const READERS: u32 = 3;

/// Pages in the log before its content is moved into the file (16 MiB): at the default of 1,000 a busy
/// queue would spend much of its time moving.
const CHECKPOINT_PAGES: &str = "4000";

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Until the disk has it: nothing that was acknowledged is lost, not even when the power fails. The
    /// default: jobs that are stored together share the wait, so that only a caller who stores one job
    /// after the other notices it.
    #[default]
    Full,
    /// For nothing: a power failure or a crash of the operating system may take the last moments with it
    /// (never a part of a transaction, and the file stays sound). A killed process still loses nothing.
    Normal,
}

enum Source {
    Nothing,
    Url(String),
    Path(PathBuf),
    Pool(SqlitePool),
}

/// How to open a file. Made by [`SqliteStorage::builder`].
#[must_use = "call `connect` to open the file"]
pub struct SqliteStorageBuilder {
    source: Source,
    prefix: String,
    busy_timeout: Duration,
    synchronous: Synchronous,
    auto_migrate: bool,
}

impl Default for SqliteStorageBuilder {
    fn default() -> Self {
        Self {
            source: Source::Nothing,
            prefix: PLACEHOLDER.into(),
            busy_timeout: Duration::from_secs(5),
            synchronous: Synchronous::default(),
            auto_migrate: true,
        }
    }
}

impl SqliteStorageBuilder {
    /// The file as a URL: see [`SqliteStorage::connect`]. `?mode=rw` forbids to create it.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.source = Source::Url(url.into());
        self
    }

    /// The file as a path.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::Path(path.into());
        self
    }

    /// The file that this pool is connected to, so that jobs can be stored within transactions of the
    /// pool together with the application's own data.
    ///
    /// Reads go through the pool; for writing, one connection with the pool's options is opened beside
    /// it. The file is put into WAL mode: the pool's own options must not ask for another one.
    pub fn pool(mut self, pool: SqlitePool) -> Self {
        self.source = Source::Pool(pool);
        self
    }

    /// What the names of the tables begin with. Defaults to `jobs_`. Must match `[a-z_][a-z0-9_]{0,31}`.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long to wait for another process that is writing before a call fails with
    /// [`Error::Conflict`]. Defaults to 5 s.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// What a commit waits for. Defaults to [`Synchronous::Full`].
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Whether `connect` creates and upgrades the tables. If not, it fails when they are missing or of
    /// another version. Defaults to on.
    pub fn auto_migrate(mut self, on: bool) -> Self {
        self.auto_migrate = on;
        self
    }

    /// Opens the file. See [`SqliteStorage::connect`] for what can go wrong.
    pub async fn connect(self) -> Result<SqliteStorage> {
        self.open_with(Queries::new).await
    }

    /// Opens the file, with the statements that are made for a prefix.
    pub(crate) async fn open_with(
        self,
        statements: impl FnOnce(&str) -> Queries,
    ) -> Result<SqliteStorage> {
        check_prefix(&self.prefix)?;
        let options = self.options()?;
        let file = options.get_filename().to_owned();
        check_directory(&file)?;
        let doing = format!("opening {}", file.display());
        let explained = |fault: Fault| fault.during(&doing);
        check_runtime(&doing)?;

        let patience = self.busy_timeout;
        let options = options
            .busy_timeout(patience)
            .disable_statement_logging()
            .optimize_on_close(false, None);
        // The task that writes waits in its own way for its turn.
        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_millis(20))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            .row_buffer_size(1_024)
            .thread_name(|id| format!("jobs-sqlite-{id}"));
        let mut connection = match open(&writing, patience).await {
            Err(_) if !file.exists() => return Err(missing(&file)),
            opened => opened.map_err(explained)?,
        };
        check_mode(&mut connection, &file).await?;

        let readers = match self.source {
            Source::Pool(pool) => pool,
            _ => SqlitePoolOptions::new()
                .max_connections(READERS)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(
                    options
                        .create_if_missing(false)
                        .row_buffer_size(1_024)
                        .pragma("query_only", "on"),
                ),
        };
        let (wakes, _) = broadcast::channel(HINTS);
        let listeners = Arc::new(Notify::new());
        let queries = Arc::new(statements(&self.prefix));
        let settings = Settings {
            queries: Arc::clone(&queries),
            options: writing.create_if_missing(false),
            patience,
            full: self.synchronous == Synchronous::Full,
            wakes: wakes.clone(),
            listeners: Arc::clone(&listeners),
        };
        let storage = SqliteStorage(Arc::new(Inner {
            queries,
            readers,
            writer: writer::start(connection, settings),
            wakes,
            listeners,
            turns: Arc::default(),
            file: file.display().to_string(),
            prefix: self.prefix,
        }));
        if self.auto_migrate {
            storage.run_migrations().await?;
        } else {
            storage.compare_schema().await?;
        }
        Ok(storage)
    }

    fn options(&self) -> Result<SqliteConnectOptions> {
        match &self.source {
            Source::Nothing => Err(Error::Setup(
                "no SQLite file was named: call `url`, `path` or `pool` before `connect`".into(),
            )),
            Source::Url(url) => {
                refuse_memory(url)?;
                let options = SqliteConnectOptions::from_str(url).map_err(|error| {
                    Error::Setup(format!(
                        "{url:?} does not name a SQLite file: {error}; write sqlite://jobs.db or \
                         sqlite:///absolute/path/jobs.db"
                    ))
                })?;
                let may_create = !url.contains("mode=rw") || url.contains("mode=rwc");
                Ok(options.create_if_missing(may_create))
            }
            Source::Path(path) => Ok(SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)),
            Source::Pool(pool) => {
                let options = pool.connect_options().as_ref().clone();
                refuse_memory(options.to_url_lossy().as_ref())?;
                Ok(options)
            }
        }
    }
}

/// Every connection to an in-memory database has one of its own: there is nothing to share.
fn refuse_memory(url: &str) -> Result<()> {
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if in_memory || matches!(url, "sqlite:" | "sqlite://") {
        return Err(Error::Setup(format!(
            "{url:?} names no file: jobs in SQLite need one; for jobs in memory, use the storage \
             `memory:`"
        )));
    }
    Ok(())
}

fn check_prefix(prefix: &str) -> Result<()> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let good = prefix.starts_with(first)
        && prefix.len() <= 32
        && prefix.chars().all(|c| first(c) || c.is_ascii_digit());
    if good && !prefix.starts_with("sqlite_") {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "{prefix:?} cannot be the table prefix: it must match [a-z_][a-z0-9_]{{0,31}} and not begin with \
         sqlite_"
    )))
}

fn check_directory(file: &Path) -> Result<()> {
    let directory = match file.parent() {
        None => return Ok(()),
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
    };
    if directory.is_dir() && !file.is_dir() {
        return Ok(());
    }
    let what = if directory.is_dir() {
        format!("{} is a directory: name a file", file.display())
    } else {
        format!(
            "cannot open {}: there is no directory {}; create it first",
            file.display(),
            directory.display()
        )
    };
    Err(Error::Setup(what))
}

/// There is no file, and it is not to be made: trying again would not help.
fn missing(file: &Path) -> Error {
    Error::Setup(format!(
        "there is no file {}, and it could not be created: leave `mode` out of the URL, or create the file first \
         (on a pool of yours, with `create_if_missing`); check the rights to its directory",
        file.display()
    ))
}

/// Opens the connection that writes. Putting a fresh file into WAL mode needs it alone for a moment, so
/// that processes that start together may have to try again.
async fn open(
    options: &SqliteConnectOptions,
    patience: Duration,
) -> crate::fault::Result<SqliteConnection> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match options.connect().await.map_err(Fault::from) {
            Err(fault) if fault.is_busy() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(5..25))).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether the file is a database that can be written to, in WAL mode.
async fn check_mode(connection: &mut SqliteConnection, file: &Path) -> Result<()> {
    let doing = format!("opening {}", file.display());
    let mode = sqlx::query("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await;
    let mode: String = mode
        .and_then(|row| row.try_get(0))
        .map_err(|error| Fault::from(error).during(&doing))?;
    if mode == "wal" {
        return may_write(connection, &doing).await;
    }
    Err(Error::Setup(format!(
        "{doing}: it cannot be put into WAL mode (it is in {mode} mode): is it read-only, in a \
         directory that this process may not write to, or on a network file system?"
    )))
}

/// Whether this process may write to the file: SQLite opens one that it may only read without a word, and
/// even begins a transaction. So one is begun that would change something, and rolled back.
async fn may_write(connection: &mut SqliteConnection, doing: &str) -> Result<()> {
    let tried = async {
        let mut transaction = connection.begin_with("begin immediate").await?;
        sqlx::query("create table jobs_may_write (probe)")
            .execute(&mut *transaction)
            .await?;
        transaction.rollback().await?;
        Ok(())
    };
    match tried.await {
        Err(fault) if Fault::is_read_only(&fault) => Err(Error::Setup(format!(
            "{doing}: it is read-only for this process: check the rights to the file and its directory, \
             and the URL's `mode`"
        ))),
        // That somebody is writing now, or that the disk is full, passes.
        _ => Ok(()),
    }
}
