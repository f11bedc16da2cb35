//! The schema of a backup: uploads it and hashes it on the way. The object exists only after the engine says that the schema was
//! read completely.

use super::DumpError;
use super::rows::DumpState;
use bytes::Bytes;
use sennight_core::manifest::SchemaArchive;
use sennight_engine::dump::{SchemaEnd, SchemaReader, SchemaText, Snapshot};
use sennight_storage::Upload;
use sha2::{Digest, Sha256};

/// A stored schema.
pub struct StoredSchema {
    /// Object, length and SHA-256, for the manifest.
    pub schema: SchemaArchive,
    /// Warnings of the program that wrote it.
    pub warnings: Vec<String>,
}

/// Stores the schema, if it is read beside the rows. If it fails the readers stop, and if a reader fails it stops.
pub async fn beside_rows(
    snapshot: &dyn Snapshot,
    object: &str,
    shared: &DumpState,
) -> Result<Option<StoredSchema>, DumpError> {
    let Some(reader) = snapshot.schema().inspect_err(|_| shared.stop.cancel())? else { return Ok(None) };
    let mut upload = shared.objects.upload(object);
    let read = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DumpError::Stopped),
        read = stream(reader, &mut upload) => read,
    };
    let finished = match read {
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
        Ok(read) => upload.finish().await.map(|uploaded| (read, uploaded)).map_err(DumpError::from),
    };
    let ((sha256, end), uploaded) = finished.inspect_err(|_| shared.stop.cancel())?;
    let SchemaEnd { tool, warnings } = end;
    let schema = SchemaArchive { object: object.to_owned(), length: uploaded.length, sha256, tool };
    Ok(Some(StoredSchema { schema, warnings }))
}

/// Copies the schema into the upload. Returns its SHA-256, after the engine has said that it is complete.
async fn stream(mut reader: Box<dyn SchemaReader + '_>, upload: &mut Upload) -> Result<(String, SchemaEnd), DumpError> {
    let mut hash = Sha256::new();
    while let Some(chunk) = reader.next().await? {
        hash.update(&chunk);
        upload.write(chunk).await?;
    }
    Ok((hex::encode(hash.finalize()), reader.end().await?))
}

/// Stores a schema that was read after the rows.
pub async fn after_rows(schema: SchemaText, object: &str, shared: &DumpState) -> Result<SchemaArchive, DumpError> {
    let mut upload = shared.objects.upload(object);
    let sha256 = hex::encode(Sha256::digest(schema.text.as_bytes()));
    if let Err(error) = upload.write(Bytes::from(schema.text)).await {
        upload.abort().await;
        return Err(error.into());
    }
    let uploaded = upload.finish().await?;
    Ok(SchemaArchive { object: object.to_owned(), length: uploaded.length, sha256, tool: schema.tool })
}
