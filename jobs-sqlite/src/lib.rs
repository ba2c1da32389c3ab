//! `jobs` on SQLite: embedded, durable, for one machine.
