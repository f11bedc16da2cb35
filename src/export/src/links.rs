//! `ambiguous-links.csv`: links by a name that several records share. An importer takes the first record that it finds; the file
//! tells a person which one was meant.

use super::compose::Record;
use super::error::ExportError;
use super::guard::guarded;
use super::summary::LinkFacts;
use sennight_core::profile::{AMBIGUOUS_LINKS, FormulaGuard, Style};
use std::borrow::Cow;

/// Bytes that the file may have; it is held in memory until the others are written.
const MOST_BYTES: usize = 8 << 20;

/// The links so far.
pub(super) struct Links {
    csv: csv::Writer<Vec<u8>>,
    bytes: usize,
    guard: FormulaGuard,
    facts: LinkFacts,
}

impl Links {
    /// None yet.
    pub(super) fn new(style: &Style) -> Result<Self, ExportError> {
        let start = if style.bom { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        let mut builder = csv::WriterBuilder::new();
        builder.delimiter(style.delimiter).quote_style(csv::QuoteStyle::Always);
        let mut links =
            Self { csv: builder.from_writer(start), bytes: 0, guard: style.formula_guard, facts: LinkFacts::default() };
        links.put(&["FILE", "ID", "COLUMN", "TEXT", "MEANT_ID", "CANDIDATES"])?;
        Ok(links)
    }

    /// Lists the links of a record.
    pub(super) fn add(
        &mut self,
        file: &str,
        id: &str,
        columns: &[String],
        record: &Record<'_>,
    ) -> Result<(), ExportError> {
        for link in &record.links {
            // Counted further, so that README can say how many are not listed.
            if self.bytes > MOST_BYTES {
                self.facts.not_listed += 1;
                continue;
            }
            self.facts.listed += 1;
            let column = columns.get(link.column).map_or("", String::as_str);
            // People open this file in a spreadsheet, too.
            let (text, _) = guarded(Cow::Borrowed(link.text), self.guard, false);
            self.put(&[file, id, column, &text, &link.id, &link.candidates])?;
        }
        Ok(())
    }

    /// The file, and how many links are in it and are not.
    pub(super) fn finish(self) -> Result<(Vec<u8>, LinkFacts), ExportError> {
        let bytes = self.csv.into_inner().map_err(|source| failed(&source))?;
        Ok((bytes, self.facts))
    }

    fn put(&mut self, cells: &[&str]) -> Result<(), ExportError> {
        // Two quotes and a delimiter a cell.
        self.bytes += cells.iter().map(|cell| cell.len() + 3).sum::<usize>();
        self.csv.write_record(cells).map_err(|source| failed(&source))
    }
}

fn failed(source: &dyn std::error::Error) -> ExportError {
    ExportError::EncodingFailed { file: AMBIGUOUS_LINKS.to_owned(), problem: source.to_string() }
}
