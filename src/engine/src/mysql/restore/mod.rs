//! A full restore on a server of the MySQL family, which cannot rename a database: a schema filled beside the live one, and one
//! RENAME TABLE that moves every table of both, with a table of ours in it by which the server itself tells what took effect.

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
