//! PostgreSQL 13 and later. Rows are read at one snapshot by many connections; `pg_dump` and `pg_restore` do everything else.

pub mod archive;
mod backup_load;
mod backup_rows;
pub mod catalog;
pub mod compare;
pub mod connect;
mod contents;
mod copy_stream;
pub mod create;
mod cutover;
pub mod database_properties;
mod drill;
mod drill_leftovers;
pub mod drop_database;
mod dump;
mod engine;
pub mod error;
pub mod failure;
mod grants_text;
mod handover;
pub mod hooks;
pub mod inventory;
pub mod load;
pub mod loading_role;
pub mod lock_monitor;
pub mod owners;
mod plain_files;
mod plain_text;
mod post_data;
pub mod preflight;
pub mod preflight_facts;
pub mod preflight_refusal;
mod preflight_report;
pub mod preflight_rules;
pub mod preflight_undo;
mod prepare;
mod quoting;
mod raw_session;
pub mod read;
pub mod recover_cutover;
mod relay;
mod restore_plan;
mod row_buffer;
pub mod schema;
pub mod schema_drift;
pub mod script;
pub mod sequences;
pub mod settings_table;
pub mod snapshot;
mod startup;
pub mod swap;
mod terminate_sessions;
mod tls;
pub mod tools;
pub mod work_queue;

pub use connect::{Session, connect, connect_to_read};
pub use engine::PostgreSQL;
pub use error::EngineError;
pub use startup::Purpose;

/// Quotes an identifier.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a schema-qualified name.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// Quotes a string literal; right whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(qualified("a\"b", "c.d"), "\"a\"\"b\".\"c.d\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'; DROP"), " E'\\\\''; DROP'");
    }
}
