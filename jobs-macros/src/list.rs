//! Lists of strings in options: `tags = ["a", "b"]` or `tags("a", "b")`.

use proc_macro2::TokenTree;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{LitStr, Result, Token, bracketed, parenthesized, token};

/// The strings of a list that stands behind its word.
pub(crate) fn strings(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let content;
    if input.peek(token::Paren) {
        parenthesized!(content in input);
    } else {
        input.parse::<Token![=]>()?;
        bracketed!(content in input);
    }
    let strings = Punctuated::<LitStr, Token![,]>::parse_terminated(&content);
    Ok(all_or_none(&content, strings)?.into_iter().collect())
}

/// What was read inside brackets, to their end. After a mistake the rest is skipped: what is left unread, the parser
/// would tell as a mistake of its own.
pub(crate) fn all_or_none<T>(content: ParseStream<'_>, read: Result<T>) -> Result<T> {
    while read.is_err() && !content.is_empty() {
        if content.parse::<TokenTree>().is_err() {
            break;
        }
    }
    read
}
