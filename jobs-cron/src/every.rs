//! `@every`: a fixed distance, such as `90s`, `5m` or `1h30m`.

use crate::error::ParseError;
use crate::field::Word;

/// Distances from one second to ten years.
const LIMIT: u64 = 3650 * 86_400;

/// Reads the part after `@every`, in seconds.
pub(crate) fn parse(word: Word<'_>) -> Result<u64, ParseError> {
    if word.text.is_empty() {
        return Err(
            word.error("`@every` needs a distance: `@every 90s`, `@every 5m`, `@every 1h30m`")
        );
    }
    let mut total: u64 = 0;
    let mut previous = u64::MAX;
    let mut rest = word.text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(|b| !b.is_ascii_digit())
            .count();
        let (count, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let size = unit_seconds(unit)
            .filter(|_| digits > 0)
            .ok_or_else(|| word.error(refusal(word.text, unit)))?;
        if size >= previous {
            return Err(word.error(format!(
                "`{}` is not a distance: write the larger unit first and each once, as in `1h30m`",
                word.text
            )));
        }
        let seconds = count
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(size));
        total = seconds
            .and_then(|s| s.checked_add(total))
            .filter(|t| *t <= LIMIT)
            .ok_or_else(|| {
                word.error(format!("`@every {}` is longer than ten years", word.text))
            })?;
        previous = size;
        rest = &rest[digits + letters..];
    }
    if total == 0 {
        return Err(word.error("`@every` needs a distance of at least one second"));
    }
    Ok(total)
}

fn unit_seconds(unit: &str) -> Option<u64> {
    match unit.to_ascii_lowercase().as_str() {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    }
}

fn refusal(text: &str, unit: &str) -> String {
    if unit.eq_ignore_ascii_case("ms") || unit.contains('.') {
        return format!(
            "`{text}` is not a distance in whole seconds: a schedule has no fractions of a second"
        );
    }
    format!(
        "`{text}` is not a distance: write whole numbers with `d`, `h`, `m` or `s`, as in `90s`, `5m` or `1h30m`"
    )
}

/// A distance in words: `5 minutes`, `1 hour and 30 minutes`, `day`.
pub(crate) fn words(seconds: u64) -> String {
    let parts: Vec<(u64, &str)> = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ]
    .into_iter()
    .scan(seconds, |rest, (size, word)| {
        let count = *rest / size;
        *rest %= size;
        Some((count, word))
    })
    .filter(|(count, _)| *count > 0)
    .collect();
    if let [(1, word)] = parts[..] {
        return word.to_owned();
    }
    let parts: Vec<String> = parts
        .iter()
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    crate::describe::list(&parts)
}
