//! What the driver says, in the words of the seam.

use std::fmt;

use jobs_core::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Turns a driver's error into ours. `doing` says what was tried.
pub(crate) fn translate(doing: &str, error: sqlx::Error) -> Error {
    use sqlx::Error as E;
    let doing = doing.to_owned();
    match &error {
        E::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            from_code(&code, doing, error)
        }
        E::Io(_)
        | E::Tls(_)
        | E::Protocol(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed => Error::Unavailable {
            doing,
            source: Cause::new(error),
        },
        _ => Error::Storage {
            doing,
            source: Cause::new(error),
        },
    }
}

/// A driver's error as the source of ours: of what the server said its message, and the advice that belongs to it. The driver
/// adds a line of the server's own source, and as the next source all that once more with the functions that the error came
/// through: who reads it takes that for a place in his program. It is logged.
struct Cause(sqlx::Error);

impl Cause {
    fn new(error: sqlx::Error) -> Box<Self> {
        if let Some(said) = said(&error) {
            tracing::debug!(
                code = said.code(),
                detail = said.detail(),
                context = said.r#where(),
                "PostgreSQL: {}",
                said.message()
            );
        }
        Box::new(Self(error))
    }
}

fn said(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(said) = said(&self.0) else {
            return self.0.fmt(f);
        };
        f.write_str(said.message())?;
        said.hint().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match said(&self.0) {
            Some(said) => write!(f, "{:?} (SQLSTATE {})", said.message(), said.code()),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match said(&self.0) {
            Some(_) => None,
            None => self.0.source(),
        }
    }
}

/// In words: the server's own are of files.
#[derive(Debug)]
struct Full(Box<Cause>);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cause) = self;
        write!(
            f,
            "the disk of the database is full, nothing was written: {cause}"
        )
    }
}

impl std::error::Error for Full {}

fn from_code(code: &str, doing: String, error: sqlx::Error) -> Error {
    let source = Cause::new(error);
    if code == "53100" {
        let source = Box::new(Full(source));
        return Error::Unavailable { doing, source };
    }
    match code {
        // Shutting down, starting up, too many connections, a standby that was the primary, a
        // session that was ended.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25006" | "25P03" => {
            Error::Unavailable { doing, source }
        }
        "40001" | "40P01" | "55P03" | "57014" => Error::Conflict { doing, source },
        "42P01" | "3F000" | "42703" | "42883" => Error::Schema(format!(
            "{doing}: {source}; the tables of the jobs are missing or of another version: run the migration (`migrate()`, \
             or the statements of `jobs::migration_sql()`)"
        )),
        "42501" => Error::Storage {
            doing: format!("{doing}: the database user lacks a right"),
            source,
        },
        _ => match &code[..code.len().min(2)] {
            // The connection; full memory, of which the statement left no trace: both pass.
            "08" | "53" | "58" => Error::Unavailable { doing, source },
            "22" | "23" | "54" => Error::Rejected { doing, source },
            _ => Error::Storage { doing, source },
        },
    }
}

/// The SQLSTATE of an error, if the server gave one.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code)?;
    Some(code.into_owned())
}

/// Whether the connection can go on being used after this error.
pub(crate) fn leaves_connection_usable(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => !code.starts_with("08") && !code.starts_with("57P"),
        None => matches!(
            error,
            sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. }
        ),
    }
}
