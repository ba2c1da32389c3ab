//! What a job's function becomes.
//!
//! 1. `arguments`: a struct with a field for each argument, `SendWelcome`.
//! 2. `front`: a unit struct of the function's name with `enqueue`, `enqueue_many` and `call`, which
//!    derefs to the function.
//! 3. `following`: how it can follow another job, whose result is its first argument.
//! 4. `entry`: how a worker runs it, as a `static` that `inventory` collects.
//!
//! All but the two structs is hidden in a `const _`, where the function's body sees what it saw
//! before. Every name in here begins with `__`: a job named `f` makes a unit struct `f`, and a pattern
//! `f` anywhere beside it would mean that. The exception are the parameters of `enqueue` and `call`,
//! which have the names that the user gave them: where those clash, the function itself does too.

mod arguments;
mod entry;
mod following;
mod front;
mod recurring;
mod stub;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::LitStr;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::function::Function;
use crate::options::{Options, spanned};
use crate::parameter::Argument;
use crate::types;

pub(crate) use stub::stub;

/// What all parts of the expansion need.
struct Expansion<'a> {
    options: &'a Options,
    function: &'a Function,
    private: TokenStream,
    /// The struct of the arguments.
    args: Ident,
    kind: LitStr,
    /// Arguments that the compiler has to be asked about; nothing that is generated may fail because
    /// of them, or one mistake would be a dozen messages.
    gates: TokenStream,
}

/// Everything.
pub(crate) fn whole(options: &Options, function: &Function) -> TokenStream {
    let this = Expansion::new(options, function);
    let (arguments, front) = (this.arguments(), this.front());
    let (hidden, leniency) = (function.hidden(), leniency());
    let generated = [
        this.assertions(),
        this.arguments_impls(),
        this.front_impls(),
        this.entry(),
    ];
    let (cfgs, surprises) = (&function.cfgs, this.surprises());
    quote! {
        #arguments
        #front
        #(#cfgs)*
        const _: () = {
            #hidden
            #surprises
            #leniency
            const _: () = { #(#generated)* };
        };
    }
}

/// What is generated of the user's names is not the user's to polish.
fn leniency() -> TokenStream {
    quote!(#[allow(clippy::all, clippy::pedantic, clippy::nursery, dead_code, deprecated, private_interfaces, unused_imports, unused_lifetimes, unused_qualifications)])
}

impl<'a> Expansion<'a> {
    fn new(options: &'a Options, function: &'a Function) -> Self {
        let kind = options.name.clone().unwrap_or_else(|| {
            LitStr::new(&function.ident.unraw().to_string(), function.ident.span())
        });
        let mut this = Self {
            options,
            function,
            private: options.private(),
            args: function.arguments_ident(),
            kind,
            gates: TokenStream::new(),
        };
        this.gates = this.where_arguments();
        this
    }

    fn where_arguments(&self) -> TokenStream {
        let private = &self.private;
        let unknown = self
            .function
            .arguments()
            .filter(|argument| !argument.is_plain());
        let bounds: Vec<_> = unknown
            .map(|Argument { ty, .. }| {
                let ty = spanned(quote!(#ty), Span::call_site());
                // A bound without a lifetime would be checked here, and not where it is needed.
                quote!(for<'__x> #ty: #private::JobArg)
            })
            .collect();
        if bounds.is_empty() {
            TokenStream::new()
        } else {
            quote!(where #(#bounds),*)
        }
    }

    /// The place of the first argument that the compiler has to be asked about.
    fn first_gate(&self) -> Option<Span> {
        self.unknown_arguments()
            .next()
            .map(|argument| argument.ty.span())
    }

    fn unknown_arguments(&self) -> impl Iterator<Item = &Argument> + Clone {
        self.function
            .arguments()
            .filter(|argument| !argument.is_plain())
    }

    /// What the compiler has to say about types that only it knows, said at those types.
    fn assertions(&self) -> TokenStream {
        let private = &self.private;
        // A single one is told where it is needed, see `entry`.
        let several = self.unknown_arguments().count() > 1;
        let arguments = self.unknown_arguments().map(|Argument { ty, .. }| {
            let span = ty.span();
            let private = self.options.private_at(span);
            let name = types::text_in_format(ty);
            let message = format!(
                "`{name}` is injected, not stored: write `#[inject]` in front of the parameter"
            );
            let storable =
                several.then(|| quote_spanned!(span=> const _: () = #private::argument::<#ty>();));
            quote_spanned! {span=>
                #storable
                const _: () = ::core::assert!(!#private::Probe::<#ty>::INJECTED, #message);
            }
        });
        let output = self.output_assertion();
        quote! {
            use #private::Unknown as _;
            #(#arguments)*
            #output
        }
    }
}
