//! The readers: each takes the next COPY from the common list until none is left, and writes frames into objects.

use super::DumpError;
use super::objects::{ItemFrame, Objects, OpenObject};
use super::plan::{ReadItem, items_per_request};
use super::rate_limiter::RateLimiter;
use crate::ProgressWriter;
use parking_lot::Mutex;
use sennight_core::manifest::DataObject;
use sennight_engine::postgres::Session;
use sennight_engine::postgres::inventory::TableInfo;
use sennight_engine::postgres::read::{Rows, Source};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// What all readers share.
pub struct DumpState {
    /// The tables.
    pub tables: Vec<TableInfo>,
    /// The COPYs; a reader names them by their index.
    pub items: Vec<ReadItem>,
    /// Indexes of those that nobody has taken.
    pub queue: Mutex<VecDeque<usize>>,
    /// Row text per frame.
    pub frame_bytes: usize,
    /// How fast rows may be read.
    pub rate_limiter: RateLimiter,
    /// Where frames go.
    pub objects: Objects,
    /// Fires when any producer has failed.
    pub stop: CancellationToken,
}

/// What a reader has written.
#[derive(Default)]
pub struct ReaderOutput {
    /// Finished objects.
    pub objects: Vec<DataObject>,
    /// Their frames.
    pub frames: Vec<ItemFrame>,
    /// COPYs read to their end, and how many rows the server says each had.
    pub items: Vec<(usize, i64)>,
}

impl ReaderOutput {
    /// Adds an object that is finished.
    pub fn add(&mut self, finished: Option<(DataObject, Vec<ItemFrame>)>) {
        if let Some((object, frames)) = finished {
            self.objects.push(object);
            self.frames.extend(frames);
        }
    }
}

/// Reads until the list is empty. `leads` says that the session holds the leader's locks, so that it need not lock. On
/// any error, and when the others stop, its unfinished objects are given up.
pub async fn read_all(
    shared: &DumpState,
    session: &Session,
    leads: bool,
    progress: &ProgressWriter,
) -> Result<ReaderOutput, DumpError> {
    let mut reader =
        Reader { shared, session, leads, progress, pack: None, own: None, written: ReaderOutput::default() };
    let read = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DumpError::Stopped),
        read = Box::pin(reader.work()) => read,
    };
    match read {
        Ok(()) => Ok(reader.written),
        Err(error) => {
            shared.stop.cancel();
            for open in [reader.pack.take(), reader.own.take()].into_iter().flatten() {
                open.abort().await;
            }
            Err(error)
        }
    }
}

struct Reader<'a> {
    shared: &'a DumpState,
    session: &'a Session,
    leads: bool,
    progress: &'a ProgressWriter,
    pack: Option<OpenObject>,
    own: Option<OpenObject>,
    written: ReaderOutput,
}

impl Reader<'_> {
    async fn work(&mut self) -> Result<(), DumpError> {
        loop {
            let items = self.take();
            if items.is_empty() {
                break;
            }
            self.read(&items).await?;
            self.progress.tables(i64::try_from(items.len()).unwrap_or(i64::MAX));
        }
        for open in [self.pack.take(), self.own.take()].into_iter().flatten() {
            self.written.add(open.finish().await?);
        }
        Ok(())
    }

    fn take(&self) -> Vec<usize> {
        let mut queue = self.shared.queue.lock();
        let count = items_per_request(queue.iter().map(|index| &self.shared.items[*index])).min(queue.len());
        queue.drain(..count).collect()
    }

    async fn read(&mut self, items: &[usize]) -> Result<(), DumpError> {
        let shared = self.shared;
        let source = |index: &usize| {
            let item = &shared.items[*index];
            Source { table: &shared.tables[item.table], range: item.range }
        };
        let sources: Vec<Source<'_>> = items.iter().map(source).collect();
        let mut rows = Rows::open_all(self.session, &sources, !self.leads, shared.frame_bytes).await?;
        while let Some(block) = rows.next().await? {
            shared.rate_limiter.wait_for(block.raw.len()).await;
            self.progress.add(i64::try_from(block.raw.len()).unwrap_or(i64::MAX), block.rows);
            let index = items[block.source];
            let recycle = rows.recycle();
            self.object(shared.items[index].own_object).await?.add(index, block.raw, recycle).await?;
        }
        if let Some(own) = self.own.take() {
            self.written.add(own.finish().await?);
        }
        self.written.items.extend(items.iter().copied().zip(rows.counted().iter().copied()));
        Ok(())
    }

    /// The object that the next frame goes into.
    async fn object(&mut self, own: bool) -> Result<&mut OpenObject, DumpError> {
        let slot = if own { &mut self.own } else { &mut self.pack };
        if let Some(full) = slot.take_if(|open| open.is_full()) {
            self.written.add(full.finish().await?);
        }
        let kind = if own { "table" } else { "pack" };
        Ok(slot.get_or_insert_with(|| self.shared.objects.begin(kind)))
    }
}
