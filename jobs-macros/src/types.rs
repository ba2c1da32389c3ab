//! What a type looks like. The compiler knows what types *are*, but only after the macro is done.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, PathArguments, PathSegment, Type};

/// Types whose every value can be stored, by name.
const PLAIN: [&str; 16] = [
    "String", "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "u128",
    "u16", "u32", "u64", "u8",
];

/// The last segment of a path, if the type is one.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

/// The types in the angle brackets of a segment; nothing if there is something else too.
fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect::<Option<_>>().unwrap_or_default()
}

/// Whether the type is written `String`.
pub(crate) fn is_string(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == "String" && last.arguments.is_none())
}

/// Whether the type is written `Result`, so that the job can fail.
pub(crate) fn is_result(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == "Result")
}

/// The types of success and failure of a type that is written `Result<..>`, as far as they are written;
/// else the type itself.
pub(crate) fn result_types(ty: &Type) -> (&Type, &Type) {
    let arguments = last_segment(ty).map(type_arguments).unwrap_or_default();
    let nth = |n: usize| arguments.get(n).copied().unwrap_or(ty);
    (nth(0), nth(1))
}

/// What a worker fills in without being asked by `#[inject]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injection {
    /// `JobContext`
    Context,
    /// `Data<T>`
    Data,
}

/// Whether a parameter of this type is filled in by the worker, as far as its name says.
pub(crate) fn injection(ty: &Type) -> Option<Injection> {
    let last = last_segment(ty)?;
    match last.ident.to_string().as_str() {
        "JobContext" if last.arguments.is_none() => Some(Injection::Context),
        "Data" if type_arguments(last).len() == 1 => Some(Injection::Data),
        _ => None,
    }
}

/// Whether the type is written as one of the whole numbers.
pub(crate) fn is_whole_number(ty: &Type) -> bool {
    let name = last_segment(ty).map(|last| last.ident.to_string());
    name.is_some_and(|name| name.starts_with(['i', 'u']) && PLAIN.contains(&name.as_str()))
}

/// Whether it is certain, and not only likely, that values of the type can be stored: such types need
/// no checks, which cost compile time.
pub(crate) fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::Group(group) => is_plain(&group.elem),
        Type::Paren(paren) => is_plain(&paren.elem),
        Type::Tuple(tuple) => tuple.elems.len() <= 12 && tuple.elems.iter().all(is_plain),
        Type::Path(path) => match (path.path.get_ident(), last_segment(ty)) {
            (Some(name), _) => PLAIN.iter().any(|plain| name == plain),
            (None, Some(last))
                if path.path.segments.len() == 1
                    && (last.ident == "Option" || last.ident == "Vec") =>
            {
                let inner = type_arguments(last);
                inner.len() == 1 && is_plain(inner[0])
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether the type is written `&str`. A lifetime changes nothing, and who declares one is told so there.
pub(crate) fn is_borrowed_text(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else {
        return false;
    };
    reference
        .lifetime
        .as_ref()
        .is_none_or(|lifetime| lifetime.ident != "static")
        && reference.mutability.is_none()
        && matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("str"))
}

/// What cannot be in a type that must own its values: a reference or a lifetime (`'static` is fine in
/// `Cow<'static, str>`), or what only the compiler can name: `impl Trait`, `_`, `dyn Trait` as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unowned {
    Borrowed,
    Opaque,
}

/// The first such thing in the type, wherever it is.
pub(crate) fn unowned(ty: &Type, static_references: bool) -> Option<Unowned> {
    if matches!(ty, Type::TraitObject(_)) {
        return Some(Unowned::Opaque);
    }
    find_unowned(ty.to_token_stream(), static_references)
}

fn find_unowned(tokens: TokenStream, static_references: bool) -> Option<Unowned> {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let found = match &token {
            // A reference with a lifetime is judged by that.
            TokenTree::Punct(sign) if sign.as_char() == '&' => {
                let lifetime =
                    matches!(tokens.peek(), Some(TokenTree::Punct(sign)) if sign.as_char() == '\'');
                (!static_references || !lifetime).then_some(Unowned::Borrowed)
            }
            TokenTree::Punct(sign) if sign.as_char() == '\'' => {
                let name = tokens.next().map(|name| name.to_string());
                (name.as_deref() != Some("static")).then_some(Unowned::Borrowed)
            }
            TokenTree::Ident(word) if word == "impl" || word == "_" => Some(Unowned::Opaque),
            TokenTree::Group(group) => find_unowned(group.stream(), static_references),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Whether the type is written as some future: `impl Future<..>`, `Pin<Box<dyn Future<..>>>`, `BoxFuture<..>`.
pub(crate) fn is_future(ty: &Type) -> bool {
    let mentions = |word| mentions(ty, word);
    mentions("Future") && (mentions("impl") || mentions("dyn")) || mentions("BoxFuture")
}

/// Whether a word stands in the type, wherever it is.
fn mentions(ty: &Type, word: &str) -> bool {
    fn in_tokens(tokens: TokenStream, word: &str) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == word,
            TokenTree::Group(group) => in_tokens(group.stream(), word),
            _ => false,
        })
    }
    in_tokens(ty.to_token_stream(), word)
}

/// What to take in place of a reference.
pub(crate) fn owned(ty: &Type) -> Option<String> {
    let Type::Reference(reference) = ty else {
        return None;
    };
    Some(match &*reference.elem {
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        elem => match last_segment(elem)
            .map(|last| last.ident.to_string())
            .as_deref()
        {
            Some("str") => "String".into(),
            Some("Path") => "PathBuf".into(),
            _ => text(elem),
        },
    })
}

/// The type as people write it.
pub(crate) fn text(ty: &Type) -> String {
    let spaced = ty.to_token_stream().to_string();
    let close = [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        (" ,", ","),
        ("& ", "&"),
        ("' ", "'"),
        (" ;", ";"),
    ];
    close.iter().fold(spaced, |text, (apart, together)| {
        text.replace(apart, together)
    })
}

/// The same within the message of an assertion, which is a format: a brace stands for itself when doubled.
pub(crate) fn text_in_format(ty: &Type) -> String {
    text(ty).replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(text: &str) -> Type {
        syn::parse_str(text).unwrap()
    }

    #[test]
    fn injected_types_are_known_by_their_last_segment() {
        for injected in [
            "JobContext",
            "jobs::JobContext",
            "Data<Mailer>",
            "jobs::prelude::Data<(A, B)>",
        ] {
            assert!(injection(&ty(injected)).is_some(), "{injected}");
        }
        for argument in [
            "Data",
            "Data<A, B>",
            "Vec<JobContext>",
            "JobContext<T>",
            "Option<Data<T>>",
            "Data<'static>",
        ] {
            assert!(injection(&ty(argument)).is_none(), "{argument}");
        }
    }

    #[test]
    fn plain_types_are_known_for_certain() {
        for plain in [
            "i64",
            "String",
            "Option<Vec<u8>>",
            "()",
            "(i32, Option<String>)",
        ] {
            assert!(is_plain(&ty(plain)), "{plain}");
        }
        for other in [
            "Text",
            "std::string::String",
            "Option<Text>",
            "HashMap<u8, u8>",
            "[u8; 4]",
            "my::Vec<u8>",
        ] {
            assert!(!is_plain(&ty(other)), "{other}");
        }
    }

    #[test]
    fn borrowing_is_found_wherever_it_is() {
        for borrowed in [
            "&u8",
            "Option<&str>",
            "(u8, &[u8])",
            "Cow<'a, str>",
            "Vec<Cow<'_, str>>",
            "&'static str",
        ] {
            assert!(
                unowned(&ty(borrowed), false) == Some(Unowned::Borrowed),
                "{borrowed}"
            );
        }
        for opaque in ["Vec<impl Clone>", "Vec<_>", "_", "dyn Send"] {
            assert!(
                unowned(&ty(opaque), false) == Some(Unowned::Opaque),
                "{opaque}"
            );
        }
        assert!(unowned(&ty("Box<dyn Send>"), false).is_none());
        assert!(unowned(&ty("Cow<'static, str>"), false).is_none());
        assert!(unowned(&ty("Option<&'static str>"), true).is_none());
        assert!(unowned(&ty("Option<&'a str>"), true) == Some(Unowned::Borrowed));
    }

    #[test]
    fn futures_are_known() {
        for future in [
            "impl Future<Output = ()> + Send",
            "Pin<Box<dyn Future<Output = u8>>>",
            "BoxFuture<'static, ()>",
        ] {
            assert!(is_future(&ty(future)), "{future}");
        }
        assert!(!is_future(&ty("Future")) && !is_future(&ty("Vec<market::Future>")));
    }

    #[test]
    fn the_owned_type_is_suggested() {
        let suggested = |text: &str| owned(&ty(text)).unwrap();
        assert_eq!(suggested("&[Vec<u8>]"), "Vec<Vec<u8>>");
        assert_eq!(suggested("&'static str"), "String");
        assert_eq!(suggested("&mut std::path::Path"), "PathBuf");
        assert_eq!(suggested("&crate::User"), "crate::User");
    }
}
