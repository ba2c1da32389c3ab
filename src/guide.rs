//! The guides: one topic each, with examples that are run by the tests.

#[doc = include_str!("../docs/enqueueing.md")]
pub mod enqueueing {}

#[doc = include_str!("../docs/continuations.md")]
pub mod continuations {}

#[doc = include_str!("../docs/batches.md")]
pub mod batches {}

#[doc = include_str!("../docs/unique.md")]
pub mod unique {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/recurring.md")]
pub mod recurring {}

#[doc = include_str!("../docs/workers.md")]
pub mod workers {}

#[doc = include_str!("../docs/transactions.md")]
pub mod transactions {}

#[doc = include_str!("../docs/storages.md")]
pub mod storages {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}

// Its examples are run where the suite is, by the tests of `jobs-core`.
#[cfg_attr(not(doctest), doc = include_str!("../docs/writing-a-storage.md"))]
pub mod writing_a_storage {}
