//! The options that say whether a job runs: `unique(..)`, `concurrency(..)`, `rate(..)`, `limit(..)`.

mod limit;
mod unique;

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, LitStr, Result};

use crate::errors::Errors;
use crate::function::Function;
use crate::{duration, template};

pub(crate) use limit::Limit;
pub(crate) use unique::Unique;

fn more_than_nothing(literal: &LitStr) -> Result<Duration> {
    let time = duration::parse(literal)?;
    if time.is_zero() {
        return Err(Error::new(
            literal.span(),
            "this must be longer than no time",
        ));
    }
    Ok(time)
}

fn one_of(literal: LitStr, known: &[&str]) -> Result<LitStr> {
    if known.contains(&literal.value().as_str()) {
        return Ok(literal);
    }
    let known: Vec<_> = known.iter().map(|word| format!("\"{word}\"")).collect();
    Err(Error::new(
        literal.span(),
        format!("not known here: it is one of {}", known.join(", ")),
    ))
}

/// The name under which an argument is stored that goes by this name, or by its own.
pub(crate) fn stored_name(name: &str, function: &Function) -> String {
    let named = function
        .arguments()
        .find(|argument| argument.is_called(name));
    named.map_or_else(|| name.to_owned(), |argument| argument.stored_name())
}

/// All of it.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) unique: Option<Unique>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) expires_in: Option<Duration>,
}

impl Rules {
    /// Parses `expires_in`.
    pub(crate) fn expires_in(&mut self, input: ParseStream<'_>) -> Result<()> {
        self.expires_in = Some(more_than_nothing(&input.parse()?)?);
        Ok(())
    }

    /// Checks that everything that names an argument names one.
    pub(crate) fn check(&self, function: &Function, errors: &mut Errors) {
        for name in self.unique.iter().flat_map(Unique::args) {
            template::check_name(&name.value(), name.span(), function, errors);
        }
        self.limits
            .iter()
            .for_each(|limit| limit.check(function, errors));
    }

    /// The fields of `JobDefaults`.
    pub(crate) fn expand(
        &self,
        private: &TokenStream,
        kind: &LitStr,
        function: &Function,
    ) -> TokenStream {
        let some = |value: Option<TokenStream>| match value {
            Some(value) => quote!(::core::option::Option::Some(#value)),
            None => quote!(::core::option::Option::None),
        };
        let unique = some(
            self.unique
                .as_ref()
                .map(|unique| unique.expand(private, function)),
        );
        let expires_in = some(self.expires_in.map(duration::expand));
        let limits = self
            .limits
            .iter()
            .map(|limit| limit.expand(private, kind, function));
        quote! {
            expires_in: #expires_in,
            unique: #unique,
            limits: &[#(#limits),*],
        }
    }
}
