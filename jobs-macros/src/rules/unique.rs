//! The option `unique(..)`.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, LitStr, Result, Token};

use super::{more_than_nothing, one_of, stored_name};
use crate::errors::Errors;
use crate::function::Function;
use crate::settings::Setting;
use crate::{duration, list, settings};

/// The option `unique`.
#[derive(Default)]
pub(crate) struct Unique {
    args: Vec<LitStr>,
    until: Option<LitStr>,
    time: Option<Duration>,
    on_conflict: Option<LitStr>,
}

const UNIQUE: [Setting; 4] = [
    ("args", "args = [\"user_id\"]"),
    ("until", "until = \"done\""),
    ("for", "for = \"1h\""),
    ("on_conflict", "on_conflict = \"skip\""),
];

const UNTIL: [&str; 3] = ["started", "done", "period"];
const ON_CONFLICT: [(&str, &str); 4] = [
    ("skip", "Skip"),
    ("replace", "Replace"),
    ("debounce", "Debounce"),
    ("error", "Error"),
];

impl Unique {
    /// Parses what stands behind `unique`.
    pub(crate) fn parse(input: ParseStream<'_>, errors: &mut Errors) -> Result<Self> {
        let mut this = Self::default();
        settings::read(input, "unique", &UNIQUE, errors, |word, input| {
            if word == "args" {
                this.args = list::strings(input)?;
                return if this.args.is_empty() {
                    let message = "no argument is named: leave `args` out, and the key is made of all of them";
                    Err(Error::new(word.span(), message))
                } else {
                    Ok(())
                };
            }
            input.parse::<Token![=]>()?;
            let value: LitStr = input.parse()?;
            match word.to_string().as_str() {
                "until" => this.until = Some(one_of(value, &UNTIL)?),
                "for" => this.time = Some(more_than_nothing(&value)?),
                _ => this.on_conflict = Some(one_of(value, &ON_CONFLICT.map(|(word, _)| word))?),
            }
            Ok(())
        })?;
        this.check_period(errors);
        Ok(this)
    }

    fn check_period(&self, errors: &mut Errors) {
        if let (Some(until), None) = (&self.until, self.time)
            && until.value() == "period"
        {
            errors.at(until, "a period has a length: say `for = \"1h\"` too");
        }
    }

    /// The variant of `UniqueUntil`. `for` alone is a period; beside another end it is the longest time.
    fn until(&self) -> TokenStream {
        let word = self.until.as_ref().map(LitStr::value);
        match (word.as_deref(), self.time.map(duration::expand)) {
            (None | Some("period"), Some(time)) => quote!(Period(#time)),
            (Some("started"), Some(time)) => quote!(StartedWithin(#time)),
            (Some("started"), None) => quote!(Started),
            (_, Some(time)) => quote!(DoneWithin(#time)),
            (_, None) => quote!(Done),
        }
    }

    /// The arguments by which jobs are told apart.
    pub(super) fn args(&self) -> &[LitStr] {
        &self.args
    }

    pub(super) fn expand(&self, private: &TokenStream, function: &Function) -> TokenStream {
        let args = self
            .args
            .iter()
            .map(|name| stored_name(&name.value(), function));
        let until = self.until();
        let word = self.on_conflict.as_ref().map(LitStr::value);
        let variant = ON_CONFLICT
            .iter()
            .find(|(known, _)| Some(*known) == word.as_deref());
        let variant = syn::Ident::new(
            variant.map_or("Skip", |(_, variant)| variant),
            Span::call_site(),
        );
        quote! {
            #private::UniqueDefaults {
                args: &[#(#args),*],
                until: #private::UniqueUntil::#until,
                on_conflict: #private::OnConflict::#variant,
            }
        }
    }
}
