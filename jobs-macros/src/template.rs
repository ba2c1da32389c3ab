//! Keys with arguments in braces: `"{tenant}:{region}"`. The core fills them in by the same rules.

use proc_macro2::Span;
use syn::{Error, LitStr, Result};

use crate::errors::Errors;
use crate::function::Function;
use crate::rules::stored_name;
use crate::{types, words};

/// One argument in braces.
pub(crate) struct Placeholder {
    pub(crate) name: String,
    span: Span,
}

enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// The pieces of a template, or what is wrong with it.
fn pieces(template: &str) -> std::result::Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (text, tail) = rest.split_at(at);
        pieces.push(Piece::Text(text));
        if tail.starts_with("{{") || tail.starts_with("}}") {
            pieces.push(Piece::Text(&tail[..2]));
            rest = &tail[2..];
            continue;
        }
        let end = tail.find('}').filter(|_| tail.starts_with('{'));
        let end = end.ok_or("a brace without its partner: write `{{` or `}}` for a brace")?;
        pieces.push(Piece::Name(tail[1..end].trim()));
        rest = &tail[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Checks that a template names arguments.
pub(crate) fn check(template: &LitStr, function: &Function, errors: &mut Errors) {
    let text = template.value();
    match pieces(&text) {
        Ok(pieces) => {
            for piece in pieces {
                if let Piece::Name(name) = piece {
                    check_name(name, template.span(), function, errors);
                }
            }
        }
        Err(why) => errors.at(template, why),
    }
}

/// The template with the names under which the arguments are stored.
pub(crate) fn stored(template: &LitStr, function: &Function) -> String {
    let text = template.value();
    let pieces = pieces(&text).unwrap_or_default();
    let stored = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Name(name) => format!("{{{}}}", stored_name(name, function)),
    });
    stored.collect()
}

/// The one argument that a template consists of.
pub(crate) fn only(template: &LitStr) -> Result<Placeholder> {
    let text = template.value();
    let name = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .map(str::trim);
    match name.filter(|name| !name.contains(['{', '}'])) {
        Some(name) => Ok(Placeholder {
            name: name.to_owned(),
            span: template.span(),
        }),
        None => Err(Error::new(
            template.span(),
            "a weight is a whole number, or an argument that is one: `weight = 2`, `weight = \"{pages}\"`",
        )),
    }
}

impl Placeholder {
    pub(crate) fn check(&self, function: &Function, errors: &mut Errors) {
        check_name(&self.name, self.span, function, errors);
    }

    /// Refuses arguments that are certainly no whole numbers.
    pub(crate) fn check_number(&self, function: &Function, errors: &mut Errors) {
        let argument = function
            .arguments()
            .find(|argument| argument.is_called(&self.name));
        if let Some(argument) =
            argument.filter(|argument| argument.is_plain() && !types::is_whole_number(&argument.ty))
        {
            let message = format!(
                "a weight is a whole number, and `{}` is a `{}`",
                self.name,
                types::text(&argument.ty)
            );
            errors.push(Error::new(self.span, message));
        }
    }
}

/// Checks that a name is that of an argument.
pub(crate) fn check_name(name: &str, span: Span, function: &Function, errors: &mut Errors) {
    if function
        .arguments()
        .any(|argument| argument.is_called(name))
    {
        return;
    }
    if name.is_empty() {
        let message = "an argument's name is missing in the braces: `{tenant}`; write `{{` or `}}` for a brace";
        errors.push(Error::new(span, message));
        return;
    }
    let names: Vec<_> = function
        .arguments()
        .map(|argument| argument.stored_name())
        .collect();
    let meant = words::nearest(name, names.iter().map(String::as_str));
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if names.is_empty() => "it has none".into(),
        None => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("they are {}", names.join(", "))
        }
    };
    let separator = if meant.is_some() { "," } else { ":" };
    errors.push(Error::new(
        span,
        format!("`{name}` is no argument of the job{separator} {hint}"),
    ));
}
