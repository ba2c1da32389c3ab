//! Reading a job's arguments back.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::job::{AttemptOutcome, ErrorReport, decode_args};
use crate::lifecycle::{Advice, Failure};

/// Longest piece of the arguments that is shown in a message, in characters.
const LONGEST_PIECE: usize = 80;

/// The arguments of a job of this kind. Decoded from the text, never by way of a `serde_json::Value`, which would
/// round what it cannot hold.
pub(super) fn decode<A: DeserializeOwned>(kind: &str, text: &str) -> Result<A, Box<Failure>> {
    // A struct can be read from an array too; arguments have names, never places.
    let read = match text.trim_start().starts_with('{') {
        true => decode_args(text).map_err(|error| describe(text, &error)),
        false => Err(format!(
            "expected an object with a field for each, found `{}`",
            piece(text)
        )),
    };
    read.map_err(|why| Box::new(failure(kind, &why)))
}

/// No number of attempts makes other arguments of them.
fn failure(kind: &str, why: &str) -> Failure {
    let why = format!("its arguments do not decode: kind `{kind}`, {why}");
    Failure {
        report: ErrorReport::new(why.clone()),
        how: AttemptOutcome::Discarded,
        advice: Advice::GiveUp(why),
    }
}

/// What is wrong, and in which field. serde says what it expected and found, but not where; the
/// place that it stopped at does.
fn describe(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let Ok(fields) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(text) else {
        return format!("not valid JSON: {error}");
    };
    let stopped = offset(text, error.line(), error.column());
    let field = fields
        .iter()
        .find(|(_, value)| range(text, value.get()).contains(&stopped));
    match field {
        Some((name, value)) if said.starts_with("invalid ") => {
            format!("field `{name}`: {said}, in `{}`", piece(value.get()))
        }
        Some((name, value)) => format!("field `{name}`: {said}, found `{}`", piece(value.get())),
        None => {
            let names: Vec<_> = fields.keys().map(|name| format!("`{name}`")).collect();
            format!("{said}, found the fields [{}]", names.join(", "))
        }
    }
}

/// Where in the text a line and column of serde's are, both counted from 1 and in bytes. The column
/// is that of the last byte that was read.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    before + column.saturating_sub(1)
}

/// Where in `text` its own piece `part` is.
fn range(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

fn piece(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_PIECE).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Mail {
        user_id: i64,
        to: Vec<Address>,
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Address {
        zip: u16,
    }

    fn refused(text: &str) -> String {
        let failure = decode::<Mail>("send", text).unwrap_err();
        assert_eq!(failure.how, AttemptOutcome::Discarded);
        assert_eq!(
            failure.advice,
            Advice::GiveUp(failure.report.message.clone())
        );
        let said = failure.report.message;
        said.strip_prefix("its arguments do not decode: kind `send`, ")
            .expect(&said)
            .to_owned()
    }

    #[test]
    fn fields_that_nobody_knows_are_left_and_absent_options_are_none() {
        let mail: Mail = decode(
            "send",
            r#" {"user_id": 9007199254740993, "to": [], "new": 1}"#,
        )
        .unwrap();
        assert_eq!(
            mail,
            Mail {
                user_id: 9_007_199_254_740_993,
                to: vec![],
                note: None
            }
        );
    }

    #[test]
    fn the_field_is_named_with_what_was_found() {
        for (text, said) in [
            (
                r#"{"user_id":"7","to":[]}"#,
                r#"field `user_id`: invalid type: string "7", expected i64, in `"7"`"#,
            ),
            (
                r#"{"to":[],"user_id":null}"#,
                "field `user_id`: invalid type: null, expected i64, in `null`",
            ),
            (
                r#"{"to":[],"user_id":1.5}"#,
                "field `user_id`: invalid type: floating point `1.5`, expected i64, in `1.5`",
            ),
            (
                "{\n \"user_id\": 1,\n \"to\": [{\"zip\": 1},\n {\"zip\": 70000}]\n}",
                "field `to`: invalid value: integer `70000`, expected u16, in `[{\"zip\": 1},\n {\"zip\": 70000}]`",
            ),
            (
                r#"{"to":[{}],"user_id":1}"#,
                "field `to`: missing field `zip`, found `[{}]`",
            ),
            (
                r#"{"ü":1,"user_id":true,"to":[]}"#,
                "field `user_id`: invalid type: boolean `true`, expected i64, in `true`",
            ),
        ] {
            assert_eq!(refused(text), said, "{text}");
        }
    }

    #[test]
    fn a_missing_field_is_told_beside_those_that_are_there() {
        assert_eq!(
            refused(r#"{"user":1,"to":[]}"#),
            "missing field `user_id`, found the fields [`to`, `user`]"
        );
        assert_eq!(
            refused("{}"),
            "missing field `user_id`, found the fields []"
        );
    }

    #[test]
    fn places_are_not_names() {
        assert_eq!(
            refused(r#"[1,[],null]"#),
            "expected an object with a field for each, found `[1,[],null]`"
        );
        assert!(refused(r#"{"user_id":1,"#).starts_with("not valid JSON: "));
        assert!(refused(&format!("[\"{}\"]", "é".repeat(500))).len() < 300);
    }
}
