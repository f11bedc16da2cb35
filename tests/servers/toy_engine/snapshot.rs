//! The toy engine's snapshots: copies of a database. Rows come one a block, so that frames are made of several.

use super::engine::{ToyTable, find};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sennight_core::manifest::ServerFacts;
use sennight_engine::dump::{
    BlockedDdl, Column, LiveTables, OpenDatabase, RowBlock, Rows, SchemaEnd, SchemaReader, Snapshot, SnapshotEnd,
    Table, TableRead, TableReader,
};
use sennight_protocol::report::TaskError;
use sennight_protocol::target::DatabaseTarget;
use std::collections::VecDeque;

#[derive(Clone)]
pub struct ToySnapshot {
    tables: Vec<Table>,
    data: Vec<ToyTable>,
    taken_at: DateTime<Utc>,
    readers: usize,
}

impl ToySnapshot {
    pub fn of(target: &DatabaseTarget) -> Result<Self, TaskError> {
        let data = find(&target.database)?.tables;
        let column = |name: &str| Column { name: name.to_owned(), kind: "text".to_owned() };
        let table = |table: &ToyTable| Table {
            schema: target.database.clone(),
            name: table.name.clone(),
            columns: vec![column("id"), column("name")],
            bytes: i64::try_from(table.rows.len()).unwrap(),
            pages: None,
        };
        Ok(Self { tables: data.iter().map(table).collect(), data, taken_at: Utc::now(), readers: 1 })
    }
}

#[async_trait]
impl OpenDatabase for ToySnapshot {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn begin(self: Box<Self>, readers: usize) -> Result<Box<dyn Snapshot>, TaskError> {
        Ok(Box::new(Self { readers, ..*self }))
    }
}

#[async_trait]
impl Snapshot for ToySnapshot {
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
        2
    }

    async fn reader(&self, _: usize) -> Result<Box<dyn TableReader + '_>, TaskError> {
        Ok(Box::new(ToyReader(&self.data)))
    }

    fn schema(&self) -> Result<Option<Box<dyn SchemaReader + '_>>, TaskError> {
        let names: Vec<Bytes> = self.data.iter().map(|table| Bytes::from(format!("{}\n", table.name))).collect();
        Ok(Some(Box::new(ToySchema(names.into()))))
    }

    async fn watch(&self) -> BlockedDdl {
        std::future::pending().await
    }

    async fn end(self: Box<Self>) -> Result<SnapshotEnd, TaskError> {
        let server = ServerFacts {
            version: "a map".to_owned(),
            major: 1,
            encoding: "UTF8".to_owned(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale_provider: "libc".to_owned(),
            locale: None,
            icu_rules: None,
            extensions: Vec::new(),
            database_bytes: None,
        };
        Ok(SnapshotEnd { server, sequences: Vec::new(), roles: Vec::new(), notes: Vec::new(), schema: None })
    }
}

struct ToySchema(VecDeque<Bytes>);

#[async_trait]
impl SchemaReader for ToySchema {
    async fn next(&mut self) -> Result<Option<Bytes>, TaskError> {
        Ok(self.0.pop_front())
    }

    async fn end(self: Box<Self>) -> Result<SchemaEnd, TaskError> {
        Ok(SchemaEnd { tool: "toy".to_owned(), warnings: vec!["this is a toy".to_owned()] })
    }
}

struct ToyReader<'a>(&'a [ToyTable]);

#[async_trait]
impl TableReader for ToyReader<'_> {
    async fn read<'r>(&'r mut self, reads: &[TableRead], _: usize) -> Result<Box<dyn Rows + 'r>, TaskError> {
        let of = |read: &TableRead| self.0[read.table].rows.clone();
        Ok(Box::new(ToyRows::new(&reads.iter().map(of).collect::<Vec<_>>())))
    }

    async fn release(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn end(self: Box<Self>) -> Result<(), TaskError> {
        Ok(())
    }
}

struct ToyRows {
    counted: Vec<i64>,
    blocks: VecDeque<RowBlock>,
}

impl ToyRows {
    fn new(texts: &[String]) -> Self {
        let rows = |(source, text): (usize, &String)| {
            let block = |row: &str| RowBlock { source, raw: Bytes::from(row.to_owned()), rows: 1 };
            text.split_inclusive('\n').map(block).collect::<Vec<_>>()
        };
        let count = |text: &String| i64::try_from(text.lines().count()).unwrap();
        Self { counted: texts.iter().map(count).collect(), blocks: texts.iter().enumerate().flat_map(rows).collect() }
    }
}

#[async_trait]
impl Rows for ToyRows {
    async fn next(&mut self) -> Result<Option<RowBlock>, TaskError> {
        Ok(self.blocks.pop_front())
    }

    fn counted(&self) -> Vec<i64> {
        self.counted.clone()
    }

    fn recycle(&self) -> Box<dyn FnOnce(Bytes) + Send> {
        Box::new(drop)
    }
}

#[async_trait]
impl LiveTables for ToySnapshot {
    fn tables(&self) -> &[Table] {
        &self.tables
    }

    async fn column<'r>(&'r mut self, table: usize, column: usize, _: usize) -> Result<Box<dyn Rows + 'r>, TaskError> {
        let cell = |row: &str| format!("{}\n", row.split('\t').nth(column).unwrap());
        Ok(Box::new(ToyRows::new(&[self.data[table].rows.lines().map(cell).collect()])))
    }

    async fn end(self: Box<Self>) -> Result<(), TaskError> {
        Ok(())
    }
}
