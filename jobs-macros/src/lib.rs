//! The attributes `#[job]` and `#[recurring]` of `jobs`.
