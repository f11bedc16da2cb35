//! The readers of a dump: each takes the next items from the shared queue and writes their rows as frames.

use super::DumpError;
use super::objects::{ItemFrame, Objects, OpenObject};
use super::plan::{ReadItem, items_per_request};
use super::rate_limiter::RateLimiter;
use crate::ProgressWriter;
use parking_lot::Mutex;
use sennight_core::manifest::DataObject;
use sennight_engine::dump::{Snapshot, Table, TableRead, TableReader};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// The state that all readers of a dump share.
pub struct DumpState {
    /// Tables of the snapshot.
    pub tables: Vec<Table>,
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
    /// Fires when a reader or the schema has failed, or the dump was cancelled.
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

    fn merge(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.frames.extend(other.frames);
        self.items.extend(other.items);
    }
}

/// Reads everything by all connections of the snapshot. Returns the output of all, or the error that came first.
pub async fn read_all(
    shared: &DumpState,
    snapshot: &dyn Snapshot,
    progress: &ProgressWriter,
) -> Result<ReaderOutput, DumpError> {
    let readers = (0..snapshot.readers()).map(|number| read_by(shared, snapshot, number, progress));
    let mut all = ReaderOutput::default();
    let mut failure = None;
    for read in futures::future::join_all(readers).await {
        match read {
            Ok(written) => all.merge(written),
            Err(error) if matches!(failure, None | Some(DumpError::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
    }
    failure.map_or(Ok(all), Err)
}

/// One reader, until the queue is empty. On any error, and when the others stop, unfinished objects are aborted.
async fn read_by(
    shared: &DumpState,
    snapshot: &dyn Snapshot,
    number: usize,
    progress: &ProgressWriter,
) -> Result<ReaderOutput, DumpError> {
    let begun = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(DumpError::Stopped),
        begun = snapshot.reader(number) => begun,
    };
    let connection = begun.inspect_err(|_| shared.stop.cancel())?;
    let at_once = snapshot.reads_per_request();
    let mut reader = Reader { shared, at_once, progress, pack: None, own: None, written: ReaderOutput::default() };
    let read = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DumpError::Stopped),
        read = Box::pin(reader.work(connection)) => read,
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
    /// Most items of one request.
    at_once: usize,
    progress: &'a ProgressWriter,
    pack: Option<OpenObject>,
    own: Option<OpenObject>,
    written: ReaderOutput,
}

impl Reader<'_> {
    async fn work(&mut self, mut connection: Box<dyn TableReader + '_>) -> Result<(), DumpError> {
        loop {
            let items = self.next_items();
            if items.is_empty() {
                break;
            }
            self.read(&mut *connection, &items).await?;
            connection.release().await?;
            self.progress.tables(i64::try_from(items.len()).unwrap_or(i64::MAX));
        }
        // Before the uploads end: the server keeps nothing longer than it must.
        connection.end().await?;
        for open in [self.pack.take(), self.own.take()].into_iter().flatten() {
            self.written.add(open.finish().await?);
        }
        Ok(())
    }

    fn next_items(&self) -> Vec<usize> {
        let mut queue = self.shared.queue.lock();
        let next = queue.iter().map(|index| &self.shared.items[*index]);
        let count = items_per_request(next, self.at_once).min(queue.len());
        queue.drain(..count).collect()
    }

    async fn read(&mut self, connection: &mut dyn TableReader, items: &[usize]) -> Result<(), DumpError> {
        let shared = self.shared;
        let read = |index: &usize| TableRead { table: shared.items[*index].table, range: shared.items[*index].range };
        let reads: Vec<TableRead> = items.iter().map(read).collect();
        let mut rows = connection.read(&reads, shared.frame_bytes).await?;
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
        self.written.items.extend(items.iter().copied().zip(rows.counted()));
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
