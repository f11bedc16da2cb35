//! The steps of a full restore on MySQL and MariaDB. The files beside this folder hold the PostgreSQL side and choose by
//! engine. Backup, claim and reports are the same for both.

pub mod drill;
pub mod drop_database;
pub mod hooks;
pub mod preflight;
pub mod prepare;
pub mod swap;
