//! Options that consist of settings: `concurrency(max = 2, key = "{tenant}")`.

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
    while !content.is_empty() {
        let word = content.call(Ident::parse_any)?;
        let text = word.unraw().to_string();
        let Some((_, example)) = known.iter().find(|(known, _)| *known == text) else {
            return Err(unknown(&word, option, known));
        };
        if seen.contains(&text) {
            errors.at(&word, format_args!("`{text}` is given twice"));
        }
        let value = content.span();
        read(&word, content).map_err(|error| match error.to_string() {
            // What the parser says of itself says nothing of the setting.
            said if said.starts_with("expected")
                || said.starts_with("unexpected")
                || said.contains("digit") =>
            {
                let span = if content.is_empty() {
                    word.span()
                } else {
                    value
                };
                Error::new(span, format!("`{text}` is written `{example}`"))
            }
            _ => error,
        })?;
        seen.push(text);
        if !content.is_empty() {
            content.parse::<Token![,]>().map_err(|error| {
                Error::new(
                    error.span(),
                    format!("expected a comma before the next setting of `{option}`"),
                )
            })?;
        }
    }
    Ok(())
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
