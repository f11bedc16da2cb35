//! How the CSV files of an export are written: what a profile says, and the presets that fill in the rest.

use super::{PRESETS, ProfileFault};
use chrono::format::{Fixed, Item, StrftimeItems};
use serde::{Deserialize, Serialize};

/// Most rows of a spreadsheet, the header not counted.
const SHEET_ROWS: i32 = 1_048_575;
/// Most characters of a spreadsheet's cell.
const SHEET_CELL: i32 = 32_767;

/// The format in a profile. What it leaves out is taken from the preset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Format {
    /// `bitrix24` (where nothing is said), `rfc4180` or `excel-eu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// One ASCII character between cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Which cells are quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// A UTF-8 byte order mark at the start of each file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bom: Option<bool>,
    /// How a line ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newline: Option<Newline>,
    /// What a true cell says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bool_true: Option<String>,
    /// What a false cell says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bool_false: Option<String>,
    /// What a cell without a value says; an empty text is always an empty cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_text: Option<String>,
    /// Dates, in strftime's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// Dates with a time, in strftime's notation, in the schedule's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_time_format: Option<String>,
    /// Between several values of a multi-field in one cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_value_separator: Option<String>,
    /// Between several values of a custom field in one cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_value_separator: Option<String>,
    /// Which cells get a `'` in front so that no spreadsheet runs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula_guard: Option<FormulaGuard>,
    /// Lines in a file before the next one starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows_per_file: Option<i32>,
    /// Characters that a cell may have before the manifest lists it; nothing is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cell_chars: Option<i32>,
}

/// Which cells are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quote {
    /// Every cell.
    All,
    /// Cells that need it.
    Minimal,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Newline {
    /// `\n`
    #[serde(rename = "LF")]
    Lf,
    /// `\r\n`
    #[serde(rename = "CRLF")]
    CrLf,
}

/// Which cells that look like a formula are guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormulaGuard {
    /// All but plain numbers and phone numbers, which a guard would damage on re-import.
    Smart,
    /// All.
    Always,
    /// None.
    Never,
}

/// A complete format: a profile's own settings over its preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// One ASCII character between cells.
    pub delimiter: u8,
    /// Which cells are quoted.
    pub quote: Quote,
    /// A UTF-8 byte order mark at the start of each file.
    pub bom: bool,
    /// How a line ends.
    pub newline: Newline,
    /// What a true cell says.
    pub bool_true: String,
    /// What a false cell says.
    pub bool_false: String,
    /// What a cell without a value says.
    pub null_text: String,
    /// Dates.
    pub date_format: String,
    /// Dates with a time.
    pub date_time_format: String,
    /// Between several values of a multi-field.
    pub multi_value_separator: String,
    /// Between several values of a custom field.
    pub custom_value_separator: String,
    /// Which cells are guarded.
    pub formula_guard: FormulaGuard,
    /// Lines in a file; absent is without a limit.
    pub max_rows_per_file: Option<i64>,
    /// Characters beyond which a cell is listed.
    pub max_cell_chars: Option<usize>,
}

impl Default for Style {
    /// What Bitrix24's importer and its own samples use.
    fn default() -> Self {
        Self {
            delimiter: b';',
            quote: Quote::All,
            bom: true,
            newline: Newline::Lf,
            bool_true: "Y".to_owned(),
            bool_false: "N".to_owned(),
            null_text: String::new(),
            date_format: "%d.%m.%Y".to_owned(),
            date_time_format: "%d.%m.%Y %H:%M:%S".to_owned(),
            multi_value_separator: ";".to_owned(),
            custom_value_separator: ",".to_owned(),
            formula_guard: FormulaGuard::Smart,
            max_rows_per_file: None,
            max_cell_chars: None,
        }
    }
}

fn preset(name: &str) -> Option<Style> {
    let bitrix = Style::default();
    match name {
        "bitrix24" => Some(bitrix),
        // For programs: what csv readers take without being told anything.
        "rfc4180" => Some(Style {
            delimiter: b',',
            quote: Quote::Minimal,
            bom: false,
            newline: Newline::CrLf,
            bool_true: "true".to_owned(),
            bool_false: "false".to_owned(),
            date_format: "%Y-%m-%d".to_owned(),
            date_time_format: "%Y-%m-%d %H:%M:%S".to_owned(),
            custom_value_separator: ";".to_owned(),
            ..bitrix
        }),
        // A double click in a European Excel: semicolons, and what does not fit a sheet is said or split.
        "excel-eu" => Some(Style {
            quote: Quote::Minimal,
            newline: Newline::CrLf,
            custom_value_separator: ";".to_owned(),
            max_rows_per_file: Some(SHEET_ROWS.into()),
            max_cell_chars: usize::try_from(SHEET_CELL).ok(),
            ..bitrix
        }),
        _ => None,
    }
}

impl Format {
    /// The complete format, or the field that is wrong.
    pub fn style(&self) -> Result<Style, ProfileFault> {
        let name = self.preset.as_deref().unwrap_or(PRESETS[0]);
        let base = preset(name).ok_or_else(|| ProfileFault::UnknownPreset { preset: name.to_owned() })?;
        let text = |own: &Option<String>, preset: String| own.clone().unwrap_or(preset);
        let rows = self.max_rows_per_file.map(i64::from);
        let style = Style {
            delimiter: self.delimiter.as_deref().map_or(Ok(base.delimiter), delimiter)?,
            quote: self.quote.unwrap_or(base.quote),
            bom: self.bom.unwrap_or(base.bom),
            newline: self.newline.unwrap_or(base.newline),
            bool_true: text(&self.bool_true, base.bool_true),
            bool_false: text(&self.bool_false, base.bool_false),
            null_text: text(&self.null_text, base.null_text),
            date_format: text(&self.date_format, base.date_format),
            date_time_format: text(&self.date_time_format, base.date_time_format),
            multi_value_separator: text(&self.multi_value_separator, base.multi_value_separator),
            custom_value_separator: text(&self.custom_value_separator, base.custom_value_separator),
            formula_guard: self.formula_guard.unwrap_or(base.formula_guard),
            max_rows_per_file: rows.or(base.max_rows_per_file),
            max_cell_chars: self.max_cell_chars.map_or(base.max_cell_chars, |most| usize::try_from(most).ok()),
        };
        style.check()?;
        Ok(style)
    }
}

fn delimiter(text: &str) -> Result<u8, ProfileFault> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r' | 0) => Ok(*one),
        _ => Err(ProfileFault::invalid("format.delimiter", "use one ASCII character that is no quote and no line end")),
    }
}

impl Style {
    fn check(&self) -> Result<(), ProfileFault> {
        let invalid = |field: &str, problem: String| Err(ProfileFault::invalid(field, problem));
        for (field, separator) in [
            ("format.multiValueSeparator", &self.multi_value_separator),
            ("format.customValueSeparator", &self.custom_value_separator),
        ] {
            if separator.is_empty() {
                return invalid(field, "use at least one character".to_owned());
            }
        }
        if self.max_rows_per_file.is_some_and(|most| most < 1) {
            return invalid("format.maxRowsPerFile", "use 1 or more, or leave it out".to_owned());
        }
        if self.max_cell_chars.is_some_and(|most| most < 1) {
            return invalid("format.maxCellChars", "use 1 or more, or leave it out".to_owned());
        }
        for (field, pattern) in
            [("format.dateFormat", &self.date_format), ("format.dateTimeFormat", &self.date_time_format)]
        {
            if !is_date_format(pattern) {
                return invalid(field, format!("{pattern:?} is no strftime pattern without a zone"));
            }
        }
        let time = ["%H", "%M", "%S", "%I", "%p", "%T", "%R", "%X", "%c", "%s", "%f"];
        if time.iter().any(|time| self.date_format.contains(time)) {
            return invalid("format.dateFormat", "a date has no time: use %Y, %m and %d".to_owned());
        }
        Ok(())
    }
}

/// Whether a strftime pattern can be written at all: chrono reports a wrong one only while it formats.
pub fn is_date_format(pattern: &str) -> bool {
    // Cells are written as local times, which have no zone: with one of these chrono fails while it formats.
    let zoned = |fixed: &Fixed| {
        matches!(
            fixed,
            Fixed::TimezoneName
                | Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
                | Fixed::RFC2822
                | Fixed::RFC3339
        )
    };
    let bad = |item: Item<'_>| match item {
        Item::Error => true,
        Item::Fixed(fixed) => zoned(&fixed),
        _ => false,
    };
    !pattern.is_empty() && !StrftimeItems::new(pattern).any(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_a_whole_format_and_a_field_beside_it_wins() {
        assert_eq!(Format::default().style(), Ok(Style::default()));
        let excel = Format { preset: Some("excel-eu".into()), bom: Some(false), ..Format::default() }.style().unwrap();
        assert_eq!((excel.delimiter, excel.bom, excel.newline), (b';', false, Newline::CrLf));
        assert_eq!((excel.max_rows_per_file, excel.max_cell_chars), (Some(1_048_575), Some(32_767)));
        for name in PRESETS {
            assert!(Format { preset: Some(name.into()), ..Format::default() }.style().is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_preset_is_refused_with_those_that_there_are() {
        let fault = Format { preset: Some("salesforce".into()), ..Format::default() }.style().unwrap_err();
        assert_eq!(
            (fault.reason(), fault.to_string().as_str()),
            ("UnknownPreset", "format.preset: \"salesforce\" is no preset: use bitrix24, rfc4180 or excel-eu")
        );
    }

    #[test]
    fn a_pattern_that_could_not_be_written_is_refused() {
        assert!(is_date_format("%d.%m.%Y %H:%M:%S"));
        for bad in ["", "%Q", "%z", "%+"] {
            assert!(!is_date_format(bad), "{bad}");
        }
    }
}
