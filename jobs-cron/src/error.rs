//! What is wrong with a schedule, or surprising about it, and where.

use std::fmt;

/// A mistake in a schedule, a time zone or a date: what is wrong, what to write instead, and where it stands.
///
/// `Display` gives the sentence alone; [`render`](Self::render) adds the text with carets under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(Remark);

/// Something valid that does not do what most readers would expect: what it will do, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Remark);

/// A sentence about a place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remark {
    text: String,
    offset: usize,
    len: usize,
    message: String,
}

impl Remark {
    fn render(&self) -> String {
        // One column per character: what would break the line or the columns is shown as a blank.
        let shown: String = self
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let chars = |from: usize, to: usize| {
            self.text
                .get(from..to)
                .map_or(0, |part| part.chars().count())
        };
        let before = " ".repeat(chars(0, self.offset));
        let carets = "^".repeat(chars(self.offset, self.offset + self.len).max(1));
        format!("{}\n\n    {shown}\n    {before}{carets}", self.message)
    }
}

macro_rules! remark {
    ($name:ident) => {
        impl $name {
            pub(crate) fn new(
                text: &str,
                offset: usize,
                len: usize,
                message: impl Into<String>,
            ) -> Self {
                Self(Remark {
                    text: text.to_owned(),
                    offset,
                    len,
                    message: message.into(),
                })
            }

            /// The sentence.
            #[must_use]
            pub fn message(&self) -> &str {
                &self.0.message
            }

            /// The text the remark is about, as it was given (a text over the limit is cut).
            #[must_use]
            pub fn text(&self) -> &str {
                &self.0.text
            }

            /// Where the place begins, in bytes from the start of the text. Always on a character boundary.
            #[must_use]
            pub fn offset(&self) -> usize {
                self.0.offset
            }

            /// How long the place is, in bytes; 0 when something is missing there.
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.len
            }

            /// Whether the place is a point between two characters: something is missing there.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.len == 0
            }

            /// The sentence, the text, and carets under the place, on four lines:
            ///
            /// ```text
            /// hour must be `*` or 0..=23, not `25`
            ///
            ///     0 25 * * *
            ///       ^^
            /// ```
            #[must_use]
            pub fn render(&self) -> String {
                self.0.render()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.message)
            }
        }
    };
}

remark!(ParseError);
remark!(Warning);

impl std::error::Error for ParseError {}

/// The first `limit` bytes of a text that is too long to be repeated whole, cut at a character.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The known word nearest to a mistyped one, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let limit = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|k| k.len().abs_diff(word.len()) <= limit)
        .map(|k| {
            (
                distance(word.as_bytes(), k.to_ascii_lowercase().as_bytes()),
                k,
            )
        })
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut new = vec![i];
        for j in 1..=b.len() {
            let change = old[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(old[j] + 1).min(new[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(older[j - 2] + 1);
            }
            new.push(best);
        }
        older = std::mem::replace(&mut old, new);
    }
    old[b.len()]
}
