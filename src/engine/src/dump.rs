//! What every engine says of a database that is read: tables, rows at one snapshot, schema. PostgreSQL's and MySQL's own types
//! stay in their folders.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
pub use sennight_core::manifest::Column;
use sennight_core::manifest::{Sequence, ServerFacts};
use sennight_protocol::report::TaskError;
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;

/// How to open a database for reading.
#[derive(Debug, Clone, Copy)]
pub struct DumpRequest<'a> {
    /// Server, database and credentials.
    pub target: &'a DatabaseTarget,
    /// Name of the sessions, for people who look at the server.
    pub application: &'a str,
    /// Longest wait for the tables' locks: whoever queues behind the dump waits no longer.
    pub lock_timeout: Duration,
    /// How long a tenant's DDL may wait for the dump's locks.
    pub ddl_wait: Duration,
    /// Tables that no snapshot covers are read all the same.
    pub allow_non_transactional: bool,
}

/// A table whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its schema, as the manifest names it. An engine without schemas gives the database's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Stored columns in the order of the row text.
    pub columns: Vec<Column>,
    /// Bytes on the server's disk, perhaps estimated.
    pub bytes: i64,
    /// Pages that its rows lie in; `None` where a range of them cannot be read without reading the whole table.
    pub pages: Option<i64>,
}

/// Pages `from..to` of a table; the last range of a table has no end, because pages may be added meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// First page.
    pub from: i64,
    /// Page after the last one.
    pub to: Option<i64>,
}

/// Splits a table of `pages` pages into ranges of about `per_range` pages.
pub fn page_ranges(pages: i64, per_range: i64) -> Vec<PageRange> {
    let count = (pages / per_range.max(1)).max(1);
    let step = pages / count;
    (0..count).map(|i| PageRange { from: i * step, to: (i + 1 < count).then_some((i + 1) * step) }).collect()
}

/// One read: a table, or a range of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRead {
    /// Index of the table in [`Snapshot::tables`].
    pub table: usize,
    /// The pages, or all.
    pub range: Option<PageRange>,
}

/// Whole rows of one read, as row text (docs/format.md).
#[derive(Debug, Clone)]
pub struct RowBlock {
    /// Index of the read in its request.
    pub source: usize,
    /// Their text.
    pub raw: Bytes,
    /// Their number.
    pub rows: i64,
}

/// A database whose tables are known. Its snapshot is opened once it is known how many connections shall read.
#[async_trait]
pub trait OpenDatabase: Send {
    /// The tables, in the order of the manifest.
    fn tables(&self) -> &[Table];

    /// Opens the snapshot for at most `readers` connections.
    async fn begin(self: Box<Self>, readers: usize) -> Result<Box<dyn Snapshot>, TaskError>;
}

/// A tenant's DDL that has waited too long for the dump's locks.
pub struct BlockedDdl(BoxFuture<'static, TaskError>);

impl BlockedDdl {
    /// `ending` ends the dump's sessions on the server, and gives the error that the dump ends with.
    pub fn new(ending: impl Future<Output = TaskError> + Send + 'static) -> Self {
        Self(Box::pin(ending))
    }

    /// Ends every session of the dump that blocks the DDL: the worker itself may be waiting for a bucket that does not answer.
    pub async fn end_dump_sessions(self) -> TaskError {
        self.0.await
    }
}

/// One instant of a database.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The tables that the snapshot has, in the same order as before it was opened.
    fn tables(&self) -> &[Table];

    /// The instant, by the server's clock.
    fn taken_at(&self) -> DateTime<Utc>;

    /// How many connections can read at the same time; at least one.
    fn readers(&self) -> usize;

    /// Most reads that one request may have.
    fn reads_per_request(&self) -> usize;

    /// The connection with this number, once.
    async fn reader(&self, number: usize) -> Result<Box<dyn TableReader + '_>, TaskError>;

    /// The schema, where it can be read beside the rows. `None` where [`Snapshot::end`] gives it.
    fn schema(&self) -> Result<Option<Box<dyn SchemaReader + '_>>, TaskError>;

    /// Watches for DDL that waits; without end where an engine lets DDL pass.
    async fn watch(&self) -> BlockedDdl;

    /// Ends the snapshot after every reader has. Fails unless it held to the end, and no definition has changed meanwhile.
    async fn end(self: Box<Self>) -> Result<SnapshotEnd, TaskError>;
}

/// One connection that reads rows at the snapshot.
#[async_trait]
pub trait TableReader: Send {
    /// Starts to read, in blocks of whole rows: at most `block_size` bytes or one row.
    async fn read<'r>(&'r mut self, reads: &[TableRead], block_size: usize) -> Result<Box<dyn Rows + 'r>, TaskError>;

    /// Gives back what the server need not keep of a request that was read to its end.
    async fn release(&mut self) -> Result<(), TaskError>;

    /// Ends the connection's part of the snapshot. Fails unless all of it succeeded.
    async fn end(self: Box<Self>) -> Result<(), TaskError>;
}

/// Rows while they are read. An answer that breaks off is an error, never an end.
#[async_trait]
pub trait Rows: Send {
    /// The next block. `None` after the last one of all reads.
    async fn next(&mut self) -> Result<Option<RowBlock>, TaskError>;

    /// Rows of each read by the server's count, after the last block.
    fn counted(&self) -> Vec<i64>;

    /// Takes the memory of a block back, for the next one.
    fn recycle(&self) -> Box<dyn FnOnce(Bytes) + Send>;
}

/// The schema while it is read.
#[async_trait]
pub trait SchemaReader: Send {
    /// The next bytes. `None` after the last ones.
    async fn next(&mut self) -> Result<Option<Bytes>, TaskError>;

    /// Fails unless the schema was read completely.
    async fn end(self: Box<Self>) -> Result<SchemaEnd, TaskError>;
}

/// What is known of a schema that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaEnd {
    /// Program and version that wrote it.
    pub tool: String,
    /// Sentences for people.
    pub warnings: Vec<String>,
}

/// A schema as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The text.
    pub text: String,
    /// Program and version that wrote it.
    pub tool: String,
}

/// What is read last.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotEnd {
    /// Version, locale and extensions of the server.
    pub server: ServerFacts,
    /// State of each sequence, read after the rows.
    pub sequences: Vec<Sequence>,
    /// Roles that must exist before the schema can be loaded.
    pub roles: Vec<String>,
    /// Sentences for people.
    pub notes: Vec<String>,
    /// The schema, where it was not read beside the rows.
    pub schema: Option<SchemaText>,
}

/// The live database, of which single columns are read at one snapshot.
#[async_trait]
pub trait LiveTables: Send {
    /// The tables. An engine without schemas gives an empty name for them.
    fn tables(&self) -> &[Table];

    /// Starts to read one column of a table.
    async fn column<'r>(
        &'r mut self,
        table: usize,
        column: usize,
        block_size: usize,
    ) -> Result<Box<dyn Rows + 'r>, TaskError>;

    /// Ends the snapshot. Fails unless it held to the end.
    async fn end(self: Box<Self>) -> Result<(), TaskError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_cover_every_page_once(pages in 0_i64..100_000, per_range in 1_i64..5_000) {
            let ranges = page_ranges(pages, per_range);
            prop_assert_eq!(ranges[0].from, 0);
            prop_assert_eq!(ranges.last().unwrap().to, None);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].to, Some(pair[1].from));
                prop_assert!(pair[0].from < pair[1].from);
            }
        }
    }
}
