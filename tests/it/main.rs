//! The tests of the whole, as its users see it: one program, a module for each topic. `./test` starts the
//! PostgreSQL that most of them need, and switches all features on.

mod macros;
mod ui;

#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod at_size;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod bad_input;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod batches;
#[cfg(all(feature = "postgres", feature = "sqlite", target_os = "linux"))]
mod clocks;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod continuations;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod counters;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod enqueueing;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod examples;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod flows;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod full_disk;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod kinds;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod limits;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod losing;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod metadata;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod operators;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod order;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod outages;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod queues;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod recurring;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod running;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod schedules;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod setup;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod stopping;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod transactions;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod unique;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod wakeups;
