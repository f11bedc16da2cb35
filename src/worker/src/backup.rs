//! Opens the backup that a restore is made from, by its pinned manifest and only for its own tenant (I7), and reads schema and rows back.

use super::frames::{FrameError, fetch, table_frames};
use super::{TaskError, WorkerContext};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sennight_core::manifest::{IdentityMismatch, Manifest, SchemaArchive, Table};
use sennight_engine::restore::BackupReader;
use sennight_protocol::restore::RestoreTask;
use sennight_storage::Store;
use sha2::{Digest, Sha256};
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// Bytes of the schema archive that one request fetches.
const RANGE: i64 = 8 << 20;

/// A backup in the bucket, opened and checked.
pub struct StoredBackup {
    store: Store,
    /// The backup's key prefix, ending in `/`.
    prefix: String,
    manifest: Manifest,
}

impl StoredBackup {
    /// A backup whose manifest was opened already.
    pub fn new(store: &Store, prefix: &str, manifest: Manifest) -> Self {
        Self { store: store.clone(), prefix: prefix.to_owned(), manifest }
    }

    /// Opens and checks the task's backup. Called before a session is opened or a database created.
    pub async fn open(task: &RestoreTask, context: &WorkerContext) -> Result<Self, TaskError> {
        if task.database.engine != task.identity.engine {
            let message =
                format!("a backup of {} cannot be restored on {}", task.identity.engine, task.database.engine);
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
        Ok(Self::new(&context.store, &task.backup.prefix, opened.manifest))
    }
}

#[async_trait]
impl BackupReader for StoredBackup {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    async fn fetch_schema(&self, file: &Path) -> Result<(), TaskError> {
        archive(&self.store, &self.prefix, &self.manifest.schema, file).await.map_err(|error| match error {
            ArchiveError::Frame(error) => error.into(),
            ArchiveError::Unwritable(error) => {
                let why = format!("{} cannot be written ({error})", file.display());
                TaskError::retry("ScratchUnwritable", format!("{why}: give the worker's temporary volume more room"))
            }
        })
    }

    fn rows(&self, table: &Table) -> BoxStream<'static, Result<Bytes, TaskError>> {
        table_frames(&self.store, &self.prefix, table).map_err(TaskError::from).boxed()
    }
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
