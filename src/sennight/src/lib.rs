//! Sennight: daily backups of tenants' databases, kept one week, given back only when approved and paid.
//!
//! The map of the house is in CONTRIBUTING.md; the import table of the rooms is enforced by `tests/architecture.rs`.

pub mod api;
pub mod cli;
pub mod controller;
pub mod domain;
pub mod engine;
pub mod export;
pub mod http;
pub mod logging;
pub mod plugin;
pub mod protocol;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod worker;
