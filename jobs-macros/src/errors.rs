//! All mistakes of one job.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Error;

/// Mistakes, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Errors(Vec<Error>);

impl Errors {
    /// Adds a mistake at these tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.0.push(Error::new_spanned(tokens, message));
    }

    /// Adds a mistake.
    pub(crate) fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes so far, as a collection of their own.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.0.into_iter().map(Error::into_compile_error).collect()
    }
}
