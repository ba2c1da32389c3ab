//! Tools for tests: the [conformance suite](mod@conformance) for storages, and a [storage that
//! fails](FaultyStorage) when a test says so. Behind the feature `testing`.

pub mod conformance;
mod faulty;

pub use faulty::{Fault, FaultyStorage, Method};

#[doc(inline)]
pub use crate::conformance;

/// The guide's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-storage.md")]
struct WritingAStorage;
