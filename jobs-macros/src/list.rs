//! Lists of strings in options: `tags = ["a", "b"]` or `tags("a", "b")`.

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
    let strings = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
    Ok(strings.into_iter().collect())
}
