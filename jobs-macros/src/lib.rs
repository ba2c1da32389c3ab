//! The attributes `#[job]` and `#[recurring]` of the crate `jobs`, which re-exports and documents them; use
//! them from there.
//!
//! Parse, check, expand: every mistake in one attribute and one signature is found and told at once,
//! each at its token; then as much is expanded as still makes sense, so that one mistake is one
//! message.

mod backoff;
mod duration;
mod errors;
mod expand;
mod function;
mod list;
mod names;
mod options;
mod parameter;
mod recurring;
mod rules;
mod settings;
mod template;
mod types;
mod words;

use proc_macro::TokenStream;
use syn::{ItemFn, parse};

use errors::Errors;
use function::Function;
use options::Options;

/// Makes a job of a function; see the crate `jobs`.
#[proc_macro_attribute]
pub fn job(options: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(function) = parse::<ItemFn>(item.clone()) else {
        let here = proc_macro2::Span::call_site();
        let error = syn::Error::new(here, "`#[job]` belongs on a function with a body");
        return [TokenStream::from(error.into_compile_error()), item]
            .into_iter()
            .collect();
    };
    // Ours, below another one, under whatever name it was imported.
    if function::is_hidden(&function) {
        let message = "`#[job]` is given twice: put all options into one";
        let error = syn::Error::new(proc_macro2::Span::call_site(), message);
        return [TokenStream::from(error.into_compile_error()), item]
            .into_iter()
            .collect();
    }
    let mut errors = Errors::default();
    let options = Options::parse(options.into(), &mut errors);
    let mut mistaken_options = errors.take();
    let function = Function::read(function, &options, &mut errors);
    options.rules.check(&function, &mut mistaken_options);
    let expanded = match &function {
        // What stands inside an `impl` block cannot be expanded to structs.
        Function {
            is_method: true, ..
        } => proc_macro2::TokenStream::new(),
        _ if errors.is_empty() => expand::whole(&options, &function),
        _ => expand::stub(&options, &function),
    };
    let mut all = mistaken_options.into_compile_errors();
    all.extend(errors.into_compile_errors());
    all.extend(expanded);
    all.into()
}

/// Says when a job recurs; see the crate `jobs`.
///
/// It expands nothing itself: it hands itself on to `#[job]`, which is put in front where it is missing, so
/// that the order of the attributes does not matter.
#[proc_macro_attribute]
pub fn recurring(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = proc_macro2::TokenStream::from(options);
    let refuse = |message| {
        let error = syn::Error::new(proc_macro2::Span::call_site(), message);
        let error = TokenStream::from(error.into_compile_error());
        [error, item.clone()].into_iter().collect()
    };
    let Ok(mut function) = parse::<ItemFn>(item.clone()) else {
        return refuse("`#[recurring]` belongs on a function with a body");
    };
    if function::is_hidden(&function) {
        return refuse("below `#[job]`, write `#[recurring(..)]` under its own name");
    }
    let itself = quote::quote_spanned!(proc_macro2::Span::call_site()=> recurring);
    function
        .attrs
        .push(syn::parse_quote!(#[::jobs::__private::#itself(#options)]));
    let is_job = |attribute: &syn::Attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "job")
    };
    if !function.attrs.iter().any(is_job) {
        let job: syn::Attribute = match recurring::facade(options) {
            Some(facade) => {
                let path = facade.parse_with(syn::Path::parse_mod_style);
                let Ok(path) = path else {
                    return refuse("`crate` takes a path in a string: `crate = \"my_facade\"`");
                };
                syn::parse_quote!(#[#path::job(crate = #facade)])
            }
            None => syn::parse_quote!(#[::jobs::job]),
        };
        function.attrs.insert(0, job);
    }
    quote::ToTokens::into_token_stream(function).into()
}

/// What `#[recurring]` hands itself on as. `#[job]` takes it away unexpanded, so if it is expanded, no `#[job]` of ours
/// came before it: without a word, the two would hand on to each other for ever.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn recurring_unread(_options: TokenStream, item: TokenStream) -> TokenStream {
    let message =
        "no `#[job]` of the crate `jobs` has read this: `crate = \"..\"` must lead to that crate";
    let error = syn::Error::new(proc_macro2::Span::call_site(), message);
    [TokenStream::from(error.into_compile_error()), item]
        .into_iter()
        .collect()
}
