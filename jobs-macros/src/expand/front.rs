//! The unit struct that stands for the function.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ReturnType;

use super::Expansion;
use crate::parameter::{Argument, Parameter, Text};

impl Expansion<'_> {
    pub(super) fn front(&self) -> TokenStream {
        let function = self.function;
        let (cfgs, docs, outer, vis, ident) = (
            &function.cfgs,
            &function.docs,
            &function.outer,
            &function.vis,
            &function.ident,
        );
        quote! {
            #(#cfgs)*
            #(#docs)*
            #(#outer)*
            #[allow(non_camel_case_types, dead_code)]
            #[derive(Clone, Copy, Debug)]
            #vis struct #ident;
        }
    }

    pub(super) fn front_impls(&self) -> TokenStream {
        let (enqueueing, following, deref) = (self.enqueueing(), self.following(), self.deref());
        quote!(#enqueueing #following #deref)
    }

    fn enqueueing(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let (vis, ident) = (&function.vis, &function.ident);
        let names: Vec<_> = function
            .arguments()
            .map(|argument| &argument.name)
            .collect();
        let types: Vec<_> = function.arguments().map(taken_type).collect();
        let value = self.value(names.iter().copied());
        let many = self.many();
        quote! {
            impl #ident {
                /// Enqueues the job, once the builder that this returns is awaited.
                #vis fn enqueue(self, #(#names: #types),*) -> #private::Enqueue<'static, #args> #gates {
                    #private::Enqueue::new(self.call(#(#names),*))
                }

                /// The job as a value, to be enqueued elsewhere.
                #[must_use = "this only makes a value; `.enqueue()` enqueues it"]
                #vis fn call(self, #(#names: #types),*) -> #args {
                    #value
                }

                #many
            }

            impl #args {
                /// Enqueues the job, once the builder that this returns is awaited.
                #vis fn enqueue(self) -> #private::Enqueue<'static, Self> #gates {
                    #private::Enqueue::new(self)
                }
            }
        }
    }

    /// The struct of the arguments, made of these variables.
    fn value<'i>(&self, variables: impl Iterator<Item = &'i Ident>) -> TokenStream {
        let args = &self.args;
        let fields = self
            .function
            .arguments()
            .zip(variables)
            .map(|(argument, variable)| {
                let field = &argument.field;
                match argument.text {
                    Text::No => quote!(#field: #variable),
                    Text::Owned | Text::Borrowed => {
                        quote!(#field: ::core::convert::Into::into(#variable))
                    }
                }
            });
        quote!(#args { #(#fields),* })
    }

    fn many(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let vis = &function.vis;
        let mut generics = Vec::new();
        let mut types = Vec::new();
        let mut variables = Vec::new();
        for (at, argument) in function.arguments().enumerate() {
            variables.push(format_ident!("__{at}"));
            types.push(if argument.text == Text::No {
                let ty = &argument.ty;
                quote!(#ty)
            } else {
                let generic = format_ident!("__S{at}");
                generics.push(quote!(#generic: ::core::convert::Into<::std::string::String>));
                quote!(#generic)
            });
        }
        let value = self.value(variables.iter());
        let (item, pattern, of_each) = match (types.as_slice(), variables.as_slice()) {
            ([ty], [variable]) => (quote!(#ty), quote!(#variable), "an argument"),
            ([], []) => (quote!(()), quote!(()), "a `()`"),
            _ => (
                quote!((#(#types),*)),
                quote!((#(#variables),*)),
                "a tuple of arguments",
            ),
        };
        let doc = format!(
            "Enqueues many jobs at once, {of_each} for each, once the builder that this returns is awaited."
        );
        let generics = if generics.is_empty() {
            quote!()
        } else {
            quote!(<#(#generics),*>)
        };
        quote! {
            #[doc = #doc]
            #vis fn enqueue_many #generics (
                self,
                __items: impl ::core::iter::IntoIterator<Item = #item>,
            ) -> #private::EnqueueMany<'static, #args> #gates {
                #private::EnqueueMany::new(::core::iter::Iterator::map(
                    ::core::iter::IntoIterator::into_iter(__items),
                    |#pattern| #value,
                ))
            }
        }
    }

    /// A call expression derefs its callee: `send_welcome(42, "hello".into())` calls the function.
    fn deref(&self) -> TokenStream {
        let Self {
            function, private, ..
        } = self;
        let (ident, hidden) = (&function.ident, function.hidden_ident());
        let borrows = function
            .arguments()
            .any(|argument| argument.text == Text::Borrowed);
        let lifetime = if borrows {
            quote!('__a)
        } else {
            quote!('static)
        };
        let types: Vec<_> = function.parameters.iter().map(called_type).collect();
        let binder = if borrows { quote!(for<'__a>) } else { quote!() };
        let output = &function.output;
        let (target, function) = if function.is_async {
            let variables: Vec<_> = (0..types.len()).map(|at| format_ident!("__{at}")).collect();
            let generic = if borrows { quote!(<'__a>) } else { quote!() };
            // What the compiler has to say of the future, it shall say at the job's name.
            let pinned =
                quote_spanned!(ident.span()=> ::std::boxed::Box::pin(#hidden(#(#variables),*)));
            let target = quote!(#binder fn(#(#types),*) -> #private::BoxFuture<#lifetime, #output>);
            let called = quote! {
                fn __call #generic (#(#variables: #types),*) -> #private::BoxFuture<#lifetime, #output> { #pinned }
                const __F: #target = __call;
            };
            (target, called)
        } else {
            let output = match output {
                syn::Type::Tuple(unit) if unit.elems.is_empty() => ReturnType::Default,
                output => syn::parse_quote!(-> #output),
            };
            let target = quote!(#binder fn(#(#types),*) #output);
            let called = quote!(const __F: #target = #hidden;);
            (target, called)
        };
        quote! {
            #[automatically_derived]
            impl ::core::ops::Deref for #ident {
                type Target = #target;
                fn deref(&self) -> &Self::Target {
                    #function
                    &__F
                }
            }
        }
    }
}

/// The type of a parameter of `enqueue`.
pub(super) fn taken_type(argument: &Argument) -> TokenStream {
    let ty = &argument.ty;
    match argument.text {
        Text::No => quote!(#ty),
        Text::Owned | Text::Borrowed => quote!(impl ::core::convert::Into<::std::string::String>),
    }
}

/// The type of a parameter of the function itself.
fn called_type(parameter: &Parameter) -> TokenStream {
    match parameter {
        Parameter::Argument(Argument {
            text: Text::Borrowed,
            ..
        }) => quote!(&'__a ::core::primitive::str),
        Parameter::Argument(Argument { ty, .. }) | Parameter::Injected(ty) => quote!(#ty),
    }
}
