//! Options that consist of settings: `concurrency(max = 2, key = "{tenant}")`.

use proc_macro2::TokenTree;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Ident, Result, Token, parenthesized, token};

use crate::errors::Errors;
use crate::words;

/// One setting: its word, and how it is written.
pub(crate) type Setting = (&'static str, &'static str);

/// Reads the settings in parentheses behind `option`, each with `read`; the parentheses may be left out.
/// Mistakes in one do not keep the others from being read.
pub(crate) fn read(
    input: ParseStream<'_>,
    option: &str,
    known: &[Setting],
    errors: &mut Errors,
    read: impl FnMut(&Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    if !input.peek(token::Paren) {
        return Ok(());
    }
    let content;
    parenthesized!(content in input);
    read_all(&content, option, known, errors, read)
}

/// The same without the parentheses.
pub(crate) fn read_all(
    content: ParseStream<'_>,
    option: &str,
    known: &[Setting],
    errors: &mut Errors,
    mut read: impl FnMut(&Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen: Vec<String> = Vec::new();
    let mut mistakes: Option<Error> = None;
    while !content.is_empty() {
        let setting = setting(content, option, known, &mut seen, errors, &mut read);
        if let Err(error) = setting.and_then(|()| end_of_setting(content, option)) {
            match &mut mistakes {
                Some(mistakes) => mistakes.combine(error),
                None => mistakes = Some(error),
            }
            skip_to_next(content);
        }
    }
    mistakes.map_or(Ok(()), Err)
}

fn setting(
    content: ParseStream<'_>,
    option: &str,
    known: &[Setting],
    seen: &mut Vec<String>,
    errors: &mut Errors,
    read: &mut impl FnMut(&Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    let word = content.call(Ident::parse_any)?;
    let text = word.unraw().to_string();
    let Some((_, example)) = known.iter().find(|(known, _)| *known == text) else {
        return Err(unknown(&word, option, known));
    };
    if seen.contains(&text) {
        errors.at(&word, format_args!("`{text}` is given twice"));
    }
    let value = content.fork();
    let value = match value.parse::<Token![=]>() {
        Ok(_) if !value.is_empty() => value.span(),
        _ => word.span(),
    };
    let read = read(&word, content).map_err(|error| {
        let said = error.to_string();
        // What the parser says of itself says nothing of the setting.
        let theirs = [
            "expected",
            "unexpected",
            "invalid digit",
            "number too large",
        ];
        if theirs.iter().any(|start| said.starts_with(start)) {
            Error::new(value, format!("`{text}` is written `{example}`"))
        } else {
            error
        }
    });
    seen.push(text);
    read
}

fn end_of_setting(content: ParseStream<'_>, option: &str) -> Result<()> {
    if content.is_empty() || content.peek(Token![,]) {
        return content.parse::<Option<Token![,]>>().map(|_| ());
    }
    Err(content.error(format!(
        "a comma is missing before the next setting of `{option}`"
    )))
}

fn skip_to_next(content: ParseStream<'_>) {
    while !content.is_empty() {
        let comma = content.peek(Token![,]);
        if content.parse::<TokenTree>().is_err() || comma {
            return;
        }
    }
}

fn unknown(word: &Ident, option: &str, known: &[Setting]) -> Error {
    let text = word.unraw().to_string();
    let words = || known.iter().map(|(word, _)| *word);
    let hint = words::nearest(&text, words()).map_or_else(
        || format!("it has {}", words().collect::<Vec<_>>().join(", ")),
        |meant| format!("did you mean `{meant}`?"),
    );
    Error::new(word.span(), format!("`{option}` has no `{text}`: {hint}"))
}
