//! What is wrong in `#[recurring(..)]`, in words.

use jobs_cron::ParseError;
use syn::{Error, Ident, LitStr, Result};

use super::WORDS;
use crate::words;

/// Words that other libraries have for the same things.
const ELSEWHERE: [(&str, &str); 7] = [
    ("name", "id"),
    ("timezone", "tz"),
    ("time_zone", "tz"),
    ("zone", "tz"),
    ("start", "starts"),
    ("end", "ends"),
    ("arguments", "args"),
];

/// One of a few words.
pub(super) fn chosen<T>(
    value: &LitStr,
    find: impl FnOnce(&str) -> Option<T>,
    words: &[&str],
) -> Result<T> {
    let text = value.value();
    find(&text).ok_or_else(|| {
        let all: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let hint = match words::nearest(&text, words.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("it is one of {}", all.join(", ")),
        };
        Error::new(value.span(), format!("unknown word \"{text}\": {hint}"))
    })
}

/// A mistake within a literal, at its place if the compiler lets us, and drawn into the message.
pub(super) fn error_in(literal: &LitStr, mistake: &ParseError) -> Error {
    let token = literal.token();
    let is_plain = token.to_string() == format!("\"{}\"", literal.value());
    // The quotation mark comes first.
    let from = mistake.offset() + 1;
    let place = is_plain
        .then(|| token.subspan(from..from + mistake.len().max(1)))
        .flatten();
    match place {
        Some(place) => Error::new(place, mistake.message()),
        None => Error::new(literal.span(), mistake.render()),
    }
}

pub(super) fn unknown(word: &Ident, text: &str) -> Error {
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == text);
    let meant = elsewhere
        .map(|(_, ours)| *ours)
        .or_else(|| words::nearest(text, WORDS.iter().map(|(known, ..)| *known)));
    let hint = match (text, meant) {
        ("priority" | "retries" | "backoff" | "timeout" | "tags" | "description", _) => {
            format!(": it is said of the job: `#[job({text} = ..)]` beside this")
        }
        (_, Some(meant)) => format!(", did you mean `{meant}`?"),
        (_, None) => format!(
            ": the options are {}",
            WORDS.map(|(known, ..)| known).join(", ")
        ),
    };
    Error::new(word.span(), format!("unknown option `{text}`{hint}"))
}
