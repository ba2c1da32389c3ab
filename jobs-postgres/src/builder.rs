//! Setting a storage up.

use std::sync::Arc;

use jobs_core::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::PgStorage;
use crate::pool::Pool;
use crate::schema::Schema;
use crate::store::Store;
use crate::wake::Wakes;
use crate::{migrate, retain};

/// The oldest server that has all that is used here.
const OLDEST_SERVER: i32 = 130_000;

/// Sets a [`PgStorage`] up. Made by [`PgStorage::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `connect`"]
pub struct PgStorageBuilder {
    url: Option<String>,
    pool: Option<PgPool>,
    schema: String,
    connections: usize,
    poll_only: bool,
    listen_url: Option<String>,
    auto_migrate: bool,
    notify_within: bool,
}

impl Default for PgStorageBuilder {
    fn default() -> Self {
        Self {
            url: None,
            pool: None,
            schema: Schema::DEFAULT.into(),
            connections: 4,
            poll_only: false,
            listen_url: None,
            auto_migrate: true,
            notify_within: true,
        }
    }
}

impl PgStorageBuilder {
    /// Which database: `postgres://user:password@host:port/database`. What the URL leaves out is
    /// taken from the environment (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`), as
    /// with other clients of PostgreSQL.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Uses the connections of a pool of yours, in place of connections of its own. It may be of
    /// any size from 1; a busy worker uses up to 4 at once, and one more, outside the pool, to
    /// listen. The sessions are left as they are found.
    pub fn pool(mut self, pool: PgPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// In which schema the tables are. It must be theirs alone. Defaults to `jobs`.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// How many connections of its own it keeps at most, from 1 to 64; with one more to listen.
    /// More than the default make nothing faster unless many tasks enqueue at once. Defaults to 4.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// For a pooler that gives each transaction another server connection (PgBouncer in transaction
    /// mode): no statements prepared by name, no LISTEN and no NOTIFY. Workers then find new jobs
    /// by looking once a second, and everything takes more round trips. Defaults to off.
    pub fn poll_only(mut self, on: bool) -> Self {
        self.poll_only = on;
        self
    }

    /// Where to listen for wake-ups, if not where everything else goes: a URL that leads past the
    /// pooler. Defaults to the database's URL.
    pub fn listen_url(mut self, url: impl Into<String>) -> Self {
        self.listen_url = Some(url.into());
        self
    }

    /// Whether `connect` creates and upgrades the tables. If not, it fails when they are missing or
    /// of another version. Defaults to on.
    pub fn auto_migrate(mut self, on: bool) -> Self {
        self.auto_migrate = on;
        self
    }

    /// Whether jobs that are stored in a transaction of yours wake workers when it commits.
    /// PostgreSQL refuses `PREPARE TRANSACTION` after that; without it, workers find such jobs by
    /// looking once a second. Defaults to on.
    pub fn notify_within_transactions(mut self, on: bool) -> Self {
        self.notify_within = on;
        self
    }

    /// Connects, and creates or upgrades the tables.
    ///
    /// # Errors
    ///
    /// Fails within 10 seconds if the database cannot be reached, or refuses the user, saying what
    /// was tried; [`Error::Invalid`] for a URL or a schema name that cannot be; [`Error::Schema`]
    /// if the tables are newer than this program, or missing and not to be made.
    pub async fn connect(self) -> Result<PgStorage> {
        let schema = Schema::new(&self.schema)?;
        let options = self.options()?;
        let listen = match (&self.listen_url, self.poll_only) {
            (Some(url), _) => Some(tuned(parse(url)?, true)),
            (None, true) => None,
            (None, false) => Some(options.clone()),
        };
        let pool = match self.pool {
            Some(pool) => Pool::given(pool),
            None => Pool::own(options.clone(), self.connections.clamp(1, 64)),
        };
        let wakes = Wakes::new(listen);
        let store = Store::new(pool, schema, wakes, self.poll_only, self.notify_within);
        let store = Arc::new(store);
        store.wakes.belongs_to(&store);
        check_server(&store, &tried(&options)).await?;
        match self.auto_migrate {
            true => migrate::migrate(&store).await?,
            false => migrate::check_schema(&store).await?,
        }
        retain::make_room(&store).await?;
        Ok(PgStorage { store })
    }

    fn options(&self) -> Result<PgConnectOptions> {
        match (&self.pool, &self.url) {
            (Some(pool), _) => Ok((*pool.connect_options()).clone()),
            (None, Some(url)) => Ok(tuned(parse(url)?, self.poll_only)),
            (None, None) => Err(Error::Invalid(
                "no database was named: give the builder a `url` or a `pool`".into(),
            )),
        }
    }
}

fn parse(url: &str) -> Result<PgConnectOptions> {
    let scheme = url.split(':').next().unwrap_or_default();
    if !matches!(scheme, "postgres" | "postgresql") {
        // Not the URL itself: there may be a password in it.
        return Err(Error::Invalid(format!(
            "a PostgreSQL URL begins with postgres:// or postgresql://, not with {scheme:?}"
        )));
    }
    let options = url.parse::<PgConnectOptions>();
    options.map_err(|error| Error::Invalid(format!("this is no PostgreSQL URL: {error}")))
}

/// Settings of connections of our own. They go into the start-up message, which poolers refuse.
fn tuned(options: PgConnectOptions, plain: bool) -> PgConnectOptions {
    let options = options.disable_statement_logging();
    let options = match options.get_application_name() {
        None => options.application_name("jobs"),
        Some(_) => options,
    };
    match plain {
        true => options,
        // To compile a statement takes longer than to run any of ours.
        false => options.options([("jit", "off")]),
    }
}

/// What was tried, for messages. Without the password.
fn tried(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    format!("connect to PostgreSQL at {place}, database {database:?}, as {user:?}")
}

async fn check_server(store: &Store, doing: &str) -> Result<()> {
    let look = "select current_setting('server_version_num')::int, current_setting('server_version'), clock_timestamp()";
    let asked = chrono::Utc::now();
    let mut lease = store.acquire(doing).await?;
    let row = lease
        .row(doing, sqlx::query(look).persistent(false))
        .await?;
    store.clock.learn(asked, row.get(2));
    if row.get::<i32, _>(0) < OLDEST_SERVER {
        let found: &str = row.get(1);
        return Err(Error::Schema(format!(
            "{doing}: this is PostgreSQL {found}, and `jobs` needs 13 or later"
        )));
    }
    Ok(())
}
