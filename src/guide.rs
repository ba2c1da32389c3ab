//! The guides: one topic each, with examples that are run by the tests.

#[doc = include_str!("../docs/enqueueing.md")]
pub mod enqueueing {}
