//! Writes and parses row text: the form that a value of each kind has in a backup (docs/format.md).

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As the server prints it, escaped.
    Text,
    /// The bytes, as hex.
    Hex,
    /// A number that the server fills up with zeros: without them.
    ZeroFilled,
}

/// Appends one value; `None` is NULL.
pub fn push(out: &mut Vec<u8>, kind: Kind, value: Option<&[u8]>) {
    match (kind, value) {
        (_, None) => out.extend_from_slice(b"\\N"),
        (Kind::Hex, Some(bytes)) => push_hex(out, bytes),
        (Kind::ZeroFilled, Some(digits)) => out.extend_from_slice(without_zeros(digits)),
        (Kind::Text, Some(text)) => push_text(out, text),
    }
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    // The last digit before a point or the end stays.
    let digit_follows = digits.get(zeros).is_some_and(u8::is_ascii_digit);
    if digit_follows { &digits[zeros..] } else { &digits[zeros.saturating_sub(1)..] }
}

/// What an escaped byte is written as; 0 is "as it is".
const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0b] = b'v';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'\\' as usize] = b'\\';
    table
}
static ESCAPES: [u8; 256] = escapes();

/// Where the first byte is that is escaped. Eight bytes are looked at together, because a cell is mostly plain: a byte's high bit
/// is set in `control` if it lies between 0x08 and 0x0d, in `backslash` if it is one (Anderson, Bit Twiddling Hacks).
fn first_escape(text: &[u8]) -> Option<usize> {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    const HIGH: u64 = each(0x80);
    let mut plain = 0;
    for eight in text.chunks_exact(8) {
        let x = eight.try_into().map_or(u64::MAX, u64::from_ne_bytes);
        let low = x & each(0x7f);
        let control = each(127 + 0x0e).wrapping_sub(low) & !x & low.wrapping_add(each(127 - 0x07)) & HIGH;
        let other = x ^ each(b'\\');
        let backslash = other.wrapping_sub(each(1)) & !other & HIGH;
        if control | backslash != 0 {
            break;
        }
        plain += 8;
    }
    text[plain..].iter().position(|byte| ESCAPES[usize::from(*byte)] != 0).map(|at| plain + at)
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = first_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', ESCAPES[usize::from(rest[at])]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The cells of one line, without its end, unescaped; `None` is NULL. An escape that is none stands for its own letter, as
/// for COPY.
pub fn cells(line: &[u8]) -> impl Iterator<Item = Option<Vec<u8>>> {
    line.split(|byte| *byte == b'\t').map(|raw| (raw != b"\\N").then(|| plain(raw)))
}

fn plain(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        let next = if *byte == b'\\' { bytes.next() } else { None };
        out.push(match next {
            None => *byte,
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 0x0b,
            Some(b'f') => 0x0c,
            Some(b'r') => b'\r',
            Some(other) => *other,
        });
    }
    out
}

/// Row text as LOAD DATA reads it: it does not know `\f` and `\v`, and would leave the letters.
pub fn for_load_data(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(b'f') => out.push(0x0c),
            Some(b'v') => out.push(0x0b),
            Some(other) => out.extend_from_slice(&[b'\\', *other]),
            None => out.push(b'\\'),
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pushed(kind: Kind, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, kind, Some(value));
        out
    }

    #[test]
    fn values_are_written_as_the_format_says() {
        assert_eq!(pushed(Kind::Text, b"a\tb\\N\n\x08\x0b\x0c\r\0'"), b"a\\tb\\\\N\\n\\b\\v\\f\\r\0'");
        assert_eq!(pushed(Kind::Hex, &[0, 0xff, 0x0a]), b"00ff0a");
        assert_eq!(pushed(Kind::Hex, b""), b"");
        for (padded, plain) in [("0007", "7"), ("000", "0"), ("00.50", "0.50"), ("10", "10"), ("0", "0"), ("", "")] {
            assert_eq!(pushed(Kind::ZeroFilled, padded.as_bytes()), plain.as_bytes());
        }
        let mut null = Vec::new();
        push(&mut null, Kind::Text, None);
        assert_eq!(null, b"\\N");
    }

    #[test]
    fn load_data_gets_no_escape_that_it_does_not_know() {
        assert_eq!(for_load_data(br"a\fb\\f\v\t\N"), b"a\x0cb\\\\f\x0b\\t\\N");
    }

    #[test]
    fn every_byte_is_found_that_is_escaped_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut text = vec![b'x'; 20];
                text[at] = byte;
                let wanted = (ESCAPES[usize::from(byte)] != 0).then_some(at);
                assert_eq!(first_escape(&text), wanted, "{byte:#04x} at {at}");
                let mut high = vec![0xff; 20];
                high[at] = byte;
                assert_eq!(first_escape(&high), wanted, "{byte:#04x} at {at} among high bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn every_escape_of_any_text_is_found(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(first_escape(&text), text.iter().position(|byte| ESCAPES[usize::from(*byte)] != 0));
        }

        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 1..6)) {
            let mut line = Vec::new();
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    line.push(b'\t');
                }
                push(&mut line, Kind::Text, value.as_deref());
            }
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(cells(&line).collect::<Vec<_>>(), values);
        }
    }
}
