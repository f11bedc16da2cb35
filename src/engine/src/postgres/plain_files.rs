//! A PostgreSQL backup as plain files: the schema archive as it is, the rows as COPY text, and a script that loads them with
//! `pg_restore` and `psql`.

use super::dump::OBJECT;
use super::{PostgreSQL, ident, literal};
use crate::plain_files::{Directory, PlainFiles, README, SCRIPT, readme};
use bytes::Bytes;
use sennight_core::manifest::{MANIFEST, Manifest, Table};
use std::fmt::Write as _;

const SEQUENCES: &str = "sequences.sql";

impl PlainFiles for PostgreSQL {
    fn schema_file(&self) -> Option<&'static str> {
        Some(OBJECT)
    }

    fn rows(&self, raw: Bytes) -> Bytes {
        raw
    }

    fn files(&self, directory: &Directory<'_>) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            (SEQUENCES, sequences(directory.manifest).into_bytes()),
            (README, about(directory).into_bytes()),
            (SCRIPT, script(directory).into_bytes()),
        ]
    }
}

fn copy_statement(manifest: &Manifest, table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| ident(&column.name)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let (name, encoding) = (ident(&table.name), literal(&manifest.server.encoding));
    format!("COPY {}.{name}{columns} FROM STDIN (ENCODING {encoding})", ident(&table.schema))
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The settings are those that the rows were written with (docs/format.md).
const SCRIPT_HEAD: &str = r#"#!/usr/bin/env bash
# Loads this backup into an empty database: load.sh DATABASE. Set PGHOST, PGPORT, PGUSER, PGPASSWORD or PGPASSFILE before.
set -euo pipefail
cd "$(dirname "$0")"
export PGDATABASE=${1:?empty database} PGCLIENTENCODING=UTF8
export PGOPTIONS='-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c lc_monetary=C -c search_path='

table() {
  psql -X --quiet -v ON_ERROR_STOP=1 --command "$2" <"$1"
}

pg_restore --exit-on-error --section=pre-data --dbname= schema.pgdump
pg_restore --exit-on-error --section=data --dbname= schema.pgdump
"#;

const SCRIPT_TAIL: &str = "psql -X --quiet -v ON_ERROR_STOP=1 --file sequences.sql >/dev/null
pg_restore --exit-on-error --section=post-data --dbname= schema.pgdump
psql -X --quiet -v ON_ERROR_STOP=1 --command ANALYZE
";

fn script(directory: &Directory<'_>) -> String {
    let mut text = SCRIPT_HEAD.to_owned();
    let tables = directory.manifest.tables.iter().zip(directory.tables).filter(|(table, _)| table.rows > 0);
    for (table, file) in tables {
        let statement = copy_statement(directory.manifest, table);
        let _ = writeln!(text, "table {file} {}", shell_word(&statement));
    }
    text + SCRIPT_TAIL
}

fn sequences(manifest: &Manifest) -> String {
    let mut text = "-- Sequences, as they were after the last row was read.\n".to_owned();
    for sequence in &manifest.sequences {
        let name = literal(&format!("{}.{}", ident(&sequence.schema), ident(&sequence.name)));
        let _ = writeln!(text, "SELECT pg_catalog.setval({name}, {}, {});", sequence.last_value, sequence.is_called);
    }
    text
}

fn about(directory: &Directory<'_>) -> String {
    let (server, roles) = (&directory.manifest.server, &directory.manifest.roles);
    let files = format!(
        "- `{OBJECT}`: everything but the tables' rows; `pg_restore` of major {major} or the next ones reads it.\n\
         - `{tables}/*.tsv`: one file a table, PostgreSQL's COPY text.\n\
         - `{SEQUENCES}`, `{MANIFEST}`; `{SCRIPT}` loads all of it:\n\n\
         ```sh\n\
         createdb --template=template0 --encoding={encoding} --lc-collate={collate} --lc-ctype={ctype} restored\n\
         bash {SCRIPT} restored\n\
         ```\n\n\
         These roles must exist before: {roles}.\n",
        tables = directory.folder,
        major = server.major,
        encoding = server.encoding,
        collate = shell_word(&server.collate),
        ctype = shell_word(&server.ctype),
        roles = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") },
    );
    readme(directory.manifest, &format!("PostgreSQL {}, encoding {}", server.major, server.encoding), &files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_word_of_the_script() {
        assert_eq!(shell_word("a'b $(x)\n"), "'a'\\''b $(x)\n'");
    }
}
