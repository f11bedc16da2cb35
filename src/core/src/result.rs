//! What a worker's task came to, as decisions need it. The protocol's report carries it; the operator's rules read it.

use super::names::BackupId;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Reason of a failed `recover-cutover`, and of a cut-over that started again: what was begun did not take effect and was taken back.
pub const TAKEN_BACK: &str = "CutoverTakenBack";

/// What a successful task reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all_fields = "camelCase")]
pub enum Done {
    /// A backup exists.
    Dumped(BackupSummary),
    /// A backup was read back whole.
    Verified(BackupSummary),
    /// The server was looked at.
    Preflighted(Preflight),
    /// The new database is filled and verified.
    Prepared {
        /// OID of the live database.
        live_oid: u32,
        /// OID of the new one.
        new_oid: u32,
        /// The new one's name.
        new_database: String,
        /// Rows loaded.
        rows: i64,
        /// Tables loaded.
        tables: i64,
        /// The platform team's hooks that ran in it.
        #[serde(default)]
        hooks: Vec<String>,
    },
    /// The live name now serves the backup's data.
    CutOver {
        /// The name that the old database is kept under.
        previous_database: String,
        /// How long the live name was not to be had, in milliseconds; -1 where the swap's own process did not live to
        /// tell and another found it committed.
        downtime_millis: i64,
        /// When the swap committed.
        committed_at: DateTime<Utc>,
    },
    /// The zip is in the bucket.
    Exported(ExportSummary),
    /// The ids that the live database has are in the bucket.
    Listed(LiveList),
    /// What a request left on the server is gone.
    DatabaseDropped(DatabaseDropped),
    /// A backup was restored into a scratch database and found whole.
    Drilled(Drilled),
}

/// A backup that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drilled {
    /// Its id.
    pub id: BackupId,
    /// Rows that were restored and counted.
    pub rows: i64,
    /// Tables.
    pub tables: i64,
    /// How long it took, in seconds.
    pub seconds: i64,
}

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseDropped {
    /// Name that the database had; absent where it was not there any more.
    pub database: Option<String>,
    /// Its OID.
    pub oid: Option<u32>,
}

/// What is told of a backup: enough for status and for pinning it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// Id.
    pub id: BackupId,
    /// Key prefix, ending in `/`.
    pub prefix: String,
    /// The backup's day.
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    pub snapshot_time: DateTime<Utc>,
    /// Rows.
    pub rows: i64,
    /// Tables.
    pub tables: i64,
    /// Stored bytes.
    pub bytes: i64,
    /// Bytes of row text.
    pub raw_bytes: i64,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha256: String,
}

/// What a look at the server found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// Why a full restore would fail; empty is go.
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
    /// CamelCase.
    pub reason: String,
    /// The object, what is wrong, the way out.
    pub message: String,
}

/// A finished export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportSummary {
    /// Key of the zip in the bucket.
    pub key: String,
    /// Its length in bytes.
    pub bytes: i64,
    /// SHA-256, hex.
    pub sha256: String,
    /// The CSV files in it with their rows, in import order.
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
    /// Key of the object.
    pub key: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: i64,
    /// How many ids there are.
    pub ids: i64,
    /// When the database was asked.
    pub at: DateTime<Utc>,
}
