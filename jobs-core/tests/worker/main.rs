//! The worker, on the memory storage: a module per topic.

mod cancelling;

mod handover;
mod logs;
mod losing;
mod order;
mod outcomes;
mod serving;
mod setup;
mod stopping;
