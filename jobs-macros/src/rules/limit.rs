//! The options `concurrency(..)`, `rate(..)` and `limit(..)`.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, Lit, LitInt, LitStr, Path, Result, Token, parenthesized};

use super::{more_than_nothing, one_of, stored_name};
use crate::errors::Errors;
use crate::function::Function;
use crate::settings::Setting;
use crate::template::{self, Placeholder};
use crate::{duration, list, settings};

/// One of the options `concurrency`, `rate` and `limit`.
pub(crate) struct Limit {
    rule: Rule,
    key: Option<LitStr>,
    weight: Weight,
}

enum Rule {
    /// The kind's own, by its constructor and what that takes, with the method for the excess.
    Own {
        prefix: &'static str,
        made: TokenStream,
        excess: TokenStream,
    },
    /// A constant of the user's.
    Shared(Path),
}

#[derive(Default)]
enum Weight {
    #[default]
    One,
    Number(u32, Span),
    Argument(Placeholder),
}

const CONCURRENCY: [Setting; 4] = [
    ("max", "max = 2"),
    ("key", "key = \"{tenant}\""),
    ("weight", "weight = 2"),
    ("excess", "excess = \"wait\""),
];
const RATE: [Setting; 7] = [
    ("max", "max = 10"),
    ("per", "per = \"1s\""),
    ("kind", "kind = \"sliding\""),
    ("burst", "burst = 20"),
    ("key", "key = \"{tenant}\""),
    ("weight", "weight = 2"),
    ("excess", "excess = \"wait\""),
];
const LIMIT: [Setting; 2] = [("key", "key = \"{tenant}\""), ("weight", "weight = 2")];
const KINDS: [&str; 3] = ["sliding", "fixed", "bucket"];

/// What `concurrency` and `rate` are given.
#[derive(Default)]
struct Own {
    max: Option<(u32, Span)>,
    per: Option<Duration>,
    kind: Option<LitStr>,
    burst: Option<(u32, Span)>,
    excess: Option<TokenStream>,
    key: Option<LitStr>,
    weight: Weight,
}

impl Limit {
    /// Parses what stands behind `concurrency` or `rate`, which is at `span`.
    pub(crate) fn own(
        option: &'static str,
        span: Span,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> Result<Self> {
        let rate = option == "rate";
        let known: &[Setting] = if rate { &RATE } else { &CONCURRENCY };
        let mut own = Own::default();
        settings::read(input, option, known, errors, |word, input| {
            let at = word.to_string();
            input.parse::<Token![=]>()?;
            match at.as_str() {
                "max" => own.max = Some(number(input)?),
                "per" => own.per = Some(more_than_nothing(&input.parse()?)?),
                "kind" => own.kind = Some(one_of(input.parse()?, &KINDS)?),
                "burst" => own.burst = Some(number(input)?),
                "excess" => own.excess = Some(excess(&input.parse()?)?),
                "key" => own.key = Some(input.parse()?),
                _ => own.weight = Weight::parse(input)?,
            }
            Ok(())
        })?;
        own.limit(option, span, errors)
    }

    /// Parses what stands behind `limit`: `limit(API, key = "{tenant}")`.
    pub(crate) fn shared(input: ParseStream<'_>, errors: &mut Errors) -> Result<Self> {
        let content;
        parenthesized!(content in input);
        let shared = Self::shared_in(&content, errors);
        list::all_or_none(&content, shared)
    }

    fn shared_in(content: ParseStream<'_>, errors: &mut Errors) -> Result<Self> {
        let rule: Path = content.call(Path::parse_mod_style)?;
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
        let mut this = Self {
            rule: Rule::Shared(rule),
            key: None,
            weight: Weight::One,
        };
        settings::read_all(content, "limit", &LIMIT, errors, |word, input| {
            input.parse::<Token![=]>()?;
            if word == "key" {
                this.key = Some(input.parse()?);
            } else {
                this.weight = Weight::parse(input)?;
            }
            Ok(())
        })?;
        Ok(this)
    }

    /// Checks that key and weight name arguments.
    pub(super) fn check(&self, function: &Function, errors: &mut Errors) {
        if let Some(key) = &self.key {
            template::check(key, function, errors);
        }
        if let Weight::Argument(name) = &self.weight {
            name.check(function, errors);
            name.check_number(function, errors);
        }
    }

    pub(super) fn expand(
        &self,
        private: &TokenStream,
        kind: &LitStr,
        function: &Function,
    ) -> TokenStream {
        let rule = match &self.rule {
            Rule::Shared(path) => quote!(#path),
            Rule::Own {
                prefix,
                made,
                excess,
            } => {
                let name = format!("{prefix}:{}", kind.value());
                // `made` is `constructor(arguments after the name)`.
                quote!(#private::LimitRule::new(#name, #private::Bound::#made)#excess)
            }
        };
        let key = self
            .key
            .as_ref()
            .map_or_else(String::new, |key| template::stored(key, function));
        let weight = match &self.weight {
            Weight::One => quote!(Number(1)),
            Weight::Number(number, _) => quote!(Number(#number)),
            Weight::Argument(argument) => {
                let name = stored_name(&argument.name, function);
                quote!(Argument(#name))
            }
        };
        quote!(#private::LimitDefaults { rule: #rule, key: #key, weight: #private::Weight::#weight })
    }
}

impl Own {
    fn limit(self, option: &'static str, span: Span, errors: &mut Errors) -> Result<Limit> {
        let Self {
            max,
            per,
            kind,
            burst,
            excess,
            key,
            weight,
        } = self;
        let needs = |what: &str, example: &str| {
            Error::new(
                span,
                format!("`{option}` needs `{what}`: `{option}({example})`"),
            )
        };
        let (prefix, made, most) = if option == "concurrency" {
            let (max, _) = max.ok_or_else(|| needs("max", "max = 2"))?;
            ("kind", quote!(Concurrency { max: #max }), max)
        } else {
            let example = "max = 10, per = \"1s\"";
            let (max, _) = max.ok_or_else(|| needs("max", example))?;
            let per = duration::expand(per.ok_or_else(|| needs("per", example))?);
            let kind = kind.map(|kind| kind.value());
            if let (Some((_, span)), true) = (burst, kind.as_deref() != Some("bucket")) {
                errors.push(Error::new(
                    span,
                    "only a token bucket has a burst: say `kind = \"bucket\"` too, or leave it out",
                ));
            }
            let (burst, _) = burst.unwrap_or((max, span));
            match kind.as_deref() {
                Some("fixed") => ("rate", quote!(FixedWindow { max: #max, per: #per }), max),
                Some("bucket") => (
                    "rate",
                    quote!(TokenBucket { max: #max, per: #per, burst: #burst }),
                    burst,
                ),
                _ => ("rate", quote!(SlidingWindow { max: #max, per: #per }), max),
            }
        };
        if let Weight::Number(number, span) = &weight
            && *number > most
        {
            let message = format!(
                "a job of weight {number} would never run: the limit allows {most} at most"
            );
            errors.push(Error::new(*span, message));
        }
        let excess = excess.unwrap_or_default();
        Ok(Limit {
            rule: Rule::Own {
                prefix,
                made,
                excess,
            },
            key,
            weight,
        })
    }
}

impl Weight {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let literal: Lit = input.parse()?;
        match &literal {
            Lit::Int(int) => {
                let (number, span) = at_least_one(int)?;
                Ok(Self::Number(number, span))
            }
            Lit::Str(text) => template::only(text).map(Self::Argument),
            other => Err(Error::new_spanned(
                other,
                "a weight is a whole number, or an argument that is one: `weight = 2`, `weight = \"{pages}\"`",
            )),
        }
    }
}

fn number(input: ParseStream<'_>) -> Result<(u32, Span)> {
    at_least_one(&input.parse::<LitInt>()?)
}

fn at_least_one(literal: &LitInt) -> Result<(u32, Span)> {
    match literal.base10_parse::<u32>() {
        Ok(0) => Err(Error::new(
            literal.span(),
            "with 0 no job would ever run: give at least 1",
        )),
        Ok(number) => Ok((number, literal.span())),
        Err(_) => Err(Error::new(
            literal.span(),
            format!("not a whole number from 1 to {}", u32::MAX),
        )),
    }
}

/// What becomes of a job for which there is no room, as a method of the rule.
fn excess(literal: &LitStr) -> Result<TokenStream> {
    let text = literal.value();
    let inside = text
        .trim()
        .strip_prefix("reschedule(")
        .and_then(|rest| rest.strip_suffix(')'));
    match (text.as_str(), inside) {
        ("wait", _) => Ok(TokenStream::new()),
        ("delete", _) => Ok(quote!(.or_delete())),
        (_, Some(inside)) => {
            let time =
                more_than_nothing(&LitStr::new(inside, literal.span())).map(duration::expand)?;
            Ok(quote!(.or_reschedule(#time)))
        }
        _ => Err(Error::new(
            literal.span(),
            "not known here: it is \"wait\", \"reschedule(10m)\" with a time of yours, or \"delete\"",
        )),
    }
}
