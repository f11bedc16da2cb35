//! A full restore on MySQL or MariaDB, which cannot rename a database. A new schema is filled beside the live one; then one
//! RENAME TABLE moves every table of both. It also renames a table of ours (a mark), which proves that the swap took effect.

mod account_access;
pub mod accounts;
pub mod drop_database;
pub mod failure;
pub mod hooks;
pub mod journal;
pub mod lockout;
pub mod marks;
pub mod preflight;
pub mod preflight_facts;
pub mod preflight_refusal;
pub mod preflight_rules;
pub mod preflight_undo;
mod rename;
pub mod schemas;
pub mod script_needs;
pub mod stored_code;
pub mod swap;
