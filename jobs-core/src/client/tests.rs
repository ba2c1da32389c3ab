mod builder;
mod control;
mod many;
mod nested;
mod operations;
mod rules;
mod within;

use serde::Serialize;

use crate::job::Job;

/// A job to enqueue.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Note {
    pub(super) text: String,
}

impl Job for Note {
    const KIND: &'static str = "note";
    type Output = String;
}

pub(super) fn note(text: impl ToString) -> Note {
    Note {
        text: text.to_string(),
    }
}
