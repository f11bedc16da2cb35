//! Plans a dump: how many connections, which tables are split into ranges of pages, which share an object. Pure.

use sennight_engine::dump::{PageRange, Table, page_ranges};

const MIB: i64 = 1 << 20;

/// Bytes. Below this a second connection costs the server more than it saves.
const SMALL_DATABASE: i64 = 64 * MIB;
/// Small tables share one request up to this many bytes.
const REQUEST: i64 = 32 * MIB;
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

/// One read: a table, or a range of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadItem {
    /// Index of the table in the snapshot.
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

/// Plans the reading of `tables`.
pub fn plan(tables: &[Table], parallelism: i32) -> DumpPlan {
    let total: i64 = tables.iter().map(|table| table.bytes).sum();
    let readers =
        if total < SMALL_DATABASE { 1 } else { usize::try_from(parallelism).unwrap_or(1).clamp(1, MAX_READERS) };
    let mut big = Vec::new();
    let mut small = Vec::new();
    for (index, Table { bytes, pages, .. }) in tables.iter().enumerate() {
        let pages = pages.filter(|_| readers > 1 && *bytes >= 2 * RANGE);
        let own_object = *bytes >= OWN_OBJECT;
        let item = |part, range, bytes| ReadItem { table: index, part, range, own_object, bytes };
        if let Some(pages) = pages {
            // Assumes that rows and their TOAST data are spread evenly over the pages.
            let ranges = page_ranges(pages, pages / (bytes / RANGE).max(1));
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

/// How many of the next items one request reads: one large one, or up to `count` small ones.
pub fn items_per_request<'a>(next: impl IntoIterator<Item = &'a ReadItem>, count: usize) -> usize {
    let mut sum = 0;
    let small = next.into_iter().take(count).take_while(|item| {
        sum += item.bytes;
        !item.own_object && sum <= REQUEST
    });
    small.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: i64, pages: Option<i64>) -> Table {
        Table { schema: "s".into(), name: "t".into(), columns: vec![], bytes, pages }
    }

    #[test]
    fn a_small_database_is_read_by_one_connection_into_shared_objects() {
        let plan = plan(&[table(MIB, Some(128)), table(0, Some(0)), table(MIB, Some(128))], 8);
        assert_eq!(plan.readers, 1);
        assert!(plan.items.iter().all(|i| !i.own_object && i.range.is_none()));
        assert_eq!(plan.items.iter().map(|i| i.table).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn one_request_reads_a_big_item_or_some_small_ones() {
        let item = |bytes, own_object| ReadItem { table: 0, part: 0, range: None, own_object, bytes };
        let (small, big) = (item(MIB, false), item(99 * MIB, true));
        let count = |items: &[ReadItem]| items_per_request(items, 200);
        assert_eq!(count(&[big.clone(), small.clone()]), 1);
        assert_eq!(count(&[small.clone(), small.clone(), big]), 2);
        assert_eq!(count(&vec![small.clone(); 99]), 32);
        assert_eq!(count(&vec![item(0, false); 999]), 200);
        assert_eq!(count(&[item(63 * MIB, false)]), 1);
        assert_eq!(items_per_request(&vec![small; 99], 1), 1);
    }

    #[test]
    fn a_big_table_is_split_only_where_ranges_of_pages_are_cheap() {
        let tables = |pages| [table(MIB, pages), table(1024 * MIB, pages.map(|_| 131_072))];
        let split = plan(&tables(Some(128)), 2);
        let ranges: Vec<_> = split.items.iter().filter(|i| i.table == 1).collect();
        assert_eq!((split.readers, ranges.len()), (2, 4));
        assert!(ranges.iter().all(|i| i.own_object && i.range.is_some()));
        for whole in [plan(&tables(Some(128)), 1), plan(&tables(None), 2)] {
            assert_eq!(whole.items.iter().filter(|i| i.table == 1).count(), 1);
        }
        assert_eq!(plan(&tables(Some(128)), 99).readers, 4, "memory is bounded whatever the task says");
    }
}
