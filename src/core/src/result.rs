//! What a worker's task reports when it succeeded. Part of the protocol's report; the operator's decisions read it.

use super::names::BackupId;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::TryFromIntError;

/// Reason of a failed `recover-cutover`, and of a cut-over that was started twice: the swap did not take effect and was
/// reverted.
pub const TAKEN_BACK: &str = "CutoverTakenBack";

/// Tells a database from every other one that has had its name: a swap changes names, never numbers. PostgreSQL gives its
/// OID. On MySQL and MariaDB it is the number in the schema's mark, or is made of the name where nobody has restored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseNumber(pub u32);

impl fmt::Display for DatabaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<DatabaseNumber> for i64 {
    fn from(number: DatabaseNumber) -> Self {
        number.0.into()
    }
}

impl TryFrom<i64> for DatabaseNumber {
    type Error = TryFromIntError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u32::try_from(number).map(Self)
    }
}

/// A hook that ran in a new database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookRun {
    /// Its key in the ConfigMap or Secret.
    pub name: String,
    /// Rows that its statements changed, by the server's count. 0 may mean that it has met nothing to change.
    pub rows: i64,
}

/// What a successful task reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all_fields = "camelCase")]
pub enum Done {
    /// A backup exists.
    Dumped(BackupSummary),
    /// A backup was read back completely and found good.
    Verified(BackupSummary),
    /// The server was checked.
    Preflighted(Preflight),
    /// The new database is filled and verified.
    Prepared {
        /// Number of the live database.
        live_number: DatabaseNumber,
        /// Number of the new database.
        new_number: DatabaseNumber,
        /// Name of the new database.
        new_database: String,
        /// Rows loaded.
        rows: i64,
        /// Tables loaded.
        tables: i64,
        /// The platform team's hooks that ran in it.
        #[serde(default)]
        hooks: Vec<HookRun>,
    },
    /// The live name now serves the backup's data.
    CutOver {
        /// Name of the replaced database, which is kept.
        previous_database: String,
        /// Milliseconds without a database of the live name; -1 where the process that swapped died and another one found
        /// the swap committed.
        downtime_millis: i64,
        /// When the swap committed.
        committed_at: DateTime<Utc>,
    },
    /// The zip is in the bucket.
    Exported(ExportSummary),
    /// The ids that the live database has are in the bucket.
    Listed(LiveList),
    /// The database that a request left on the server is dropped.
    DatabaseDropped(DatabaseDropped),
    /// A backup was restored into a scratch database and found good.
    Drilled(Drilled),
}

/// A backup that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drilled {
    /// Id of the backup.
    pub id: BackupId,
    /// Rows that were restored and counted.
    pub rows: i64,
    /// Tables that were restored.
    pub tables: i64,
    /// Duration in seconds.
    pub seconds: i64,
}

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseDropped {
    /// Name that the database had; absent if it did not exist any more.
    pub database: Option<String>,
    /// Number that the database had.
    pub number: Option<DatabaseNumber>,
}

/// A backup in short: enough for status and for pinning it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// Id of the backup.
    pub id: BackupId,
    /// Key prefix in the bucket, ending in `/`.
    pub prefix: String,
    /// Local day of the snapshot in the schedule's zone.
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    pub snapshot_time: DateTime<Utc>,
    /// Number of rows.
    pub rows: i64,
    /// Number of tables.
    pub tables: i64,
    /// Stored bytes, without the manifest.
    pub bytes: i64,
    /// Bytes of row text.
    pub raw_bytes: i64,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha256: String,
}

/// What the check of a server found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// Why a full restore would fail; empty if nothing stands in its way.
    pub refusals: Vec<Refusal>,
    /// What people should know before they approve.
    pub warnings: Vec<String>,
    /// Size of the live database in bytes.
    pub live_bytes: i64,
    /// Sessions on the live database now, the worker's own not counted.
    pub live_sessions: i64,
}

/// A reason why a full restore would fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Reason in CamelCase.
    pub reason: String,
    /// A sentence: the object, what is wrong, what to do.
    pub message: String,
}

/// A finished export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportSummary {
    /// Key of the zip in the bucket.
    pub key: String,
    /// Length of the zip in bytes.
    pub bytes: i64,
    /// SHA-256 of the zip, hex.
    pub sha256: String,
    /// The CSV files in it, in the order to import them.
    pub files: Vec<ExportFile>,
}

/// A CSV file inside an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Name inside the zip.
    pub name: String,
    /// Records, the header not counted.
    pub rows: i64,
}

/// The ids that the live database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveList {
    /// Key of the list in the bucket.
    pub key: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: i64,
    /// How many ids there are.
    pub ids: i64,
    /// When the database was asked.
    pub at: DateTime<Utc>,
}
