//! `verify`: reads a copy back whole and holds every byte against its manifest.

use super::frames::{FrameError, fetch, table_frames};
use super::{TaskError, WorkerContext};
use crate::domain::job::{CopySummary, Done, VerifyTask};
use crate::domain::manifest::{MANIFEST, Manifest};
use crate::store::Store;
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};

/// The schema archive is read by ranges of this size.
const RANGE: i64 = 8 << 20;

/// Reads everything once; takes memory for a few frames.
pub async fn run(task: &VerifyTask, context: &WorkerContext) -> Result<Done, TaskError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::cancelled()),
        verified = verify(task, context) => Ok(Done::Verified(verified?)),
    }
}

async fn verify(task: &VerifyTask, context: &WorkerContext) -> Result<CopySummary, TaskError> {
    let (store, prefix) = (&context.store, &task.copy.prefix);
    let bytes = store.get(&format!("{prefix}{MANIFEST}")).await?;
    let (manifest, manifest_sha256) = open(task, &bytes)?;
    context.progress.expect(manifest.totals.raw_bytes);
    lengths(store, prefix, &manifest).await?;
    archive(store, prefix, &manifest).await?;
    for table in &manifest.tables {
        let mut frames = table_frames(store, prefix, table);
        while let Some(raw) = frames.next().await {
            let raw = raw?;
            let rows = memchr::memchr_iter(b'\n', &raw).count();
            context.progress.add(i64::try_from(raw.len()).unwrap_or(i64::MAX), i64::try_from(rows).unwrap_or(i64::MAX));
        }
        context.progress.tables(1);
    }
    Ok(CopySummary {
        id: manifest.id,
        prefix: prefix.clone(),
        day: manifest.day,
        snapshot_time: manifest.snapshot_time,
        rows: manifest.totals.rows,
        tables: manifest.totals.tables,
        bytes: manifest.totals.stored_bytes,
        raw_bytes: manifest.totals.raw_bytes,
        manifest_sha256,
    })
}

fn open(task: &VerifyTask, bytes: &Bytes) -> Result<(Manifest, String), TaskError> {
    let refused = |why: String| TaskError::refused("CopyDamaged", why);
    let sha256 = hex::encode(Sha256::digest(bytes));
    if task.copy.manifest_sha256.as_ref().is_some_and(|pinned| *pinned != sha256) {
        return Err(refused(format!("the manifest in {} is not the one that was pinned", task.copy.prefix)));
    }
    let manifest = Manifest::parse(bytes).map_err(|e| refused(e.to_string()))?;
    if manifest.id != task.copy.id {
        return Err(refused(format!("{} holds copy {}, not {}", task.copy.prefix, manifest.id, task.copy.id)));
    }
    Ok((manifest, sha256))
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
