//! Durations as people write them: `30s`, `1h 30m`.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{LitStr, Result};

const UNITS: [(&[&str], u64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "secs", "second", "seconds"], 1_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 604_800_000),
];

/// The duration in the literal.
pub(crate) fn parse(literal: &LitStr) -> Result<Duration> {
    let text = literal.value();
    millis(&text).map(Duration::from_millis).ok_or_else(|| {
        let message = format!(
            "not a duration: \"{text}\"; write whole numbers with a unit, such as \"500ms\", \"30s\", \"10m\", \"2h\", \
             \"1d\" or \"1h 30m\""
        );
        syn::Error::new(literal.span(), message)
    })
}

/// The duration as an expression.
pub(crate) fn expand(duration: Duration) -> TokenStream {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}

fn millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        total = number
            .parse::<u64>()
            .ok()?
            .checked_mul(*factor)?
            .checked_add(total)?;
        rest = tail.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn numbers_with_units_are_durations() {
        for (text, expected) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10 minutes", 600_000),
            ("1h 30m", 5_400_000),
            ("1d2h", 93_600_000),
            ("2 weeks", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for text in [
            "",
            " ",
            "30",
            "s",
            "30 parsecs",
            "-1s",
            "1.5h",
            "1h30",
            "1 h,",
            "99999999999999999999s",
            "400000000000w",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
