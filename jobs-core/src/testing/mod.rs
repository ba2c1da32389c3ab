//! Tools for tests: the [conformance suite](mod@conformance) for storages, a [storage that
//! fails](FaultyStorage) when a test says so, and calls from [outside of a runtime](without_runtime). Behind the feature
//! `testing`.

pub mod conformance;
mod faulty;
mod runtime;

pub use faulty::{Fault, FaultyStorage, Method};
pub use runtime::{assert_needs_runtime, without_runtime};

#[doc(inline)]
pub use crate::conformance;

/// The guide's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-storage.md")]
struct WritingAStorage;
