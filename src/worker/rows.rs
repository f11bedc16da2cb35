//! The rows of a copy on their way into a database: several connections, each taking the largest piece that is left.

use super::frames::table_frames;
use super::{TaskError, WorkerContext};
use crate::domain::job::RestoreTask;
use crate::domain::manifest::{Manifest, Table};
use crate::engine::postgres::connect;
use crate::engine::postgres::failure::RestoreError;
use crate::engine::postgres::load::{CopyError, TableName, copy};
use futures::TryStreamExt;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Below this many bytes of rows, a second connection would cost more than it brings.
const SMALL: i64 = 16 << 20;
/// More connections than this only wait for the server's WAL.
const MOST: i32 = 8;

/// Loads every table's rows, by way of a root where `routes` says so. Each frame was checked before its first byte is sent.
pub async fn load(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    routes: &BTreeMap<TableName, TableName>,
    database: &str,
    application: &str,
) -> Result<(), TaskError> {
    context.progress.expect(manifest.totals.raw_bytes);
    let queue = Mutex::new(pieces(&manifest.tables));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let connections = if manifest.totals.raw_bytes < SMALL { 1 } else { task.parallelism.clamp(1, MOST) };
    let loaders = (0..connections).map(|_| async {
        let session = connect(&task.database, database, application).await?;
        while let Some(piece) = next() {
            let frames = table_frames(&context.store, &task.copy.prefix, &piece).inspect_ok(|raw| {
                context.progress.add(i64::try_from(raw.len()).unwrap_or(i64::MAX), 0);
            });
            let root = routes.get(&(piece.schema.clone(), piece.name.clone()));
            let taken = copy(&session, &piece, root, &manifest.server.encoding, frames).await.map_err(|e| match e {
                CopyError::Source(error) => TaskError::from(error),
                CopyError::Engine(error) => TaskError::from(error),
            })?;
            if taken != piece.rows {
                let table = format!("{}.{}", piece.schema, piece.name);
                return Err(RestoreError::RowsDiffer { table, expected: piece.rows, found: taken }.into());
            }
            context.progress.add(0, taken);
            context.progress.tables(i64::from(piece.last));
        }
        session.close().await;
        Ok(())
    });
    try_join_all(loaders).await.map(|_| ())
}

/// A table's frames in one object: one COPY.
struct Piece {
    table: Table,
    /// Counts the table as done.
    last: bool,
}

impl std::ops::Deref for Piece {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.table
    }
}

/// Every table's pieces, the largest at the end, where the queue is taken from. An empty table has none.
fn pieces(tables: &[Table]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = tables.iter().flat_map(split).collect();
    pieces.sort_by_key(|piece| piece.frames.iter().map(|f| f.raw_length).sum::<i64>());
    pieces
}

fn split(table: &Table) -> Vec<Piece> {
    let mut by_object: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for frame in &table.frames {
        by_object.entry(frame.object.as_str()).or_default().push(frame.clone());
    }
    let count = by_object.len();
    let piece = |(at, frames): (usize, Vec<crate::domain::manifest::Frame>)| Piece {
        last: at + 1 == count,
        table: Table { rows: frames.iter().map(|f| f.rows).sum(), frames, ..table.clone() },
    };
    by_object.into_values().enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Frame;

    fn frame(object: &str, raw_length: i64) -> Frame {
        Frame { object: object.to_owned(), offset: 0, length: 1, raw_length, rows: 2, sha256: String::new() }
    }

    fn table(name: &str, frames: Vec<Frame>) -> Table {
        let rows = frames.iter().map(|f| f.rows).sum();
        Table { schema: "s".to_owned(), name: name.to_owned(), columns: Vec::new(), rows, frames }
    }

    #[test]
    fn a_big_tables_objects_are_loaded_side_by_side_and_the_largest_first() {
        let tables = [
            table("small", vec![frame("pack", 5)]),
            table("empty", Vec::new()),
            table("big", vec![frame("a", 10), frame("a", 20), frame("b", 7)]),
        ];
        let pieces = pieces(&tables);
        let seen: Vec<_> = pieces.iter().rev().map(|p| (p.name.as_str(), p.frames.len(), p.rows)).collect();
        assert_eq!(seen, [("big", 2, 4), ("big", 1, 2), ("small", 1, 2)]);
        assert_eq!(pieces.iter().filter(|p| p.last).count(), 2, "each table with rows is done once");
    }
}
