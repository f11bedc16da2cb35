//! Digest of a table's rows: equal for the same rows in any order. A load compares what it sent with what it reads back.

use super::connect::Session;
use super::error::EngineError;
use super::inventory::TableInfo;
use super::read::Rows;
use std::hash::{DefaultHasher, Hasher};

/// Text that is read at a time.
const BLOCK: usize = 1 << 20;

/// Number of rows, and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Number of rows.
    pub rows: i64,
    sum: u64,
}

impl Digest {
    /// Adds whole rows of row text.
    pub fn add(&mut self, raw: &[u8]) {
        let mut rest = raw;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let mut hasher = DefaultHasher::new();
            hasher.write(&rest[..end]);
            self.sum = self.sum.wrapping_add(hasher.finish());
            self.rows += 1;
            rest = &rest[end + 1..];
        }
    }

    /// Reads all of a table.
    pub async fn of(session: &mut Session, table: &TableInfo) -> Result<Self, EngineError> {
        let mut digest = Self::default();
        let mut rows = Rows::open(session, table, BLOCK).await?;
        while let Some(block) = rows.next().await? {
            digest.add(&block.raw);
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_no_difference_and_everything_else_is() {
        let of = |texts: &[&str]| texts.iter().fold(Digest::default(), |mut d, text| (d.add(text.as_bytes()), d).1);
        assert_eq!(of(&["a\t1\nb\t2\n"]), of(&["b\t2\n", "a\t1\n"]));
        for other in ["a\t1\n", "a\t1\nb\t2\nb\t2\n", "a\t1\nb\t3\n", "a\t1\nb\t\\N\n"] {
            assert_ne!(of(&["a\t1\nb\t2\n"]), of(&[other]), "{other:?}");
        }
    }
}
