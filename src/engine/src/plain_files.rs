//! A backup as plain files that an engine's own client loads: what each engine writes beside the rows.

use bytes::Bytes;
use sennight_core::manifest::Manifest;
use std::fmt::Write as _;

/// Name of the script that loads everything.
pub const SCRIPT: &str = "load.sh";
/// Name of the file that says what lies in the directory.
pub const README: &str = "README.md";

/// The files of one backup.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    /// The backup's manifest.
    pub manifest: &'a Manifest,
    /// The schema as text; empty where it stays a file.
    pub schema: &'a str,
    /// Folder of the rows.
    pub folder: &'a str,
    /// The file of each table of the manifest, with its folder.
    pub tables: &'a [String],
}

/// How an engine's backups become files.
pub trait PlainFiles: Send + Sync {
    /// Name of the file that the schema stays in as it is. `None` where it is text that [`PlainFiles::files`] divides.
    fn schema_file(&self) -> Option<&'static str>;

    /// Row text as the engine's client reads it.
    fn rows(&self, raw: Bytes) -> Bytes;

    /// The other files, with their text. The script comes last: a directory without one is incomplete.
    fn files(&self, directory: &Directory<'_>) -> Vec<(&'static str, Vec<u8>)>;
}

/// README.md: whose data, of when, then the engine's own part.
pub fn readme(manifest: &Manifest, server: &str, files: &str) -> String {
    let identity = &manifest.identity;
    let mut text = format!(
        "# Backup {id} of database {database:?}\n\n\
         Tenant {tenant:?}, schedule {namespace}/{schedule}; the data of {snapshot} (day {day} in {zone}).\n\
         {server}, {tables} tables, {rows} rows.\n\n{files}\n",
        id = manifest.id,
        database = identity.database,
        tenant = identity.tenant,
        namespace = identity.namespace,
        schedule = identity.schedule,
        snapshot = manifest.snapshot_time.to_rfc3339(),
        day = manifest.day,
        zone = manifest.time_zone,
        tables = manifest.totals.tables,
        rows = manifest.totals.rows,
    );
    for warning in &manifest.warnings {
        let _ = writeln!(text, "- {warning}");
    }
    text
}
