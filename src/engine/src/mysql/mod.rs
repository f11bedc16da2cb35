//! MySQL 9 and MariaDB 10.11 to 11.8. Rows are read at one snapshot by one or several connections, in the same text as
//! PostgreSQL's (docs/format.md); the schema by SHOW CREATE.
//!
//! Neither can rename a database. For a full restore a new schema is filled beside the live one; then one RENAME TABLE moves
//! every table of both. It also renames a table of ours (a mark), which proves that the swap took effect.

mod account_access;
pub mod accounts;
pub mod backup_load;
pub mod connect;
mod cutover;
pub mod digest;
mod drill;
pub mod drop_database;
mod dump;
mod engine;
pub mod error;
pub mod failure;
mod grants;
pub mod hooks;
mod insert;
pub mod inventory;
pub mod journal;
pub mod load;
pub mod lockout;
pub mod marks;
mod plain_files;
pub mod preflight;
pub mod preflight_facts;
pub mod preflight_refusal;
mod preflight_report;
pub mod preflight_rules;
pub mod preflight_undo;
mod prepare;
pub mod read;
mod rename;
pub mod rights;
pub mod schema;
pub mod schemas;
pub mod script_needs;
mod settings;
pub mod snapshot;
pub mod stored_code;
pub mod swap;
pub mod text;
mod tls;
mod version;

pub use connect::{Session, connect};
pub use engine::MySQL;
pub use error::EngineError;
pub use version::{Flavour, Version};

/// Quotes an identifier.
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes a string literal, for sessions whose `sql_mode` is without `NO_BACKSLASH_ESCAPES`.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(ident("a`b.c"), "`a``b.c`");
        assert_eq!(literal("it's \\'; DROP"), "'it''s \\\\''; DROP'");
    }
}
