//! What may be the name of what.

use syn::ext::IdentExt;
use syn::{Ident, LitStr};

use crate::errors::Errors;

/// A rule for names. The core has the same ones, for names that are made at run time.
pub(crate) struct Rule {
    what: &'static str,
    shown: &'static str,
    longest: usize,
    upper: bool,
}

pub(crate) const KIND: Rule = Rule {
    what: "kind",
    shown: "[A-Za-z0-9_.:-]{1,128}",
    longest: 128,
    upper: true,
};
pub(crate) const QUEUE: Rule = Rule {
    what: "queue",
    shown: "[a-z0-9_.:-]{1,64}",
    longest: 64,
    upper: false,
};
pub(crate) const TAG: Rule = Rule {
    what: "tag",
    ..QUEUE
};

impl Rule {
    pub(crate) fn allows(&self, name: &str) -> bool {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || b"_.:-".contains(&byte)
                || (self.upper && byte.is_ascii_uppercase())
        };
        (1..=self.longest).contains(&name.len()) && name.bytes().all(allowed)
    }

    pub(crate) fn check(&self, name: &LitStr, errors: &mut Errors) {
        if !self.allows(&name.value()) {
            let Self { what, shown, .. } = self;
            errors.at(
                name,
                format_args!("not the name of a {what}: it must match {shown}"),
            );
        }
    }
}

/// What every module sees without importing it, and would see no more beside a struct of that name.
const STANDARD: [&str; 61] = [
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
    "bool",
    "char",
    "drop",
    "f32",
    "f64",
    "i128",
    "i16",
    "i32",
    "i64",
    "i8",
    "isize",
    "str",
    "u16",
    "u32",
    "u64",
    "u8",
    "usize",
];

/// By these names parameters are known that the worker fills in, with whatever is imported as such.
const INJECTED: [&str; 2] = ["Data", "JobContext"];

/// The name of the struct of a job's arguments: `SendWelcome` for `send_welcome`.
pub(crate) fn of_arguments(function: &Ident) -> String {
    let name = function.unraw().to_string();
    let words = name.split('_').filter(|word| !word.is_empty());
    words.map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The name, standard or one that the macro goes by, that a job of this name would hide in its module.
pub(crate) fn hidden(function: &Ident) -> Option<&'static str> {
    let (name, of_arguments) = (function.unraw().to_string(), of_arguments(function));
    let mut known = STANDARD.iter().chain(&INJECTED);
    known
        .find(|known| **known == name || **known == of_arguments)
        .copied()
}

/// Checks that a job of this name leaves the names around it alone.
pub(crate) fn check_function(function: &Ident, errors: &mut Errors) {
    let (name, of_arguments) = (function.unraw().to_string(), of_arguments(function));
    if name.starts_with("__") {
        errors.at(
            function,
            format_args!(
                "names with two underscores in front are those of what is generated: call it `{}` (`#[job(name = \"{name}\")]` \
                 keeps the name it is stored under)",
                name.trim_start_matches('_')
            ),
        );
    } else if let Some(hidden) = hidden(function) {
        let whose = match INJECTED.contains(&hidden) {
            true => "`jobs`' own",
            false => "the standard",
        };
        errors.at(
            function,
            format_args!(
                "a job of this name would hide {whose} `{hidden}` in its module: give the function another name \
                 (`#[job(name = \"{name}\")]` keeps the name it is stored under)"
            ),
        );
    } else if of_arguments == name || !of_arguments.starts_with(char::is_alphabetic) {
        errors.at(
            function,
            "the name of a job must be in snake_case: the struct of its arguments has the same name in PascalCase",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_named_in_pascal_case() {
        let name = |name: &str| of_arguments(&syn::parse_str(name).unwrap());
        assert_eq!(name("send_welcome"), "SendWelcome");
        assert_eq!(name("r#match"), "Match");
        assert_eq!(name("_f2_x"), "F2X");
        assert_eq!(name("größe"), "Größe");
    }

    #[test]
    fn names_of_queues_are_narrower_than_those_of_kinds() {
        assert!(KIND.allows("Mail.Send") && !QUEUE.allows("Mail") && QUEUE.allows("a.b:c-d_1"));
        assert!(!KIND.allows("") && !KIND.allows("größe") && !TAG.allows(&"x".repeat(65)));
    }
}
