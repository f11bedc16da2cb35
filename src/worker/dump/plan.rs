//! Who reads what: how many connections, which tables are split into ranges of pages, which share an object. Pure.

use crate::engine::postgres::inventory::TableInfo;
use crate::engine::postgres::read::{PageRange, page_ranges};

const MIB: i64 = 1 << 20;

/// Below this a second connection costs the server more than it saves.
const SMALL_DATABASE: i64 = 64 * MIB;
/// Tables from this size on have objects of their own.
const OWN_OBJECT: i64 = 64 * MIB;
/// A range of a big table, as it lies on the server's disk.
const RANGE: i64 = 256 * MIB;
/// More readers than this do not fit into the worker's memory.
const MAX_READERS: usize = 4;
/// The oldest major that reads a range of `ctid` without reading the whole table.
const RANGES_SINCE: i32 = 14;

/// One COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Index of the table.
    pub table: usize,
    /// Its place among the table's items.
    pub part: usize,
    /// The pages, or the whole table.
    pub range: Option<PageRange>,
    /// Whether its rows go into an object of their own.
    pub own_object: bool,
}

/// The whole work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Connections.
    pub readers: usize,
    /// COPYs, the biggest first.
    pub items: Vec<Item>,
}

/// Plans the reading of `tables`, whose bytes and pages are `sizes`.
pub fn plan(tables: &[TableInfo], sizes: &[(i64, i64)], parallelism: i32, server_major: i32) -> Plan {
    let total: i64 = sizes.iter().map(|(bytes, _)| bytes).sum();
    let readers =
        if total < SMALL_DATABASE { 1 } else { usize::try_from(parallelism).unwrap_or(1).clamp(1, MAX_READERS) };
    let mut big = Vec::new();
    let mut small = Vec::new();
    for (index, (table, (bytes, pages))) in tables.iter().zip(sizes).enumerate() {
        let splits = readers > 1 && table.heap && server_major >= RANGES_SINCE && *bytes >= 2 * RANGE;
        let own_object = *bytes >= OWN_OBJECT;
        let item = |part, range| Item { table: index, part, range, own_object };
        if splits {
            // The rows' own pages and what lies beside them (TOAST) are taken to be spread evenly.
            let ranges = page_ranges(*pages, pages / (bytes / RANGE).max(1));
            let whole = i64::try_from(ranges.len()).unwrap_or(i64::MAX);
            big.extend(ranges.into_iter().enumerate().map(|(part, r)| (bytes / whole, item(part, Some(r)))));
        } else if own_object {
            big.push((*bytes, item(0, None)));
        } else {
            small.push(item(0, None));
        }
    }
    big.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let items = big.into_iter().map(|(_, item)| item).chain(small).collect();
    Plan { readers, items }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(count: usize) -> Vec<TableInfo> {
        let table = |oid| TableInfo { oid, schema: "s".into(), name: oid.to_string(), columns: vec![], heap: true };
        (1_u32..).take(count).map(table).collect()
    }

    #[test]
    fn a_small_database_is_read_by_one_connection_into_shared_objects() {
        let plan = plan(&tables(3), &[(MIB, 128), (0, 0), (MIB, 128)], 8, 15);
        assert_eq!(plan.readers, 1);
        assert!(plan.items.iter().all(|i| !i.own_object && i.range.is_none()));
        assert_eq!(plan.items.iter().map(|i| i.table).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_big_table_is_split_only_where_ranges_of_pages_are_cheap() {
        let sizes = [(MIB, 128), (1024 * MIB, 131_072)];
        let split = plan(&tables(2), &sizes, 2, 14);
        let ranges: Vec<_> = split.items.iter().filter(|i| i.table == 1).collect();
        assert_eq!((split.readers, ranges.len()), (2, 4));
        assert!(ranges.iter().all(|i| i.own_object && i.range.is_some()));
        for whole in [plan(&tables(2), &sizes, 1, 14), plan(&tables(2), &sizes, 2, 13)] {
            assert_eq!(whole.items.iter().filter(|i| i.table == 1).count(), 1);
        }
        assert_eq!(plan(&tables(2), &sizes, 99, 15).readers, 4, "memory is bounded whatever the task says");
    }
}
