//! What goes into the zip beside the CSV files: README.txt for people, manifest.json for machines.

use super::plan::{Plan, Skipped};
use crate::domain::manifest::TenantIdentity;
use crate::domain::names::RecoveryPointId;
use crate::domain::profile::NEVER_EXPORTED;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;
use std::fmt::Write;

/// Name of the README inside the zip.
pub const README: &str = "README.txt";

/// Name of the manifest inside the zip.
pub const EXPORT_MANIFEST: &str = "manifest.json";

/// The export manifest's format.
pub const EXPORT_FORMAT: &str = "sennight-export/v1";

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
    /// The copy.
    pub recovery_point: RecoveryPointId,
    /// SHA-256 of the copy's manifest, hex.
    pub manifest_sha256: String,
    /// The copy's day.
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    pub snapshot_time: DateTime<Utc>,
    /// The schedule's zone; local times in the files are in it.
    pub time_zone: String,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Records, the header not counted.
    pub rows: i64,
    /// Bytes.
    pub bytes: i64,
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// Cells that the formula guard put a `'` in front of.
    pub guarded_cells: i64,
    /// The first of them.
    pub guarded: Vec<GuardedCell>,
    /// Cells that are no date, time, yes or no though their column says so; written as they are.
    pub unreadable_cells: i64,
}

/// A cell that the formula guard changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardedCell {
    /// The record, counted from 1.
    pub record: i64,
    /// The column's header.
    pub column: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportManifest<'a> {
    format: &'static str,
    sennight: &'static str,
    #[serde(flatten)]
    context: &'a ExportContext,
    files: &'a [FileFacts],
    skipped: &'a [Skipped],
    excluded: Vec<&'a str>,
}

/// manifest.json, or what kept it from being written.
pub(super) fn manifest(
    plan: &Plan,
    context: &ExportContext,
    files: &[FileFacts],
) -> Result<Vec<u8>, serde_json::Error> {
    let own = plan.exclude.iter().map(String::as_str);
    let mut excluded: Vec<&str> = NEVER_EXPORTED.into_iter().chain(own).collect();
    excluded.sort_unstable();
    excluded.dedup();
    serde_json::to_vec_pretty(&ExportManifest {
        format: EXPORT_FORMAT,
        sennight: env!("CARGO_PKG_VERSION"),
        context,
        files,
        skipped: &plan.skipped,
        excluded,
    })
}

/// README.txt in English.
pub(super) fn readme(plan: &Plan, context: &ExportContext, files: &[FileFacts]) -> String {
    let local = context.snapshot_time.with_timezone(&plan.zone);
    let mut text = format!(
        "CRM export of {tenant}\n\nAs of {local} ({zone}), which is {utc} UTC. Nothing that happened later is in these files.\n\
         Restore request {request}, recovery point {point}.\n\nFILES, in the order to import them:\n",
        tenant = context.identity.tenant,
        local = local.format("%Y-%m-%d %H:%M:%S"),
        zone = context.time_zone,
        utc = context.snapshot_time.to_rfc3339_opts(SecondsFormat::Secs, true),
        request = context.request,
        point = context.recovery_point,
    );
    for (at, file) in files.iter().enumerate() {
        line(&mut text, format_args!("  {}. {} - {} records", at + 1, file.name, file.rows));
    }
    text.push_str(HOW_TO);
    warnings(&mut text, plan, files);
    text
}

const HOW_TO: &str = "
BEFORE YOU IMPORT
  - A CRM import adds records, it does not update the ones you have: whatever still exists would be there twice.
    Look for what is missing, keep those lines, and import only them.
  - Import companies before contacts, and both before leads and deals: records are linked by name.
  - If two companies or two people have the same name, the link may go to the wrong one; the columns that end in _REF
    hold the original ids.
  - Columns that end in _LABEL say in words what the code beside them means. Importers ignore columns they do not know.
  - Files are UTF-8. Dates and times are local to the time zone above.

NOT IN THESE FILES
  Activities (calls, mails, meetings, tasks), comments in the timeline, and the history of changes.
";

fn warnings(text: &mut String, plan: &Plan, files: &[FileFacts]) {
    let guarded: i64 = files.iter().map(|file| file.guarded_cells).sum();
    let unreadable: i64 = files.iter().map(|file| file.unreadable_cells).sum();
    if guarded == 0 && unreadable == 0 && plan.skipped.is_empty() {
        return;
    }
    text.push_str("\nWORTH KNOWING\n");
    if guarded > 0 {
        line(
            text,
            format_args!(
                "  - {guarded} cells begin like a formula and got a ' in front, so that no spreadsheet runs them; \
                 {EXPORT_MANIFEST} says which."
            ),
        );
    }
    if unreadable > 0 {
        line(text, format_args!("  - {unreadable} cells hold no proper date or yes/no and were left as they are."));
    }
    for skipped in &plan.skipped {
        line(text, format_args!("  - {}: {} does not exist in this account.", skipped.entity, skipped.name));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
