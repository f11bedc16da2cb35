//! Reads a table's rows: writes the server's answer as row text, in blocks of whole rows.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::TableInfo;
use super::text::{Kind, push};
use crate::dump::RowBlock;
use bytes::Bytes;
use mysql_async::prelude::Queryable;
use mysql_async::{QueryResult, Row, TextProtocol, Value};

/// The rows of one table while they are read. The protocol ends them with a packet of its own, so an answer that breaks off is
/// an error, never an end.
pub struct Rows<'a> {
    table: &'a TableInfo,
    kinds: Vec<Kind>,
    checked: bool,
    answer: QueryResult<'a, 'static, TextProtocol>,
    block_size: usize,
    /// Text that was read and not returned yet; its last row is complete.
    text: Vec<u8>,
    pending: i64,
    total: i64,
    ended: bool,
}

impl<'a> Rows<'a> {
    /// Starts to read `table` in blocks of at most `block_size` bytes or one row.
    pub async fn open(session: &'a mut Session, table: &'a TableInfo, block_size: usize) -> Result<Self, EngineError> {
        let query = table.select(true);
        let answer = session.conn().query_iter(query).await.map_err(|e| EngineError::query(reading(table), &e))?;
        Ok(Self {
            kinds: table.columns.iter().map(|c| c.kind).collect(),
            checked: table.is_checked(),
            table,
            answer,
            block_size,
            text: Vec::new(),
            pending: 0,
            total: 0,
            ended: false,
        })
    }

    /// The next block; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<RowBlock>, EngineError> {
        while !self.ended {
            let next = self.answer.next().await.map_err(|e| EngineError::query(reading(self.table), &e))?;
            let Some(row) = next else {
                self.ended = true;
                break;
            };
            let before = self.text.len();
            self.write(&row)?;
            if self.text.len() > self.block_size && before > 0 {
                let last = self.text.split_off(before);
                let block = self.block();
                self.text = last;
                self.pending = 1;
                self.total += 1;
                return Ok(Some(block));
            }
            self.pending += 1;
            self.total += 1;
        }
        Ok((self.pending > 0).then(|| self.block()))
    }

    /// Rows that arrived; final after the last block.
    pub fn counted(&self) -> i64 {
        self.total
    }

    fn block(&mut self) -> RowBlock {
        let raw = Bytes::from(std::mem::take(&mut self.text));
        RowBlock { source: 0, raw, rows: std::mem::take(&mut self.pending) }
    }

    fn write(&mut self, row: &Row) -> Result<(), EngineError> {
        if self.text.capacity() == 0 {
            self.text.reserve(self.block_size.min(64 << 10));
        }
        for (at, kind) in self.kinds.iter().enumerate() {
            if at > 0 {
                self.text.push(b'\t');
            }
            push(&mut self.text, *kind, bytes(self.table, row.as_ref(at))?);
        }
        self.text.push(b'\n');
        if self.checked && bytes(self.table, row.as_ref(self.kinds.len()))? != Some(b"1".as_slice()) {
            return Err(EngineError::LossyText { table: self.table.name.clone() });
        }
        Ok(())
    }
}

/// In the text protocol a value is bytes or NULL.
fn bytes<'r>(table: &TableInfo, value: Option<&'r Value>) -> Result<Option<&'r [u8]>, EngineError> {
    match value {
        Some(Value::NULL) => Ok(None),
        Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
        other => {
            let why = format!("a value came as {}", other.map_or("nothing", |_| "another protocol's"));
            Err(EngineError::Incomplete { what: reading(table), why })
        }
    }
}

fn reading(table: &TableInfo) -> String {
    format!("reading {}", table.name)
}
