//! Reads rows by COPY, in blocks of whole rows: ranges of pages of a big table, several small tables in one request.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::TableInfo;
use super::row_buffer::{BufferItem, RowBuffer};
use super::{ident, literal};
use crate::dump::{PageRange, RowBlock};
use bytes::Bytes;
use futures::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

/// One COPY: a table, or a range of it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The table.
    pub table: &'a TableInfo,
    /// The pages, or all.
    pub range: Option<PageRange>,
}

/// Size of each table, in bytes and in pages of the main fork, in the order of `tables`.
pub async fn sizes(session: &Session, tables: &[TableInfo]) -> Result<Vec<(i64, i64)>, EngineError> {
    let failed = |e| EngineError::query("measuring the tables", e);
    let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
    let rows = session
        .query(
            "SELECT coalesce(pg_table_size(o), 0),
                    coalesce(pg_relation_size(o), 0) / current_setting('block_size')::bigint
               FROM unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS t (o, i) ORDER BY i",
            &[&oids],
        )
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, _>>().map_err(failed)
}

/// The COPY statement. Children are not read through their parent, generated columns not at all, and the rows keep the
/// database's encoding.
pub fn copy_statement(table: &TableInfo, range: Option<PageRange>, encoding: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| ident(&c.name)).collect();
    let columns = columns.join(", ");
    let (name, encoding) = (table.qualified(), literal(encoding));
    let source = match range {
        Some(PageRange { from, to }) => {
            let below = to.map_or_else(String::new, |to| format!(" AND ctid < '({to},0)'::pg_catalog.tid"));
            format!("(SELECT {columns} FROM ONLY {name} WHERE ctid >= '({from},0)'::pg_catalog.tid{below})")
        }
        // A table without stored columns still has rows: empty lines.
        None if columns.is_empty() => name,
        None => format!("{name} ({columns})"),
    };
    format!("COPY {source} TO STDOUT (ENCODING {encoding})")
}

/// COPYs that run one after the other, by one request. Each is counted: what arrived must be what the server says that it
/// sent.
pub struct Rows {
    names: Vec<String>,
    /// Statements for each source; the last one is the COPY.
    statements: usize,
    answers: Pin<Box<SimpleQueryStream>>,
    answered: usize,
    row_buffer: Arc<RowBuffer>,
    /// Rows that arrived, and of ended sources those that the server counted.
    arrived: Vec<i64>,
    counted: Vec<i64>,
    ended: usize,
}

impl Rows {
    /// Starts to read `table`; see [`Rows::open_all`].
    pub async fn open(
        session: &Session,
        table: &TableInfo,
        range: Option<PageRange>,
        lock: bool,
        block_size: usize,
    ) -> Result<Self, EngineError> {
        Self::open_all(session, &[Source { table, range }], lock, block_size).await
    }

    /// Starts to read all sources in their order, in blocks of whole rows: at most `block_size` bytes or one row. A reader beside
    /// the leader locks each table first (`lock`), without waiting: a lock that somebody else queues for would make the
    /// reader wait for the leader, and the leader for the reader.
    pub async fn open_all(
        session: &Session,
        sources: &[Source<'_>],
        lock: bool,
        block_size: usize,
    ) -> Result<Self, EngineError> {
        let names: Vec<String> = sources.iter().map(|s| format!("{}.{}", s.table.schema, s.table.name)).collect();
        let mut request = Vec::with_capacity(2 * sources.len());
        for Source { table, range } in sources {
            if lock {
                request.push(format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT", table.qualified()));
            }
            request.push(copy_statement(table, *range, session.encoding()));
        }
        let row_buffer = session.row_buffer().clone();
        row_buffer.open(block_size);
        let answers = session.simple_query_raw(&request.join(";\n")).await.map_err(|e| {
            row_buffer.close();
            EngineError::query(reading(&names, 0), e)
        })?;
        Ok(Self {
            statements: if lock { 2 } else { 1 },
            answers: Box::pin(answers),
            answered: 0,
            row_buffer,
            arrived: vec![0; names.len()],
            counted: Vec::with_capacity(names.len()),
            ended: 0,
            names,
        })
    }

    /// The next block. `None` after the server's end of the last COPY.
    pub async fn next(&mut self) -> Result<Option<RowBlock>, EngineError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Rows of each source that the server counted, after the last block.
    pub fn counted(&self) -> &[i64] {
        &self.counted
    }

    /// Gives the memory of a block back, for the next one.
    pub fn recycle(&self) -> impl FnOnce(Bytes) + Send + use<> {
        let row_buffer = self.row_buffer.clone();
        move |block| row_buffer.recycle(block)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RowBlock>, EngineError>> {
        loop {
            // Blocks first: they arrived before the answers that follow them.
            match self.row_buffer.take(cx) {
                Poll::Ready(BufferItem::Rows(raw, rows)) => return Poll::Ready(self.block(raw, rows).map(Some)),
                Poll::Ready(BufferItem::End) => self.ended += 1,
                Poll::Pending => match self.answers.as_mut().poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(self.end()),
                    Poll::Ready(Some(Ok(answer))) => self.answer(&answer),
                    Poll::Ready(Some(Err(e))) => {
                        let what = reading(&self.names, self.counted.len());
                        return Poll::Ready(Err(EngineError::query(what, e)));
                    }
                },
            }
        }
    }

    fn block(&mut self, raw: Bytes, rows: i64) -> Result<RowBlock, EngineError> {
        let source = self.ended;
        match self.arrived.get_mut(source) {
            Some(arrived) if raw.ends_with(b"\n") => *arrived += rows,
            _ => return Err(self.incomplete(source, "the row text does not end with a line end".to_owned())),
        }
        Ok(RowBlock { source, raw, rows })
    }

    fn answer(&mut self, answer: &SimpleQueryMessage) {
        if let SimpleQueryMessage::CommandComplete(rows) = answer {
            self.answered += 1;
            if self.answered.is_multiple_of(self.statements) {
                self.counted.push(i64::try_from(*rows).unwrap_or(i64::MAX));
            }
        }
    }

    fn end(&mut self) -> Result<Option<RowBlock>, EngineError> {
        // The last blocks are in the buffer before the answer that ends them.
        let sources = self.names.len();
        if self.ended != sources || self.counted.len() != sources {
            return Err(self.incomplete(self.ended, "the server's end of the rows is missing".to_owned()));
        }
        let wrong = (0..sources).find(|s| self.arrived[*s] != self.counted[*s]);
        wrong.map_or(Ok(None), |source| {
            let why = format!("{} rows arrived, the server sent {}", self.arrived[source], self.counted[source]);
            Err(self.incomplete(source, why))
        })
    }

    fn incomplete(&self, source: usize, why: String) -> EngineError {
        EngineError::Incomplete { what: reading(&self.names, source), why }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.row_buffer.close();
    }
}

fn reading(names: &[String], source: usize) -> String {
    format!("reading {}", names.get(source.min(names.len().saturating_sub(1))).map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Column;

    fn table(columns: &[&str]) -> TableInfo {
        TableInfo {
            oid: 1,
            schema: "s".into(),
            name: "t\"x".into(),
            columns: columns.iter().map(|name| Column { name: (*name).to_owned(), kind: "text".into() }).collect(),
            heap: true,
        }
    }

    #[test]
    fn a_copy_names_its_columns_and_quotes_them() {
        assert_eq!(
            copy_statement(&table(&["a", "b c"]), None, "UTF8"),
            r#"COPY "s"."t""x" ("a", "b c") TO STDOUT (ENCODING 'UTF8')"#
        );
        assert_eq!(copy_statement(&table(&[]), None, "UTF8"), r#"COPY "s"."t""x" TO STDOUT (ENCODING 'UTF8')"#);
        let range = PageRange { from: 5, to: None };
        assert_eq!(
            copy_statement(&table(&["a"]), Some(range), "LATIN1"),
            r#"COPY (SELECT "a" FROM ONLY "s"."t""x" WHERE ctid >= '(5,0)'::pg_catalog.tid) TO STDOUT (ENCODING 'LATIN1')"#
        );
    }
}
