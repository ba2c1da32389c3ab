//! What is known of a job's function when the program starts.

use std::fmt;

use super::{BoxFuture, JobContext, JobError, RecurringEntry, Requirement};
use crate::job::{Job, JobDefaults};
use crate::lifecycle::Outcome;

/// A job's function: how it is called in the storage, what is declared of it, and how it is run.
/// `#[job]` makes one, as a `static`.
#[derive(Debug)]
pub struct JobEntry {
    /// The name under which its jobs are stored.
    pub kind: &'static str,
    /// Names under which older versions stored them.
    pub aliases: &'static [&'static str],
    /// Where the function is written, for messages.
    pub file: &'static str,
    /// Where the function is written, for messages.
    pub line: u32,
    /// The module of the function.
    pub module: &'static str,
    /// What is declared of the kind.
    pub defaults: JobDefaults,
    /// Whether it is a plain `fn`, which runs on a thread where it may block.
    pub blocking: bool,
    /// Its parameters, without the injected ones, in the order of the function.
    pub arguments: &'static [Argument],
    /// What a worker must have been given to run it.
    pub requires: fn() -> Vec<Requirement>,
    /// Whether an error is worth a retry. Defaults to yes, always.
    pub retry_if: Option<fn(&JobError) -> bool>,
    /// When it recurs, if it does.
    pub recurring: &'static [RecurringEntry],
    /// Runs one job of the kind. The arguments are read from the context; errors of any sort are in
    /// the outcome; a panic goes through.
    pub perform: fn(JobContext) -> BoxFuture<'static, Outcome>,
}

impl JobEntry {
    /// Where the function is written, as `src/mail.rs:11`.
    pub fn location(&self) -> impl fmt::Display {
        let Self { file, line, .. } = self;
        fmt::from_fn(move |f| write!(f, "{file}:{line}"))
    }

    /// Every name under which jobs for it may be stored: its kind, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.kind).chain(self.aliases.iter().copied())
    }
}

/// A parameter of a job's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argument {
    /// The field of the stored object that holds it.
    pub name: &'static str,
    /// Its type, as it is written in the source.
    pub type_text: &'static str,
}

impl Argument {
    /// A parameter of this name and type.
    pub const fn new(name: &'static str, type_text: &'static str) -> Self {
        Self { name, type_text }
    }
}

/// What `#[job]` makes of a function: a value of the function's name.
///
/// `jobs![send_welcome, resize]` collects the entries of several.
pub trait JobFn: Copy + Send + Sync + 'static {
    /// The arguments as a value.
    type Job: Job;

    /// What is known of the function.
    fn entry(&self) -> &'static JobEntry;
}

/// An entry on its way into the registry. A reference, so that an explicit list names the very same
/// entry.
pub struct EntryRef(pub &'static JobEntry);

inventory::collect!(EntryRef);

#[cfg(test)]
impl JobEntry {
    /// A job that says nothing of itself and succeeds, for tests to say what matters to them.
    pub(crate) const TEST: Self = Self {
        kind: "test",
        aliases: &[],
        file: file!(),
        line: line!(),
        module: module_path!(),
        defaults: JobDefaults::NONE,
        blocking: false,
        arguments: &[],
        requires: Vec::new,
        retry_if: None,
        recurring: &[],
        perform: |_| Box::pin(async { Outcome::Succeeded(Default::default()) }),
    };
}

/// A list of jobs, for a worker that shall run these and no others. (A worker that is given none runs
/// every job that is linked into the program.)
#[macro_export]
macro_rules! jobs {
    ($($job:expr),* $(,)?) => {
        ::std::vec![$($crate::handler::JobFn::entry(&$job)),*] as ::std::vec::Vec<&'static $crate::handler::JobEntry>
    };
}
