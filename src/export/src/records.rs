//! Writes one entity's CSV files: quotes and hashes the records, and starts the next file when one is full.

use super::compose::{Note, Record};
use super::error::ExportError;
use super::output::Output;
use super::summary::FileFacts;
use sennight_core::profile::{Newline, Quote, Style};
use sha2::{Digest, Sha256};
use std::io::{Seek, Write};

/// UTF-8 byte order mark: Excel takes the file for the local code page without it.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes of CSV that are collected before they go into the zip.
const BATCH: usize = 256 * 1024;

/// Writes the records of one entity.
pub(super) struct Records {
    header: Vec<String>,
    delimiter: u8,
    quote: csv::QuoteStyle,
    terminator: csv::Terminator,
    bom: bool,
    most: Option<i64>,
    large: bool,
    csv: csv::Writer<Vec<u8>>,
    pending: usize,
    hash: Sha256,
    name: String,
    facts: FileFacts,
    done: Vec<FileFacts>,
}

impl Records {
    /// Starts the first file, with its header.
    pub(super) fn start(
        output: &mut Output<impl Write + Seek>,
        facts: FileFacts,
        format: &Style,
        large: bool,
    ) -> Result<Self, ExportError> {
        let delimiter = format.delimiter;
        let quote = match format.quote {
            Quote::All => csv::QuoteStyle::Always,
            Quote::Minimal => csv::QuoteStyle::Necessary,
        };
        let terminator = match format.newline {
            Newline::Lf => csv::Terminator::Any(b'\n'),
            Newline::CrLf => csv::Terminator::CRLF,
        };
        let mut records = Self {
            header: facts.columns.clone(),
            delimiter,
            quote,
            terminator,
            bom: format.bom,
            most: format.max_rows_per_file,
            large,
            csv: builder(delimiter, quote, terminator).from_writer(Vec::new()),
            pending: 0,
            hash: Sha256::new(),
            name: facts.name.clone(),
            facts,
            done: Vec::new(),
        };
        records.open(output)?;
        Ok(records)
    }

    /// Writes one record with all its lines, which stay in one file.
    pub(super) fn write(
        &mut self,
        output: &mut Output<impl Write + Seek>,
        record: &Record<'_>,
    ) -> Result<(), ExportError> {
        // Before the record, not within it: its lines stay in one file.
        if self.most.is_some_and(|most| self.facts.rows >= most) {
            self.next(output)?;
        }
        self.facts.records += 1;
        self.line(&record.cells, &record.notes)?;
        for (cells, notes) in &record.further {
            let line: Vec<&str> = record.cells[..record.base].iter().chain(cells).map(AsRef::as_ref).collect();
            self.line(&line, notes)?;
        }
        if self.pending >= BATCH {
            self.flush(output)?;
        }
        Ok(())
    }

    fn line(&mut self, cells: &[impl AsRef<str>], notes: &[(Note, usize)]) -> Result<(), ExportError> {
        self.facts.rows += 1;
        for (note, column) in notes {
            self.facts.note(*note, *column);
        }
        self.put(cells)
    }

    /// Ends the last file and tells of all of them.
    pub(super) fn finish(mut self, output: &mut Output<impl Write + Seek>) -> Result<Vec<FileFacts>, ExportError> {
        self.close(output)?;
        Ok(self.done)
    }

    fn next(&mut self, output: &mut Output<impl Write + Seek>) -> Result<(), ExportError> {
        self.close(output)?;
        let stem = self.name.rsplit_once('.').map_or(self.name.as_str(), |(stem, _)| stem);
        self.facts.name = format!("{stem}-{}.csv", self.done.len() + 1);
        self.open(output)
    }

    fn open(&mut self, output: &mut Output<impl Write + Seek>) -> Result<(), ExportError> {
        output.start(&self.facts.name, self.large)?;
        if self.bom {
            self.emit(output, BOM)?;
        }
        let header = std::mem::take(&mut self.header);
        let written = self.put(&header);
        self.header = header;
        written
    }

    fn close(&mut self, output: &mut Output<impl Write + Seek>) -> Result<(), ExportError> {
        self.flush(output)?;
        let fresh = self.facts.fresh();
        let mut facts = std::mem::replace(&mut self.facts, fresh);
        facts.sha256 = hex::encode(std::mem::take(&mut self.hash).finalize());
        self.done.push(facts);
        Ok(())
    }

    fn put(&mut self, record: &[impl AsRef<str>]) -> Result<(), ExportError> {
        // Two quotes and a delimiter a cell.
        self.pending += record.iter().map(|cell| cell.as_ref().len() + 3).sum::<usize>();
        self.csv.write_record(record.iter().map(|cell| cell.as_ref().as_bytes())).map_err(|source| self.failed(&source))
    }

    fn flush(&mut self, output: &mut Output<impl Write + Seek>) -> Result<(), ExportError> {
        // The csv writer gives its bytes away only as a whole.
        let fresh = builder(self.delimiter, self.quote, self.terminator).from_writer(Vec::new());
        let full = std::mem::replace(&mut self.csv, fresh);
        self.pending = 0;
        let bytes = full.into_inner().map_err(|source| self.failed(&source))?;
        self.emit(output, &bytes)
    }

    fn emit(&mut self, output: &mut Output<impl Write + Seek>, bytes: &[u8]) -> Result<(), ExportError> {
        self.hash.update(bytes);
        self.facts.bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        output.write(bytes)
    }

    fn failed(&self, source: &dyn std::error::Error) -> ExportError {
        ExportError::EncodingFailed { file: self.facts.name.clone(), problem: source.to_string() }
    }
}

fn builder(delimiter: u8, quote: csv::QuoteStyle, terminator: csv::Terminator) -> csv::WriterBuilder {
    let mut builder = csv::WriterBuilder::new();
    builder.delimiter(delimiter).quote_style(quote).terminator(terminator);
    builder
}
