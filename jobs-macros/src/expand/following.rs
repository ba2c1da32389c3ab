//! How a job follows another one in a chain: its first argument is what that one returns.

use proc_macro2::TokenStream;
use quote::quote;

use super::Expansion;
use super::arguments::stored_type;
use super::front::taken_type;
use crate::parameter::{Argument, Text};

impl Expansion<'_> {
    /// With one argument, the job itself can follow; with more, what `with` makes of it and the others.
    pub(super) fn following(&self) -> TokenStream {
        let mut arguments = self.function.arguments();
        let Some(first) = arguments.next() else {
            return TokenStream::new();
        };
        let others: Vec<_> = arguments.collect();
        if others.is_empty() {
            self.then(first)
        } else {
            self.with(first, &others)
        }
    }

    fn then(&self, first: &Argument) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let (ident, input, name) = (&function.ident, stored_type(first), first.stored_name());
        quote! {
            #[automatically_derived]
            impl #private::Then<#input> for &#ident #gates {
                type Job = #args;
                fn partial(self) -> #private::Partial<#args, #input> {
                    #private::Partial::new(#name)
                }
            }
        }
    }

    fn with(&self, first: &Argument, others: &[&Argument]) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let (vis, ident) = (&function.vis, &function.ident);
        let (input, name) = (stored_type(first), first.stored_name());
        let parameters = others.iter().map(|argument| &argument.name);
        let types = others.iter().map(|argument| taken_type(argument));
        let fields = others.iter().map(|argument| {
            let (name, variable, ty) = (
                argument.stored_name(),
                &argument.name,
                stored_type(argument),
            );
            let value = match argument.text {
                Text::No => quote!(#variable),
                Text::Owned | Text::Borrowed => quote!(::core::convert::Into::into(#variable)),
            };
            quote!(.field::<#ty>(#name, &#value))
        });
        let doc = format!(
            "The job with all arguments but `{name}`, to follow a job that returns that: `.then(..)`."
        );
        quote! {
            impl #ident {
                #[doc = #doc]
                #vis fn with(self, #(#parameters: #types),*) -> #private::Partial<#args, #input> #gates {
                    #private::Partial::new(#name)#(#fields)*
                }
            }
        }
    }
}
