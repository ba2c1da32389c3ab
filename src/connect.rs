//! From a URL to a storage.

use jobs_core::storage::MemoryStorage;

use crate::{Error, Result, StorageHandle};

/// Opens the storage that a URL names, and creates or upgrades its tables.
///
/// | URL | storage | feature |
/// |---|---|---|
/// | `postgres://user:password@host/database` | PostgreSQL | `postgres` |
/// | `sqlite://jobs.db` | a SQLite file, made if it is missing | `sqlite` |
/// | `memory:` | this process's memory, new and empty each time: for tests and examples | always there |
///
/// For more than a URL can say (a schema, your own pool), each storage has a builder:
/// `PgStorage::builder()`, `SqliteStorage::builder()`.
///
/// # Errors
///
/// [`Error::Setup`] for a URL of another kind, or one whose feature is switched off; whatever the
/// storage says if it cannot be reached, at once: nothing is tried for long.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobs::Result<()> {
/// let storage = jobs::connect("memory:").await?;
/// let mistake = jobs::connect("mysql://localhost/app").await.unwrap_err();
/// assert!(mistake.to_string().contains("mysql"));
/// # Ok(()) }
/// ```
pub async fn connect(url: &str) -> Result<StorageHandle> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "memory" if matches!(url, "memory:" | "memory://") => Ok(MemoryStorage::new().into()),
        "memory" => Err(Error::Setup(
            "`memory:` takes no name: each call makes a new, empty storage; clone it to share it"
                .into(),
        )),
        "postgres" | "postgresql" => postgres(url).await,
        "sqlite" => sqlite(url).await,
        _ => Err(Error::Setup(unknown(scheme))),
    }
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<StorageHandle> {
    Ok(jobs_postgres::PgStorage::connect(url).await?.into())
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Result<StorageHandle> {
    Err(Error::Setup(switched_off("postgres")))
}

#[cfg(feature = "sqlite")]
async fn sqlite(url: &str) -> Result<StorageHandle> {
    let storage: StorageHandle = jobs_sqlite::SqliteStorage::connect(url).await?.into();
    storage.migrate().await?;
    Ok(storage)
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str) -> Result<StorageHandle> {
    Err(Error::Setup(switched_off("sqlite")))
}

#[cfg(not(all(feature = "postgres", feature = "sqlite")))]
fn switched_off(feature: &str) -> String {
    format!(
        "this program was built without {feature}: switch it on in Cargo.toml, \
         `jobs = {{ version = \"{}\", features = [\"{feature}\"] }}`",
        env!("CARGO_PKG_VERSION")
    )
}

/// Names the scheme only: the rest of a URL may hold a password.
fn unknown(scheme: &str) -> String {
    let known = "the storages are postgres://user@host/database, sqlite://file.db and memory:";
    match scheme {
        "" => format!("not the URL of a storage: it has no scheme; {known}"),
        _ => format!("no storage is called `{scheme}:`; {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_storage_is_named_without_its_secrets() {
        let error = connect("mysql://root:secret@localhost/app")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`mysql:`") && error.contains("postgres://"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
        let error = connect("/tmp/jobs.db").await.unwrap_err().to_string();
        assert!(
            error.contains("no scheme") && error.contains("sqlite://"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn memory_is_always_there() {
        assert_eq!(connect("memory:").await.unwrap().name(), "memory");
        let error = connect("memory:mine").await.unwrap_err().to_string();
        assert!(error.contains("clone it"), "{error}");
    }
}
