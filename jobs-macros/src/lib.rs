//! The attribute `#[job]` of the crate `jobs`, which re-exports and documents it; use it from there.
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
