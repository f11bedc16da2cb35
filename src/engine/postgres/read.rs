//! Rows out of a table: COPY text in blocks of whole rows, by ranges of pages where a table is big.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::TableInfo;
use super::{ident, literal};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use std::pin::Pin;
use tokio_postgres::CopyOutStream;

/// Pages `from..to` of a table; the last range of a table has no end, because pages may be added meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// First page.
    pub from: i64,
    /// Page after the last one.
    pub to: Option<i64>,
}

/// Whole rows of one table in COPY's text format.
#[derive(Debug, Clone)]
pub struct RowBlock {
    /// The text.
    pub raw: Bytes,
    /// Its rows.
    pub rows: i64,
}

/// How big the tables are now, in bytes and in pages of the main fork, in the order of `tables`.
pub async fn sizes(session: &Session, tables: &[TableInfo]) -> Result<Vec<(i64, i64)>, EngineError> {
    let failed = |e| EngineError::query("measuring the tables", e);
    let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
    let rows = session
        .query(
            "SELECT coalesce(pg_table_size(o), 0),
                    coalesce(pg_relation_size(o), 0) / current_setting('block_size')::bigint
               FROM unnest($1::oid[]) WITH ORDINALITY AS t (o, i) ORDER BY i",
            &[&oids],
        )
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, _>>().map_err(failed)
}

/// Splits a table of `pages` pages into ranges of about `per_range` pages.
pub fn page_ranges(pages: i64, per_range: i64) -> Vec<PageRange> {
    let count = (pages / per_range.max(1)).max(1);
    let step = pages / count;
    (0..count).map(|i| PageRange { from: i * step, to: (i + 1 < count).then_some((i + 1) * step) }).collect()
}

/// The COPY statement. Children are not read through their parent, generated columns not at all, and the rows keep the
/// database's encoding.
pub fn copy_statement(table: &TableInfo, range: Option<PageRange>, encoding: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| ident(&c.name)).collect();
    let columns = columns.join(", ");
    let (name, encoding) = (table.qualified(), literal(encoding));
    let source = match range {
        Some(PageRange { from, to }) => {
            let below = to.map_or_else(String::new, |to| format!(" AND ctid < '({to},0)'::tid"));
            format!("(SELECT {columns} FROM ONLY {name} WHERE ctid >= '({from},0)'::tid{below})")
        }
        // A table without stored columns still has rows: empty lines.
        None if columns.is_empty() => name,
        None => format!("{name} ({columns})"),
    };
    format!("COPY {source} TO STDOUT (ENCODING {encoding})")
}

/// A running COPY.
pub struct Rows {
    what: String,
    stream: Pin<Box<CopyOutStream>>,
    cut: usize,
    buffer: BytesMut,
    next: Option<Bytes>,
    done: bool,
}

impl Rows {
    /// Starts to read `table`. A reader beside the leader locks it first (`lock`), without waiting: a lock that
    /// somebody else queues for would make the reader wait for the leader, and the leader for the reader.
    pub async fn open(
        session: &Session,
        table: &TableInfo,
        range: Option<PageRange>,
        lock: bool,
        cut: usize,
    ) -> Result<Self, EngineError> {
        let what = format!("reading {}.{}", table.schema, table.name);
        if lock {
            let lock = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT", table.qualified());
            session.batch_execute(&lock).await.map_err(|e| EngineError::query(&what, e))?;
        }
        let statement = copy_statement(table, range, session.encoding());
        let stream = session.copy_out(statement.as_str()).await.map_err(|e| EngineError::query(&what, e))?;
        Ok(Self { what, stream: Box::pin(stream), cut, buffer: BytesMut::new(), next: None, done: false })
    }

    /// The next block: whole rows, at most `cut` bytes or one row. `None` after the server's end of the COPY.
    pub async fn next(&mut self) -> Result<Option<RowBlock>, EngineError> {
        if let Some(piece) = self.next.take() {
            if piece.len() > self.cut && piece.ends_with(b"\n") {
                return Ok(Some(block(piece)));
            }
            self.push(&piece);
        }
        while !self.done {
            match self.stream.next().await {
                None => self.done = true,
                Some(Err(e)) => return Err(EngineError::query(&self.what, e)),
                Some(Ok(piece)) if self.whole() && self.buffer.len() + piece.len() > self.cut => {
                    if self.buffer.is_empty() && piece.ends_with(b"\n") {
                        // One row above the cut is a block by itself; copying it would cost its size once more.
                        return Ok(Some(block(piece)));
                    }
                    if !self.buffer.is_empty() {
                        self.next = Some(piece);
                        break;
                    }
                    self.push(&piece);
                }
                Some(Ok(piece)) => self.push(&piece),
            }
        }
        if !self.whole() {
            return Err(EngineError::Incomplete {
                what: self.what.clone(),
                why: "the row text does not end with a line end".to_owned(),
            });
        }
        let raw = std::mem::take(&mut self.buffer).freeze();
        Ok((!raw.is_empty()).then(|| block(raw)))
    }

    fn whole(&self) -> bool {
        self.buffer.last().is_none_or(|last| *last == b'\n')
    }

    fn push(&mut self, piece: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.cut.max(piece.len()));
        }
        self.buffer.extend_from_slice(piece);
    }
}

fn block(raw: Bytes) -> RowBlock {
    let rows = memchr::memchr_iter(b'\n', &raw).count();
    RowBlock { rows: i64::try_from(rows).unwrap_or(i64::MAX), raw }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Column;
    use proptest::prelude::*;

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
            r#"COPY (SELECT "a" FROM ONLY "s"."t""x" WHERE ctid >= '(5,0)'::tid) TO STDOUT (ENCODING 'LATIN1')"#
        );
    }

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
