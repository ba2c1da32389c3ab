//! What is left of a job that cannot be one: enough for the code around it to compile, so that nothing
//! but the mistake itself is told.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::{Expansion, leniency};
use crate::function::Function;
use crate::options::Options;

/// Items of the right names that take anything.
pub(crate) fn stub(options: &Options, function: &Function) -> TokenStream {
    let this = Expansion::new(options, function);
    let Expansion { private, args, .. } = &this;
    let Function {
        cfgs, vis, ident, ..
    } = function;
    let (hidden, leniency) = (function.hidden(), leniency());
    // A constant hides no types.
    let (front, ident) = if function.hides_standard() {
        let stand_in = format_ident!("__Job_{}", ident.unraw());
        let constant = quote! {
            #(#cfgs)*
            #[allow(non_camel_case_types, dead_code)]
            #[derive(Clone, Copy, Debug)]
            #vis struct #stand_in;
            #(#cfgs)*
            #[allow(non_upper_case_globals, dead_code)]
            #vis const #ident: #stand_in = #stand_in;
        };
        (constant, stand_in)
    } else {
        (this.front(), ident.clone())
    };
    let kind = ident.unraw().to_string();
    let serde = quote!(#private::serde).to_string();
    let generics: Vec<_> = (0..function.stored_count())
        .map(|at| format_ident!("__A{at}"))
        .collect();
    let output = if function.has_output() {
        this.output()
    } else {
        quote!(())
    };
    let never = quote!(::core::unreachable!("this does not compile"));
    quote! {
        #front
        #(#cfgs)*
        #[doc = "A job with a mistake."]
        #[allow(non_camel_case_types)]
        #leniency
        #[derive(Clone, Debug, #private::serde::Serialize, #private::serde::Deserialize)]
        #[serde(crate = #serde)]
        #vis struct #args {}
        #(#cfgs)*
        #[allow(dead_code, unused, clippy::all, clippy::pedantic)]
        const _: () = {
            #hidden
            impl #private::Job for #args {
                const KIND: &'static str = #kind;
                type Output = #output;
            }
            impl #ident {
                #vis fn enqueue<#(#generics),*>(self, #(_: #generics),*) -> #private::Enqueue<'static, #args> { #never }
                #vis fn call<#(#generics),*>(self, #(_: #generics),*) -> #args { #never }
                #vis fn enqueue_many<__I>(self, _: __I) -> #private::EnqueueMany<'static, #args> { #never }
            }
            impl #args {
                #vis fn enqueue(self) -> #private::Enqueue<'static, Self> { #never }
            }
            impl #private::JobFn for #ident {
                type Job = #args;
                fn entry(&self) -> &'static #private::JobEntry { #never }
            }
        };
    }
}
