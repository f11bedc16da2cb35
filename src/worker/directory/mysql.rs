//! A copy of the MySQL family as files: the schema in two scripts, the rows as LOAD DATA takes them, and a script that runs the
//! stock client over all of it.

use super::{TABLES, file_name};
use crate::domain::manifest::{Manifest, Table};
use crate::engine::mysql::ident;
use crate::engine::mysql::load::statement;
use crate::store::OpenCopy;
use std::fmt::Write as _;

pub const BEFORE: &str = "schema-before-rows.sql";
pub const AFTER: &str = "schema-after-rows.sql";
pub const ROWS: &str = "rows.sql";

/// Runs the parts one after the other. Binary mode keeps the client from changing line ends, `--comments` from
/// leaving them out of bodies.
pub const SCRIPT: &str = r#"#!/usr/bin/env bash
# Loads this copy into an empty database: load.sh DATABASE. MYSQL is the client with its options, for example
# MYSQL="mysql --defaults-extra-file=my.cnf" (mariadb for MariaDB). The server must allow LOAD DATA LOCAL (local_infile=ON).
set -euo pipefail
cd "$(dirname "$0")"
database=${1:?empty database}
read -ra client <<<"${MYSQL:-mariadb}"
for part in schema-before-rows.sql rows.sql schema-after-rows.sql; do
  "${client[@]}" --default-character-set=utf8mb4 --local-infile=1 --comments --binary-mode "$database" <"$part"
done
"#;

/// What stands before the rows, and what behind them.
pub fn halves(schema: &str) -> (&str, &str) {
    const CUT: &str = "\nDELIMITER ;\n-- sennight rows\n";
    schema.find(CUT).map_or((schema, ""), |at| (&schema[..at + "\nDELIMITER ;\n".len()], &schema[at + CUT.len()..]))
}

/// One LOAD DATA a table, in the session that the format asks for.
pub fn rows(manifest: &Manifest) -> String {
    let mut text = "SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0;\n\
         /*M!100000 SET check_constraint_checks = 0 */;\n"
        .to_owned();
    for (number, table) in manifest.tables.iter().enumerate().filter(|(_, table)| table.rows > 0) {
        let _ = if table.columns.is_empty() {
            let rows = usize::try_from(table.rows).unwrap_or_default();
            writeln!(text, "INSERT INTO {} () VALUES {};", ident(&table.name), vec!["()"; rows].join(","))
        } else {
            writeln!(text, "{};", load(number, table))
        };
    }
    text
}

fn load(number: usize, table: &Table) -> String {
    statement(table, &file_name(number, table))
}

pub fn readme(open: &OpenCopy) -> String {
    let (identity, server) = (&open.manifest.identity, &open.manifest.server);
    let files = format!(
        "- `{BEFORE}`: database, sequences, tables; `{AFTER}`: routines, views, triggers, events. DEFINER is left out; the\n  \
           comments say who each object ran as.\n\
         - `{TABLES}/*.tsv`: one file a table, as LOAD DATA reads it; `{ROWS}` loads them.\n\
         - `load.sh` does all of it, into a new database of character set {charset}, collation {collation}:\n\n\
         ```sh\n\
         MYSQL=\"mariadb --defaults-extra-file=my.cnf\" bash load.sh restored\n\
         ```\n",
        charset = server.ctype,
        collation = server.collate,
    );
    super::readme(open, &format!("{} {}", identity.engine, server.version), &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_cut_where_the_rows_belong() {
        let schema = "DELIMITER ;;\nCREATE TABLE `t` (\n a int COMMENT '\n-- sennight rows\n')\n;;\nDELIMITER ;\n-- sennight rows\nDELIMITER ;;\nx;;\nDELIMITER ;\n";
        let (before, after) = halves(schema);
        assert!(before.ends_with(";;\nDELIMITER ;\n") && before.contains("COMMENT"), "{before}");
        assert_eq!(after, "DELIMITER ;;\nx;;\nDELIMITER ;\n");
        assert_eq!(halves("DELIMITER ;;\nDELIMITER ;\n-- sennight rows\n").1, "");
    }
}
