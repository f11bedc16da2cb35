//! PostgreSQL: a tenant whose database is restored.

pub mod restore;
