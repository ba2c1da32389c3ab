//! Keys made of a job's arguments: the unique key, and what a limit counts by.
//!
//! They are made of the arguments' text, so that whoever has the text can make them, and two values
//! have one key exactly if they are stored alike.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Weight;
use crate::error::{Error, Result};

/// The longest key, in bytes.
pub(crate) const KEY_LIMIT: usize = 256;

/// How much of a longer key stays readable in front of its hash.
const READABLE: usize = 180;

/// How deep values are put into order. What is nested deeper is taken as it was written.
const DEPTH: u32 = 64;

/// The fields of a job's arguments.
pub(crate) struct Fields<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Takes the text of one JSON object apart.
    pub(crate) fn of(args: &'a str) -> Result<Self> {
        let fields = serde_json::from_str(args).map(Self);
        fields.map_err(|error| Error::Invalid(format!("the arguments are no JSON object: {error}")))
    }

    fn get(&self, name: &str) -> Result<&'a RawValue> {
        self.0.get(name).copied().ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            Error::Invalid(format!(
                "there is no argument `{name}`; the arguments are [{}]",
                names.join(", ")
            ))
        })
    }

    /// The key of these arguments, or, if none are named, of all of them: a JSON object, its fields in
    /// order.
    pub(crate) fn unique_key<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<String> {
        let mut named = BTreeMap::new();
        for name in names {
            named.insert(Cow::Borrowed(name), self.get(name)?);
        }
        let mut key = String::new();
        object(if named.is_empty() { &self.0 } else { &named }, &mut key, 0);
        Ok(shortened(key))
    }

    /// A template with its arguments filled in: `{tenant}:{region}`. Text is put in as it is, all else
    /// as JSON; `{{` and `}}` are braces.
    pub(crate) fn fill(&self, template: &str) -> Result<String> {
        let mut key = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (text, tail) = rest.split_at(at);
            key.push_str(text);
            if tail.starts_with("{{") || tail.starts_with("}}") {
                key.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let end = tail.find('}').filter(|_| tail.starts_with('{'));
            let Some(end) = end else {
                return Err(Error::Invalid(format!(
                    "the key `{template}` has a brace without its partner: write `{{{{` or `}}}}` for a brace"
                )));
            };
            key.push_str(&plain(self.get(tail[1..end].trim())?.get()));
            rest = &tail[end + 1..];
        }
        key.push_str(rest);
        if key.contains('\0') {
            return Err(Error::Invalid(format!(
                "the key `{template}` contains a NUL character, which databases do not store as text"
            )));
        }
        Ok(shortened(key))
    }

    /// The weight that a job has by these arguments.
    pub(crate) fn weight(&self, weight: Weight) -> Result<u32> {
        let name = match weight {
            Weight::Number(number) => return Ok(number),
            Weight::Argument(name) => name,
        };
        let value = self.get(name)?.get();
        value.parse().map_err(|_| {
            Error::Invalid(format!(
                "the argument `{name}` is the weight of the job and must be a whole number from 1 to {}, not {value}",
                u32::MAX
            ))
        })
    }
}

/// A key that is not too long: a longer one ends in the hash of the whole.
fn shortened(key: String) -> String {
    if key.len() <= KEY_LIMIT {
        return key;
    }
    let mut short = key[..key.floor_char_boundary(READABLE)].to_owned();
    short.push('~');
    for byte in Sha256::digest(&key) {
        let _ = write!(short, "{byte:02x}");
    }
    short
}

/// A value as part of a key: text as it is, all else as JSON.
fn plain(value: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(value) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut text = String::new();
            canonical(value, &mut text, 0);
            text.into()
        }
    }
}

/// JSON written in one way only: the fields of objects in order, no space, one escape for each letter.
/// Numbers stay as they are: of one type they are written in one way.
fn canonical(value: &str, out: &mut String, depth: u32) {
    let value = value.trim();
    let nested = depth < DEPTH;
    match value.as_bytes().first() {
        Some(b'{') if nested => {
            match serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(value) {
                Ok(fields) => object(&fields, out, depth + 1),
                Err(_) => out.push_str(value),
            }
        }
        Some(b'[') if nested => match serde_json::from_str::<Vec<&RawValue>>(value) {
            Ok(items) => {
                for (at, item) in items.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    canonical(item.get(), out, depth + 1);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Err(_) => out.push_str(value),
        },
        Some(b'"') => match serde_json::from_str::<String>(value) {
            Ok(text) => out.push_str(&quoted(&text)),
            Err(_) => out.push_str(value),
        },
        _ => out.push_str(value),
    }
}

fn object(fields: &BTreeMap<Cow<'_, str>, &RawValue>, out: &mut String, depth: u32) {
    for (at, (name, value)) in fields.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(&quoted(name));
        out.push(':');
        canonical(value.get(), out, depth);
    }
    out.push_str(if fields.is_empty() { "{}" } else { "}" });
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(args: &str, names: &[&str]) -> String {
        let fields = Fields::of(args).unwrap();
        fields.unique_key(names.iter().copied()).unwrap()
    }

    fn fill(template: &str, args: &str) -> Result<String> {
        Fields::of(args)?.fill(template)
    }

    #[test]
    fn equal_arguments_have_equal_keys_however_they_are_ordered() {
        let one = unique(r#"{"b":[1, {"y":2,"x":"ä"}],"a":"q"}"#, &["b", "a"]);
        let two = unique(
            r#"{"a":"q","c":9,"b":[1,{"x":"\u00e4","y":2}]}"#,
            &["a", "b"],
        );
        assert_eq!(one, two);
        assert_eq!(one, r#"{"a":"q","b":[1,{"x":"ä","y":2}]}"#);
        assert_ne!(unique(r#"{"a":"1"}"#, &["a"]), unique(r#"{"a":1}"#, &["a"]));
    }

    #[test]
    fn without_names_all_arguments_count() {
        assert_eq!(unique(r#"{"b":[],"a":{}}"#, &[]), r#"{"a":{},"b":[]}"#);
        assert_eq!(unique("{}", &[]), "{}");
    }

    #[test]
    fn long_keys_are_cut_and_still_tell_values_apart() {
        let long = |last: &str| unique(&format!(r#"{{"a":"{}{last}"}}"#, "ä".repeat(500)), &[]);
        let (one, two) = (long("1"), long("2"));
        assert!(
            one.len() <= KEY_LIMIT && one != two && one == long("1"),
            "{one}"
        );
        assert!(one.starts_with(r#"{"a":"ä"#), "{one}");
    }

    #[test]
    fn templates_are_filled_with_arguments() {
        let args = r#"{"tenant":"acme","n":7,"on":true,"o":null,"l":["b", 1]}"#;
        assert_eq!(fill("{tenant}/{n}", args).unwrap(), "acme/7");
        assert_eq!(
            fill("{{{on}}}{o}{ l }", args).unwrap(),
            r#"{true}null["b",1]"#
        );
        assert_eq!(fill("all", args).unwrap(), "all");
        for (template, says) in [
            ("{tenat}", "no argument `tenat`"),
            ("{tenant", "brace"),
            ("tenant}", "brace"),
        ] {
            let error = fill(template, args).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn weights_are_whole_numbers() {
        let fields = Fields::of(r#"{"pages":12,"text":"x"}"#).unwrap();
        assert_eq!(fields.weight(Weight::Argument("pages")).unwrap(), 12);
        assert_eq!(fields.weight(Weight::Number(3)).unwrap(), 3);
        let error = fields.weight(Weight::Argument("text")).unwrap_err();
        assert!(error.to_string().contains("whole number"), "{error}");
    }
}
