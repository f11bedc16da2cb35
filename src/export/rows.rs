//! The row text of a copy: PostgreSQL's COPY text grammar, decoded into cells.

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
    /// Bytes that are not UTF-8.
    #[error("cell {0} is not UTF-8")]
    NotUtf8(usize),
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

/// The cells of one line, in the order of the table's columns.
pub fn cells(line: &[u8], expected: usize) -> Result<Vec<Cell<'_>>, RowError> {
    let mut cells = Vec::with_capacity(expected);
    for raw in line.split(|byte| *byte == b'\t') {
        let at = cells.len() + 1;
        cells.push(cell(raw, at)?);
    }
    if cells.len() == expected {
        return Ok(cells);
    }
    Err(RowError::Cells { expected, found: cells.len() })
}

fn cell(raw: &[u8], at: usize) -> Result<Cell<'_>, RowError> {
    if raw == b"\\N" {
        return Ok(None);
    }
    if memchr::memchr(b'\\', raw).is_none() {
        let text = std::str::from_utf8(raw).map_err(|_| RowError::NotUtf8(at))?;
        return Ok(Some(Cow::Borrowed(text)));
    }
    let bytes = unescape(raw).ok_or(RowError::Escape(at))?;
    let text = String::from_utf8(bytes).map_err(|_| RowError::NotUtf8(at))?;
    Ok(Some(Cow::Owned(text)))
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
        b'0'..=b'7' => number(rest, 0, 3, 8),
        b'x' if rest.get(1).is_some_and(u8::is_ascii_hexdigit) => number(rest, 1, 2, 16),
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
        let cells = cells(line.as_bytes(), expected).unwrap();
        cells.into_iter().map(|cell| cell.map(Cow::into_owned)).collect()
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
        assert_eq!(cells(b"ok\t\xff", 2), Err(RowError::NotUtf8(2)));
        assert_eq!(lines(b"a\nb").last(), Some(Err(RowError::Unfinished)));
        assert_eq!(lines(b"").count(), 0);
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
