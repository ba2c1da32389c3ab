//! How a worker runs the job.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use super::Expansion;
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
        let ident = &function.ident;
        let (injectors, perform) = (self.injectors(), self.perform());
        let (aliases, blocking) = (&options.aliases, !function.is_async);
        let arguments = function.arguments().map(|argument| {
            let (name, ty) = (argument.stored_name(), types::text(&argument.ty));
            quote!(#private::Argument::new(#name, #ty))
        });
        let requires = self.requires();
        // Where the compiler says that an argument cannot be stored.
        let run = Ident::new(
            "__perform",
            self.first_gate().unwrap_or_else(Span::call_site),
        );
        let (retry_if, worth_it) = self.retry_if();
        let recurring = self.recurring();
        let line = quote_spanned!(ident.span()=> ::core::line!());
        quote! {
            #injectors
            #perform
            #retry_if
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
                retry_if: #worth_it,
                recurring: &[#recurring],
                perform: #run,
            };
            #private::inventory::submit! { #private::EntryRef(&__ENTRY) }
            #[automatically_derived]
            impl #private::JobFn for #ident #gates {
                type Job = #args;
                fn entry(&self) -> &'static #private::JobEntry { &__ENTRY }
            }
        }
    }

    /// The function of the option `retry_if` as a constant, and how that is mentioned.
    fn retry_if(&self) -> (TokenStream, TokenStream) {
        let private = &self.private;
        match &self.options.retry_if {
            Some(worth_it) => (
                quote!(const __RETRY_IF: fn(&#private::JobError) -> ::core::primitive::bool = #worth_it;),
                quote!(::core::option::Option::Some(__RETRY_IF)),
            ),
            None => (TokenStream::new(), quote!(::core::option::Option::None)),
        }
    }

    /// A constant for each injected parameter, by which it is filled in: what the compiler has to say of
    /// its type it says there, and only there.
    fn injectors(&self) -> TokenStream {
        let injectors = self.function.injected().enumerate();
        injectors.map(|(at, ty)| {
            let (span, name) = (ty.span(), injector(at));
            let private = self.options.private_at(span);
            match types::injection(ty) {
                Some(Injection::Context) => TokenStream::new(),
                Some(Injection::Data) => quote_spanned!(span=> const #name: #private::InjectedNow<#ty> = #private::injected_now();),
                None => quote_spanned!(span=> const #name: #private::Injected<#ty> = #private::injected();),
            }
        }).collect()
    }

    fn requires(&self) -> TokenStream {
        let private = &self.private;
        let injected = self.function.injected().enumerate();
        let injectors: Vec<_> = injected
            .filter(|(_, ty)| types::injection(ty) != Some(Injection::Context))
            .map(|(at, _)| injector(at))
            .collect();
        if injectors.is_empty() {
            return quote!(::std::vec::Vec::new);
        }
        quote!(|| #private::requires_all(&[#(#injectors.requires),*]))
    }

    fn perform(&self) -> TokenStream {
        let Self {
            function,
            private,
            args,
            gates,
            ..
        } = self;
        let mut injections = Vec::new();
        let mut passed = Vec::new();
        for parameter in &function.parameters {
            passed.push(match parameter {
                Parameter::Argument(Argument {
                    field,
                    text: Text::Borrowed,
                    ..
                }) => quote!(&__args.#field),
                Parameter::Argument(Argument { field, .. }) => quote!(__args.#field),
                Parameter::Injected(ty) => {
                    let variable = format_ident!("__{}", injections.len());
                    injections.push(inject(injections.len(), &variable, ty));
                    quote!(#variable)
                }
            });
        }
        let called = self.called(&passed);
        quote! {
            fn __perform(__ctx: #private::JobContext) -> #private::BoxFuture<'static, #private::Outcome> #gates {
                #private::perform(&__ENTRY, __ctx, |__args: #args, __ctx: #private::JobContext| async move {
                    #(#injections)*
                    #called
                })
            }
        }
    }

    /// Calls the function and makes a `Result<Success, JobError>` of what it returns.
    fn called(&self, passed: &[TokenStream]) -> TokenStream {
        let Self {
            function, private, ..
        } = self;
        let (ident, hidden) = (&function.ident, function.hidden_ident());
        if function.is_async {
            // By way of the boxed call, so that what is wrong with the future is told once.
            return self.returned(quote!((*#ident)(#(#passed),*).await));
        }
        let returned = self.returned(quote!(#hidden(#(#passed),*)));
        quote!(#private::blocking(move || { #returned }).await)
    }

    /// The compiler blames the variables for what it finds wrong with their types; they stand where the
    /// types do.
    fn returned(&self, call: TokenStream) -> TokenStream {
        let (ok, error) = types::result_types(&self.function.output);
        let success = |there: Span| {
            let private = self.options.private_at(there);
            let value = Ident::new("__value", there);
            quote_spanned!(there=> #private::success(#value))
        };
        let plain = success(self.function.output.span());
        if !types::is_result(&self.function.output) {
            let value = Ident::new("__value", self.function.output.span());
            return quote!(let #value = #call; #plain);
        }
        let (ok, there) = (success(ok.span()), error.span());
        let private = self.options.private_at(there);
        let output = Ident::new("__output", there);
        let fallible = quote_spanned!(there=> #private::fallible(#output));
        quote! {
            let #output = #call;
            match #fallible {
                ::core::result::Result::Ok(__value) => #ok,
                ::core::result::Result::Err(__error) => ::core::result::Result::Err(__error),
            }
        }
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
            types::text_in_format(output)
        );
        quote_spanned! {span=>
            const _: () = ::core::assert!(!#private::Probe::<#output>::RESULT, #message);
        }
    }
}

/// The name of the constant by which the injected parameter of this number is filled in.
fn injector(number: usize) -> Ident {
    format_ident!("__INJECTOR_{number}")
}

/// Gets one parameter that is not an argument.
fn inject(number: usize, variable: &Ident, ty: &Type) -> TokenStream {
    let injector = injector(number);
    let got = match types::injection(ty) {
        Some(Injection::Context) => {
            return quote!(let #variable: #ty = ::core::clone::Clone::clone(&__ctx););
        }
        Some(Injection::Data) => quote!((#injector.get)(&__ctx)),
        None => quote!((#injector.get)(&__ctx).await),
    };
    quote! {
        let #variable = match #got {
            ::core::result::Result::Ok(__value) => __value,
            ::core::result::Result::Err(__error) => return ::core::result::Result::Err(__error),
        };
    }
}
