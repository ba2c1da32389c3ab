//! A schema of its own for each test.

use jobs_postgres::{PgStorage, PgStorageBuilder};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(crate) fn url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL names a server to test with; `scripts/postgres start` makes one")
}

/// A schema whose name needs quoting, removed when this is dropped.
pub(crate) struct Home(String);

impl Home {
    pub(crate) fn new() -> Self {
        Self(format!("Test {}", uuid::Uuid::new_v4().simple()))
    }

    /// The name of the schema.
    #[allow(dead_code, reason = "not every test file asks")]
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn builder(&self) -> PgStorageBuilder {
        PgStorage::builder().url(url()).schema(&self.0)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let drop = format!("drop schema if exists \"{}\" cascade", self.0);
        // In the middle of a runtime nobody may wait; a thread of its own may.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut connection = PgConnection::connect(&url()).await?;
                sqlx::raw_sql(AssertSqlSafe(drop))
                    .execute(&mut connection)
                    .await
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("the schema of a test was not removed: {error}");
        }
    }
}
