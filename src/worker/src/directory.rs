//! Writes a backup as plain files: the schema, one text file a table, and a script that loads them with the engine's own client.
//! Every byte is checked; a file gets its final name when it is complete.

use super::ProgressWriter;
use super::backup::{ArchiveError, archive};
use super::frames::{FrameError, table_frames};
use futures::StreamExt;
use sennight_core::manifest::{MANIFEST, Table};
use sennight_engine::plain_files::{Directory, PlainFiles};
use sennight_storage::{OpenBackup, Store, StoreError};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Name of a schema that does not stay a file, while it is fetched.
const SCHEMA: &str = "schema.sql";
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
    let format = sennight_engine::of(manifest.identity.engine).plain_files();
    if manifest.encryption.is_some() {
        return Err(DirectoryError::BackupEncrypted);
    }
    begin(dir).await?;
    progress.expect(manifest.totals.raw_bytes);
    let schema = fetch_archive(store, open, dir, format.schema_file()).await?;
    let tables: Vec<String> =
        manifest.tables.iter().enumerate().map(|(number, table)| file_name(number, table)).collect();
    for (table, name) in manifest.tables.iter().zip(&tables) {
        rows(store, &open.backup.prefix, table, &dir.join(name), format, progress).await?;
    }
    let stored_manifest = store.get(&format!("{}{MANIFEST}", open.backup.prefix)).await?;
    let mut files = vec![(MANIFEST, stored_manifest.to_vec())];
    files.extend(format.files(&Directory { manifest, schema: &schema, folder: TABLES, tables: &tables }));
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

/// Fetches the schema. It stays a file of the name `keep`; without one it is returned, to be split into files of its own.
async fn fetch_archive(
    store: &Store,
    open: &OpenBackup,
    dir: &Path,
    keep: Option<&str>,
) -> Result<String, DirectoryError> {
    let path = dir.join(keep.unwrap_or(SCHEMA));
    let unwritable = |source| DirectoryError::Unwritable { path: path.clone(), source };
    archive(store, &open.backup.prefix, &open.manifest.schema, &part(&path)).await.map_err(|error| match error {
        ArchiveError::Frame(error) => error.into(),
        ArchiveError::Unwritable(source) => unwritable(source),
    })?;
    if keep.is_some() {
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
    format: &dyn PlainFiles,
    progress: &ProgressWriter,
) -> Result<(), DirectoryError> {
    let unwritable = |source| DirectoryError::Unwritable { path: path.to_owned(), source };
    let mut file = tokio::fs::File::create(part(path)).await.map_err(unwritable)?;
    let mut frames = table_frames(store, prefix, table);
    for frame in &table.frames {
        // The stream ends early only after an error, which was returned.
        let Some(raw) = frames.next().await else { break };
        let raw = raw?;
        file.write_all(&format.rows(raw)).await.map_err(unwritable)?;
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
}
