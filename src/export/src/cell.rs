//! Writes a cell by its column's type and the profile's format: yes and no, dates, numbers, text. Row text is decoded
//! in `rows`; quoting is in `records`.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use sennight_core::manifest::Column;
use sennight_core::profile::Style;
use std::borrow::Cow;

/// What a column holds, as far as its CSV cells depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Text,
    /// As it is; a leading sign is no formula.
    Number,
    /// Yes or no.
    Boolean,
    /// A date.
    Date,
    /// A local date and time, or an instant (with an offset in the text).
    Timestamp,
    /// An instant in UTC, without saying so: MySQL's TIMESTAMP.
    Instant,
}

impl Shape {
    /// The shape of a column, by its type as the engine prints it.
    pub fn of(column: &Column, boolean: bool) -> Self {
        let kind = column.kind.to_ascii_lowercase();
        let word = kind.split(['(', ' ', '[']).next().unwrap_or_default();
        if boolean || matches!(word, "boolean" | "bool") {
            return Self::Boolean;
        }
        match word {
            // Before the others: an array of dates or numbers is printed in braces.
            _ if kind.ends_with("[]") => Self::Text,
            "date" => Self::Date,
            // PostgreSQL says "timestamp with …" or "timestamp without time zone".
            "timestamp" if !kind.ends_with("time zone") => Self::Instant,
            "timestamp" | "timestamptz" | "datetime" => Self::Timestamp,
            "smallint" | "integer" | "int" | "bigint" | "tinyint" | "mediumint" | "numeric" | "decimal" | "real"
            | "double" | "float" => Self::Number,
            _ => Self::Text,
        }
    }
}

/// The cell's text in the profile's format, and whether it is what its shape promised: a date like `infinity` or
/// `0000-00-00` is written as it is.
pub fn write<'a>(cell: Cow<'a, str>, shape: Shape, format: &'a Style, zone: Tz) -> (Cow<'a, str>, bool) {
    let written: Option<Cow<'a, str>> = match shape {
        Shape::Text | Shape::Number => return (cell, true),
        // An empty text is an empty cell, and no date that could not be read.
        _ if cell.is_empty() => return (cell, true),
        Shape::Boolean => boolean(&cell, format).map(Cow::Borrowed),
        Shape::Date => NaiveDate::parse_from_str(&cell, "%Y-%m-%d")
            .ok()
            // A custom field that says it is a date may stand in a column with a time.
            .or_else(|| timestamp(&cell, zone).map(|time| time.date()))
            .map(|date| Cow::Owned(date.format(&format.date_format).to_string())),
        Shape::Timestamp => {
            timestamp(&cell, zone).map(|time| Cow::Owned(time.format(&format.date_time_format).to_string()))
        }
        Shape::Instant => timestamp(&cell, zone)
            .map(|time| time.and_utc().with_timezone(&zone).format(&format.date_time_format).to_string())
            .map(Cow::Owned),
    };
    match written {
        Some(text) => (text, true),
        None => (cell, false),
    }
}

fn boolean<'a>(cell: &str, format: &'a Style) -> Option<&'a str> {
    match cell {
        // MySQL's BIT(1) is a byte, as hex.
        "t" | "true" | "1" | "01" | "Y" | "y" => Some(&format.bool_true),
        "f" | "false" | "0" | "00" | "N" | "n" => Some(&format.bool_false),
        _ => None,
    }
}

fn timestamp(cell: &str, zone: Tz) -> Option<NaiveDateTime> {
    // PostgreSQL prints offsets as `+00` or `+05:30`; chrono takes both only for `%#z`.
    let instant = DateTime::<FixedOffset>::parse_from_str(cell, "%Y-%m-%d %H:%M:%S%.f%#z");
    if let Ok(instant) = instant {
        return Some(instant.with_timezone(&zone).naive_local());
    }
    NaiveDateTime::parse_from_str(cell, "%Y-%m-%d %H:%M:%S%.f").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: &str, shape: Shape) -> String {
        let format = Style::default();
        write(cell.into(), shape, &format, Tz::Europe__Berlin).0.into_owned()
    }

    #[test]
    fn types_decide_the_shape() {
        for (kind, shape) in [
            ("integer", Shape::Number),
            ("numeric(18,2)", Shape::Number),
            ("double precision", Shape::Number),
            ("integer[]", Shape::Text),
            ("timestamp without time zone", Shape::Timestamp),
            ("timestamp(3) with time zone", Shape::Timestamp),
            ("date", Shape::Date),
            ("datetime(6)", Shape::Timestamp),
            ("timestamp", Shape::Instant),
            ("timestamp(3)", Shape::Instant),
            ("daterange", Shape::Text),
            ("boolean", Shape::Boolean),
            ("character varying(50)", Shape::Text),
            ("character(1)", Shape::Text),
            ("interval", Shape::Text),
        ] {
            let column = Column { name: "c".into(), kind: kind.into() };
            assert_eq!(Shape::of(&column, false), shape, "{kind}");
        }
    }

    #[test]
    fn dates_are_written_in_the_profiles_format_and_the_tenants_zone() {
        for (cell, expected) in [
            ("2026-11-22 02:10:05", "22.11.2026 02:10:05"),
            ("2026-11-22 02:10:05.123456", "22.11.2026 02:10:05"),
            ("2026-11-22 02:10:05+00", "22.11.2026 03:10:05"),
            ("2026-07-01 02:10:05.5+05:30", "30.06.2026 22:40:05"),
            ("infinity", "infinity"),
            ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
            ("", ""),
        ] {
            assert_eq!(written(cell, Shape::Timestamp), expected);
        }
        assert_eq!(written("2026-11-02", Shape::Date), "02.11.2026");
        assert_eq!(written("2026-11-22 02:10:05.123", Shape::Instant), "22.11.2026 03:10:05");
        assert_eq!(written("0000-00-00 00:00:00", Shape::Instant), "0000-00-00 00:00:00");
    }

    #[test]
    fn yes_and_no_come_in_any_spelling() {
        for (cell, expected) in
            [("t", "Y"), ("f", "N"), ("Y", "Y"), ("0", "N"), ("01", "Y"), ("00", "N"), ("maybe", "maybe")]
        {
            assert_eq!(written(cell, Shape::Boolean), expected);
        }
    }
}
