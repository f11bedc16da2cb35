//! A MySQL or MariaDB database as a dump reads it: several connections at one snapshot, then the schema by SHOW CREATE. DDL
//! waits for one table at a time, so nothing watches for it.

use super::connect::{Session, connect};
use super::error::EngineError;
use super::inventory::{self, Inventory, TableInfo};
use super::read;
use super::schema::{self, ObjectKind, Schema};
use super::{rights, snapshot};
use crate::dump::{
    BlockedDdl, DumpRequest, LiveTables, OpenDatabase, RowBlock, Rows, SchemaReader, SchemaText, Snapshot, SnapshotEnd,
    Table, TableRead, TableReader,
};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sennight_core::manifest::{Sequence, ServerFacts};
use sennight_protocol::report::TaskError;
use sennight_protocol::target::DatabaseTarget;
use std::time::Duration;

/// Name of the schema script below the backup's prefix.
pub const OBJECT: &str = "schema.sql";

/// A database as it was found before the snapshot.
pub struct MySQLDatabase {
    session: Session,
    inventory: Inventory,
    schema: Schema,
    tables: Vec<Table>,
    target: DatabaseTarget,
    application: String,
    lock_timeout: Duration,
}

impl MySQLDatabase {
    /// Lists tables and definitions, with an account that sees all of them.
    pub async fn open(request: &DumpRequest<'_>) -> Result<Self, EngineError> {
        let target = request.target;
        let mut session = connect(target, &target.database, request.application).await?;
        rights::check_sees_all(&mut session).await?;
        let mut inventory = Inventory::read(&mut session).await?;
        inventory.transactional(request.allow_non_transactional)?;
        let schema = schema::read(&mut session, &inventory).await?;
        let tables = inventory.tables.iter().map(|info| table(&target.database, info)).collect();
        Ok(Self {
            session,
            inventory,
            schema,
            tables,
            target: target.clone(),
            application: request.application.to_owned(),
            lock_timeout: request.lock_timeout,
        })
    }
}

/// A table as every engine names it. It has no pages to split it by.
fn table(schema: &str, info: &TableInfo) -> Table {
    Table {
        schema: schema.to_owned(),
        name: info.name.clone(),
        columns: info.columns.iter().map(|c| c.column.clone()).collect(),
        bytes: info.bytes,
        pages: None,
    }
}

#[async_trait]
impl OpenDatabase for MySQLDatabase {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn begin(self: Box<Self>, readers: usize) -> Result<Box<dyn Snapshot>, TaskError> {
        let Self { session, inventory, schema, tables, target, application, lock_timeout } = *self;
        let begun = snapshot::begin(session, &target, &application, &inventory.tables, readers, lock_timeout).await?;
        Ok(Box::new(MySQLSnapshot {
            readers: begun.readers.len(),
            taken_at: begun.taken_at,
            notes: begun.notes,
            waiting: Mutex::new(begun.readers.into_iter().map(Some).collect()),
            ended: Mutex::new(Vec::new()),
            inventory,
            schema,
            tables,
            database: target.database,
        }))
    }
}

/// The snapshot, which each of its sessions has.
struct MySQLSnapshot {
    inventory: Inventory,
    schema: Schema,
    tables: Vec<Table>,
    database: String,
    taken_at: DateTime<Utc>,
    notes: Vec<String>,
    readers: usize,
    /// Sessions that no reader has taken yet, by number.
    waiting: Mutex<Vec<Option<Session>>>,
    /// Sessions whose reader has ended its transaction.
    ended: Mutex<Vec<Session>>,
}

#[async_trait]
impl Snapshot for MySQLSnapshot {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn taken_at(&self) -> DateTime<Utc> {
        self.taken_at
    }

    fn readers(&self) -> usize {
        self.readers
    }

    fn reads_per_request(&self) -> usize {
        1
    }

    async fn reader(&self, number: usize) -> Result<Box<dyn TableReader + '_>, TaskError> {
        let session = self.waiting.lock().get_mut(number).and_then(Option::take);
        let session = session.ok_or_else(|| no_session("a reader began twice"))?;
        Ok(Box::new(SessionReader { session, snapshot: self }))
    }

    fn schema(&self) -> Result<Option<Box<dyn SchemaReader + '_>>, TaskError> {
        Ok(None)
    }

    async fn watch(&self) -> BlockedDdl {
        std::future::pending().await
    }

    async fn end(self: Box<Self>) -> Result<SnapshotEnd, TaskError> {
        let mut sessions = self.ended.into_inner();
        let mut session = sessions.pop().ok_or_else(|| no_session("no reader has ended"))?;
        for session in sessions {
            session.close().await;
        }
        let facts = facts(&mut session, &self.database, &self.inventory, &self.schema).await?;
        session.close().await;
        let about = format!("Schema of database {}, {}", self.database, facts.server.version);
        let notes = self.inventory.notes.into_iter().chain(self.notes).chain(definers_left_out(&facts.schema));
        Ok(SnapshotEnd {
            notes: notes.collect(),
            server: facts.server,
            sequences: facts.sequences,
            // The script names no accounts, so none must exist before a load.
            roles: Vec::new(),
            schema: Some(SchemaText {
                text: facts.schema.render(&about),
                tool: concat!("sennight ", env!("CARGO_PKG_VERSION"), " (SHOW CREATE)").to_owned(),
            }),
        })
    }
}

fn no_session(why: &str) -> EngineError {
    EngineError::Incomplete { what: "reading the snapshot".to_owned(), why: why.to_owned() }
}

struct SessionReader<'a> {
    session: Session,
    snapshot: &'a MySQLSnapshot,
}

#[async_trait]
impl TableReader for SessionReader<'_> {
    async fn read<'r>(&'r mut self, reads: &[TableRead], block_size: usize) -> Result<Box<dyn Rows + 'r>, TaskError> {
        let only = reads.first().and_then(|read| self.snapshot.inventory.tables.get(read.table));
        let table = only.ok_or_else(|| no_session("a request names no table"))?;
        Ok(Box::new(read::Rows::open(&mut self.session, table, block_size).await?))
    }

    async fn release(&mut self) -> Result<(), TaskError> {
        Ok(snapshot::release_metadata_locks(&mut self.session).await?)
    }

    async fn end(mut self: Box<Self>) -> Result<(), TaskError> {
        snapshot::finish(&mut self.session).await?;
        self.snapshot.ended.lock().push(self.session);
        Ok(())
    }
}

#[async_trait]
impl Rows for read::Rows<'_> {
    async fn next(&mut self) -> Result<Option<RowBlock>, TaskError> {
        Ok(Self::next(self).await?)
    }

    fn counted(&self) -> Vec<i64> {
        vec![Self::counted(self)]
    }

    fn recycle(&self) -> Box<dyn FnOnce(Bytes) + Send> {
        Box::new(drop)
    }
}

/// What is read last, after all transactions have ended without an error.
struct EndFacts {
    schema: Schema,
    server: ServerFacts,
    sequences: Vec<Sequence>,
}

/// Definitions are not part of a snapshot: fails unless they are the same after it as before. The backup gets the ones that
/// were read last, so that no AUTO_INCREMENT is lower than a row's number.
async fn facts(
    session: &mut Session,
    database: &str,
    before: &Inventory,
    schema_before: &Schema,
) -> Result<EndFacts, EngineError> {
    let changed = |why| EngineError::SchemaChanged { doing: "dumping the database".to_owned(), why };
    let now = Inventory::read(session).await?;
    let columns = |i: &Inventory| {
        i.tables.iter().map(|t| (t.name.clone(), t.columns.clone(), t.made_at.clone())).collect::<Vec<_>>()
    };
    if columns(before) != columns(&now) {
        return Err(changed("a table was created, dropped or altered".to_owned()));
    }
    let schema = schema::read(session, &now).await?;
    if let Some(difference) = schema_before.first_difference(&schema) {
        return Err(changed(difference));
    }
    let server = inventory::server_facts(session).await?;
    let sequences = sequences(&schema, database);
    Ok(EndFacts { schema, server, sequences })
}

/// State of MariaDB's sequences, for people: the script sets them by itself. Values above an `i64` are left out here.
fn sequences(schema: &Schema, database: &str) -> Vec<Sequence> {
    let state = |text: &str| text.rsplit_once("`, ")?.1.split(',').next()?.parse().ok();
    let set = |text: &&schema::Object| text.kind == ObjectKind::Sequence && text.text.starts_with("DO SETVAL(");
    let sequence = |object: &schema::Object| {
        let last_value = state(&object.text)?;
        Some(Sequence { schema: database.to_owned(), name: object.name.clone(), last_value, is_called: false })
    };
    schema.objects.iter().filter(set).filter_map(sequence).collect()
}

/// Says which accounts the schema's objects ran as, if any did.
fn definers_left_out(schema: &Schema) -> Option<String> {
    let definers = schema.definers();
    if definers.is_empty() {
        return None;
    }
    let each: Vec<String> = definers.iter().map(|(account, count)| format!("{account} ({count})")).collect();
    Some(format!("DEFINER is left out of {OBJECT}, whose comments keep it; objects ran as: {}", each.join(", ")))
}

/// The live database at a snapshot of its own.
pub struct MySQLLive {
    session: Session,
    inventory: Inventory,
    tables: Vec<Table>,
    /// The table that is being read, with one column.
    narrow: Option<TableInfo>,
}

impl MySQLLive {
    /// Opens the snapshot.
    pub async fn open(request: &DumpRequest<'_>) -> Result<Self, EngineError> {
        let mut session = connect(request.target, &request.target.database, request.application).await?;
        // A table that the server hides from the account would look dropped, and all of its records missing.
        rights::check_sees_all(&mut session).await?;
        let inventory = Inventory::read(&mut session).await?;
        session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "beginning the snapshot").await?;
        let tables = inventory.tables.iter().map(|info| table("", info)).collect();
        Ok(Self { session, inventory, tables, narrow: None })
    }
}

#[async_trait]
impl LiveTables for MySQLLive {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn column<'r>(
        &'r mut self,
        table: usize,
        column: usize,
        block_size: usize,
    ) -> Result<Box<dyn Rows + 'r>, TaskError> {
        let mut narrow = self.inventory.tables[table].clone();
        narrow.columns = vec![narrow.columns.swap_remove(column)];
        let narrow = self.narrow.insert(narrow);
        Ok(Box::new(read::Rows::open(&mut self.session, narrow, block_size).await?))
    }

    async fn end(mut self: Box<Self>) -> Result<(), TaskError> {
        snapshot::finish(&mut self.session).await?;
        self.session.close().await;
        Ok(())
    }
}
