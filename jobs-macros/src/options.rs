//! What stands in `#[job(..)]`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, Lit, LitInt, LitStr, Path, Result, Token, UnOp};

use crate::backoff::Backoff;
use crate::errors::Errors;
use crate::names::{KIND, QUEUE, TAG};
use crate::rules::{Limit, Rules, Unique};
use crate::{duration, list, words};

/// Every word there is, what it takes, and how it is written.
const WORDS: [(&str, &str, &str); 16] = [
    ("name", "a string", "name = \"send_welcome\""),
    ("aliases", "strings", "aliases(\"old_name\")"),
    ("queue", "a string", "queue = \"mail\""),
    (
        "priority",
        "a word, a number or a constant",
        "priority = \"high\"",
    ),
    ("retries", "a whole number, 0 or more", "retries = 5"),
    (
        "backoff",
        "a duration, a list, a shape or a function",
        "backoff = \"10s\"",
    ),
    ("timeout", "a duration", "timeout = \"30s\""),
    ("tags", "strings", "tags(\"vip\")"),
    (
        "description",
        "a string",
        "description = \"Greets a new user\"",
    ),
    ("retry_if", "a function", "retry_if = is_transient"),
    (
        "unique",
        "settings",
        "unique(args = [\"user_id\"], until = \"done\")",
    ),
    (
        "concurrency",
        "settings",
        "concurrency(max = 2, key = \"{tenant}\")",
    ),
    (
        "rate",
        "settings",
        "rate(max = 10, per = \"1s\", key = \"{tenant}\")",
    ),
    (
        "limit",
        "a constant and settings",
        "limit(API, key = \"{tenant}\")",
    ),
    ("expires_in", "a duration", "expires_in = \"1h\""),
    ("crate", "a path in a string", "crate = \"my_facade\""),
];

/// Words that other libraries have for the same things.
const ELSEWHERE: [(&str, &str); 11] = [
    ("kind", "name"),
    ("alias", "aliases"),
    ("retry", "retries"),
    ("max_retries", "retries"),
    ("max_attempts", "retries"),
    ("attempts", "retries"),
    ("doc", "description"),
    ("tag", "tags"),
    ("unique_key", "unique"),
    ("max_concurrency", "concurrency"),
    ("rate_limit", "rate"),
];

/// What stands in `#[job(..)]`.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) priority: Option<Priority>,
    pub(crate) retries: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) retry_if: Option<Expr>,
    pub(crate) rules: Rules,
    krate: Option<Path>,
}

impl Options {
    /// Reads all options, past every mistake.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let read = |input: ParseStream<'_>| {
            options.read(input, errors);
            Ok(())
        };
        if let Err(error) = read.parse2(tokens) {
            errors.push(error);
        }
        options
    }

    fn read(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
        let mut seen: Vec<String> = Vec::new();
        each_option(input, errors, |input, errors| {
            self.option(input, &mut seen, errors)
        });
    }

    fn option(
        &mut self,
        input: ParseStream<'_>,
        seen: &mut Vec<String>,
        errors: &mut Errors,
    ) -> Result<()> {
        let word = option_word(input, "queue = \"mail\"")?;
        let text = word.unraw().to_string();
        let Some((_, takes, example)) = WORDS.iter().find(|(known, ..)| *known == text) else {
            return Err(unknown(&word, &text));
        };
        // Several limits may be shared with others.
        if text != "limit" && seen.contains(&text) {
            errors.at(&word, format_args!("`{text}` is given twice"));
        }
        let at = input.cursor();
        let value = self
            .value(&text, word.span(), input, errors)
            .map_err(|error| {
                // What the parser says of itself says nothing of the option.
                let theirs = [
                    "expected",
                    "unexpected",
                    "invalid digit",
                    "number too large",
                    "digit",
                ];
                let said = error.to_string();
                if theirs.iter().any(|start| said.starts_with(start)) {
                    let span = value_at(at).unwrap_or_else(|| word.span());
                    Error::new(span, format!("`{text}` takes {takes}: `{example}`"))
                } else {
                    error
                }
            });
        seen.push(text.clone());
        value
    }

    fn value(
        &mut self,
        word: &str,
        span: Span,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> Result<()> {
        let rules = &mut self.rules;
        match word {
            "unique" => {
                rules.unique = Some(Unique::parse(input, errors)?);
                return Ok(());
            }
            "concurrency" | "rate" => {
                let option = if word == "rate" {
                    "rate"
                } else {
                    "concurrency"
                };
                rules.limits.push(Limit::own(option, span, input, errors)?);
                return Ok(());
            }
            "limit" => {
                rules.limits.push(Limit::shared(input, errors)?);
                return Ok(());
            }
            "aliases" => {
                self.aliases = list::strings(input)?;
                self.aliases
                    .iter()
                    .for_each(|alias| KIND.check(alias, errors));
                no_doubles(&self.aliases, errors);
                return Ok(());
            }
            "tags" => {
                self.tags = list::strings(input)?;
                self.tags.iter().for_each(|tag| TAG.check(tag, errors));
                no_doubles(&self.tags, errors);
                return Ok(());
            }
            _ => input.parse::<Token![=]>()?,
        };
        match word {
            "name" => {
                let name: LitStr = input.parse()?;
                KIND.check(&name, errors);
                self.name = Some(name);
            }
            "queue" => {
                let queue: LitStr = input.parse()?;
                QUEUE.check(&queue, errors);
                self.queue = Some(queue);
            }
            "priority" => self.priority = Some(Priority::parse(input)?),
            "retries" => self.retries = Some(input.parse::<LitInt>()?.base10_parse()?),
            "backoff" => self.backoff = Some(Backoff::parse(input)?),
            "timeout" => {
                let literal: LitStr = input.parse()?;
                let timeout = duration::parse(&literal)?;
                if timeout.is_zero() {
                    return Err(Error::new(
                        literal.span(),
                        "no job is done within no time; leave `timeout` out for no limit",
                    ));
                }
                self.timeout = Some(timeout);
            }
            "expires_in" => self.rules.expires_in(input)?,
            "description" => self.description = Some(input.parse()?),
            "retry_if" => {
                let function: Expr = input.parse()?;
                if matches!(function, Expr::Lit(_)) {
                    return Err(Error::new_spanned(function, "expected a function"));
                }
                self.retry_if = Some(function);
            }
            _ => self.krate = Some(input.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?),
        }
        Ok(())
    }

    /// The path to what the facade keeps for macros, as if it had been written at `span`: messages
    /// point at where a path's tokens come from.
    pub(crate) fn private_at(&self, span: Span) -> TokenStream {
        let path = match &self.krate {
            Some(path) => quote!(#path::__private),
            None => quote!(::jobs::__private),
        };
        spanned(path, span)
    }

    /// The same for code that cannot be wrong.
    pub(crate) fn private(&self) -> TokenStream {
        self.private_at(Span::call_site())
    }
}

/// The same tokens at another place.
pub(crate) fn spanned(tokens: TokenStream, span: Span) -> TokenStream {
    let move_there = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    tokens.into_iter().map(move_there).collect()
}

/// Where the value begins that stands behind a word, with or without `=`.
fn value_at(behind: syn::buffer::Cursor<'_>) -> Option<Span> {
    let (first, rest) = behind.token_tree()?;
    match &first {
        TokenTree::Punct(sign) if sign.as_char() == '=' => {
            rest.token_tree().map(|(value, _)| value.span())
        }
        TokenTree::Punct(sign) if sign.as_char() == ',' => None,
        _ => Some(first.span()),
    }
}

fn unknown(word: &Ident, text: &str) -> Error {
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(theirs, _)| *theirs == text)
        .map(|(_, ours)| *ours);
    let meant = elsewhere.or_else(|| words::nearest(text, WORDS.iter().map(|(known, ..)| *known)));
    let hint = match (text, meant) {
        ("delay" | "keep_for", _) => {
            format!("it is said when a job is enqueued: `.enqueue(..).{text}(..)`")
        }
        ("cron" | "schedule" | "every" | "recurring", _) => {
            "when it recurs is said beside this: `#[recurring(\"0 3 * * *\")]`".into()
        }
        (_, Some(meant)) => format!("did you mean `{meant}`?"),
        (_, None) => format!(
            "the options are {}",
            WORDS.map(|(known, ..)| known).join(", ")
        ),
    };
    let separator = if hint.ends_with('?') { "," } else { ":" };
    Error::new(
        word.span(),
        format!("unknown option `{text}`{separator} {hint}"),
    )
}

/// The word with which an option begins.
pub(crate) fn option_word(input: ParseStream<'_>, example: &str) -> Result<Ident> {
    let word = input.call(Ident::parse_any);
    word.map_err(|error| {
        Error::new(
            error.span(),
            format!("an option begins with its name: `{example}`"),
        )
    })
}

/// Reads options until there is none left, past every mistake.
pub(crate) fn each_option(
    input: ParseStream<'_>,
    errors: &mut Errors,
    mut read: impl FnMut(ParseStream<'_>, &mut Errors) -> Result<()>,
) {
    while !input.is_empty() {
        if let Err(error) = read(input, errors) {
            errors.push(error);
            skip_to_comma(input);
        }
        if let Err(error) = end_of_option(input) {
            errors.push(error);
            skip_to_comma(input);
            let _ = input.parse::<Token![,]>();
        }
    }
}

fn end_of_option(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return input.parse::<Option<Token![,]>>().map(|_| ());
    }
    Err(input.error("expected a comma before the next option"))
}

pub(crate) fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

fn no_doubles(names: &[LitStr], errors: &mut Errors) {
    for (at, name) in names.iter().enumerate() {
        if names[..at]
            .iter()
            .any(|earlier| earlier.value() == name.value())
        {
            errors.at(name, format_args!("\"{}\" is given twice", name.value()));
        }
    }
}

/// The option `priority`.
pub(crate) enum Priority {
    Word(&'static str),
    Number(i16),
    Constant(Expr),
}

impl Priority {
    const WORDS: [(&str, &str); 5] = [
        ("highest", "HIGHEST"),
        ("high", "HIGH"),
        ("normal", "NORMAL"),
        ("low", "LOW"),
        ("lowest", "LOWEST"),
    ];

    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let value: Expr = input.parse()?;
        let (negative, literal) = match &value {
            Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => (true, &*unary.expr),
            other => (false, other),
        };
        let Expr::Lit(literal) = literal else {
            return Ok(Self::Constant(value));
        };
        let known = match &literal.lit {
            Lit::Str(text) if !negative => {
                let word = Self::WORDS.iter().find(|(word, _)| *word == text.value());
                word.map(|(_, constant)| Self::Word(constant))
            }
            Lit::Int(number) => number.base10_parse::<i32>().ok().and_then(|number| {
                i16::try_from(if negative { -number } else { number })
                    .ok()
                    .map(Self::Number)
            }),
            _ => None,
        };
        known.ok_or_else(|| {
            let words = Self::WORDS.map(|(word, _)| format!("\"{word}\"")).join(", ");
            let message = format!(
                "not a priority: it is one of {words}, a number from -32768 to 32767 (the smaller, the sooner), or a constant \
                 of type `Priority`"
            );
            Error::new_spanned(&value, message)
        })
    }

    /// The priority as an expression.
    pub(crate) fn expand(&self, private: &TokenStream) -> TokenStream {
        match self {
            Self::Word(constant) => {
                let constant = Ident::new(constant, Span::call_site());
                quote!(#private::Priority::#constant)
            }
            Self::Number(number) => quote!(#private::Priority::new(#number)),
            Self::Constant(value) => value.to_token_stream(),
        }
    }
}
