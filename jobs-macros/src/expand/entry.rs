//! How a worker runs the job.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use super::Expansion;
use super::arguments::leniency;
use crate::parameter::{Argument, Parameter, Text};
use crate::types::{self, Injection};

impl Expansion<'_> {
    pub(super) fn entry(&self) -> TokenStream {
        let Self {
            options,
            function,
            private,
            args,
            kind,
            gates,
            ..
        } = self;
        let (ident, leniency) = (&function.ident, leniency());
        let perform = self.perform();
        let (aliases, blocking) = (&options.aliases, !function.is_async);
        let arguments = function.arguments().map(|argument| {
            let (name, ty) = (argument.stored_name(), &argument.ty);
            quote!(#private::Argument::new(#name, ::core::stringify!(#ty)))
        });
        let requires = self.requires();
        let retry_if = match &options.retry_if {
            Some(worth_it) => quote! {
                ::core::option::Option::Some::<fn(&#private::JobError) -> ::core::primitive::bool>(#worth_it)
            },
            None => quote!(::core::option::Option::None),
        };
        let line = quote_spanned!(ident.span()=> ::core::line!());
        quote! {
            #perform
            #leniency
            static __ENTRY: #private::JobEntry = #private::JobEntry {
                kind: #kind,
                aliases: &[#(#aliases),*],
                file: ::core::file!(),
                line: #line,
                module: ::core::module_path!(),
                defaults: __DEFAULTS,
                blocking: #blocking,
                arguments: &[#(#arguments),*],
                requires: #requires,
                retry_if: #retry_if,
                perform: __perform,
            };
            #private::inventory::submit! { #private::EntryRef(&__ENTRY) }
            #[automatically_derived]
            #leniency
            impl #private::JobFn for #ident #gates {
                type Job = #args;
                fn entry(&self) -> &'static #private::JobEntry { &__ENTRY }
            }
        }
    }

    fn requires(&self) -> TokenStream {
        let private = &self.private;
        let mut injected = self.function.injected().peekable();
        if injected.peek().is_none() {
            return quote!(::std::vec::Vec::new);
        }
        let requires = injected.map(|ty| {
            let private = self.options.private_at(ty.span());
            quote_spanned!(ty.span()=> #private::requires::<#ty>)
        });
        quote!(|| #private::requires_all(&[#(#requires),*]))
    }

    fn perform(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let leniency = leniency();
        let mut injections = Vec::new();
        let mut passed = Vec::new();
        for (at, parameter) in function.parameters.iter().enumerate() {
            passed.push(match parameter {
                Parameter::Argument(Argument {
                    field,
                    text: Text::Borrowed,
                    ..
                }) => quote!(&__args.#field),
                Parameter::Argument(Argument { field, .. }) => quote!(__args.#field),
                Parameter::Injected(ty) => {
                    let variable = format_ident!("__{at}");
                    injections.push(self.injection(&variable, ty));
                    quote!(#variable)
                }
            });
        }
        let called = self.called(&passed);
        let span = self.function.output.span();
        let private_there = self.options.private_at(span);
        let run = quote_spanned!(span=> #private_there::perform);
        quote! {
            #leniency
            fn __perform(__ctx: #private::JobContext) -> #private::BoxFuture<'static, #private::Outcome> #gates {
                #run(&__ENTRY, __ctx, |__args: #args, __ctx: #private::JobContext| async move {
                    #(#injections)*
                    #called
                })
            }
        }
    }

    /// Gets one parameter that is not an argument.
    fn injection(&self, variable: &Ident, ty: &Type) -> TokenStream {
        let span = ty.span();
        let private = self.options.private_at(span);
        let injected = match types::injection(ty) {
            Some(Injection::Context) => {
                return quote!(let #variable: #ty = ::core::clone::Clone::clone(&__ctx););
            }
            Some(Injection::Data) => quote_spanned!(span=> #private::data(&__ctx)),
            None => quote_spanned!(span=> #private::inject(&__ctx).await),
        };
        quote! {
            let #variable: #ty = match #injected {
                ::core::result::Result::Ok(__value) => __value,
                ::core::result::Result::Err(__error) => return ::core::result::Result::Err(__error),
            };
        }
    }

    /// Calls the function and makes a `Result<_, JobError>` of what it returns.
    fn called(&self, passed: &[TokenStream]) -> TokenStream {
        let Self {
            function, private, ..
        } = self;
        let (ident, hidden) = (&function.ident, function.hidden_ident());
        let converted = |value| {
            if !types::is_result(&function.output) {
                return quote!(::core::result::Result::Ok(#value));
            }
            let span = function.output.span();
            let private = self.options.private_at(span);
            let fallible = quote_spanned!(span=> #private::fallible);
            quote!(#fallible(#value))
        };
        if function.is_async {
            // By way of the boxed call, so that what is wrong with the future is told once.
            return converted(quote!((*#ident)(#(#passed),*).await));
        }
        let value = converted(quote!(#hidden(#(#passed),*)));
        quote!(#private::blocking(move || #value).await)
    }

    /// The type of the result.
    pub(super) fn output(&self) -> TokenStream {
        let output = &self.function.output;
        if !types::is_result(output) {
            return quote!(#output);
        }
        let private = self.options.private_at(output.span());
        quote_spanned!(output.span()=> <#output as #private::ResultLike>::Ok)
    }

    /// A `Result` behind another name would be stored as a success that holds an error.
    pub(super) fn output_assertion(&self) -> TokenStream {
        let output = &self.function.output;
        if types::is_result(output) || types::is_plain(output) {
            return TokenStream::new();
        }
        let span = output.span();
        let private = self.options.private_at(span);
        let message = format!(
            "`{0}` is a `Result` under another name, and its errors would be stored as results: write `Result<..>`, or an \
             alias that is called `Result` too",
            types::text(output)
        );
        quote_spanned! {span=>
            const _: () = ::core::assert!(!#private::Probe::<#output>::RESULT, #message);
        }
    }
}
