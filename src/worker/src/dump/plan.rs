//! Plans a dump: how many connections, which tables are split into ranges of pages, which share an object. Pure.

use sennight_engine::postgres::inventory::TableInfo;
use sennight_engine::postgres::read::{PageRange, page_ranges};

const MIB: i64 = 1 << 20;

/// Bytes. Below this a second connection costs the server more than it saves.
const SMALL_DATABASE: i64 = 64 * MIB;
/// Small tables share one request up to this many bytes and this many tables.
const REQUEST: (i64, usize) = (32 * MIB, 200);
/// Row text per frame, least and most, in bytes. The format allows 64 MiB (docs/design.md, "Dumps: format v1"). Small frames
/// keep readers, compressors and uploads within a worker's memory, and compress as well. Large databases get larger ones,
/// so that the manifest stays small.
const FRAME: (i64, i64) = (4 * MIB, 8 * MIB);
/// About how many frames the manifest of a large database lists.
const FRAMES: i64 = 16_384;
/// Tables of at least this many bytes have objects of their own.
const OWN_OBJECT: i64 = 64 * MIB;
/// Bytes on the server's disk of one range of a big table.
const RANGE: i64 = 256 * MIB;
/// More readers than this do not fit into the worker's memory.
const MAX_READERS: usize = 4;
/// The oldest major that reads a range of `ctid` without reading the whole table.
const RANGES_SINCE: i32 = 14;

/// One COPY statement to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadItem {
    /// Index of the table in the inventory.
    pub table: usize,
    /// Its number among the items of the same table.
    pub part: usize,
    /// Pages to read; `None` is the whole table.
    pub range: Option<PageRange>,
    /// Whether its rows go into an object of their own.
    pub own_object: bool,
    /// Estimated bytes on the server's disk.
    pub bytes: i64,
}

/// What a dump is to read, and with how many connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpPlan {
    /// Connections that read at the same time.
    pub readers: usize,
    /// Reads, the largest first, so that the last ones are short.
    pub items: Vec<ReadItem>,
    /// Bytes of row text per frame.
    pub frame_bytes: usize,
}

/// Plans the reading of `tables`, whose bytes and pages are `sizes`.
pub fn plan(tables: &[TableInfo], sizes: &[(i64, i64)], parallelism: i32, server_major: i32) -> DumpPlan {
    let total: i64 = sizes.iter().map(|(bytes, _)| bytes).sum();
    let readers =
        if total < SMALL_DATABASE { 1 } else { usize::try_from(parallelism).unwrap_or(1).clamp(1, MAX_READERS) };
    let mut big = Vec::new();
    let mut small = Vec::new();
    for (index, (table, (bytes, pages))) in tables.iter().zip(sizes).enumerate() {
        let splits = readers > 1 && table.heap && server_major >= RANGES_SINCE && *bytes >= 2 * RANGE;
        let own_object = *bytes >= OWN_OBJECT;
        let item = |part, range, bytes| ReadItem { table: index, part, range, own_object, bytes };
        if splits {
            // Assumes that rows and their TOAST data are spread evenly over the pages.
            let ranges = page_ranges(*pages, pages / (bytes / RANGE).max(1));
            let whole = i64::try_from(ranges.len()).unwrap_or(i64::MAX);
            let each = bytes / whole;
            big.extend(ranges.into_iter().enumerate().map(|(part, range)| item(part, Some(range), each)));
        } else if own_object {
            big.push(item(0, None, *bytes));
        } else {
            small.push(item(0, None, *bytes));
        }
    }
    big.sort_by_key(|item| std::cmp::Reverse(item.bytes));
    big.append(&mut small);
    let frame = usize::try_from((total / FRAMES).clamp(FRAME.0, FRAME.1)).unwrap_or(usize::MAX);
    DumpPlan { readers, items: big, frame_bytes: frame }
}

/// How many of the next items one request reads: one large one, or several small ones.
pub fn items_per_request<'a>(next: impl IntoIterator<Item = &'a ReadItem>) -> usize {
    let (most, count) = REQUEST;
    let mut sum = 0;
    let small = next.into_iter().take(count).take_while(|item| {
        sum += item.bytes;
        !item.own_object && sum <= most
    });
    small.count().max(1)
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
    fn one_request_reads_a_big_item_or_some_small_ones() {
        let item = |bytes, own_object| ReadItem { table: 0, part: 0, range: None, own_object, bytes };
        let (small, big) = (item(MIB, false), item(99 * MIB, true));
        assert_eq!(items_per_request(&[big.clone(), small.clone()]), 1);
        assert_eq!(items_per_request(&[small.clone(), small.clone(), big]), 2);
        assert_eq!(items_per_request(&vec![small; 99]), 32);
        assert_eq!(items_per_request(&vec![item(0, false); 999]), 200);
        assert_eq!(items_per_request(&[item(63 * MIB, false)]), 1);
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
