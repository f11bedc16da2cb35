//! PostgreSQL 13 and later: one snapshot read by many connections, `pg_dump` for everything that is not a table's rows.

pub mod archive;
pub mod carry;
pub mod catalog;
pub mod clear;
pub mod compare;
pub mod connect;
pub mod create;
pub mod drift;
pub mod drills;
pub mod error;
mod evict;
pub mod evidence;
pub mod failure;
pub mod hooks;
pub mod inventory;
pub mod load;
pub mod look_back;
mod post_data;
pub mod preflight;
pub mod read;
pub mod refuse;
pub mod refused;
pub mod schema;
pub mod script;
pub mod sequences;
pub mod settle;
pub mod share;
pub mod snapshot;
mod startup;
pub mod swap;
mod tap;
mod tls;
pub mod tools;
mod valve;
pub mod waiting;

pub use connect::{Session, connect, connect_to_read};
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
