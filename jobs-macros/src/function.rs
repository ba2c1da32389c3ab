//! What the macro has to know of the function.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{
    Attribute, Block, Expr, ExprLit, FnArg, GenericParam, Ident, ItemFn, Lit, Meta, Pat, PatIdent,
    ReturnType, Safety, Signature, Type, Visibility,
};

use crate::errors::Errors;
use crate::names;
use crate::options::Options;
use crate::parameter::{Argument, Parameter};
use crate::recurring::{self, Recurring};
use crate::types::{self, Unowned};

/// What stands before the name of a job's function once the job has that name.
const HIDDEN: &str = "__jobs_";

/// Whether a function is what a `#[job]` has made of one.
pub(crate) fn is_hidden(function: &ItemFn) -> bool {
    function.sig.ident.to_string().starts_with(HIDDEN)
}

/// A job's function, taken apart.
pub(crate) struct Function {
    pub(crate) docs: Vec<Attribute>,
    /// For every item that is made of the function.
    pub(crate) cfgs: Vec<Attribute>,
    /// For what stands for the function: `#[deprecated]`.
    pub(crate) outer: Vec<Attribute>,
    /// For the function itself.
    inner: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    signature: Signature,
    block: Box<Block>,
    pub(crate) is_async: bool,
    pub(crate) is_method: bool,
    /// Those that could be understood.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: Type,
    /// When it recurs.
    pub(crate) recurring: Vec<Recurring>,
}

impl Function {
    /// Takes the function apart and finds what a job cannot be.
    pub(crate) fn read(function: ItemFn, options: &Options, errors: &mut Errors) -> Self {
        let ItemFn {
            mut attrs,
            vis,
            mut sig,
            block,
            ..
        } = function;
        let recurring = Recurring::take(&mut attrs, errors);
        let mut parameters = Vec::new();
        let is_method = sig.receiver().is_some();
        for input in &mut sig.inputs {
            if let FnArg::Typed(typed) = input {
                parameters.extend(Parameter::read(typed, errors));
            }
        }
        check_signature(&sig, errors);
        let output = match &sig.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        check_output(&output, errors);
        names::check_function(&sig.ident, errors);
        check_kind(&sig.ident, options, errors);
        let ident = sig.ident.clone();
        let bare = ident.unraw().to_string();
        sig.ident = format_ident!(
            "{HIDDEN}{}",
            bare.trim_start_matches('_'),
            span = ident.span()
        );
        let mut this = Self {
            docs: Vec::new(),
            cfgs: Vec::new(),
            outer: Vec::new(),
            inner: Vec::new(),
            vis,
            ident,
            is_async: sig.asyncness.is_some(),
            is_method,
            signature: sig,
            block,
            parameters,
            output,
            recurring,
        };
        this.sort_attributes(attrs);
        this.check_parameters(errors);
        this.check_fields(errors);
        this.check_recurring(options, errors);
        if let Some(receiver) = this.signature.receiver() {
            // Nothing else can be right before this is.
            errors.take();
            errors.at(
                receiver,
                "a job is a free function, not a method: take what it needs as arguments or as `Data<T>`",
            );
        }
        this
    }

    fn sort_attributes(&mut self, attributes: Vec<Attribute>) {
        for attribute in attributes {
            let path = attribute.path();
            if path.is_ident("doc") {
                self.docs.push(attribute);
            } else if path.is_ident("cfg") {
                self.cfgs.push(attribute);
            } else if path.is_ident("deprecated") {
                self.outer.push(attribute);
            } else {
                self.inner.push(attribute);
            }
        }
    }

    fn check_recurring(&self, options: &Options, errors: &mut Errors) {
        for recurring in &self.recurring {
            recurring.check_arguments(self, errors);
        }
        let name = self.ident.unraw().to_string();
        let kind = options.name.as_ref().map_or(name, syn::LitStr::value);
        recurring::check_ids(&self.recurring, &kind, errors);
    }

    /// The lints that are switched off for the function.
    pub(crate) fn allowances(&self) -> Vec<&Attribute> {
        let inner = self.inner.iter();
        inner
            .filter(|attribute| attribute.path().is_ident("allow"))
            .collect()
    }

    /// The job is a value of its name, and no pattern can shadow a unit struct.
    fn check_parameters(&self, errors: &mut Errors) {
        for input in &self.signature.inputs {
            let FnArg::Typed(typed) = input else { continue };
            let Pat::Ident(PatIdent { ident, .. }) = &*typed.pat else {
                continue;
            };
            if *ident != self.ident {
                continue;
            }
            let name = ident.unraw();
            let stored = self.arguments().any(|argument| argument.name == *ident);
            let hint = if stored {
                format!(" (`_{name}` is stored as `{name}` too)")
            } else {
                String::new()
            };
            errors.at(
                ident,
                format_args!(
                    "the job is a value of this name, so that no parameter can have it: call the parameter otherwise{hint}"
                ),
            );
        }
    }

    fn check_fields(&self, errors: &mut Errors) {
        let mut seen: Vec<String> = Vec::new();
        for argument in self.arguments() {
            let aliases = argument
                .aliases
                .iter()
                .map(|alias| (alias.value(), alias.to_token_stream()));
            let field = (argument.stored_name(), argument.name.to_token_stream());
            for (name, tokens) in std::iter::once(field).chain(aliases) {
                if seen.contains(&name) {
                    errors.at(
                        tokens,
                        format_args!(
                            "two arguments would be stored as `{name}`: give one another name"
                        ),
                    );
                }
                seen.push(name);
            }
        }
    }

    /// The parameters that are stored.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> + Clone {
        self.parameters
            .iter()
            .filter_map(|parameter| match parameter {
                Parameter::Argument(argument) => Some(argument),
                Parameter::Injected(_) => None,
            })
    }

    /// The parameters that the worker fills in.
    pub(crate) fn injected(&self) -> impl Iterator<Item = &Type> + Clone {
        self.parameters
            .iter()
            .filter_map(|parameter| match parameter {
                Parameter::Injected(ty) => Some(ty),
                Parameter::Argument(_) => None,
            })
    }

    /// How many arguments `enqueue` would take: parameters that could not be understood are arguments.
    pub(crate) fn stored_count(&self) -> usize {
        self.signature.inputs.len() - self.injected().count()
    }

    /// Whether the result is of a type that can be written elsewhere.
    pub(crate) fn has_output(&self) -> bool {
        self.signature.generics.params.is_empty()
            && !matches!(self.output, Type::Never(_))
            && types::unowned(&self.output, true).is_none()
    }

    /// The name of the struct of its arguments.
    pub(crate) fn arguments_ident(&self) -> Ident {
        let name = names::of_arguments(&self.ident);
        // What cannot be the name of a struct has been told; the stubs need one all the same.
        let usable =
            !self.hides_standard() && self.ident != name && syn::parse_str::<Ident>(&name).is_ok();
        let name = if usable {
            name
        } else {
            format!("__Arguments_{}", self.ident.unraw())
        };
        Ident::new(&name, self.ident.span())
    }

    /// Whether the structs would hide names that everybody knows.
    pub(crate) fn hides_standard(&self) -> bool {
        names::hidden(&self.ident).is_some()
    }

    /// The name that the function goes by now.
    pub(crate) fn hidden_ident(&self) -> &Ident {
        &self.signature.ident
    }

    /// The function as it was written, under its hidden name.
    pub(crate) fn hidden(&self) -> TokenStream {
        let Self {
            cfgs,
            inner,
            signature,
            block,
            ..
        } = self;
        quote!(#(#cfgs)* #(#inner)* #signature #block)
    }

    /// The first line of its documentation.
    pub(crate) fn first_doc_line(&self) -> Option<String> {
        let lines = self
            .docs
            .iter()
            .filter_map(|attribute| match &attribute.meta {
                Meta::NameValue(pair) => match &pair.value {
                    Expr::Lit(ExprLit {
                        lit: Lit::Str(text),
                        ..
                    }) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            });
        let mut lines = lines.flat_map(|text| {
            text.lines()
                .map(|line| line.trim().to_owned())
                .collect::<Vec<_>>()
        });
        lines.find(|line| !line.is_empty())
    }
}

fn check_signature(signature: &Signature, errors: &mut Errors) {
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) => errors.at(
                lifetime,
                "a job has no lifetimes: its arguments are stored and read back; take owned values, or `&str` without a lifetime",
            ),
            other => errors.at(
                other,
                "a job cannot be generic: its arguments are stored and read back, so their types must be fixed",
            ),
        }
    }
    if let Some(constness) = &signature.constness {
        errors.at(
            constness,
            "a job is run by a worker, never at compile time: leave `const` out",
        );
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        errors.at(unsafety, "a job is called by a worker, which cannot keep promises: put the `unsafe` block into the body");
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a job is called by a worker: leave `extern` out");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(
            variadic,
            "a job has a fixed number of arguments: take a `Vec`",
        );
    }
}

fn check_output(output: &Type, errors: &mut Errors) {
    match types::unowned(output, true) {
        _ if matches!(output, Type::Never(_)) => {
            errors.at(output, "a job must come to an end: return `()`");
        }
        Some(Unowned::Borrowed) => errors.at(
            output,
            "a job cannot return what it borrows: its result is stored; return an owned value",
        ),
        _ if types::is_future(output) => errors.at(
            output,
            "a job that has to wait is an `async fn`, and returns what comes of it",
        ),
        Some(Unowned::Opaque) => errors.at(
            output,
            "the result of a job is stored, so its type must be named: write the type itself",
        ),
        None => {}
    }
}

/// The name of the function is checked as a kind, unless another one is given.
fn check_kind(ident: &Ident, options: &Options, errors: &mut Errors) {
    let name = ident.unraw().to_string();
    if options.name.is_none() && !names::KIND.allows(&name) {
        errors.at(
            ident,
            "jobs are stored under the name of their function, and this one cannot be stored: give another one, with \
             `#[job(name = \"…\")]`",
        );
    }
    let kind = options.name.as_ref().map_or(name, syn::LitStr::value);
    for alias in options.aliases.iter().filter(|alias| alias.value() == kind) {
        errors.at(alias, "an alias is an older name; this is the name itself");
    }
}
