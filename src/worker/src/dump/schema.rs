//! The schema archive: uploads `pg_dump`'s standard output and hashes it on the way. The object exists only after `pg_dump`
//! has succeeded.

use super::DumpError;
use super::rows::DumpState;
use bytes::BytesMut;
use sennight_core::manifest::SchemaArchive;
use sennight_engine::postgres::schema::{classified, start, warnings};
use sennight_engine::postgres::tools::{Access, Running, Tools};
use sennight_engine::postgres::{EngineError, Purpose};
use sennight_protocol::backup::DumpTask;
use sennight_storage::Upload;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Name of the archive below the backup's prefix.
const OBJECT: &str = "schema.pgdump";
/// The first bytes of every custom-format archive.
const MAGIC: &[u8] = b"PGDMP";
/// Bytes that are read from the pipe before they are uploaded.
const CHUNK: usize = 1 << 20;

/// A stored archive.
pub struct Archive {
    /// Object, length and SHA-256, for the manifest.
    pub schema: SchemaArchive,
    /// Warning lines of `pg_dump`.
    pub warnings: Vec<String>,
}

/// Runs `pg_dump` in the leader's snapshot. `data`: the archive holds data beside rows, see `schema::has_data`. If it fails
/// the readers stop, and if a reader fails it stops.
pub async fn dump(
    task: &DumpTask,
    tools: &Tools,
    snapshot: &str,
    encoding: &str,
    lock_timeout: Duration,
    shared: &DumpState,
    data: bool,
) -> Result<Archive, DumpError> {
    let mut upload = shared.objects.upload(OBJECT);
    let archived = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DumpError::Stopped),
        archived = async {
            let access = Access::prepare(&task.database, &task.database.database, super::APPLICATION, Purpose::Read)?;
            let running = start(tools, &access, snapshot, encoding, lock_timeout, &shared.tables, data)?;
            let (sha256, stderr) = stream(running, &mut upload).await?;
            Ok((sha256, stderr, tools.version("pg_dump").await?))
        } => archived,
    };
    let finished = match archived {
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
        Ok(archived) => upload.finish().await.map(|uploaded| (archived, uploaded)).map_err(DumpError::from),
    };
    let ((sha256, stderr, tool), uploaded) = finished.inspect_err(|_| shared.stop.cancel())?;
    Ok(Archive {
        schema: SchemaArchive { object: OBJECT.to_owned(), length: uploaded.length, sha256, tool },
        warnings: warnings(&stderr),
    })
}

/// Copies the archive into the upload. Returns its SHA-256 and the tool's stderr, after the exit status was checked.
async fn stream(mut running: Running, upload: &mut Upload) -> Result<(String, String), DumpError> {
    let broken = |source| EngineError::ToolBroken { tool: "pg_dump".to_owned(), source };
    let mut stdout = running.stdout().ok_or_else(|| broken(std::io::ErrorKind::BrokenPipe.into()))?;
    let mut hash = Sha256::new();
    let mut head = Vec::new();
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            if stdout.read_buf(&mut chunk).await.map_err(broken)? == 0 {
                break;
            }
        }
        if chunk.is_empty() {
            break;
        }
        if head.is_empty() {
            head = chunk[..chunk.len().min(MAGIC.len())].to_vec();
        }
        hash.update(&chunk);
        upload.write(chunk.freeze()).await?;
    }
    let stderr = running.wait().await.map_err(classified)?;
    if head != MAGIC {
        let why = "pg_dump ended well and wrote no archive".to_owned();
        return Err(EngineError::Incomplete { what: OBJECT.to_owned(), why }.into());
    }
    Ok((hex::encode(hash.finalize()), stderr))
}
