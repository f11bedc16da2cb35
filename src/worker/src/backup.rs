//! Opens the backup that a restore is made from, by its pinned manifest and only for its own tenant (I7), and fetches its\
//! schema archive.

use super::frames::{FrameError, fetch};
use super::{TaskError, WorkerContext};
use sennight_core::manifest::{IdentityMismatch, Manifest, SchemaArchive};
use sennight_protocol::restore::RestoreTask;
use sennight_storage::Store;
use sha2::{Digest, Sha256};
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// Bytes of the schema archive that one request fetches.
const RANGE: i64 = 8 << 20;
/// Bytes that an empty database takes for its catalogs; below this, a size says nothing.
const FLOOR: i64 = 64 << 20;

/// Opens and checks the task's backup. Called before a session is opened or a database created.
pub async fn open(task: &RestoreTask, context: &WorkerContext) -> Result<Manifest, TaskError> {
    if task.database.engine != task.identity.engine {
        let message = format!("a backup of {} cannot be restored on {}", task.identity.engine, task.database.engine);
        return Err(TaskError::refused("EngineUnsupported", message));
    }
    if task.identity.database != task.database.database {
        let mismatch = IdentityMismatch {
            field: "database",
            expected: task.database.database.clone(),
            found: task.identity.database.clone(),
        };
        return Err(TaskError::refused("ForeignBackup", mismatch.to_string()));
    }
    let opened = context.store.open(&task.backup, Some(&task.identity)).await?;
    if opened.manifest.encryption.is_some() {
        let message = "the backup is encrypted by a later version of Sennight: restore it with that one";
        return Err(TaskError::refused("BackupEncrypted", message));
    }
    Ok(opened.manifest)
}

/// Bytes that the new database may take: 1.5 times what the backed-up one took. Where the backup does not say, four times
/// its row text, because small rows may need that.
pub fn size_limit(manifest: &Manifest) -> i64 {
    let guess = manifest.totals.raw_bytes.saturating_mul(4);
    let expected = manifest.server.database_bytes.unwrap_or(guess).max(FLOOR);
    expected.saturating_add(expected / 2)
}

/// Writes the schema archive into `file` and compares its SHA-256 with the manifest's.
pub async fn fetch_archive(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    file: &Path,
) -> Result<(), TaskError> {
    archive(&context.store, &task.backup.prefix, &manifest.schema, file).await.map_err(|error| match error {
        ArchiveError::Frame(error) => error.into(),
        ArchiveError::Unwritable(error) => {
            let message =
                format!("{} cannot be written ({error}): give the worker's temporary volume more room", file.display());
            TaskError::retry("ScratchUnwritable", message)
        }
    })
}

/// Why the schema archive cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bucket failed, or the bytes are damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The file cannot be written.
    #[error(transparent)]
    Unwritable(#[from] std::io::Error),
}

/// Writes a schema archive into `file`, range by range. Without an error it has the manifest's SHA-256.
pub async fn archive(store: &Store, prefix: &str, schema: &SchemaArchive, file: &Path) -> Result<(), ArchiveError> {
    let key = format!("{prefix}{}", schema.object);
    let mut out = tokio::fs::File::create(file).await?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    while done < schema.length {
        let piece = fetch(store, &key, done, RANGE.min(schema.length - done)).await.map_err(FrameError::from)?;
        done += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        hash.update(&piece);
        out.write_all(&piece).await?;
    }
    out.flush().await?;
    if hex::encode(hash.finalize()) == schema.sha256 {
        return Ok(());
    }
    Err(FrameError::Damaged { object: key, offset: 0, why: "its SHA-256 is not the manifest's".to_owned() }.into())
}
