//! `jobs` on PostgreSQL.
