//! SQLite: the behaviour that all storages share, and what is particular to a file.

mod file;
mod stage;
