//! Tools for tests: the [conformance suite](conformance) for storages. Behind the feature `testing`.

pub mod conformance;

#[doc(inline)]
pub use crate::conformance;

/// The guide's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-storage.md")]
struct WritingAStorage;
