//! SQLite: the behaviour that all storages share, and what is particular to a file.

mod conformance;
mod file;
mod stage;
