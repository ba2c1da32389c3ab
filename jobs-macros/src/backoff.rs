//! The option `backoff`: `"10s"`, `["1s", "60s"]`, `linear(..)`, `exponential(..)`, `"polynomial"`, or
//! a function.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, Lit, LitStr, Result, Token, parenthesized, token};

use crate::list::all_or_none;
use crate::{duration, words};

/// How long to wait before a retry, as declared.
pub(crate) enum Backoff {
    Polynomial,
    Fixed(Duration),
    Linear {
        step: Duration,
        max: Duration,
    },
    Exponential {
        base: Duration,
        factor: f64,
        max: Duration,
        jitter: f64,
    },
    List(Vec<Duration>),
    Function(Expr),
}

impl Backoff {
    /// Parses what stands behind `backoff =`.
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            return match literal.value().as_str() {
                "polynomial" => Ok(Self::Polynomial),
                _ => duration::parse(&literal).map(Self::Fixed),
            };
        }
        if input.peek(token::Bracket) {
            return list(input);
        }
        if input.peek(Ident) && input.peek2(token::Paren) {
            return shape(input);
        }
        input.parse().map(Self::Function)
    }

    /// The declaration as an expression; `private` is the path to what the facade keeps for macros.
    pub(crate) fn expand(&self, private: &TokenStream) -> TokenStream {
        let time = |time: &Duration| duration::expand(*time);
        match self {
            Self::Polynomial => quote!(#private::Backoff::Polynomial),
            Self::Fixed(wait) => {
                let wait = time(wait);
                quote!(#private::Backoff::Fixed(#wait))
            }
            Self::Linear { step, max } => {
                let (step, max) = (time(step), time(max));
                quote!(#private::Backoff::Linear { step: #step, max: #max })
            }
            Self::Exponential {
                base,
                factor,
                max,
                jitter,
            } => {
                let (base, max) = (time(base), time(max));
                quote!(#private::Backoff::Exponential { base: #base, factor: #factor, max: #max, jitter: #jitter })
            }
            Self::List(waits) => {
                let waits = waits.iter().map(time);
                quote!(#private::Backoff::List(::std::borrow::Cow::Borrowed(&[#(#waits),*])))
            }
            Self::Function(function) => quote!(#private::Backoff::Function(#function)),
        }
    }
}

fn list(input: ParseStream<'_>) -> Result<Backoff> {
    let content;
    let bracket = syn::bracketed!(content in input);
    let waits = Punctuated::<LitStr, Token![,]>::parse_terminated(&content);
    let waits = all_or_none(&content, waits)?;
    if waits.is_empty() {
        let message = "a list of waits cannot be empty; for retries without any wait write `backoff = \"0s\"`";
        return Err(Error::new(bracket.span.join(), message));
    }
    waits
        .iter()
        .map(duration::parse)
        .collect::<Result<_>>()
        .map(Backoff::List)
}

/// `linear(step = "10s", max = "10m")`, `exponential(base = "1s", factor = 2, max = "10m", jitter = 0.1)`.
fn shape(input: ParseStream<'_>) -> Result<Backoff> {
    let shape: Ident = input.parse()?;
    let content;
    parenthesized!(content in input);
    let known: &[&str] = match shape.to_string().as_str() {
        "linear" => &["step", "max"],
        "exponential" => &["base", "factor", "max", "jitter"],
        _ => {
            content.parse::<TokenStream>()?;
            return Err(Error::new(
                shape.span(),
                "a backoff is `\"10s\"`, `[\"1s\", \"60s\"]`, `linear(step = \"10s\", max = \"10m\")`, \
                 `exponential(base = \"1s\", factor = 2, max = \"10m\", jitter = 0.1)`, `\"polynomial\"`, or the path of a \
                 `fn(u32) -> Duration`",
            ));
        }
    };
    let fields = Punctuated::<Field, Token![,]>::parse_terminated(&content);
    let fields = all_or_none(&content, fields)?;
    for (at, Field { name, .. }) in fields.iter().enumerate() {
        let text = name.to_string();
        if !known.contains(&text.as_str()) {
            let meant = words::nearest(&text, known.iter().copied());
            let hint = meant.map_or_else(
                || format!("it has {}", known.join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(Error::new(
                name.span(),
                format!("`{shape}` has no `{name}`: {hint}"),
            ));
        }
        if fields.iter().take(at).any(|earlier| earlier.name == *name) {
            return Err(Error::new(name.span(), format!("`{name}` is given twice")));
        }
    }
    let get = |name: &str| fields.iter().find(|field| field.name == name);
    let required = |name: &str| {
        let missing = || {
            Error::new(
                shape.span(),
                format!("`{shape}` needs `{name}`: `{shape}({name} = \"10s\")`"),
            )
        };
        get(name).ok_or_else(missing)?.duration()
    };
    // Whatever the numbers say, the core never waits longer than ten years.
    let max = get("max").map_or(
        Ok(Duration::from_secs(u64::from(u32::MAX))),
        Field::duration,
    )?;
    Ok(match known {
        ["step", ..] => Backoff::Linear {
            step: required("step")?,
            max,
        },
        _ => Backoff::Exponential {
            base: required("base")?,
            factor: get("factor").map_or(Ok(2.0), |factor| factor.number(1.0..=1_000.0))?,
            max,
            jitter: get("jitter").map_or(Ok(0.0), |jitter| jitter.number(0.0..=1.0))?,
        },
    })
}

struct Field {
    name: Ident,
    value: Lit,
}

impl syn::parse::Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self {
            name,
            value: input.parse()?,
        })
    }
}

impl Field {
    fn duration(&self) -> Result<Duration> {
        match &self.value {
            Lit::Str(literal) => duration::parse(literal),
            other => Err(Error::new(
                other.span(),
                format!("`{}` is a duration, such as \"10s\"", self.name),
            )),
        }
    }

    fn number(&self, range: std::ops::RangeInclusive<f64>) -> Result<f64> {
        let number = match &self.value {
            Lit::Int(number) => number.base10_parse().ok(),
            Lit::Float(number) => number.base10_parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (name, from, to) = (&self.name, range.start(), range.end());
                Error::new(
                    self.value.span(),
                    format!("`{name}` is a number from {from} to {to}"),
                )
            })
    }
}
