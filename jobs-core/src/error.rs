//! What can go wrong between a program and its jobs.

use std::error::Error as StdError;
use std::fmt;

use crate::job::{BatchId, JobId, State};

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// What can go wrong between a program and its jobs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A job was refused before anything was sent: a name, an option or an argument is wrong.
    Invalid(String),
    /// The storage could not be reached, or the connection was lost: whether the request was carried
    /// out is unknown. Sending the same insert or settlement again is safe.
    Unavailable {
        /// What was tried.
        doing: String,
        /// What the driver said.
        source: Source,
    },
    /// The storage carried nothing out and says that trying again may help: a deadlock, a
    /// serialization failure, a busy file, a lock that was not to be had in time.
    Conflict {
        /// What was tried.
        doing: String,
        /// What the driver said.
        source: Source,
    },
    /// The storage refuses this very value; the same request will fail again.
    Rejected {
        /// What was tried.
        doing: String,
        /// What the driver said.
        source: Source,
    },
    /// The storage's tables are missing, too old or too new for this version.
    Schema(String),
    /// The storage failed in another way: a missing right, a full disk, a bug.
    Storage {
        /// What was tried.
        doing: String,
        /// What the driver said.
        source: Source,
    },
    /// No job has this id.
    UnknownJob(JobId),
    /// No batch has this id.
    UnknownBatch(BatchId),
    /// No recurring job has this id.
    UnknownRecurring(String),
    /// A job that was to be refused when another holds its unique key was refused; nothing was stored.
    Duplicate {
        /// The job that holds the key.
        holder: JobId,
        /// The key.
        key: String,
    },
    /// An operator's verb does not apply to a job in this state.
    WrongState {
        /// The job.
        job: JobId,
        /// What was tried.
        verb: &'static str,
        /// The state that it was found in.
        state: State,
    },
    /// A job was not requeued, because another holds its unique key now.
    KeyHeld {
        /// The job that stays as it is.
        job: JobId,
        /// The job that holds the key.
        holder: JobId,
    },
    /// The job ended, but not with a result: it was Failed or Deleted.
    NoResult {
        /// The job.
        job: JobId,
        /// Failed or Deleted; Succeeded if the result could not be kept or read.
        state: State,
        /// Why, in plain words.
        reason: String,
    },
    /// What was waited for has not come to pass in the time that was given; what is missing, in words.
    TimedOut(String),
    /// No client was given and none is installed in this process.
    NoClient,
    /// A worker, a registry or a storage was set up wrongly, or is used where there is no tokio runtime; all
    /// problems, one a line.
    Setup(String),
}

impl Error {
    /// Whether the same request may succeed later: nothing about it is wrong.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict { .. })
    }

    /// Whether the request was certainly not carried out, so that it may be repeated whatever it is.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) | Self::Schema(why) | Self::Setup(why) | Self::TimedOut(why) => {
                f.write_str(why)
            }
            Self::Unavailable { doing, source } => {
                write!(f, "{doing}: the storage cannot be reached: {source}")
            }
            Self::Conflict { doing, source } => write!(f, "{doing}: busy: {source}"),
            Self::Rejected { doing, source } => write!(f, "{doing}: refused: {source}"),
            Self::Storage { doing, source } => write!(f, "{doing}: {source}"),
            Self::UnknownJob(job) => write!(f, "there is no job {job}"),
            Self::UnknownBatch(batch) => write!(f, "there is no batch {batch}"),
            Self::UnknownRecurring(id) => write!(f, "there is no recurring job `{id}`"),
            Self::Duplicate { holder, key } => {
                write!(f, "job {holder} holds the unique key {key:?}; nothing was stored")
            }
            Self::WrongState { job, verb, state } => {
                write!(f, "cannot {verb} job {job}: it is {state}")
            }
            Self::KeyHeld { job, holder } => {
                write!(f, "cannot requeue job {job}: job {holder} holds its unique key")
            }
            Self::NoResult { job, state, reason } => {
                write!(f, "job {job} has no result: it is {state}: {reason}")
            }
            Self::NoClient => f.write_str(
                "no client: call `Client::new(storage).install()` once at the start of the program, \
                 or give this call one with `.on(&client)`",
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable { source, .. }
            | Self::Conflict { source, .. }
            | Self::Rejected { source, .. }
            | Self::Storage { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl From<crate::job::ArgsError> for Error {
    fn from(error: crate::job::ArgsError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<crate::job::NameError> for Error {
    fn from(error: crate::job::NameError) -> Self {
        Self::Invalid(error.to_string())
    }
}
