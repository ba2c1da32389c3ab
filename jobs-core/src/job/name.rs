//! The rules for names. They are narrow so that names are safe in URLs, file names, metrics and
//! notification payloads without escaping.

use std::fmt;

use serde::Serialize;

/// A name that the rules refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    name: String,
    rule: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, rule } = self;
        write!(
            f,
            "{name:?} cannot be the name of a {what}: it must match {rule}"
        )
    }
}

impl std::error::Error for NameError {}

const SHORT: &str = "[a-z0-9_.:-]{1,64}";
const KIND: &str = "[A-Za-z0-9_.:-]{1,128}";
const LIMIT: &str = "[A-Za-z0-9_.:-]{1,144}";

const fn is_punctuation(byte: u8) -> bool {
    matches!(byte, b'_' | b'.' | b':' | b'-')
}

fn check(what: &'static str, name: &str, max: usize, upper: bool) -> Result<(), NameError> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || is_punctuation(byte)
            || (upper && byte.is_ascii_uppercase())
    };
    if (1..=max).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    // A hostile name must not fill the log.
    let name = name.chars().take(80).collect();
    Err(NameError {
        what,
        name,
        rule: if upper { KIND } else { SHORT },
    })
}

/// Checks the name of a queue: `[a-z0-9_.:-]{1,64}`.
pub fn check_queue(name: &str) -> Result<(), NameError> {
    check("queue", name, 64, false)
}

/// Checks a tag: `[a-z0-9_.:-]{1,64}`.
pub fn check_tag(name: &str) -> Result<(), NameError> {
    check("tag", name, 64, false)
}

/// Checks the name of a kind: `[A-Za-z0-9_.:-]{1,128}`.
pub fn check_kind(name: &str) -> Result<(), NameError> {
    check("kind", name, 128, true)
}

/// Checks the name of a node of a flow: `[A-Za-z0-9_.:-]{1,128}`.
pub fn check_node(name: &str) -> Result<(), NameError> {
    check("node", name, 128, true)
}

/// Checks the name of a value of metadata: `[A-Za-z0-9_.:-]{1,128}`.
pub fn check_metadata(name: &str) -> Result<(), NameError> {
    check("metadata value", name, 128, true)
}

/// Checks the name of a limit: `[A-Za-z0-9_.:-]{1,144}`, so that any kind's name fits into one.
pub fn check_limit(name: &str) -> Result<(), NameError> {
    let checked = check("limit", name, 144, true);
    checked.map_err(|error| NameError {
        rule: LIMIT,
        ..error
    })
}

/// Which queues a worker serves: a name, or a name that ends in `*` (`mail.*`, or `*` for all).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct QueuePattern(String);

impl QueuePattern {
    /// Every queue there is.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// Checks and keeps a pattern.
    pub fn new(pattern: impl Into<String>) -> Result<Self, NameError> {
        let pattern = pattern.into();
        match pattern.strip_suffix('*') {
            Some("") => {}
            Some(prefix) => check_queue(prefix)?,
            None => check_queue(&pattern)?,
        }
        Ok(Self(pattern))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one queue this names, unless it is a real pattern.
    pub fn exact(&self) -> Option<&str> {
        if self.0.ends_with('*') {
            None
        } else {
            Some(&self.0)
        }
    }

    /// Whether `queue` is served.
    pub fn matches(&self, queue: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => queue.starts_with(prefix),
            None => queue == self.0,
        }
    }

    /// Whether every queue that `other` matches is matched by this too.
    pub fn includes(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(prefix), Some(other)) => other.starts_with(prefix),
            (None, Some(_)) => false,
            (_, None) => self.matches(&other.0),
        }
    }
}

impl fmt::Display for QueuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_lower_case_and_short() {
        for good in ["mail", "a", "a.b:c-d_1", &"x".repeat(64)] {
            assert_eq!(check_queue(good), Ok(()));
        }
        for bad in ["", "Mail", "mail queue", "mäil", "a/b", &"x".repeat(65)] {
            let error = check_queue(bad).unwrap_err().to_string();
            assert!(error.contains("[a-z0-9_.:-]{1,64}"), "{error}");
        }
    }

    #[test]
    fn kinds_may_have_upper_case() {
        assert_eq!(check_kind("SendMail.v2"), Ok(()));
        assert!(check_kind("send mail").is_err());
        assert!(check_kind(&"x".repeat(129)).is_err());
    }

    #[test]
    fn patterns_match_by_prefix() {
        assert!(QueuePattern::new("mail.*").unwrap().matches("mail.bulk"));
        assert!(!QueuePattern::new("mail.*").unwrap().matches("mail"));
        assert!(QueuePattern::all().matches("anything"));
        assert_eq!(QueuePattern::new("mail").unwrap().exact(), Some("mail"));
        assert!(QueuePattern::new("ma*il").is_err());
        let includes = |one: &str, other: &str| {
            let pattern = |text| QueuePattern::new(text).unwrap();
            pattern(one).includes(&pattern(other))
        };
        assert!(includes("*", "*") && includes("*", "a") && includes("mail.*", "mail.a*"));
        assert!(includes("a", "a") && includes("mail.*", "mail.bulk"));
        assert!(!includes("a", "*") && !includes("mail.a*", "mail.*") && !includes("a", "b"));
    }
}
