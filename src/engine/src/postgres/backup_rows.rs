//! Loads the rows of a backup into a PostgreSQL database: several connections, each takes the largest item that is left.

use super::connect::Session;
use super::failure::RestoreError;
use super::load::{CopyError, Destination, TableName, copy_rows};
use crate::restore::LoadRequest;
use futures::TryStreamExt;
use futures::future::try_join_all;
use parking_lot::Mutex;
use sennight_core::manifest::{Manifest, Table};
use sennight_protocol::report::TaskError;
use sennight_protocol::restore::RestoreTask;
use std::collections::{BTreeMap, BTreeSet};

/// Below this many bytes of rows, a second connection would cost more than it brings.
const SMALL: i64 = 16 << 20;
/// From this many bytes on, COPY FREEZE saves more than the TRUNCATE costs that it needs.
const FREEZE: i64 = 1 << 20;
/// More connections than this only wait for the server's WAL.
const MAX_CONNECTIONS: i32 = 8;

/// How many connections to load a backup with.
pub fn connections(task: &RestoreTask, manifest: &Manifest) -> i32 {
    if manifest.totals.raw_bytes < SMALL { 1 } else { task.parallelism.clamp(1, MAX_CONNECTIONS) }
}

/// Loads every table's rows, through the partition root where `routes` says so. Each frame is checked before its first byte
/// is sent. Returns the tables whose rows need not be counted again: the server counted them in the transaction that had
/// emptied the table.
pub async fn load(
    request: &LoadRequest<'_>,
    routes: &BTreeMap<TableName, TableName>,
    sessions: &[&Session],
) -> Result<BTreeSet<TableName>, TaskError> {
    let (manifest, progress) = (request.backup.manifest(), request.progress);
    progress.expect_backup(&manifest.totals);
    let empty = manifest.tables.iter().filter(|table| table.frames.is_empty()).count();
    progress.tables(i64::try_from(empty).unwrap_or(i64::MAX));
    let queue = Mutex::new(load_items(&manifest.tables, sessions.len()));
    let next = || queue.lock().pop();
    let counted = Mutex::new(BTreeSet::new());
    let loaders = sessions.iter().map(|session| async {
        while let Some(item) = next() {
            let frames = request.backup.rows(&item).inspect_ok(|raw| {
                progress.add(i64::try_from(raw.len()).unwrap_or(i64::MAX), 0);
            });
            let root = routes.get(&(item.schema.clone(), item.name.clone()));
            let into = match root {
                Some(root) => Destination::Root(root),
                None if item.whole => Destination::Fresh,
                None => Destination::Table,
            };
            let taken =
                copy_rows(session, &item, into, &manifest.server.encoding, frames).await.map_err(|e| match e {
                    CopyError::Source(error) => error,
                    CopyError::Engine(error) => TaskError::from(error),
                })?;
            if taken != item.rows {
                let table = format!("{}.{}", item.schema, item.name);
                return Err(RestoreError::RowsDiffer { table, expected: item.rows, found: taken }.into());
            }
            if matches!(into, Destination::Fresh) {
                let name = (item.schema.clone(), item.name.clone());
                counted.lock().insert(name);
            }
            progress.add(0, taken);
            progress.tables(i64::from(item.last));
        }
        Ok::<_, TaskError>(())
    });
    try_join_all(loaders).await?;
    Ok(counted.into_inner())
}

/// What one COPY loads: a table, or the frames of a big table that lie in one object.
struct LoadItem {
    table: Table,
    /// All rows of the table, and enough of them for a transaction of its own.
    whole: bool,
    /// The table's last item: progress counts the table with it.
    last: bool,
}

impl std::ops::Deref for LoadItem {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.table
    }
}

/// Every table's items, the largest last: the queue is taken from its end. An empty table has none. Tables stay whole, so
/// that COPY FREEZE can load them, if the connections then end at about the same time; otherwise the largest are split.
fn load_items(tables: &[Table], connections: usize) -> Vec<LoadItem> {
    let mut tables: Vec<&Table> = tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(length(table)));
    let lengths: Vec<i64> = tables.iter().map(|table| length(table)).collect();
    let splits = tables_to_split(&lengths, connections);
    let of = |(at, table): (usize, &&Table)| if at < splits { split(table) } else { whole(table) };
    let mut pieces: Vec<LoadItem> = tables.iter().enumerate().flat_map(of).collect();
    pieces.sort_by_key(|item| length(item));
    pieces
}

/// How many of the largest tables must be split, so that no connection works more than a tenth longer than its share.
/// `lengths`: bytes of row text, the largest first.
fn tables_to_split(lengths: &[i64], connections: usize) -> usize {
    let share = lengths.iter().sum::<i64>() / i64::try_from(connections).unwrap_or(1).max(1);
    // Tables after the first few are too small to matter.
    (0..lengths.len().min(4 * connections))
        .find(|apart| busiest(&lengths[*apart..], connections) <= share + share / 10)
        .unwrap_or_else(|| lengths.len().min(4 * connections))
}

/// Bytes that the busiest of `connections` loads, if each takes the largest item that is left.
fn busiest(lengths: &[i64], connections: usize) -> i64 {
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

fn whole(table: &Table) -> Vec<LoadItem> {
    if table.frames.is_empty() {
        return Vec::new();
    }
    vec![LoadItem { table: table.clone(), whole: length(table) >= FREEZE, last: true }]
}

fn split(table: &Table) -> Vec<LoadItem> {
    let mut by_object: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for frame in &table.frames {
        by_object.entry(frame.object.as_str()).or_default().push(frame.clone());
    }
    let count = by_object.len();
    if count == 1 {
        return whole(table);
    }
    let item = |(at, frames): (usize, Vec<sennight_core::manifest::Frame>)| LoadItem {
        whole: false,
        last: at + 1 == count,
        table: Table { rows: frames.iter().map(|f| f.rows).sum(), frames, ..table.clone() },
    };
    by_object.into_values().enumerate().map(item).collect()
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
        let items = load_items(&tables, 2);
        let order: Vec<_> = items.iter().rev().map(|p| (p.name.as_str(), p.frames.len(), p.rows)).collect();
        assert_eq!(order, [("big", 2, 4), ("big", 1, 2), ("small", 1, 2)]);
        assert_eq!(items.iter().filter(|p| p.last).count(), 2, "each table with rows is done once");
    }

    #[test]
    fn a_table_is_split_only_for_a_connection_that_would_idle() {
        let of = |n: i64| table("t", vec![frame("a", n), frame("b", n)]);
        let count = |tables: &[Table], connections| load_items(tables, connections).len();
        assert_eq!([count(&[of(5)], 1), count(&[of(5)], 2)], [1, 2]);
        assert_eq!([count(&vec![of(5); 4], 2), count(&vec![of(5); 2], 2)], [4, 2]);
        assert_eq!(count(&vec![of(5); 3], 2), 4, "of three equal ones, one is shared");
        assert_eq!(count(&[of(50), of(5), of(5)], 2), 4, "the largest alone");
        let frozen = |n| load_items(&[of(n)], 1)[0].whole;
        assert_eq!([frozen(FREEZE / 2), frozen(FREEZE / 2 - 1)], [true, false]);
    }
}
