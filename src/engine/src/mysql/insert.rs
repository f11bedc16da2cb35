//! Turns row text into INSERT statements, for servers that take no LOAD DATA LOCAL. Nothing is sent here: that is in
//! `load`.

use super::ident;
use super::text::cells;
use sennight_core::manifest::Table;

/// Whether a type's values are bytes, which the row text has as hex.
pub fn is_bytes(kind: &str) -> bool {
    let base = kind.split(['(', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    super::inventory::is_bytes(&base)
}

/// Writes rows into statements of at most `limit` bytes (or one row).
pub struct Inserts<'a> {
    head: String,
    bytes: Vec<bool>,
    limit: usize,
    rows: &'a [u8],
}

impl<'a> Inserts<'a> {
    /// Statements for whole rows of `table`.
    pub fn new(table: &Table, rows: &'a [u8], limit: usize) -> Self {
        let columns: Vec<String> = table.columns.iter().map(|c| ident(&c.name)).collect();
        let head = format!("INSERT INTO {} ({}) VALUES ", ident(&table.name), columns.join(", "));
        Self { head, bytes: table.columns.iter().map(|c| is_bytes(&c.kind)).collect(), limit, rows }
    }

    fn tuple(&self, line: &[u8], out: &mut Vec<u8>) {
        out.push(b'(');
        // A table without stored columns has empty lines.
        for (at, (cell, bytes)) in cells(line).zip(&self.bytes).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match cell {
                None => out.extend_from_slice(b"NULL"),
                Some(hex) if *bytes => {
                    out.extend_from_slice(b"x'");
                    out.extend_from_slice(&hex);
                    out.push(b'\'');
                }
                Some(text) => quote(&text, out),
            }
        }
        out.push(b')');
    }
}

/// For a session whose `sql_mode` is without NO_BACKSLASH_ESCAPES, and whose character set is utf8mb4.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in text {
        match byte {
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x1a => out.extend_from_slice(b"\\Z"),
            _ => out.push(*byte),
        }
    }
    out.push(b'\'');
}

impl Iterator for Inserts<'_> {
    type Item = (Vec<u8>, i64);

    fn next(&mut self) -> Option<Self::Item> {
        let mut statement = Vec::new();
        let mut rows = 0;
        while let Some(end) = memchr::memchr(b'\n', self.rows) {
            let before = statement.len();
            statement.extend_from_slice(if rows == 0 { self.head.as_bytes() } else { b"," });
            self.tuple(&self.rows[..end], &mut statement);
            if rows > 0 && statement.len() > self.limit {
                statement.truncate(before);
                break;
            }
            rows += 1;
            self.rows = &self.rows[end + 1..];
        }
        (rows > 0).then_some((statement, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::manifest::Column;

    fn table(kinds: &[(&str, &str)]) -> Table {
        let column = |(name, kind): &(&str, &str)| Column { name: (*name).into(), kind: (*kind).into() };
        let columns = kinds.iter().map(column).collect();
        Table { schema: "d".into(), name: "t".into(), columns, rows: 0, frames: vec![] }
    }

    #[test]
    fn rows_become_statements_of_bounded_length_and_none_is_lost() {
        let table = table(&[("a", "int(11)"), ("b`", "varbinary(9)"), ("c", "text")]);
        let rows = b"1\t00ff\tit's\\t\\\\\n2\t\\N\t\n3\t\t\\N\n";
        let statements: Vec<_> = Inserts::new(&table, rows, 90).collect();
        let texts: Vec<_> = statements.iter().map(|(s, n)| (String::from_utf8_lossy(s).into_owned(), *n)).collect();
        assert_eq!(texts[0].0, "INSERT INTO `t` (`a`, `b```, `c`) VALUES ('1',x'00ff','it\\'s\t\\\\'),('2',NULL,'')");
        assert_eq!(texts[1], ("INSERT INTO `t` (`a`, `b```, `c`) VALUES ('3',x'',NULL)".to_owned(), 1));
        assert_eq!(statements.iter().map(|(_, rows)| rows).sum::<i64>(), 3);
        assert_eq!(Inserts::new(&table, rows, 1).count(), 3, "a row that is too long goes by itself");
    }

    #[test]
    fn a_table_without_stored_columns_has_rows_all_the_same() {
        let (statement, rows) = Inserts::new(&table(&[]), b"\n\n", 999).next().unwrap();
        assert_eq!((statement.as_slice(), rows), (b"INSERT INTO `t` () VALUES (),()".as_slice(), 2));
    }
}
