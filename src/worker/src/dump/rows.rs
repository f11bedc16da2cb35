//! The readers of a PostgreSQL dump: each takes the next items from the shared queue and writes their rows as frames.

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

/// The state that all readers of a dump share.
pub struct DumpState {
    /// Tables of the inventory.
    pub tables: Vec<TableInfo>,
    /// Planned reads; the queue names them by index.
    pub items: Vec<ReadItem>,
    /// Indexes of the items that no reader has begun.
    pub queue: Mutex<VecDeque<usize>>,
    /// Bytes of row text per frame.
    pub frame_bytes: usize,
    /// Limit of all readers together.
    pub rate_limiter: RateLimiter,
    /// Creates the objects that frames go into.
    pub objects: Objects,
    /// Fires when a reader or `pg_dump` has failed, or the dump was cancelled.
    pub stop: CancellationToken,
}

/// What one reader wrote.
#[derive(Default)]
pub struct ReaderOutput {
    /// Objects that exist.
    pub objects: Vec<DataObject>,
    /// Frames in these objects.
    pub frames: Vec<ItemFrame>,
    /// Items read to their end, and the rows that the server counted for each.
    pub items: Vec<(usize, i64)>,
}

impl ReaderOutput {
    /// Adds a finished object with its frames.
    pub fn add(&mut self, finished: Option<(DataObject, Vec<ItemFrame>)>) {
        if let Some((object, frames)) = finished {
            self.objects.push(object);
            self.frames.extend(frames);
        }
    }
}

/// Reads until the queue is empty. `leads`: the session holds the leader's locks, so that it need not lock tables itself.
/// On any error, and when the others stop, unfinished objects are aborted.
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
            let items = self.next_items();
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

    fn next_items(&self) -> Vec<usize> {
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
