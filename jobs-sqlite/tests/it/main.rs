//! SQLite: the behaviour that all storages share, and what is particular to a file.

mod batches;
mod clock;
mod conformance;
mod faults;
mod file;
mod janitors;
mod limits;
mod parents;
mod processes;
mod rules;
mod runtime;
mod stage;
mod wake;
mod within;
