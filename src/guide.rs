//! The guides: one topic each, with examples that are run by the tests.

#[doc = include_str!("../docs/enqueueing.md")]
pub mod enqueueing {}

// Its examples are run where the suite is, by the tests of `jobs-core`.
#[cfg_attr(not(doctest), doc = include_str!("../docs/writing-a-storage.md"))]
pub mod writing_a_storage {}
