//! Writes a backup as plain files: the schema archive, one text file a table, and a script that loads them with `pg_restore`
//! and `psql`. Every byte is checked; a file gets its final name when it is complete.

mod mysql;

use super::ProgressWriter;
use super::backup::{ArchiveError, archive};
use super::frames::{FrameError, table_frames};
use futures::StreamExt;
use sennight_core::engine::EngineKind;
use sennight_core::manifest::{MANIFEST, Manifest, Table};
use sennight_engine::mysql::text::for_load_data;
use sennight_engine::postgres::{ident, literal};
use sennight_storage::{OpenBackup, Store, StoreError};
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Name of the schema archive in the directory.
const ARCHIVE: &str = "schema.pgdump";
const SCRIPT: &str = "load.sh";
const SEQUENCES: &str = "sequences.sql";
const README: &str = "README.md";
/// Directory of the rows.
const TABLES: &str = "tables";
/// Most characters of a file's name that come from the table's.
const NAME_LIMIT: usize = 100;

/// Why a backup was not written to a directory.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum DirectoryError {
    /// The directory has files.
    #[error("{0} is not empty: name a new directory, nothing is written over")]
    DirectoryNotEmpty(PathBuf),
    /// A file or directory cannot be written.
    #[error("{path} cannot be written: {source}")]
    Unwritable {
        /// The file or directory.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// Rows or archive are damaged, or the bucket failed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup is encrypted, by a later version.
    #[error("the backup is encrypted by a later version of Sennight: restore it with that one")]
    BackupEncrypted,
}

/// What was written, for the command's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The directory.
    pub directory: PathBuf,
    /// Number of tables.
    pub tables: i64,
    /// Number of rows.
    pub rows: i64,
    /// Bytes of row text.
    pub bytes: i64,
}

/// Writes the backup into `dir`, which must be empty or missing. The script is written last: a directory without one is
/// incomplete.
pub async fn write(
    store: &Store,
    open: &OpenBackup,
    dir: &Path,
    progress: &ProgressWriter,
) -> Result<Written, DirectoryError> {
    let manifest = &open.manifest;
    let postgres = manifest.identity.engine == EngineKind::PostgreSQL;
    if manifest.encryption.is_some() {
        return Err(DirectoryError::BackupEncrypted);
    }
    begin(dir).await?;
    progress.expect(manifest.totals.raw_bytes);
    let schema = fetch_archive(store, open, dir, postgres).await?;
    for (number, table) in manifest.tables.iter().enumerate() {
        let path = dir.join(file_name(number, table));
        rows(store, &open.backup.prefix, table, &path, postgres, progress).await?;
    }
    let stored_manifest = store.get(&format!("{}{MANIFEST}", open.backup.prefix)).await?;
    let mut files = vec![(MANIFEST, stored_manifest.to_vec())];
    if postgres {
        files.extend([
            (SEQUENCES, sequences(manifest).into_bytes()),
            (README, postgres_readme(open).into_bytes()),
            (SCRIPT, script(manifest).into_bytes()),
        ]);
    } else {
        let (before, after, events) = mysql::parts(&schema);
        files.extend([
            (mysql::BEFORE, before.as_bytes().to_vec()),
            (mysql::AFTER, after.as_bytes().to_vec()),
            (mysql::EVENTS, events.into_bytes()),
            (mysql::ROWS, mysql::rows(manifest).into_bytes()),
            (README, mysql::readme(open).into_bytes()),
            (SCRIPT, mysql::SCRIPT.as_bytes().to_vec()),
        ]);
    }
    for (name, text) in files {
        whole_file(&dir.join(name), &text).await?;
    }
    let totals = manifest.totals;
    Ok(Written { directory: dir.to_owned(), tables: totals.tables, rows: totals.rows, bytes: totals.raw_bytes })
}

/// Creates the directory with mode 0700: these are a tenant's data.
async fn begin(dir: &Path) -> Result<(), DirectoryError> {
    let unwritable = |source| DirectoryError::Unwritable { path: dir.to_owned(), source };
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).await.map_err(unwritable)?;
    let mut entries = tokio::fs::read_dir(dir).await.map_err(unwritable)?;
    if entries.next_entry().await.map_err(unwritable)?.is_some() {
        return Err(DirectoryError::DirectoryNotEmpty(dir.to_owned()));
    }
    builder.create(dir.join(TABLES)).await.map_err(unwritable)
}

/// Fetches the schema. PostgreSQL's archive stays a file (`keep`); a script is returned, and split into files of its own.
async fn fetch_archive(store: &Store, open: &OpenBackup, dir: &Path, keep: bool) -> Result<String, DirectoryError> {
    let path = dir.join(ARCHIVE);
    let unwritable = |source| DirectoryError::Unwritable { path: path.clone(), source };
    archive(store, &open.backup.prefix, &open.manifest.schema, &part(&path)).await.map_err(|error| match error {
        ArchiveError::Frame(error) => error.into(),
        ArchiveError::Unwritable(source) => unwritable(source),
    })?;
    if keep {
        return finish(&path).await.map(|()| String::new());
    }
    let text = tokio::fs::read_to_string(part(&path)).await.map_err(unwritable)?;
    tokio::fs::remove_file(part(&path)).await.map_err(unwritable)?;
    Ok(text)
}

async fn rows(
    store: &Store,
    prefix: &str,
    table: &Table,
    path: &Path,
    verbatim: bool,
    progress: &ProgressWriter,
) -> Result<(), DirectoryError> {
    let unwritable = |source| DirectoryError::Unwritable { path: path.to_owned(), source };
    let mut file = tokio::fs::File::create(part(path)).await.map_err(unwritable)?;
    let mut frames = table_frames(store, prefix, table);
    for frame in &table.frames {
        // The stream ends early only after an error, which was returned.
        let Some(raw) = frames.next().await else { break };
        let raw = raw?;
        let written = if verbatim { file.write_all(&raw).await } else { file.write_all(&for_load_data(&raw)).await };
        written.map_err(unwritable)?;
        progress.add(frame.raw_length, frame.rows);
    }
    file.flush().await.map_err(unwritable)?;
    progress.tables(1);
    finish(path).await
}

async fn whole_file(path: &Path, text: &[u8]) -> Result<(), DirectoryError> {
    let written = tokio::fs::write(part(path), text).await;
    written.map_err(|source| DirectoryError::Unwritable { path: path.to_owned(), source })?;
    finish(path).await
}

fn part(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

/// Syncs the file to disk, then gives it its name.
async fn finish(path: &Path) -> Result<(), DirectoryError> {
    let finished = async {
        tokio::fs::File::open(part(path)).await?.sync_all().await?;
        tokio::fs::rename(part(path), path).await
    };
    finished.await.map_err(|source| DirectoryError::Unwritable { path: path.to_owned(), source })
}

/// `tables/0001-public.contacts.tsv`: the number makes it unique, the name is for people.
fn file_name(number: usize, table: &Table) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = format!("{}.{}", table.schema, table.name).chars().map(legal).take(NAME_LIMIT).collect();
    format!("{TABLES}/{:04}-{name}.tsv", number + 1)
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

fn script(manifest: &Manifest) -> String {
    let mut text = SCRIPT_HEAD.to_owned();
    for (number, table) in manifest.tables.iter().enumerate().filter(|(_, table)| table.rows > 0) {
        let (file, statement) = (file_name(number, table), copy_statement(manifest, table));
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

/// README.md: whose data, of when, then the engine's own part.
fn readme(open: &OpenBackup, server: &str, files: &str) -> String {
    let manifest = &open.manifest;
    let identity = &manifest.identity;
    let mut text = format!(
        "# Backup {id} of database {database:?}\n\n\
         Tenant {tenant:?}, schedule {namespace}/{schedule}; the data of {snapshot} (day {day} in {zone}).\n\
         {server}, {tables} tables, {rows} rows.\n\n{files}\n",
        id = manifest.id,
        database = identity.database,
        tenant = identity.tenant,
        namespace = identity.namespace,
        schedule = identity.schedule,
        snapshot = manifest.snapshot_time.to_rfc3339(),
        day = manifest.day,
        zone = manifest.time_zone,
        tables = manifest.totals.tables,
        rows = manifest.totals.rows,
    );
    for warning in &manifest.warnings {
        let _ = writeln!(text, "- {warning}");
    }
    text
}

fn postgres_readme(open: &OpenBackup) -> String {
    let (server, roles) = (&open.manifest.server, &open.manifest.roles);
    let files = format!(
        "- `{ARCHIVE}`: everything but the tables' rows; `pg_restore` of major {major} or the next ones reads it.\n\
         - `{TABLES}/*.tsv`: one file a table, PostgreSQL's COPY text.\n\
         - `{SEQUENCES}`, `{MANIFEST}`; `{SCRIPT}` loads all of it:\n\n\
         ```sh\n\
         createdb --template=template0 --encoding={encoding} --lc-collate={collate} --lc-ctype={ctype} restored\n\
         bash {SCRIPT} restored\n\
         ```\n\n\
         These roles must exist before: {roles}.\n",
        major = server.major,
        encoding = server.encoding,
        collate = shell_word(&server.collate),
        ctype = shell_word(&server.ctype),
        roles = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") },
    );
    readme(open, &format!("PostgreSQL {}, encoding {}", server.major, server.encoding), &files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Column;

    fn table(name: &str) -> Table {
        let column = Column { name: "it's".into(), kind: "text".into() };
        Table { schema: "a/../b".into(), name: name.into(), columns: vec![column], rows: 0, frames: vec![] }
    }

    #[test]
    fn no_tables_name_leads_out_of_the_directory() {
        for name in ["../../etc/passwd", "\n", "x\0y", "名"] {
            let file = file_name(0, &table(name));
            assert!(file.starts_with("tables/0001-a_.._b.") && file.matches('/').count() == 1, "{file}");
        }
        assert!(file_name(0, &table(&"x".repeat(500))).len() < 130);
    }

    #[test]
    fn a_name_stays_one_word_of_the_script() {
        assert_eq!(shell_word("a'b $(x)\n"), "'a'\\''b $(x)\n'");
    }
}
