//! MySQL 9 and MariaDB 10.11 to 11.8. Rows are read at one snapshot by one or several connections, in the same text as
//! PostgreSQL's (docs/format.md); the schema by SHOW CREATE.

pub mod connect;
pub mod digest;
pub mod error;
mod grants;
mod insert;
pub mod inventory;
pub mod load;
pub mod read;
pub mod restore;
pub mod rights;
pub mod schema;
mod settings;
pub mod snapshot;
pub mod text;
mod tls;
mod version;

pub use connect::{Session, connect};
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
