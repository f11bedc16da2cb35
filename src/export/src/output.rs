//! Writes the zip: a stream without seeking, whose bytes the caller takes away. The entries of the missing-only set go into a
//! second zip, and are appended when the full set is complete.

use super::error::ExportError;
use chrono::{Datelike, NaiveDateTime, Timelike};
use parking_lot::Mutex;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Where the zip's bytes come out. Cloning it gives another handle on the same bytes.
#[derive(Debug, Clone, Default)]
pub struct Outlet(Arc<Mutex<Vec<u8>>>);

impl Outlet {
    /// The bytes written since the last call.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Storage for entries that are written now and appended at the end: memory, or the caller's file.
pub trait DeferredFile: Read + Write + Seek + Send {}

impl<T: Read + Write + Seek + Send> DeferredFile for T {}

/// The zip's entries, one after the other.
pub(super) struct Output<W: Write + Seek> {
    zip: ZipWriter<W>,
    time: zip::DateTime,
    file: String,
}

/// The zip that is uploaded.
pub(super) type MainOutput = Output<StreamWriter<Outlet>>;

/// The zip whose entries are appended to it at the end.
pub(super) type DeferredOutput = Output<Box<dyn DeferredFile>>;

impl MainOutput {
    /// `time` is what every entry says it was changed at: the backup's, so that the same backup gives the same bytes.
    pub(super) fn new(outlet: Outlet, time: NaiveDateTime) -> Self {
        Self { zip: ZipWriter::new_stream(outlet), time: stamp(time), file: String::new() }
    }

    /// Appends the entries of what was set file, as they are.
    pub(super) fn append(&mut self, deferred: DeferredOutput) -> Result<(), ExportError> {
        self.file.clone_from(&deferred.file);
        let file = deferred.zip.finish().map_err(|source| self.failed(&source))?;
        let mut archive = ZipArchive::new(file).map_err(|source| self.failed(&source))?;
        for at in 0..archive.len() {
            let entry = archive.by_index_raw(at).map_err(|source| self.failed(&source))?;
            // Copied as they are compressed: to compress the set a second time would only cost time.
            self.zip.raw_copy_file(entry).map_err(|source| self.failed(&source))?;
        }
        Ok(())
    }
}

impl DeferredOutput {
    /// Entries that are written into `file` until they are appended.
    pub(super) fn new(file: Box<dyn DeferredFile>, time: NaiveDateTime) -> Self {
        Self { zip: ZipWriter::new(file), time: stamp(time), file: String::new() }
    }
}

impl<W: Write + Seek> Output<W> {
    /// Ends the entry before and starts the next. `large` is one that may pass 4 GiB.
    pub(super) fn start(&mut self, file: &str, large: bool) -> Result<(), ExportError> {
        file.clone_into(&mut self.file);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(self.time)
            // Fixed, as the time is: nothing of the machine may get into the bytes.
            .unix_permissions(0o644)
            .large_file(large);
        self.zip.start_file(file, options).map_err(|source| self.failed(&source))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.zip.write_all(bytes).map_err(|source| self.failed(&source))
    }

    /// Writes the directory at the end of the zip.
    pub(super) fn finish(self) -> Result<(), ExportError> {
        let file = self.file;
        self.zip.finish().map(drop).map_err(|source| ExportError::EncodingFailed { file, problem: source.to_string() })
    }

    fn failed(&self, source: &dyn std::error::Error) -> ExportError {
        ExportError::EncodingFailed { file: self.file.clone(), problem: source.to_string() }
    }
}

fn stamp(time: NaiveDateTime) -> zip::DateTime {
    let part = |value: u32| u8::try_from(value).unwrap_or_default();
    let time = zip::DateTime::from_date_and_time(
        u16::try_from(time.year()).unwrap_or_default(),
        part(time.month()),
        part(time.day()),
        part(time.hour()),
        part(time.minute()),
        part(time.second()),
    );
    // Zip knows the years 1980 to 2107 only.
    time.unwrap_or_default()
}
