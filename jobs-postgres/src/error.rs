//! What the driver says, in the words of the seam.

use jobs_core::Error;
use sqlx::error::DatabaseError;

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
            source: Box::new(error),
        },
        _ => Error::Storage {
            doing,
            source: Box::new(error),
        },
    }
}

fn from_code(code: &str, doing: String, error: sqlx::Error) -> Error {
    let source = Box::new(error);
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
            // The connection; a full disk or memory, of which the statement left no trace: both
            // pass.
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
