//! A PostgreSQL database as a dump reads it: one connection leads and holds the locks, others join its snapshot, `pg_dump` reads
//! the schema beside them.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::{self, TableInfo};
use super::read::{self, Source};
use super::schema::{classified, has_data, start, warnings};
use super::snapshot::{self, Leader};
use super::tools::{Access, Running, Tools};
use super::{lock_monitor, schema_drift, sequences};
use crate::dump::{
    BlockedDdl, DumpRequest, LiveTables, OpenDatabase, RowBlock, Rows, SchemaEnd, SchemaReader, Snapshot, SnapshotEnd,
    Table, TableRead, TableReader,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use sennight_protocol::report::TaskError;
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;

/// Name of the archive below the backup's prefix.
pub const OBJECT: &str = "schema.pgdump";
/// The first bytes of every custom-format archive.
const MAGIC: &[u8] = b"PGDMP";
/// Bytes that are read from the pipe before they are given on.
const CHUNK: usize = 1 << 20;
/// Most tables that one request reads.
const READS_PER_REQUEST: usize = 200;
/// The oldest major that reads a range of `ctid` without reading the whole table.
const RANGES_SINCE: i32 = 14;

/// A database under the leader's locks. The snapshot is open already: only then the list of tables is final.
pub struct PostgresSnapshot {
    leader: Leader,
    tables: Vec<Table>,
    tools: Tools,
    /// Whether the archive holds data beside rows.
    data: bool,
    readers: usize,
    target: DatabaseTarget,
    application: String,
    lock_timeout: Duration,
    ddl_wait: Duration,
}

impl PostgresSnapshot {
    /// Takes locks and snapshot, and measures the tables.
    pub async fn open(request: &DumpRequest<'_>) -> Result<Self, EngineError> {
        let leader = snapshot::open(request.target, request.application, request.lock_timeout).await?;
        let tools = Tools::find(leader.session.server_major())?;
        tools.check("pg_dump").await?;
        let sizes = read::sizes(&leader.session, &leader.inventory.tables).await?;
        let data = has_data(&leader.session).await?;
        let ranges = leader.session.server_major() >= RANGES_SINCE;
        let tables = leader.inventory.tables.iter().zip(sizes).map(|(info, (bytes, pages))| Table {
            bytes,
            pages: (ranges && info.heap).then_some(pages),
            ..table(info)
        });
        Ok(Self {
            tables: tables.collect(),
            leader,
            tools,
            data,
            readers: 1,
            target: request.target.clone(),
            application: request.application.to_owned(),
            lock_timeout: request.lock_timeout,
            ddl_wait: request.ddl_wait,
        })
    }

    fn pg_dump(&self) -> Result<PgDump<'_>, EngineError> {
        let access = Access::to_read(&self.target, &self.target.database, &self.application)?;
        let Leader { session, inventory, snapshot, .. } = &self.leader;
        let encoding = session.encoding();
        let mut running =
            start(&self.tools, &access, snapshot, encoding, self.lock_timeout, &inventory.tables, self.data)?;
        let stdout = running.stdout().ok_or_else(|| broken(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(PgDump { tools: &self.tools, _access: access, running, stdout, head: Vec::new() })
    }
}

/// A table as every engine names it, not measured.
fn table(info: &TableInfo) -> Table {
    Table { schema: info.schema.clone(), name: info.name.clone(), columns: info.columns.clone(), bytes: 0, pages: None }
}

#[async_trait]
impl OpenDatabase for PostgresSnapshot {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn begin(self: Box<Self>, readers: usize) -> Result<Box<dyn Snapshot>, TaskError> {
        Ok(Box::new(Self { readers, ..*self }))
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn taken_at(&self) -> DateTime<Utc> {
        self.leader.taken_at
    }

    fn readers(&self) -> usize {
        self.readers
    }

    fn reads_per_request(&self) -> usize {
        READS_PER_REQUEST
    }

    async fn reader(&self, number: usize) -> Result<Box<dyn TableReader + '_>, TaskError> {
        let tables = &self.leader.inventory.tables;
        if number == 0 {
            return Ok(Box::new(LeadingReader { session: &self.leader.session, tables }));
        }
        let session = snapshot::join(&self.target, &self.application, &self.leader.snapshot).await?;
        Ok(Box::new(JoinedReader { session, tables }))
    }

    fn schema(&self) -> Result<Option<Box<dyn SchemaReader + '_>>, TaskError> {
        Ok(Some(Box::new(self.pg_dump()?)))
    }

    async fn watch(&self) -> BlockedDdl {
        let holder = self.leader.session.backend_pid();
        let waiting = lock_monitor::watch(&self.target, &self.application, holder, self.ddl_wait).await;
        BlockedDdl::new(async { waiting.end_dump_sessions().await.into() })
    }

    /// `finish` proves that the leader's transaction, and with it every lock, held to the end.
    async fn end(self: Box<Self>) -> Result<SnapshotEnd, TaskError> {
        let Leader { session, inventory, .. } = self.leader;
        let sequences = sequences::sequences(&session).await?;
        let roles = inventory::roles(&session).await?;
        let server = inventory::server_facts(&session).await?;
        schema_drift::check(&session, &self.target, &self.application).await?;
        snapshot::finish(session).await?;
        Ok(SnapshotEnd { server, sequences, roles, notes: inventory.notes, schema: None })
    }
}

/// Reads by the connection that holds the locks. Its transaction ends with the snapshot.
struct LeadingReader<'a> {
    session: &'a Session,
    tables: &'a [TableInfo],
}

/// Reads by a connection that joined the snapshot, and locks each table by itself.
struct JoinedReader<'a> {
    session: Session,
    tables: &'a [TableInfo],
}

async fn open_rows<'r>(
    session: &Session,
    tables: &[TableInfo],
    reads: &[TableRead],
    lock: bool,
    block_size: usize,
) -> Result<Box<dyn Rows + 'r>, TaskError> {
    let source = |read: &TableRead| Source { table: &tables[read.table], range: read.range };
    let sources: Vec<Source<'_>> = reads.iter().map(source).collect();
    Ok(Box::new(read::Rows::open_all(session, &sources, lock, block_size).await?))
}

#[async_trait]
impl TableReader for LeadingReader<'_> {
    async fn read<'r>(&'r mut self, reads: &[TableRead], block_size: usize) -> Result<Box<dyn Rows + 'r>, TaskError> {
        open_rows(self.session, self.tables, reads, false, block_size).await
    }

    async fn release(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn end(self: Box<Self>) -> Result<(), TaskError> {
        Ok(())
    }
}

#[async_trait]
impl TableReader for JoinedReader<'_> {
    async fn read<'r>(&'r mut self, reads: &[TableRead], block_size: usize) -> Result<Box<dyn Rows + 'r>, TaskError> {
        open_rows(&self.session, self.tables, reads, true, block_size).await
    }

    async fn release(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn end(self: Box<Self>) -> Result<(), TaskError> {
        Ok(snapshot::finish(self.session).await?)
    }
}

#[async_trait]
impl Rows for read::Rows {
    async fn next(&mut self) -> Result<Option<RowBlock>, TaskError> {
        Ok(Self::next(self).await?)
    }

    fn counted(&self) -> Vec<i64> {
        Self::counted(self).to_vec()
    }

    fn recycle(&self) -> Box<dyn FnOnce(Bytes) + Send> {
        Box::new(Self::recycle(self))
    }
}

/// A running `pg_dump`, whose standard output is the archive.
struct PgDump<'a> {
    tools: &'a Tools,
    /// The private files that the tool reads; they go with the value.
    _access: Access,
    running: Running,
    stdout: ChildStdout,
    head: Vec<u8>,
}

fn broken(source: std::io::Error) -> EngineError {
    EngineError::ToolBroken { tool: "pg_dump".to_owned(), source }
}

#[async_trait]
impl SchemaReader for PgDump<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, TaskError> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            if self.stdout.read_buf(&mut chunk).await.map_err(broken)? == 0 {
                break;
            }
        }
        if self.head.is_empty() {
            self.head = chunk[..chunk.len().min(MAGIC.len())].to_vec();
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }

    async fn end(self: Box<Self>) -> Result<SchemaEnd, TaskError> {
        let stderr = self.running.wait().await.map_err(classified)?;
        if self.head != MAGIC {
            let why = "pg_dump ended well and wrote no archive".to_owned();
            return Err(EngineError::Incomplete { what: OBJECT.to_owned(), why }.into());
        }
        Ok(SchemaEnd { tool: self.tools.version("pg_dump").await?, warnings: warnings(&stderr) })
    }
}

/// The live database under a dump's locks: without them a table that is truncated meanwhile looks empty to the snapshot.
pub struct PostgresLive {
    leader: Leader,
    tables: Vec<Table>,
}

impl PostgresLive {
    /// Takes locks and snapshot.
    pub async fn open(request: &DumpRequest<'_>) -> Result<Self, EngineError> {
        let leader = snapshot::open(request.target, request.application, request.lock_timeout).await?;
        let tables = leader.inventory.tables.iter().map(table).collect();
        Ok(Self { leader, tables })
    }
}

#[async_trait]
impl LiveTables for PostgresLive {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn column<'r>(
        &'r mut self,
        table: usize,
        column: usize,
        block_size: usize,
    ) -> Result<Box<dyn Rows + 'r>, TaskError> {
        let mut narrow = self.leader.inventory.tables[table].clone();
        narrow.columns = vec![narrow.columns.swap_remove(column)];
        Ok(Box::new(read::Rows::open(&self.leader.session, &narrow, None, false, block_size).await?))
    }

    async fn end(self: Box<Self>) -> Result<(), TaskError> {
        Ok(snapshot::finish(self.leader.session).await?)
    }
}
