//! What workers in other processes say of themselves: a line for each warning, into their log, which is
//! shown when a test fails.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes warnings and errors to the standard error stream.
struct Warnings;

/// Lets this process tell its warnings.
pub(crate) fn tell_warnings() {
    tracing::subscriber::set_global_default(Warnings).expect("nobody else listens");
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("jobs")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let at = chrono::Utc::now().format("%H:%M:%S%.3f");
        let mut line = Line(format!("{at} {} ", event.metadata().level()));
        event.record(&mut line);
        eprintln!("{}", line.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
