//! The zip's manifest.json: which files, columns and records are in the export, and what was changed.

use super::compose::Note;
use super::plan::{ExportPlan, Skipped};
use chrono::{DateTime, NaiveDate, Utc};
use sennight_core::manifest::TenantIdentity;
use sennight_core::names::BackupId;
use sennight_core::profile::NEVER_EXPORTED;
use serde::Serialize;

/// Name of the manifest inside the zip.
pub const EXPORT_MANIFEST: &str = "manifest.json";

/// Folder of the set with only what the live database lacks.
pub const MISSING_ONLY: &str = "missing-only/";

/// The export manifest's format.
pub const EXPORT_FORMAT: &str = "sennight-export/v1";

/// Cells that the manifest names of each kind and file; all are counted.
const NAMED_CELLS: usize = 100;

/// Whose data an export holds, as of when, and for which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportContext {
    /// Whose data it is.
    pub identity: TenantIdentity,
    /// Name of the RestoreRequest.
    pub request: String,
    /// Its UID.
    pub request_uid: String,
    /// The backup.
    pub backup: BackupId,
    /// SHA-256 of the backup's manifest, hex.
    pub manifest_sha256: String,
    /// The backup's day.
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    pub snapshot_time: DateTime<Utc>,
    /// The schedule's zone; local times in the files are in it.
    pub time_zone: String,
    /// Whether the records that the live database lacks are there a second time.
    pub missing_only: Comparison,
}

/// Whether and how the backup was compared with the live database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "live", rename_all_fields = "camelCase")]
pub enum Comparison {
    /// The profile does not ask for it.
    NotAsked,
    /// The set is there.
    Compared {
        /// When the live database was asked.
        at: DateTime<Utc>,
    },
    /// The profile asks for it, and the live database could not be asked.
    Unreachable {
        /// Why, in words.
        why: String,
    },
}

impl ExportContext {
    /// `<tenant>_<date>_<request>.zip`, with what has no place in a file name replaced by `-`.
    pub fn file_name(&self) -> String {
        format!("{}.zip", self.stem())
    }

    /// The file name without its extension.
    pub fn stem(&self) -> String {
        let legal = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' })
                .take(100)
                .collect()
        };
        format!("{}_{}_{}", legal(&self.identity.tenant), self.day, legal(&self.request))
    }
}

/// One CSV file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileFacts {
    /// Name inside the zip.
    pub name: String,
    /// The entity.
    pub entity: String,
    /// The table that its records come from.
    pub table: String,
    /// Headers in order.
    pub columns: Vec<String>,
    /// Records.
    pub records: i64,
    /// Lines, the header not counted: a record with several product lines has as many.
    pub rows: i64,
    /// Bytes.
    pub bytes: i64,
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// Cells that the formula guard put a `'` in front of.
    pub guarded_cells: i64,
    /// The first of them.
    pub guarded: Vec<CellPlace>,
    /// Cells that are no date, time, yes or no though their column says so; written as they are.
    pub unreadable_cells: i64,
    /// The first of them.
    pub unreadable: Vec<CellPlace>,
    /// Cells with more characters than `maxCellChars`; written whole.
    pub oversized_cells: i64,
    /// The first of them.
    pub oversized: Vec<CellPlace>,
    /// Cells with a value that holds the separator of several values; written as they are.
    pub ambiguous_cells: i64,
    /// The first of them.
    pub ambiguous: Vec<CellPlace>,
}

/// Where a cell is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CellPlace {
    /// The line, counted from 1 behind the header.
    pub record: i64,
    /// The column's header.
    pub column: String,
}

impl FileFacts {
    /// Remembers what is worth knowing of a cell in the last line.
    pub(super) fn note(&mut self, note: Note, column: usize) {
        let (count, first) = match note {
            Note::Guarded => (&mut self.guarded_cells, &mut self.guarded),
            Note::Unreadable => (&mut self.unreadable_cells, &mut self.unreadable),
            Note::Oversized => (&mut self.oversized_cells, &mut self.oversized),
            Note::Ambiguous => (&mut self.ambiguous_cells, &mut self.ambiguous),
        };
        *count += 1;
        if first.len() < NAMED_CELLS {
            let column = self.columns.get(column).cloned().unwrap_or_default();
            first.push(CellPlace { record: self.rows, column });
        }
    }

    /// The same for the next file.
    pub(super) fn fresh(&self) -> Self {
        Self {
            name: self.name.clone(),
            entity: self.entity.clone(),
            table: self.table.clone(),
            columns: self.columns.clone(),
            ..Self::default()
        }
    }
}

/// Cells of a table that are not UTF-8: what could not be read of them is U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotUtf8 {
    /// The table.
    pub table: String,
    /// How many.
    pub cells: i64,
    /// The first of them.
    pub first: Vec<TablePlace>,
}

/// Where a cell is in its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TablePlace {
    /// The row, counted from 1.
    pub row: i64,
    /// The column.
    pub column: String,
}

impl NotUtf8 {
    /// Remembers one cell.
    pub(super) fn note(&mut self, row: i64, column: &str) {
        self.cells += 1;
        if self.first.len() < NAMED_CELLS {
            self.first.push(TablePlace { row, column: column.to_owned() });
        }
    }
}

/// What the export came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestFacts {
    /// The CSV files of the full set, then those of the other one.
    pub(super) files: Vec<FileFacts>,
    pub(super) not_utf8: Vec<NotUtf8>,
    /// Tables that cost their bytes a second time, because a lookup needs them before their entity's turn.
    pub(super) read_twice: Vec<String>,
    pub(super) ambiguous_links: LinkFacts,
}

/// Links that an importer may get wrong.
#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkFacts {
    /// Those in ambiguous-links.csv.
    pub(super) listed: i64,
    /// Those beyond what the file may hold.
    pub(super) not_listed: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportManifest<'a> {
    format: &'static str,
    sennight: &'static str,
    #[serde(flatten)]
    context: &'a ExportContext,
    #[serde(flatten)]
    facts: &'a ManifestFacts,
    skipped: &'a [Skipped],
    excluded: Vec<&'a str>,
}

/// manifest.json, or what kept it from being written.
pub(super) fn manifest(
    plan: &ExportPlan,
    context: &ExportContext,
    facts: &ManifestFacts,
) -> Result<Vec<u8>, serde_json::Error> {
    let own = plan.exclude.iter().map(String::as_str);
    let mut excluded: Vec<&str> = NEVER_EXPORTED.into_iter().chain(own).collect();
    excluded.sort_unstable();
    excluded.dedup();
    serde_json::to_vec_pretty(&ExportManifest {
        format: EXPORT_FORMAT,
        sennight: env!("CARGO_PKG_VERSION"),
        context,
        facts,
        skipped: &plan.skipped,
        excluded,
    })
}
