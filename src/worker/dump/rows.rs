//! The readers: each takes the next COPY from the common list until none is left, and writes frames into objects.

use super::DumpError;
use super::objects::{Objects, OpenObject, Placed};
use super::plan::Item;
use crate::domain::manifest::DataObject;
use crate::engine::postgres::Session;
use crate::engine::postgres::inventory::TableInfo;
use crate::engine::postgres::read::Rows;
use crate::worker::ProgressWriter;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Row text per frame. DESIGN allows 64 MiB; a smaller one keeps two readers, two compressors and their uploads within
/// the memory that a worker has, and compresses as well.
pub const FRAME: usize = 8 << 20;

/// What all readers share.
pub struct Shared {
    /// The tables.
    pub tables: Vec<TableInfo>,
    /// The COPYs; a reader names them by their index.
    pub items: Vec<Item>,
    /// Indexes of those that nobody has taken.
    pub queue: Mutex<VecDeque<usize>>,
    /// Where frames go.
    pub objects: Objects,
    /// Fires when any producer has failed.
    pub stop: CancellationToken,
}

/// What a reader has written.
#[derive(Default)]
pub struct Written {
    /// Finished objects.
    pub objects: Vec<DataObject>,
    /// Their frames.
    pub frames: Vec<Placed>,
    /// COPYs read to their end.
    pub items: usize,
}

impl Written {
    fn add(&mut self, finished: Option<(DataObject, Vec<Placed>)>) {
        if let Some((object, frames)) = finished {
            self.objects.push(object);
            self.frames.extend(frames);
        }
    }
}

/// Reads until the list is empty. `leads` says that the session holds the leader's locks, so that it need not lock. On
/// any error, and when the others stop, its unfinished objects are given up.
pub async fn read_all(
    shared: &Shared,
    session: &Session,
    leads: bool,
    progress: &ProgressWriter,
) -> Result<Written, DumpError> {
    let mut reader = Reader { shared, session, leads, progress, pack: None, own: None, written: Written::default() };
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
    shared: &'a Shared,
    session: &'a Session,
    leads: bool,
    progress: &'a ProgressWriter,
    pack: Option<OpenObject>,
    own: Option<OpenObject>,
    written: Written,
}

impl Reader<'_> {
    async fn work(&mut self) -> Result<(), DumpError> {
        while let Some(index) = self.take() {
            self.read(index).await?;
            self.written.items += 1;
            self.progress.tables(1);
        }
        for open in [self.pack.take(), self.own.take()].into_iter().flatten() {
            self.written.add(open.finish().await?);
        }
        Ok(())
    }

    fn take(&self) -> Option<usize> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn read(&mut self, index: usize) -> Result<(), DumpError> {
        let item = &self.shared.items[index];
        let table = &self.shared.tables[item.table];
        let mut rows = Rows::open(self.session, table, item.range, !self.leads, FRAME).await?;
        while let Some(block) = rows.next().await? {
            self.progress.add(i64::try_from(block.raw.len()).unwrap_or(i64::MAX), block.rows);
            let open = self.object(item.own_object).await?;
            open.add(index, block.raw).await?;
        }
        if let Some(own) = self.own.take() {
            self.written.add(own.finish().await?);
        }
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
