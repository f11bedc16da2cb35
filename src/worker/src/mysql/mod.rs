//! The steps of a full restore on MySQL and MariaDB: what `preflight.rs`, `prepare.rs` and the others beside this folder do on
//! PostgreSQL. The backup, the claim and the words of the reports are the same.

pub mod drill;
pub mod drop_database;
pub mod hooks;
pub mod preflight;
pub mod prepare;
pub mod swap;
