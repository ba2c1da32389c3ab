//! A schedule as text: read, checked, and kept as the sets its fields match.

use crate::days::Days;
use crate::error::{ParseError, Warning, cut, nearest};
use crate::every;
use crate::field::Word;
use crate::fields::{Calendar, Fields};
use crate::warning;

/// The longest schedule that is read, in bytes.
pub(crate) const MAX_LEN: usize = 256;

/// The macros, and what each stands for.
const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A schedule that was read and found valid, without a time zone. Needs no dependency: macros check attributes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: String,
    days: Option<Days>,
    kind: Kind,
    warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every so many seconds.
    Every(u64),
    Calendar(Box<Calendar>),
}

impl Expression {
    /// Reads a schedule: 5 fields (minute hour day month weekday), 6 with leading seconds, 7 with a trailing year,
    /// a macro such as `@daily`, or `@every 90s`.
    ///
    /// # Errors
    /// [`ParseError`] at the first mistake; also when the schedule can never match (31 February), and when it restricts
    /// both the day of the month and the weekday: see [`parse_with`](Self::parse_with).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, None)
    }

    /// Reads a schedule, saying how a day of the month and a weekday are joined when it restricts both.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(text: &str, days: Option<Days>) -> Result<Self, ParseError> {
        let whole = whole(text)?;
        let lower = whole.text.to_ascii_lowercase();
        let (kind, warnings) =
            if lower == "@every" || lower.starts_with("@every ") || lower.starts_with("@every\t") {
                let rest = &whole.text["@every".len()..];
                let distance = rest.trim_ascii_start();
                let at = whole.at + whole.text.len() - distance.len();
                (
                    Kind::Every(every::parse(Word {
                        text: distance,
                        at,
                        ..whole
                    })?),
                    Vec::new(),
                )
            } else if lower.starts_with('@') {
                let fields = MACROS
                    .iter()
                    .find(|(name, _)| *name == lower)
                    .ok_or_else(|| unknown_macro(whole))?
                    .1;
                let fields = Fields::split(Word {
                    source: fields,
                    text: fields,
                    at: 0,
                })?;
                let mut calendar = fields.calendar(days)?;
                calendar.time_place = (whole.at, whole.text.len());
                (Kind::Calendar(Box::new(calendar)), Vec::new())
            } else {
                let fields = Fields::split(whole)?;
                let calendar = fields.calendar(days)?;
                let warnings = warning::in_fields(&fields, &calendar, days);
                (Kind::Calendar(Box::new(calendar)), warnings)
            };
        Ok(Self {
            text: text.to_owned(),
            days,
            kind,
            warnings,
        })
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What was said about schedules that restrict both the day of the month and the weekday.
    #[must_use]
    pub fn days(&self) -> Option<Days> {
        self.days
    }

    /// Whether a `*`, a range or a step stands in seconds, minutes or hours. Such a schedule is an interval, and runs
    /// in both passes of the hour that clocks repeat in autumn; any other one names fixed times, and runs once.
    #[must_use]
    pub fn is_interval(&self) -> bool {
        match &self.kind {
            Kind::Every(_) => true,
            Kind::Calendar(calendar) => calendar.interval,
        }
    }

    /// The distance of `@every`, in seconds.
    #[must_use]
    pub fn every_seconds(&self) -> Option<u64> {
        match self.kind {
            Kind::Every(seconds) => Some(seconds),
            Kind::Calendar(_) => None,
        }
    }

    /// What is surprising about it, in a zone if one is given (an unknown name is no surprise but an error: see
    /// [`check_zone`](crate::check_zone)). Without a zone, times are in UTC.
    #[must_use]
    pub fn warnings(&self, zone: Option<&str>) -> Vec<Warning> {
        let mut warnings = self.warnings.clone();
        warnings.extend(warning::in_zone(&self.text, &self.kind, zone));
        warnings
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }
}

/// The text without blanks around it, once it is known to be short and plain.
fn whole(text: &str) -> Result<Word<'_>, ParseError> {
    if text.len() > MAX_LEN {
        let shown = cut(text, 60);
        let message = format!(
            "a schedule has at most {MAX_LEN} bytes, this has {}",
            text.len()
        );
        return Err(ParseError::new(&shown, 0, shown.len(), message));
    }
    if let Some((at, c)) = text
        .char_indices()
        .find(|(_, c)| !matches!(c, ' '..='~' | '\t' | '\n' | '\r'))
    {
        return Err(ParseError::new(text, at, c.len_utf8(), strange(c)));
    }
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() {
        return Err(ParseError::new(
            text,
            0,
            0,
            "a schedule is missing: `0 3 * * *` is every day at 03:00",
        ));
    }
    let at = text.len() - text.trim_ascii_start().len();
    Ok(Word {
        source: text,
        text: trimmed,
        at,
    })
}

fn strange(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => {
            format!("`{c}` ({code}) is not a hyphen: write `-`")
        }
        '∗' | '＊' | '×' => format!("`{c}` ({code}) is not an asterisk: write `*`"),
        c if c.is_whitespace() => format!("{code} is not a plain space: write ` `"),
        c if c.is_control() => format!("{code} cannot be part of a schedule: remove it"),
        c => format!("`{c}` ({code}) cannot be part of a schedule: remove it"),
    }
}

fn unknown_macro(word: Word<'_>) -> ParseError {
    let name = word
        .text
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default();
    let word = Word { text: name, ..word };
    if name.eq_ignore_ascii_case("@reboot") {
        return word.error("there is no `@reboot`: enqueue the job where the program starts");
    }
    let names = || MACROS.iter().map(|(name, _)| *name).chain(["@every"]);
    if names().any(|known| known.eq_ignore_ascii_case(name)) {
        return word.error(format!("`{name}` stands alone: remove what follows it"));
    }
    match nearest(name, names()) {
        Some(known) => word.error(format!("unknown `{name}`, did you mean `{known}`?")),
        None => {
            let known: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            word.error(format!(
                "unknown `{name}`: there are {}",
                crate::describe::list(&known)
            ))
        }
    }
}
