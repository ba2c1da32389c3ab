//! When the job recurs.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::Expansion;
use crate::duration;
use crate::parameter::{Argument, Fallback, Text};
use crate::recurring::Recurring;

impl Expansion<'_> {
    /// The entries of all `#[recurring(..)]`, separated by commas.
    pub(super) fn recurring(&self) -> TokenStream {
        let entries = self.function.recurring.iter().map(|one| self.recurs(one));
        quote!(#(#entries),*)
    }

    fn recurs(&self, recurring: &Recurring) -> TokenStream {
        let Self { private, kind, .. } = self;
        let Recurring { schedule, .. } = recurring;
        let id = recurring.id.as_ref().unwrap_or(kind);
        let zone = match &recurring.tz {
            Some(zone) => quote!(#zone),
            None => quote!("UTC"),
        };
        let days = option(recurring.days.map(|days| {
            let variant = variant(&format!("{days:?}"));
            quote!(#private::Days::#variant)
        }));
        let misfire = recurring.misfire.unwrap_or_default();
        let misfire = variant(&format!("{misfire:?}"));
        let rule = jobs_cron::MisfireRule::default();
        let grace = duration::expand(recurring.grace.unwrap_or(rule.grace));
        let cap = recurring.cap.unwrap_or(rule.cap);
        let overlap = variant(recurring.overlap.unwrap_or("Allow"));
        let jitter = duration::expand(recurring.jitter.unwrap_or_default());
        let text = |text: &Option<syn::LitStr>| option(text.as_ref().map(|text| quote!(#text)));
        let (starts, ends) = (text(&recurring.starts), text(&recurring.ends));
        let queue = text(&recurring.queue);
        let line = quote_spanned!(schedule.span()=> ::core::line!());
        let value = self.recurring_value(recurring);
        quote! {
            #private::RecurringEntry {
                id: #id,
                schedule: #schedule,
                zone: #zone,
                days: #days,
                starts: #starts,
                ends: #ends,
                misfire: #private::MisfireRule {
                    misfire: #private::Misfire::#misfire,
                    grace: #grace,
                    cap: #cap,
                },
                overlap: #private::Overlap::#overlap,
                jitter: #jitter,
                queue: #queue,
                file: ::core::file!(),
                line: #line,
                job: |__client| #private::recurring_job(__client, || #value),
            }
        }
    }

    /// The struct of the arguments, made of what stands in the attribute.
    fn recurring_value(&self, recurring: &Recurring) -> TokenStream {
        let args = &self.args;
        let fields = self.function.arguments().map(|argument| {
            let Argument { field, default, .. } = argument;
            match (recurring.argument(&argument.stored_name()), default) {
                (Some(value), _) if argument.text == Text::No => quote!(#field: #value),
                (Some(value), _) => quote!(#field: ::core::convert::Into::into(#value)),
                (None, Some(Fallback::Function(path))) => quote!(#field: #path()),
                (None, _) => quote!(#field: ::core::default::Default::default()),
            }
        });
        quote!(#args { #(#fields),* })
    }

    /// What is valid but surprising, as warnings at the schedule: the only ones that a macro may give are
    /// those of the lint `deprecated`, which an `#[allow(deprecated)]` on the function switches off.
    pub(super) fn surprises(&self) -> TokenStream {
        let allowed = self.function.allowances();
        let recurring = self.function.recurring.iter();
        let surprises = recurring.flat_map(|one| one.warnings.iter().map(move |text| (one, text)));
        let surprises = surprises.map(|(one, text)| {
            let name = Ident::new("this_schedule", one.schedule.span());
            let silent = Ident::new("this_schedule", Span::call_site());
            quote! {
                const _: () = {
                    #[deprecated(note = #text)]
                    #[allow(non_upper_case_globals)]
                    const #silent: () = ();
                    #(#allowed)*
                    const _: () = #name;
                };
            }
        });
        surprises.collect()
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn variant(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}
