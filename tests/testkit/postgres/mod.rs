//! PostgreSQL: a tenant whose database is restored.

pub mod picture;
pub mod restore;
mod servers;

pub use servers::Server;
