//! Writes data objects: frames one after the other into an upload. Each is compressed on a blocking thread while the next
//! one is being read.

use super::DumpError;
use super::frame_writer::{CompressedFrame, compress_frame};
use bytes::Bytes;
use sennight_core::manifest::{DataObject, Frame};
use sennight_storage::{Store, Tags, Upload};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinHandle;

/// An object that has grown beyond this is finished at the next frame, so that none needs parts of more than 8 MiB.
const OBJECT_LIMIT: i64 = 8 << 30;
/// A frame of up to this many bytes is compressed sooner than another thread would start.
const INLINE_BYTES: usize = 32 << 10;

/// Where a dump's objects go, and how they are named.
pub struct Objects {
    /// Bucket and prefix of the BackupStorage.
    pub store: Store,
    /// The backup's key prefix, ending in `/`.
    pub prefix: String,
    /// Tags of each object: lifecycle rules select by them.
    pub tags: Tags,
    /// Memory that one upload may use, in bytes.
    pub memory: usize,
    /// Number of data objects begun so far.
    pub numbers: AtomicU32,
}

impl Objects {
    /// Begins the next object; `kind` (`pack`, `table`) only makes its name readable.
    pub fn begin(&self, kind: &str) -> OpenObject {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("data/{kind}-{number:04}.zst");
        let upload = self.upload(&name);
        OpenObject { name, upload, pending: None, frames: Vec::new() }
    }

    /// Starts an upload below the backup's prefix.
    pub fn upload(&self, name: &str) -> Upload {
        self.store.upload(&format!("{}{name}", self.prefix), self.tags.clone()).memory(self.memory)
    }
}

/// A frame that was written, and the index of the [`ReadItem`](super::plan::ReadItem) that its rows came from.
pub type ItemFrame = (usize, Frame);

/// An object that is being written. It exists only after [`OpenObject::finish`].
pub struct OpenObject {
    name: String,
    upload: Upload,
    pending: Option<(usize, JoinHandle<std::io::Result<CompressedFrame>>)>,
    frames: Vec<ItemFrame>,
}

impl OpenObject {
    /// Adds a frame of item `item`. A large one is compressed in the background, its buffer is then given to `recycle`, and
    /// its error shows at the next call.
    pub async fn add(
        &mut self,
        item: usize,
        raw: Bytes,
        recycle: impl FnOnce(Bytes) + Send + 'static,
    ) -> Result<(), DumpError> {
        self.write_pending().await?;
        if raw.len() <= INLINE_BYTES {
            let sealed = compress_frame(&raw).map_err(|source| self.broken(source))?;
            return self.write_frame(item, sealed).await;
        }
        let sealing = move || {
            let sealed = compress_frame(&raw);
            recycle(raw);
            sealed
        };
        self.pending = Some((item, tokio::task::spawn_blocking(sealing)));
        Ok(())
    }

    /// Whether the object is so large that the next frame goes into another one.
    pub fn is_full(&self) -> bool {
        self.upload.length() > OBJECT_LIMIT
    }

    async fn write_pending(&mut self) -> Result<(), DumpError> {
        let Some((item, pending)) = self.pending.take() else { return Ok(()) };
        let sealed = pending.await.map_err(|e| self.broken(e.into()))?.map_err(|source| self.broken(source))?;
        self.write_frame(item, sealed).await
    }

    async fn write_frame(&mut self, item: usize, sealed: CompressedFrame) -> Result<(), DumpError> {
        let frame = Frame {
            object: self.name.clone(),
            offset: self.upload.length(),
            length: i64::try_from(sealed.stored.len()).unwrap_or(i64::MAX),
            raw_length: sealed.raw_length,
            rows: sealed.rows,
            sha256: sealed.sha256,
        };
        self.upload.write(sealed.stored).await?;
        self.frames.push((item, frame));
        Ok(())
    }

    fn broken(&self, source: std::io::Error) -> DumpError {
        DumpError::Compression { object: self.name.clone(), source }
    }

    /// Completes the upload, so that the object exists. If nothing was written there is no object.
    pub async fn finish(mut self) -> Result<Option<(DataObject, Vec<ItemFrame>)>, DumpError> {
        if let Err(error) = self.write_pending().await {
            self.abort().await;
            return Err(error);
        }
        if self.frames.is_empty() {
            self.abort().await;
            return Ok(None);
        }
        let uploaded = self.upload.finish().await?;
        Ok(Some((DataObject { name: self.name, length: uploaded.length }, self.frames)))
    }

    /// Aborts the upload.
    pub async fn abort(self) {
        self.upload.abort().await;
    }
}
