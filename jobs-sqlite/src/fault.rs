//! What SQLite says when something fails, in the words of the core.

use std::fmt;
use std::sync::Arc;

use jobs_core::Error;
use jobs_core::job::JobId;
use jobs_core::storage::check_runtime;

use crate::rules::Refusal;

/// A failure inside the storage, before it is known what it was a part of. Cheap to clone: one failure
/// may concern several requests.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// SQLite or the driver refused.
    Driver(Arc<sqlx::Error>),
    /// The file holds something that this version cannot read.
    Unreadable(String),
    /// A value that SQLite could not keep as it is.
    Refused(String),
    /// The run is not the worker's any more.
    NotYours { job: JobId, run: i32 },
    /// Something about the request is wrong; nothing was written.
    Told(Refusal),
    /// The task that writes has ended.
    Stopped,
    /// There is no tokio runtime around the caller.
    NoRuntime,
}

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(Arc::new(error))
    }
}

/// The primary result codes that mean something to us.
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const SCHEMA: i32 = 17;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
}

impl Fault {
    /// SQLite's primary result code, if it was SQLite that refused.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Driver(error) => {
                let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
                Some(code & 0xff)
            }
            _ => None,
        }
    }

    /// Whether another connection holds a lock that this one needs.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(code::BUSY | code::LOCKED))
    }

    /// Whether the connection is as good as before once the transaction is rolled back.
    pub(crate) fn leaves_connection_sound(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Refused(_) | Self::Told(_) | Self::NotYours { .. } => true,
            Self::Stopped | Self::NoRuntime => false,
            Self::Driver(_) => matches!(
                self.code(),
                Some(
                    code::ERROR
                        | code::BUSY
                        | code::LOCKED
                        | code::TOOBIG
                        | code::CONSTRAINT
                        | code::MISMATCH
                )
            ),
        }
    }

    /// Whether this process may not write to the file.
    pub(crate) fn is_read_only(&self) -> bool {
        self.code() == Some(code::READONLY)
    }

    /// Whether a trigger of ours has refused: `raise(abort, ..)`.
    pub(crate) fn is_raised(&self) -> bool {
        const CONSTRAINT_TRIGGER: &str = "1811";
        let Self::Driver(error) = self else {
            return false;
        };
        let error = error.as_database_error();
        error.and_then(|error| error.code()).as_deref() == Some(CONSTRAINT_TRIGGER)
    }

    /// Whether a transaction was to begin where one is open.
    pub(crate) fn is_nested(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        let says = error.to_string();
        self.code() == Some(code::ERROR) && says.contains("within a transaction")
    }

    /// Whether a table is missing: nobody has migrated.
    pub(crate) fn is_missing_table(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        let says = |words: &str| error.to_string().contains(words);
        self.code() == Some(code::ERROR) && (says("no such table") || says("no such column"))
    }

    /// The same, in the words of the core; `doing` is what was tried.
    pub(crate) fn during(self, doing: &str) -> Error {
        let missing = self.is_missing_table();
        let kind = self.code();
        let source = Box::new(Cause(self.clone()));
        let doing = doing.to_owned();
        match (self, kind) {
            (Self::NotYours { .. } | Self::Refused(_), _) => Error::Rejected { doing, source },
            (Self::Told(refusal), _) => refusal.into_error(),
            (Self::Stopped, _) => Error::Unavailable { doing, source },
            (Self::NoRuntime, _) => {
                let missing = check_runtime(&doing).err();
                missing.unwrap_or_else(|| Error::Setup(format!("{doing}: {source}")))
            }
            (Self::Unreadable(_), _) => Error::Storage { doing, source },
            (Self::Driver(_), Some(code::BUSY | code::LOCKED | code::SCHEMA | code::INTERRUPT)) => {
                Error::Conflict { doing, source }
            }
            (Self::Driver(_), Some(code::IOERR | code::CANTOPEN | code::PROTOCOL)) => {
                Error::Unavailable { doing, source }
            }
            (Self::Driver(_), Some(code::TOOBIG | code::CONSTRAINT | code::MISMATCH)) => {
                Error::Rejected { doing, source }
            }
            (Self::Driver(error), Some(_)) if missing => Error::Schema(format!(
                "{doing}: {error}: the tables of jobs are missing from this file or belong to another \
                 version: run the migrations (`storage.migrate()`), and check the table prefix"
            )),
            (Self::Driver(_), Some(_)) => Error::Storage { doing, source },
            (Self::Driver(error), None) => match *error {
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnNotFound(_) => Error::Storage { doing, source },
                // The driver's thread ended, the pool gave nothing out, the operating system refused.
                _ => Error::Unavailable { doing, source },
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => match self.code() {
                Some(code::FULL) => write!(f, "the disk is full, nothing was written: {error}"),
                Some(code::READONLY) => {
                    write!(f, "this process may not write to the file: {error}")
                }
                Some(code::BUSY) => write!(
                    f,
                    "another connection has been writing to the file all the time: {error}"
                ),
                _ => error.fmt(f),
            },
            Self::Unreadable(what) | Self::Refused(what) => f.write_str(what),
            Self::Told(refusal) => refusal.fmt(f),
            Self::NotYours { job, run } => write!(
                f,
                "run {run} of job {job} is not this worker's any more: roll back"
            ),
            Self::NoRuntime => f.write_str("there was no tokio runtime"),
            Self::Stopped => f.write_str(
                "the task that writes to the file has ended: the runtime that the storage was \
                 connected in is gone",
            ),
        }
    }
}

/// A fault as the source of an error.
struct Cause(Fault);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Fault::Driver(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
