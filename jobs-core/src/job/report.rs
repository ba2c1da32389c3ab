//! What went wrong, kept for people.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text kept of one message, in bytes; the rest is cut and the cut is shown.
const LONGEST_TEXT: usize = 16 * 1024;

/// Deepest chain of causes that is followed; an error may name itself as its cause.
const DEEPEST_CHAIN: usize = 32;

/// What went wrong in one attempt, with everything known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorReport {
    /// The error's own words.
    pub message: String,
    /// The type of the error, as the compiler names it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// The causes below it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Where it came from: the line of the `?` or of the panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A backtrace, if one was captured (`RUST_BACKTRACE=1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}

impl ErrorReport {
    /// A report of plain words.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: printable(message.into()),
            ..Self::default()
        }
    }

    /// A report of an error and all its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        Self {
            causes: causes
                .take(DEEPEST_CHAIN)
                .map(|cause| printable(cause.to_string()))
                .collect(),
            ..Self::new(error.to_string())
        }
    }

    /// Adds the error's type.
    pub fn with_type(mut self, type_name: impl Into<String>) -> Self {
        self.type_name = Some(type_name.into());
        self
    }

    /// Adds where it came from.
    pub fn with_location(mut self, location: impl fmt::Display) -> Self {
        self.location = Some(printable(location.to_string()));
        self
    }

    /// Adds a backtrace.
    pub fn with_backtrace(mut self, backtrace: impl Into<String>) -> Self {
        self.backtrace = Some(printable(backtrace.into()));
        self
    }

    /// The first line of the message, for reasons and lists.
    pub fn headline(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Text that every storage can keep: without NUL (PostgreSQL has no such character) and of bounded
/// length. An error message is for people, so here, unlike with arguments, a mark may stand for it.
fn printable(text: String) -> String {
    let mut text = if text.contains('\0') {
        text.replace('\0', "\u{2400}")
    } else {
        text
    };
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" … ({cut} more bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_kept() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("reading the order failed")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let report = ErrorReport::of(&Outer("x".parse::<i32>().unwrap_err()));
        assert_eq!(report.causes, ["invalid digit found in string"]);
        assert_eq!(
            report.to_string(),
            "reading the order failed: invalid digit found in string"
        );
    }

    #[test]
    fn what_a_storage_could_not_keep_is_marked() {
        assert_eq!(ErrorReport::new("a\0b").message, "a\u{2400}b");
        let long = ErrorReport::new("é".repeat(20_000));
        assert!(long.message.len() < 17_000 && long.message.contains("more bytes"));
    }
}
