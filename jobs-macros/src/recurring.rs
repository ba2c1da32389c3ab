//! What stands in `#[recurring(..)]`.

mod mistakes;

use jobs_cron::{Days, Expression, Misfire, Moment, check_zone};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Expr, Ident, LitInt, LitStr, Path, Result, Token, parenthesized};

use crate::errors::Errors;
use crate::function::Function;
use crate::names::{KIND, QUEUE};
use crate::options::{each_option, option_word, skip_to_comma};
use crate::{duration, list, words};
use mistakes::{chosen, error_in, unknown};

/// Every word there is, what it takes, and how it is written.
const WORDS: [(&str, &str, &str); 13] = [
    ("id", "a string", "id = \"nightly\""),
    ("tz", "a string", "tz = \"Europe/Berlin\""),
    ("days", "a word", "days = \"either\""),
    ("misfire", "a word", "misfire = \"run_once\""),
    ("grace", "a duration", "grace = \"10s\""),
    ("cap", "a whole number, 1 or more", "cap = 100"),
    ("overlap", "a word", "overlap = \"skip\""),
    ("jitter", "a duration", "jitter = \"5m\""),
    ("starts", "a date in a string", "starts = \"2026-12-31\""),
    ("ends", "a date in a string", "ends = \"2026-12-31\""),
    ("queue", "a string", "queue = \"reports\""),
    (
        "args",
        "a value for each argument",
        "args(user_id = 42, template = \"hello\")",
    ),
    ("crate", "a path in a string", "crate = \"my_facade\""),
];

/// The words for what happens when the run before has not finished.
const OVERLAPS: [(&str, &str); 3] = [("allow", "Allow"), ("skip", "Skip"), ("queue", "Queue")];

/// What stands in one `#[recurring(..)]`.
pub(crate) struct Recurring {
    /// Where the attribute is.
    pub(crate) span: Span,
    pub(crate) schedule: LitStr,
    pub(crate) id: Option<LitStr>,
    pub(crate) tz: Option<LitStr>,
    pub(crate) days: Option<Days>,
    pub(crate) misfire: Option<Misfire>,
    pub(crate) grace: Option<std::time::Duration>,
    pub(crate) cap: Option<usize>,
    /// The name of the variant.
    pub(crate) overlap: Option<&'static str>,
    pub(crate) jitter: Option<std::time::Duration>,
    pub(crate) starts: Option<LitStr>,
    pub(crate) ends: Option<LitStr>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) args: Vec<(Ident, Expr)>,
    /// What is valid, but surprising.
    pub(crate) warnings: Vec<String>,
    days_at: Option<LitStr>,
    args_at: Option<Span>,
}

/// Whether an attribute is one of ours.
pub(crate) fn is_recurring(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "recurring")
}

/// The crate that an attribute names with `crate = ".."`, so that it can be passed on.
pub(crate) fn facade(tokens: TokenStream) -> Option<LitStr> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.windows(3).find_map(|window| match window {
        [
            TokenTree::Ident(word),
            TokenTree::Punct(sign),
            TokenTree::Literal(value),
        ] if word == "crate" && sign.as_char() == '=' => syn::parse_str(&value.to_string()).ok(),
        _ => None,
    })
}

impl Recurring {
    /// Takes the attributes away from a function and reads them, past every mistake.
    pub(crate) fn take(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Vec<Self> {
        let (ours, others): (Vec<_>, Vec<_>) = attributes.drain(..).partition(is_recurring);
        *attributes = others;
        let read = |attribute: &Attribute| Self::read(attribute, errors);
        ours.iter().filter_map(read).collect()
    }

    fn read(attribute: &Attribute, errors: &mut Errors) -> Option<Self> {
        let span = attribute
            .path()
            .segments
            .last()
            .map_or_else(Span::call_site, |segment| segment.ident.span());
        let missing = "when? write a schedule first, as in `#[recurring(\"0 3 * * *\")]`, which is every day at 03:00";
        let Ok(list) = attribute.meta.require_list() else {
            errors.push(Error::new(span, missing));
            return None;
        };
        let mut found = None;
        let parse = |input: ParseStream<'_>| {
            if input.is_empty() {
                return Err(Error::new(span, missing));
            }
            let Ok(schedule) = input.parse::<LitStr>() else {
                // `tz = ..` is an option, and everything else an expression.
                let message = if input.peek(Ident::peek_any) && input.peek2(Token![=]) {
                    missing
                } else {
                    "a schedule is written here, as a string, so that the compiler can check it: `#[recurring(\"0 3 * * *\")]`; one \
                     that is only known at run time is made with `client.recurring(\"id\")`"
                };
                return Err(Error::new(input.span(), message));
            };
            let mut recurring = Self::new(span, schedule);
            if !input.is_empty() && input.parse::<Token![,]>().is_err() {
                errors.push(input.error("expected a comma before the next option"));
            }
            recurring.options(input, errors);
            found = Some(recurring);
            Ok(())
        };
        if let Err(error) = parse.parse2(list.tokens.clone()) {
            errors.push(error);
        }
        let mut recurring = found?;
        recurring.check_times(errors);
        Some(recurring)
    }

    fn new(span: Span, schedule: LitStr) -> Self {
        Self {
            span,
            schedule,
            id: None,
            tz: None,
            days: None,
            misfire: None,
            grace: None,
            cap: None,
            overlap: None,
            jitter: None,
            starts: None,
            ends: None,
            queue: None,
            args: Vec::new(),
            warnings: Vec::new(),
            days_at: None,
            args_at: None,
        }
    }

    fn options(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
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
        if input.peek(LitStr) {
            let message =
                "a second schedule is a second `#[recurring(..)]`, with an `id` of its own";
            return Err(Error::new(input.span(), message));
        }
        let word = option_word(input, "tz = \"Europe/Berlin\"")?;
        let text = word.unraw().to_string();
        let Some((_, takes, example)) = WORDS.iter().find(|(known, ..)| *known == text) else {
            return Err(unknown(&word, &text));
        };
        if seen.contains(&text) {
            errors.at(&word, format_args!("`{text}` is given twice"));
        }
        seen.push(text.clone());
        let wrong = |span| Error::new(span, format!("`{text}` takes {takes}: `{example}`"));
        if text == "args" {
            self.args_at = Some(word.span());
            let read = arguments(input, errors).map_err(|error| wrong(error.span()));
            self.args = read?;
            return Ok(());
        }
        if input.parse::<Token![=]>().is_err() {
            return Err(wrong(word.span()));
        }
        let at = input.span();
        if text == "cap" {
            let cap = input.parse::<LitInt>().and_then(|cap| cap.base10_parse());
            let cap = cap.map_err(|_| wrong(at))?;
            if cap == 0 {
                return Err(wrong(at));
            }
            self.cap = Some(cap);
            return Ok(());
        }
        let value: LitStr = input.parse().map_err(|_| wrong(at))?;
        self.text(&text, value, errors)
    }

    fn text(&mut self, word: &str, value: LitStr, errors: &mut Errors) -> Result<()> {
        match word {
            "id" => {
                if !KIND.allows(&value.value()) {
                    return Err(Error::new(
                        value.span(),
                        "an id is made of letters, digits and `_`, `.`, `:`, `-`, 128 at most",
                    ));
                }
                self.id = Some(value);
            }
            "tz" => {
                check_zone(&value.value()).map_err(|mistake| error_in(&value, &mistake))?;
                self.tz = Some(value);
            }
            "days" => {
                self.days = Some(chosen(&value, Days::from_name, &["either", "both"])?);
                self.days_at = Some(value);
            }
            "misfire" => {
                let words = ["run_once", "all", "skip"];
                self.misfire = Some(chosen(&value, Misfire::from_name, &words)?);
            }
            "overlap" => {
                let find = |word: &str| OVERLAPS.iter().find(|(known, _)| *known == word);
                let found = chosen(&value, find, &OVERLAPS.map(|(word, _)| word))?;
                self.overlap = Some(found.1);
            }
            "grace" => self.grace = Some(duration::parse(&value)?),
            "jitter" => self.jitter = Some(duration::parse(&value)?),
            "starts" | "ends" => {
                let read = Moment::parse(&value.value());
                read.map_err(|mistake| error_in(&value, &mistake))?;
                *(if word == "starts" {
                    &mut self.starts
                } else {
                    &mut self.ends
                }) = Some(value);
            }
            "queue" => {
                QUEUE.check(&value, errors);
                self.queue = Some(value);
            }
            // Read where the attribute was first seen.
            _ => drop(value.parse_with(Path::parse_mod_style)?),
        }
        Ok(())
    }

    /// The schedule itself, once it is known what the other options say of it.
    fn check_times(&mut self, errors: &mut Errors) {
        let moment = |text: &Option<LitStr>| {
            text.as_ref()
                .and_then(|text| Moment::parse(&text.value()).ok())
        };
        if let (Some(starts), Some(ends), Some(at)) =
            (moment(&self.starts), moment(&self.ends), &self.ends)
            && ends.is_before(starts)
        {
            errors.at(at, "it ends before it starts: nothing would ever run");
        }
        let text = self.schedule.value();
        let expression = match Expression::parse_with(&text, self.days) {
            Ok(expression) => expression,
            Err(mistake) => return errors.push(error_in(&self.schedule, &mistake)),
        };
        let zone = self.tz.as_ref().map(LitStr::value);
        let warnings = expression.warnings(zone.as_deref());
        self.warnings = warnings.iter().map(|warning| warning.render()).collect();
    }

    /// Whether the arguments are those of the function, and all of them.
    pub(crate) fn check_arguments(&self, function: &Function, errors: &mut Errors) {
        let known: Vec<String> = function
            .arguments()
            .map(|argument| argument.stored_name())
            .collect();
        for (at, (name, _)) in self.args.iter().enumerate() {
            let text = plain(name);
            if self.args[..at]
                .iter()
                .any(|(other, _)| plain(other) == text)
            {
                errors.at(name, format_args!("`{text}` is given twice"));
            } else if !known.contains(&text) {
                let job = function.ident.unraw();
                let hint = match words::nearest(&text, known.iter().map(String::as_str)) {
                    Some(meant) => format!(", did you mean `{meant}`?"),
                    None if known.is_empty() => ": it has none".into(),
                    None => format!(": it has {}", known.join(", ")),
                };
                errors.at(name, format_args!("`{job}` has no argument `{text}`{hint}"));
            }
        }
        let given = |name: &String| self.args.iter().any(|(given, _)| plain(given) == *name);
        let missing: Vec<String> = function
            .arguments()
            .filter(|argument| argument.default.is_none())
            .map(|argument| argument.stored_name())
            .filter(|name| !given(name))
            .map(|name| format!("{name} = …"))
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "nobody is there to give a recurring job its arguments: write `args({})`",
                missing.join(", ")
            );
            errors.push(Error::new(self.args_at.unwrap_or(self.span), message));
        }
    }

    /// The value of an argument, if it is given.
    pub(crate) fn argument(&self, name: &str) -> Option<&Expr> {
        let mut args = self.args.iter();
        args.find(|(given, _)| plain(given) == name)
            .map(|(_, value)| value)
    }
}

/// Each id at most once for one function; another function's are checked when a worker starts.
pub(crate) fn check_ids(all: &[Recurring], kind: &str, errors: &mut Errors) {
    let id = |one: &Recurring| {
        one.id
            .as_ref()
            .map_or_else(|| kind.to_owned(), LitStr::value)
    };
    for (at, one) in all.iter().enumerate() {
        if all[..at].iter().any(|other| id(other) == id(one)) {
            let message = format!(
                "two recurring jobs cannot have the same id, `{}`: give one another, with `id = \"…\"`",
                id(one)
            );
            let span = one.id.as_ref().map_or(one.span, LitStr::span);
            errors.push(Error::new(span, message));
        }
    }
}

fn plain(name: &Ident) -> String {
    name.unraw().to_string().trim_start_matches('_').to_owned()
}

fn arguments(input: ParseStream<'_>, errors: &mut Errors) -> Result<Vec<(Ident, Expr)>> {
    let content;
    parenthesized!(content in input);
    let args = arguments_in(&content, errors);
    list::all_or_none(&content, args)
}

fn arguments_in(content: ParseStream<'_>, errors: &mut Errors) -> Result<Vec<(Ident, Expr)>> {
    let mut args = Vec::new();
    while !content.is_empty() {
        let name = content.call(Ident::parse_any)?;
        content.parse::<Token![=]>()?;
        match content.parse::<Expr>() {
            Ok(value) => args.push((name, value)),
            Err(error) => {
                errors.push(error);
                skip_to_comma(content);
            }
        }
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(args)
}
