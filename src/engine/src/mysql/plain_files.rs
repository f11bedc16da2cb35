//! A MySQL or MariaDB backup as plain files: the schema in two scripts, the rows as LOAD DATA reads them, and a script that
//! runs the stock client over all of it.

use super::load::statement;
use super::schema::{SESSION, WRITES};
use super::text::for_load_data;
use super::{MySQL, ident};
use crate::plain_files::{Directory, PlainFiles, README, SCRIPT, readme};
use bytes::Bytes;
use std::fmt::Write as _;

const BEFORE: &str = "schema-before-rows.sql";
const AFTER: &str = "schema-after-rows.sql";
const EVENTS: &str = "events.sql";
const ROWS: &str = "rows.sql";

/// Runs the parts one after the other. Binary mode keeps the client from changing line ends, `--comments` from
/// leaving them out of bodies.
const LOAD: &str = r#"#!/usr/bin/env bash
# Loads this backup into an empty database: load.sh DATABASE. MYSQL is the client with its options, for example
# MYSQL="mysql --defaults-extra-file=my.cnf" (mariadb for MariaDB). The server must allow LOAD DATA LOCAL (local_infile=ON).
set -euo pipefail
cd "$(dirname "$0")"
database=${1:?empty database}
read -ra client <<<"${MYSQL:-mariadb}"
for part in schema-before-rows.sql rows.sql schema-after-rows.sql; do
  "${client[@]}" --default-character-set=utf8mb4 --local-infile=1 --comments --binary-mode "$database" <"$part"
done
# An event whose last time is past was not made, and cannot be switched on: the others are, all the same.
"${client[@]}" --default-character-set=utf8mb4 --force "$database" <events.sql ||
  echo "not every event of events.sql was switched on" >&2
"#;

impl PlainFiles for MySQL {
    fn schema_file(&self) -> Option<&'static str> {
        None
    }

    fn rows(&self, raw: Bytes) -> Bytes {
        for_load_data(&raw).into()
    }

    fn files(&self, directory: &Directory<'_>) -> Vec<(&'static str, Vec<u8>)> {
        let (before, after, events) = parts(directory.schema);
        vec![
            (BEFORE, before.as_bytes().to_vec()),
            (AFTER, after.as_bytes().to_vec()),
            (EVENTS, events.into_bytes()),
            (ROWS, rows(directory).into_bytes()),
            (README, about(directory).into_bytes()),
            (SCRIPT, LOAD.as_bytes().to_vec()),
        ]
    }
}

/// Splits the schema script: what comes before the rows, what comes after them, and what switches events on.
fn parts(schema: &str) -> (&str, &str, String) {
    const CUT: &str = "\nDELIMITER ;\n-- sennight rows\n";
    let Some(at) = schema.find(CUT) else { return (schema, "", String::new()) };
    let (before, after) = (&schema[..at + "\nDELIMITER ;\n".len()], &schema[at + CUT.len()..]);
    // No statement has the delimiter in it, so that this is the beginning of an object and nothing inside one.
    let delimiter = after.lines().find_map(|line| line.strip_prefix("DELIMITER ")).unwrap_or_default();
    let Some(at) = after.find(&format!("{delimiter}\n-- sennight {{\"kind\":\"eventState\"")) else {
        return (before, after, String::new());
    };
    let at = at + delimiter.len() + 1;
    // The session's settings; backups of earlier versions have fewer.
    let own = |line: &&str| ["DELIMITER ", "SET NAMES ", WRITES].iter().any(|word| line.starts_with(word));
    let settings: String = after.split_inclusive('\n').take_while(own).collect();
    (before, &after[..at], settings + &after[at..])
}

/// One LOAD DATA a table, in the session that the format asks for.
fn rows(directory: &Directory<'_>) -> String {
    let mut text = format!("{SESSION};\n{WRITES};\n/*M!100000 SET check_constraint_checks = 0 */;\n");
    let tables = directory.manifest.tables.iter().zip(directory.tables).filter(|(table, _)| table.rows > 0);
    for (table, file) in tables {
        let _ = if table.columns.is_empty() {
            let rows = usize::try_from(table.rows).unwrap_or_default();
            writeln!(text, "INSERT INTO {} () VALUES {};", ident(&table.name), vec!["()"; rows].join(","))
        } else {
            writeln!(text, "{};", statement(table, file))
        };
    }
    text + "COMMIT;\n"
}

fn about(directory: &Directory<'_>) -> String {
    let (identity, server) = (&directory.manifest.identity, &directory.manifest.server);
    let files = format!(
        "- `{BEFORE}`: database, sequences, tables; `{AFTER}`: routines, views, triggers, events (off); `{EVENTS}` switches\n  \
           on those that were on. DEFINER is left out; the comments say who each object ran as.\n\
         - `{tables}/*.tsv`: one file a table, as LOAD DATA reads it; `{ROWS}` loads them.\n\
         - `load.sh` does all of it, into a new database of character set {charset}, collation {collation}:\n\n\
         ```sh\n\
         MYSQL=\"mariadb --defaults-extra-file=my.cnf\" bash load.sh restored\n\
         ```\n",
        tables = directory.folder,
        charset = server.ctype,
        collation = server.collate,
    );
    readme(directory.manifest, &format!("{} {}", identity.engine, server.version), &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_cut_where_the_rows_belong_and_where_events_are_switched_on() {
        let state = "-- sennight {\"kind\":\"eventState\",\"name\":\"e\"}\n";
        let schema = format!(
            "DELIMITER ;;\nCREATE TABLE `t` (\n a int COMMENT '\n-- sennight rows\n')\n;;\nDELIMITER ;\n-- sennight rows\nDELIMITER ;;\nSET NAMES x;;\nCREATE PROCEDURE p()\nbegin\n{state}end;;\n{state}ALTER EVENT `e` ENABLE;;\nDELIMITER ;\n"
        );
        let (before, after, events) = parts(&schema);
        assert!(before.ends_with(";;\nDELIMITER ;\n") && before.contains("COMMENT"), "{before}");
        assert_eq!(after, format!("DELIMITER ;;\nSET NAMES x;;\nCREATE PROCEDURE p()\nbegin\n{state}end;;\n"));
        assert_eq!(events, format!("DELIMITER ;;\nSET NAMES x;;\n{state}ALTER EVENT `e` ENABLE;;\nDELIMITER ;\n"));
        let none = parts("DELIMITER ;;\nDELIMITER ;\n-- sennight rows\n");
        assert_eq!((none.1, none.2.as_str()), ("", ""));
    }
}
