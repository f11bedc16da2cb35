//! Data objects in the making: frames one after the other into an upload, each compressed on a blocking thread while
//! the next one is being read.

use super::DumpError;
use super::frame_writer::{CompressedFrame, compress_frame};
use bytes::Bytes;
use sennight_core::manifest::{DataObject, Frame};
use sennight_storage::{Store, Tags, Upload};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinHandle;

/// An object that has grown beyond this is finished at the next frame, so that none needs parts of more than 8 MiB.
const OBJECT_LIMIT: i64 = 8 << 30;
/// A frame up to this length is sealed sooner than another thread would have begun.
const AT_ONCE: usize = 32 << 10;

/// Where a dump's objects go, and how they are called.
pub struct Objects {
    /// The bucket.
    pub store: Store,
    /// The backup's key prefix, ending in `/`.
    pub prefix: String,
    /// Tags of each object.
    pub tags: Tags,
    /// Memory of one upload, in bytes.
    pub memory: usize,
    /// Numbers that were given out.
    pub numbers: AtomicU32,
}

impl Objects {
    /// Begins the next object; `kind` (`pack`, `table`) is for the reader's eye only.
    pub fn begin(&self, kind: &str) -> OpenObject {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("data/{kind}-{number:04}.zst");
        let upload = self.upload(&name);
        OpenObject { name, upload, pending: None, frames: Vec::new() }
    }

    /// An upload below the backup's prefix.
    pub fn upload(&self, name: &str) -> Upload {
        self.store.upload(&format!("{}{name}", self.prefix), self.tags.clone()).memory(self.memory)
    }
}

/// A frame that is in its object, and the item that it belongs to.
pub type ItemFrame = (usize, Frame);

/// An object that is being written. It exists only after [`OpenObject::finish`].
pub struct OpenObject {
    name: String,
    upload: Upload,
    pending: Option<(usize, JoinHandle<std::io::Result<CompressedFrame>>)>,
    frames: Vec<ItemFrame>,
}

impl OpenObject {
    /// Adds a frame of item `item`. It is compressed behind the caller's back, unless it is small, and its memory then
    /// given to `recycle`; errors show at the next call.
    pub async fn add(
        &mut self,
        item: usize,
        raw: Bytes,
        recycle: impl FnOnce(Bytes) + Send + 'static,
    ) -> Result<(), DumpError> {
        self.settle().await?;
        if raw.len() <= AT_ONCE {
            let sealed = compress_frame(&raw).map_err(|source| self.broken(source))?;
            return self.place(item, sealed).await;
        }
        let sealing = move || {
            let sealed = compress_frame(&raw);
            recycle(raw);
            sealed
        };
        self.pending = Some((item, tokio::task::spawn_blocking(sealing)));
        Ok(())
    }

    /// Whether the object has its size.
    pub fn is_full(&self) -> bool {
        self.upload.length() > OBJECT_LIMIT
    }

    async fn settle(&mut self) -> Result<(), DumpError> {
        let Some((item, pending)) = self.pending.take() else { return Ok(()) };
        let sealed = pending.await.map_err(|e| self.broken(e.into()))?.map_err(|source| self.broken(source))?;
        self.place(item, sealed).await
    }

    async fn place(&mut self, item: usize, sealed: CompressedFrame) -> Result<(), DumpError> {
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

    /// Makes the object exist, unless nothing was written: then there is none.
    pub async fn finish(mut self) -> Result<Option<(DataObject, Vec<ItemFrame>)>, DumpError> {
        if let Err(error) = self.settle().await {
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

    /// Gives the object up.
    pub async fn abort(self) {
        self.upload.abort().await;
    }
}
