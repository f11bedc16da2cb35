//! Decodes the row text of a backup, which has the grammar of PostgreSQL's COPY, into rows and cells. What a cell
//! means by its column's type is in `cell`.

use std::borrow::Cow;

/// One cell: `None` is no value (`\N`), which is not an empty text.
pub type Cell<'a> = Option<Cow<'a, str>>;

/// Why a line is not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Other cells than the table has columns.
    #[error("it has {found} cells, the table has {expected} columns")]
    Cells {
        /// Columns of the table.
        expected: usize,
        /// Cells of the line.
        found: usize,
    },
    /// A backslash at the end, or an escape that is not one.
    #[error("cell {0} ends in the middle of an escape")]
    Escape(usize),
    /// The text stops in the middle of a line.
    #[error("the last line has no end")]
    Unfinished,
}

/// The lines of a frame, which holds whole rows only. A line feed inside a cell is escaped, so that each one ends a row.
pub fn lines(frame: &[u8]) -> impl Iterator<Item = Result<&[u8], RowError>> {
    let mut rest = frame;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = memchr::memchr(b'\n', rest) else {
            rest = &[];
            return Some(Err(RowError::Unfinished));
        };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(Ok(line))
    })
}

/// One row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its cells, in the order of the table's columns.
    pub cells: Vec<Cell<'a>>,
    /// Places of the cells that are not UTF-8: what could not be read is U+FFFD in them.
    pub odd: Vec<usize>,
}

/// The cells of one line, in the order of the table's columns.
pub fn cells(line: &[u8], expected: usize) -> Result<Row<'_>, RowError> {
    let mut row = Row { cells: Vec::with_capacity(expected), odd: Vec::new() };
    // A tab or line feed of the data is escaped, so that none of these needs a look at what stands before it.
    for raw in line.split(|byte| *byte == b'\t') {
        let (cell, good) = cell(raw).ok_or(RowError::Escape(row.cells.len() + 1))?;
        if !good {
            row.odd.push(row.cells.len());
        }
        row.cells.push(cell);
    }
    if row.cells.len() == expected {
        return Ok(row);
    }
    Err(RowError::Cells { expected, found: row.cells.len() })
}

/// A cell, and whether all of it could be read.
fn cell(raw: &[u8]) -> Option<(Cell<'_>, bool)> {
    // Before escapes are read: only the whole cell `\N` has no value.
    if raw == b"\\N" {
        return Some((None, true));
    }
    if memchr::memchr(b'\\', raw).is_none() {
        let text = std::str::from_utf8(raw);
        let good = text.is_ok();
        return Some((Some(text.map_or_else(|_| String::from_utf8_lossy(raw), Cow::Borrowed)), good));
    }
    let text = String::from_utf8(unescape(raw)?);
    let good = text.is_ok();
    let text = text.unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
    Some((Some(Cow::Owned(text)), good))
}

fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, used) = escape(&rest[at + 1..])?;
        out.push(byte);
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The byte that an escape stands for and how many bytes it took after the backslash.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    let first = *rest.first()?;
    Some(match first {
        b'b' => (0x08, 1),
        b'f' => (0x0c, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (0x0b, 1),
        // COPY writes no numbers, and its grammar allows them.
        b'0'..=b'7' => number(rest, 0, 3, 8),
        b'x' if rest.get(1).is_some_and(u8::is_ascii_hexdigit) => number(rest, 1, 2, 16),
        // As the server reads it: an unknown escape is the character itself.
        other => (other, 1),
    })
}

fn number(rest: &[u8], skip: usize, most: usize, radix: u32) -> (u8, usize) {
    let digits = rest[skip..].iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, count) = digits.fold((0_u32, 0), |(value, count), digit| (value * radix + digit, count + 1));
    (u8::try_from(value & 0xff).unwrap_or_default(), skip + count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(line: &str) -> Vec<Option<String>> {
        let expected = line.split('\t').count();
        let row = cells(line.as_bytes(), expected).unwrap();
        assert!(row.odd.is_empty());
        row.cells.into_iter().map(|cell| cell.map(Cow::into_owned)).collect()
    }

    #[test]
    fn no_value_and_empty_text_are_not_the_same() {
        assert_eq!(text("\\N\t\t\\\\N"), [None, Some(String::new()), Some("\\N".into())]);
    }

    #[test]
    fn every_escape_of_copy_is_read() {
        assert_eq!(text(r"a\tb\nc\rd\\e\bf\fg\vh"), [Some("a\tb\nc\rd\\e\u{8}f\u{c}g\u{b}h".into())]);
        assert_eq!(text(r"\101\x42\x4a3\q\."), [Some("ABJ3q.".into())]);
    }

    #[test]
    fn damage_is_an_error_and_never_a_row() {
        assert_eq!(cells(b"a\tb", 3), Err(RowError::Cells { expected: 3, found: 2 }));
        assert_eq!(cells(b"a\\", 1), Err(RowError::Escape(1)));
        assert_eq!(lines(b"a\nb").last(), Some(Err(RowError::Unfinished)));
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn what_is_not_utf8_is_read_as_far_as_it_can_be_and_told() {
        for line in [b"ok\ta\xffb".as_slice(), b"ok\ta\\377b"] {
            let row = cells(line, 2).unwrap();
            assert_eq!((row.cells[1].as_deref(), row.odd), (Some("a\u{fffd}b"), vec![1]));
        }
        assert!(cells("ok\t\u{fffd}".as_bytes(), 2).unwrap().odd.is_empty(), "one that was there is no damage");
    }

    fn encode(cell: Option<&str>) -> String {
        let Some(text) = cell else {
            return "\\N".into();
        };
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                other => out.push(other),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_row_survives_copys_grammar(rows in prop::collection::vec(prop::option::of("[\\PC\\\\\n\r\t]{0,20}"), 1..8)) {
            let line: Vec<String> = rows.iter().map(|cell| encode(cell.as_deref())).collect();
            prop_assert_eq!(text(&line.join("\t")), rows);
        }
    }
}
