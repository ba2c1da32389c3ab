//! One parameter of a job's function.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Error, Ident, LitStr, Meta, Pat, PatType, Path, Result, Token, Type};

use crate::errors::Errors;
use crate::list;
use crate::types::{self, Unowned};

/// One parameter of a job's function.
pub(crate) enum Parameter {
    Argument(Argument),
    /// Filled in by the worker.
    Injected(Type),
}

/// A parameter that is stored with the job.
pub(crate) struct Argument {
    /// As the function calls it.
    pub(crate) name: Ident,
    /// As it is stored.
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) text: Text,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<Fallback>,
}

/// Whether an argument is text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    No,
    /// `String`
    Owned,
    /// `&str`; stored as `String`
    Borrowed,
}

/// What stands for an argument that an older version did not store.
pub(crate) enum Fallback {
    Default,
    Function(Path),
}

impl Argument {
    /// Whether it is certain without asking the compiler that it can be stored.
    pub(crate) fn is_plain(&self) -> bool {
        self.text != Text::No || types::is_plain(&self.ty)
    }

    /// Whether it goes by this name, as the function calls it or as it is stored.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.unraw() == name || self.stored_name() == name
    }

    /// The name under which it is stored.
    pub(crate) fn stored_name(&self) -> String {
        self.field.unraw().to_string()
    }
}

impl Parameter {
    /// Reads a parameter, and takes away from it what only the macro understands.
    pub(crate) fn read(parameter: &mut PatType, errors: &mut Errors) -> Option<Self> {
        let marks = Marks::take(&mut parameter.attrs, errors);
        let ty = &*parameter.ty;
        if marks.inject || types::injection(ty).is_some() {
            if let Some(attribute) = &marks.job {
                errors.at(
                    attribute,
                    "an injected parameter is not stored: nothing of this can apply to it",
                );
            }
            return owned_injection(ty, errors).then(|| Self::Injected(ty.clone()));
        }
        let (name, text) = (name(&parameter.pat, errors), text(ty, errors));
        let (name, text) = (name?.clone(), text?);
        Some(Self::Argument(Argument {
            field: field(&name),
            name,
            ty: ty.clone(),
            text,
            docs: marks.docs,
            aliases: marks.aliases,
            default: marks.default,
        }))
    }
}

fn name<'p>(pattern: &'p Pat, errors: &mut Errors) -> Option<&'p Ident> {
    match pattern {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        other => {
            errors.at(
                other,
                "an argument of a job needs a name, for it is stored under it: take it apart in the body",
            );
            None
        }
    }
}

/// The name of the field. An underscore in front says that the argument is not used, which may change
/// while jobs are waiting.
fn field(name: &Ident) -> Ident {
    let text = name.unraw().to_string();
    let bare = text.trim_start_matches('_');
    if bare == text {
        return name.clone();
    }
    let plain = syn::parse_str::<Ident>(bare).map(|_| Ident::new(bare, name.span()));
    plain
        .or_else(|_| raw(bare, name.span()))
        .unwrap_or_else(|_| name.clone())
}

fn raw(word: &str, span: Span) -> Result<Ident> {
    let mut name: Ident = syn::parse_str(&format!("r#{word}"))?;
    name.set_span(span);
    Ok(name)
}

fn text(ty: &Type, errors: &mut Errors) -> Option<Text> {
    if types::is_borrowed_text(ty) {
        return Some(Text::Borrowed);
    }
    match types::unowned(ty, false) {
        None if types::is_string(ty) => return Some(Text::Owned),
        None => return Some(Text::No),
        Some(Unowned::Opaque) => {
            errors.at(ty, "an argument of a job is stored and read back, so its type must be named: write the type itself");
        }
        Some(Unowned::Borrowed) => match types::owned(ty) {
            Some(owned) if owned == "JobContext" => errors.at(ty, "take `JobContext` by value; it is cheap to clone"),
            Some(owned) => errors.at(ty, format_args!("a job cannot borrow its arguments: take `{owned}` by value")),
            None => errors.at(
                ty,
                "a job cannot borrow its arguments: take a type that owns what is in it (`String` for `&str`)",
            ),
        },
    }
    None
}

fn owned_injection(ty: &Type, errors: &mut Errors) -> bool {
    match types::unowned(ty, true) {
        None => true,
        Some(Unowned::Opaque) => {
            errors.at(
                ty,
                "the type of an injected parameter must be named: write the type itself",
            );
            false
        }
        Some(Unowned::Borrowed) => {
            errors.at(
                ty,
                "an injected parameter is taken by value; share what is large in an `Arc`",
            );
            false
        }
    }
}

/// What the attributes of a parameter say to the macro.
#[derive(Default)]
struct Marks {
    inject: bool,
    docs: Vec<Attribute>,
    job: Option<Attribute>,
    aliases: Vec<LitStr>,
    default: Option<Fallback>,
}

impl Marks {
    fn take(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut marks = Self::default();
        for attribute in std::mem::take(attributes) {
            let path = attribute.path();
            if path.is_ident("inject") {
                marks.inject = true;
                if !matches!(attribute.meta, Meta::Path(_)) {
                    errors.at(&attribute, "write `#[inject]`, without anything behind it");
                }
            } else if path.is_ident("doc") {
                marks.docs.push(attribute);
            } else if path.is_ident("job") {
                if let Err(error) = marks.read_job(&attribute) {
                    errors.push(error);
                }
                marks.job = Some(attribute);
            } else if path.is_ident("serde") || path.is_ident("default") {
                errors.at(
                    &attribute,
                    "an argument takes `#[job(default)]`, `#[job(default = function)]` and `#[job(alias = \"old_name\")]`; what \
                     else serde shall know is said of a type of yours",
                );
            } else if path.is_ident("cfg") || path.is_ident("cfg_attr") {
                errors.at(
                    &attribute,
                    "a parameter of a job cannot depend on a `cfg`: what is stored would depend on it too; put the `#[cfg]` \
                     on two versions of the function",
                );
            } else {
                attributes.push(attribute);
            }
        }
        marks
    }

    fn read_job(&mut self, attribute: &Attribute) -> Result<()> {
        if self.job.is_some() {
            return Err(Error::new_spanned(
                attribute,
                "a second `#[job(..)]`: write both in one",
            ));
        }
        let read = attribute.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                self.read_word(input)?;
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        });
        read.map_err(|error| {
            let message = "a parameter takes `#[job(default)]`, `#[job(default = function)]` and `#[job(alias = \"old_name\")]`";
            Error::new(error.span(), message)
        })
    }

    fn read_word(&mut self, input: ParseStream<'_>) -> Result<()> {
        let word = input.call(Ident::parse_any)?;
        match word.to_string().as_str() {
            "default" if self.default.is_none() => {
                let function = input
                    .parse::<Option<Token![=]>>()?
                    .map(|_| input.parse())
                    .transpose()?;
                self.default = Some(function.map_or(Fallback::Default, Fallback::Function));
            }
            "alias" => {
                input.parse::<Token![=]>()?;
                self.aliases.push(input.parse()?);
            }
            "aliases" => self.aliases.extend(list::strings(input)?),
            _ => return Err(Error::new(word.span(), "unknown")),
        }
        Ok(())
    }
}
