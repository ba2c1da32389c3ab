//! The struct of a job's arguments.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use super::{Expansion, leniency};
use crate::parameter::{Argument, Fallback, Text};

impl Expansion<'_> {
    pub(super) fn arguments(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let (cfgs, vis, leniency) = (&function.cfgs, &function.vis, leniency());
        let fields = function.arguments().map(|argument| self.field(argument));
        let serde = quote!(#private::serde).to_string();
        // With bounds of its own serde asks for no others.
        let bound = gates.to_string().replacen("where", "", 1);
        let bound = if bound.is_empty() {
            quote!()
        } else {
            quote!(#[serde(bound = #bound)])
        };
        let doc = format!("What the job `{}` is given.", function.ident.unraw());
        quote! {
            #(#cfgs)*
            #[doc = #doc]
            #leniency
            #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
            #[serde(crate = #serde)]
            #bound
            #vis struct #args { #(#fields),* }
        }
    }

    fn field(&self, argument: &Argument) -> TokenStream {
        let Argument {
            field,
            docs,
            aliases,
            default,
            ..
        } = argument;
        let (vis, ty) = (&self.function.vis, stored_type(argument));
        let doc = format!("The argument `{}`.", argument.stored_name());
        let doc = if docs.is_empty() {
            quote!(#[doc = #doc])
        } else {
            quote!(#(#docs)*)
        };
        let default = default.as_ref().map(|default| match default {
            Fallback::Default => quote!(#[serde(default)]),
            Fallback::Function(path) => {
                let path = quote!(#path).to_string();
                quote!(#[serde(default = #path)])
            }
        });
        quote! {
            #doc
            #default
            #(#[serde(alias = #aliases)])*
            #vis #field: #ty
        }
    }

    pub(super) fn arguments_impls(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            kind,
            gates,
            ..
        } = self;
        let fields: Vec<_> = function
            .arguments()
            .map(|argument| &argument.field)
            .collect();
        let names: Vec<_> = function.arguments().map(Argument::stored_name).collect();
        let name = args.to_string();
        let defaults = self.defaults();
        let output = self.output();
        quote! {
            #[automatically_derived]
            impl ::core::clone::Clone for #args #gates {
                fn clone(&self) -> Self {
                    Self { #(#fields: ::core::clone::Clone::clone(&self.#fields)),* }
                }
            }
            #[automatically_derived]
            impl ::core::fmt::Debug for #args #gates {
                fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Formatter::debug_struct(__f, #name)#(.field(#names, &self.#fields))*.finish()
                }
            }
            const __DEFAULTS: #private::JobDefaults = #defaults;
            #[automatically_derived]
            impl #private::Job for #args #gates {
                const KIND: &'static str = #kind;
                type Output = #output;
                const DEFAULTS: #private::JobDefaults = __DEFAULTS;
            }
        }
    }

    fn defaults(&self) -> TokenStream {
        let Self {
            options, private, ..
        } = self;
        let some = |value: Option<TokenStream>| match value {
            Some(value) => quote!(::core::option::Option::Some(#value)),
            None => quote!(::core::option::Option::None),
        };
        let queue = some(options.queue.as_ref().map(|queue| quote!(#queue)));
        let priority = some(
            options
                .priority
                .as_ref()
                .map(|priority| priority.expand(private)),
        );
        let retries = some(options.retries.map(|retries| quote!(#retries)));
        let backoff = some(
            options
                .backoff
                .as_ref()
                .map(|backoff| backoff.expand(private)),
        );
        let timeout = some(options.timeout.map(crate::duration::expand));
        let tags = &options.tags;
        let description = options.description.as_ref().map(syn::LitStr::value);
        let description = description.or_else(|| self.function.first_doc_line());
        let description = some(description.map(|text| quote!(#text)));
        let rules = options.rules.expand(private, &self.kind, self.function);
        quote! {
            #private::JobDefaults {
                queue: #queue,
                priority: #priority,
                retries: #retries,
                backoff: #backoff,
                timeout: #timeout,
                tags: &[#(#tags),*],
                description: #description,
                #rules
            }
        }
    }
}

/// The type of an argument's field.
pub(super) fn stored_type(argument: &Argument) -> TokenStream {
    let ty = &argument.ty;
    match argument.text {
        Text::Borrowed => quote!(::std::string::String),
        Text::Owned | Text::No => quote!(#ty),
    }
}
