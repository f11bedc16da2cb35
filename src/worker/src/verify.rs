//! `verify`: reads every object of a backup and compares it with the manifest. Restores use the same checks.

use super::frames::{FrameError, fetch, table_frames};
use super::{ProgressWriter, TaskError, WorkerContext};
use futures::StreamExt;
use sennight_core::manifest::Manifest;
use sennight_core::result::{BackupSummary, Done};
use sennight_protocol::backup::VerifyTask;
use sennight_storage::Store;
use sha2::{Digest, Sha256};

/// The schema archive is read by ranges of this size.
const RANGE: i64 = 8 << 20;
/// Backups of up to this many stored bytes are verified before a restore begins: that takes less time than to create a
/// database. A frame of a larger one is checked when it is loaded.
const WHOLE_FIRST: i64 = 32 << 20;

/// Verifies the task's backup. Needs memory for a few frames.
pub async fn run(task: &VerifyTask, context: &WorkerContext) -> Result<Done, TaskError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        verified = Box::pin(verify(task, context)) => Ok(Done::Verified(verified?)),
    }
}

async fn verify(task: &VerifyTask, context: &WorkerContext) -> Result<BackupSummary, TaskError> {
    let open = context.store.open(&task.backup, None).await?;
    check_all(&context.store, &task.backup.prefix, &open.manifest, &context.progress).await?;
    Ok(open.summary())
}

/// Reads everything that the manifest lists, and fails at the first difference.
pub async fn check_all(
    store: &Store,
    prefix: &str,
    manifest: &Manifest,
    progress: &ProgressWriter,
) -> Result<(), FrameError> {
    progress.expect(manifest.totals.raw_bytes);
    check_objects(store, prefix, manifest).await?;
    for table in &manifest.tables {
        let mut frames = table_frames(store, prefix, table);
        for frame in &table.frames {
            // The stream ends early only after an error, which was returned.
            let Some(checked) = frames.next().await else { break };
            checked?;
            progress.add(frame.raw_length, frame.rows);
        }
        progress.tables(1);
    }
    Ok(())
}

/// What a restore checks before it touches the server: all of a small backup; of a large one what [`check_objects`] does.
/// Damage in a large one's rows ends the restore when that frame is loaded, and the new database is dropped.
pub async fn before_loading(store: &Store, prefix: &str, manifest: &Manifest) -> Result<(), FrameError> {
    if manifest.totals.stored_bytes > WHOLE_FIRST {
        return check_objects(store, prefix, manifest).await;
    }
    check_all(store, prefix, manifest, &ProgressWriter::silent()).await
}

/// Fails unless every object has the manifest's length, and the schema its SHA-256. Frames are not read: a load checks each
/// of them, and reading them here as well would double the time.
pub async fn check_objects(store: &Store, prefix: &str, manifest: &Manifest) -> Result<(), FrameError> {
    lengths(store, prefix, manifest).await?;
    archive(store, prefix, manifest).await
}

async fn lengths(store: &Store, prefix: &str, manifest: &Manifest) -> Result<(), FrameError> {
    for object in &manifest.objects {
        same_length(store, &format!("{prefix}{}", object.name), object.length).await?;
    }
    same_length(store, &format!("{prefix}{}", manifest.schema.object), manifest.schema.length).await
}

async fn same_length(store: &Store, key: &str, expected: i64) -> Result<(), FrameError> {
    let found = store.head(key).await?.length;
    if found == expected {
        return Ok(());
    }
    let why = format!("it has {found} bytes, the manifest says {expected}");
    Err(FrameError::Damaged { object: key.to_owned(), offset: 0, why })
}

async fn archive(store: &Store, prefix: &str, manifest: &Manifest) -> Result<(), FrameError> {
    let key = format!("{prefix}{}", manifest.schema.object);
    let mut hash = Sha256::new();
    let mut done = 0;
    while done < manifest.schema.length {
        let piece = RANGE.min(manifest.schema.length - done);
        hash.update(fetch(store, &key, done, piece).await?);
        done += piece;
    }
    if hex::encode(hash.finalize()) == manifest.schema.sha256 {
        return Ok(());
    }
    Err(FrameError::Damaged { object: key, offset: 0, why: "its SHA-256 is not the manifest's".to_owned() })
}
