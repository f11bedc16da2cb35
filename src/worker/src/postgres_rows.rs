//! The rows of a backup on their way into a database: several connections, each taking the largest piece that is left.

use super::frames::table_frames;
use super::{TaskError, WorkerContext};
use futures::TryStreamExt;
use futures::future::try_join_all;
use parking_lot::Mutex;
use sennight_core::manifest::{Manifest, Table};
use sennight_engine::postgres::Session;
use sennight_engine::postgres::failure::RestoreError;
use sennight_engine::postgres::load::{CopyError, Destination, TableName, copy_rows};
use sennight_protocol::restore::RestoreTask;
use std::collections::{BTreeMap, BTreeSet};

/// Below this many bytes of rows, a second connection would cost more than it brings.
const SMALL: i64 = 16 << 20;
/// From this many bytes on, rows that are frozen as they come save more than a TRUNCATE costs.
const FREEZE: i64 = 1 << 20;
/// More connections than this only wait for the server's WAL.
const MOST: i32 = 8;

/// How many connections a backup is worth.
pub fn connections(task: &RestoreTask, manifest: &Manifest) -> i32 {
    if manifest.totals.raw_bytes < SMALL { 1 } else { task.parallelism.clamp(1, MOST) }
}

/// Loads every table's rows, by way of a root where `routes` says so. Each frame was checked before its first byte is sent.
/// Gives the tables whose rows nobody needs to count again: the server counted them in the transaction that had emptied the
/// table.
pub async fn load(
    task: &RestoreTask,
    context: &WorkerContext,
    manifest: &Manifest,
    routes: &BTreeMap<TableName, TableName>,
    sessions: &[&Session],
) -> Result<BTreeSet<TableName>, TaskError> {
    context.progress.expect_backup(&manifest.totals);
    let empty = manifest.tables.iter().filter(|table| table.frames.is_empty()).count();
    context.progress.tables(i64::try_from(empty).unwrap_or(i64::MAX));
    let queue = Mutex::new(pieces(&manifest.tables, sessions.len()));
    let next = || queue.lock().pop();
    let counted = Mutex::new(BTreeSet::new());
    let loaders = sessions.iter().map(|session| async {
        while let Some(piece) = next() {
            let frames = table_frames(&context.store, &task.backup.prefix, &piece).inspect_ok(|raw| {
                context.progress.add(i64::try_from(raw.len()).unwrap_or(i64::MAX), 0);
            });
            let root = routes.get(&(piece.schema.clone(), piece.name.clone()));
            let into = match root {
                Some(root) => Destination::Root(root),
                None if piece.whole => Destination::Fresh,
                None => Destination::Table,
            };
            let taken =
                copy_rows(session, &piece, into, &manifest.server.encoding, frames).await.map_err(|e| match e {
                    CopyError::Source(error) => TaskError::from(error),
                    CopyError::Engine(error) => TaskError::from(error),
                })?;
            if taken != piece.rows {
                let table = format!("{}.{}", piece.schema, piece.name);
                return Err(RestoreError::RowsDiffer { table, expected: piece.rows, found: taken }.into());
            }
            if matches!(into, Destination::Fresh) {
                let name = (piece.schema.clone(), piece.name.clone());
                counted.lock().insert(name);
            }
            context.progress.add(0, taken);
            context.progress.tables(i64::from(piece.last));
        }
        Ok::<_, TaskError>(())
    });
    try_join_all(loaders).await?;
    Ok(counted.into_inner())
}

/// What one COPY loads: a table, or of a big one the frames in one object.
struct Piece {
    table: Table,
    /// All of the table, and worth a transaction of its own.
    whole: bool,
    /// Counts the table as done.
    last: bool,
}

impl std::ops::Deref for Piece {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.table
    }
}

/// Every table's pieces, the largest at the end, where the queue is taken from. An empty table has none. Tables stay whole
/// (and are frozen as they come) as long as the connections end about together; else the largest are taken apart.
fn pieces(tables: &[Table], connections: usize) -> Vec<Piece> {
    let mut tables: Vec<&Table> = tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(length(table)));
    let lengths: Vec<i64> = tables.iter().map(|table| length(table)).collect();
    let apart = taken_apart(&lengths, connections);
    let of = |(at, table): (usize, &&Table)| if at < apart { split(table) } else { whole(table) };
    let mut pieces: Vec<Piece> = tables.iter().enumerate().flat_map(of).collect();
    pieces.sort_by_key(|piece| length(piece));
    pieces
}

/// How many of the largest tables have to be taken apart, so that no connection works a tenth longer than its share while
/// others have nothing left. `lengths`: the largest first.
fn taken_apart(lengths: &[i64], connections: usize) -> usize {
    let share = lengths.iter().sum::<i64>() / i64::try_from(connections).unwrap_or(1).max(1);
    // Whatever comes behind the first few is too small to keep anybody waiting.
    (0..lengths.len().min(4 * connections))
        .find(|apart| longest(&lengths[*apart..], connections) <= share + share / 10)
        .unwrap_or_else(|| lengths.len().min(4 * connections))
}

/// What the busiest of `connections` has to do, if each takes the largest that is left.
fn longest(lengths: &[i64], connections: usize) -> i64 {
    let mut busy = vec![0; connections.max(1)];
    for length in lengths {
        if let Some(idlest) = busy.iter_mut().min() {
            *idlest += length;
        }
    }
    busy.into_iter().max().unwrap_or(0)
}

fn length(table: &Table) -> i64 {
    table.frames.iter().map(|f| f.raw_length).sum()
}

fn whole(table: &Table) -> Vec<Piece> {
    if table.frames.is_empty() {
        return Vec::new();
    }
    vec![Piece { table: table.clone(), whole: length(table) >= FREEZE, last: true }]
}

fn split(table: &Table) -> Vec<Piece> {
    let mut by_object: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for frame in &table.frames {
        by_object.entry(frame.object.as_str()).or_default().push(frame.clone());
    }
    let count = by_object.len();
    if count == 1 {
        return whole(table);
    }
    let piece = |(at, frames): (usize, Vec<sennight_core::manifest::Frame>)| Piece {
        whole: false,
        last: at + 1 == count,
        table: Table { rows: frames.iter().map(|f| f.rows).sum(), frames, ..table.clone() },
    };
    by_object.into_values().enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Frame;

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
        let pieces = pieces(&tables, 2);
        let seen: Vec<_> = pieces.iter().rev().map(|p| (p.name.as_str(), p.frames.len(), p.rows)).collect();
        assert_eq!(seen, [("big", 2, 4), ("big", 1, 2), ("small", 1, 2)]);
        assert_eq!(pieces.iter().filter(|p| p.last).count(), 2, "each table with rows is done once");
    }

    #[test]
    fn a_table_is_taken_apart_only_for_a_connection_that_would_idle() {
        let of = |n: i64| table("t", vec![frame("a", n), frame("b", n)]);
        let count = |tables: &[Table], connections| pieces(tables, connections).len();
        assert_eq!([count(&[of(5)], 1), count(&[of(5)], 2)], [1, 2]);
        assert_eq!([count(&vec![of(5); 4], 2), count(&vec![of(5); 2], 2)], [4, 2]);
        assert_eq!(count(&vec![of(5); 3], 2), 4, "of three equal ones, one is shared");
        assert_eq!(count(&[of(50), of(5), of(5)], 2), 4, "the largest alone");
        let frozen = |n| pieces(&[of(n)], 1)[0].whole;
        assert_eq!([frozen(FREEZE / 2), frozen(FREEZE / 2 - 1)], [true, false]);
    }
}
