//! What a worker answers: reports and progress, as JSON objects in S3.

use super::names::RecoveryPointId;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Reason of a failed `settle`, and of a cut-over that started again: what was begun did not take effect and was taken back.
pub const TAKEN_BACK: &str = "CutoverTakenBack";

/// What one task came to: the object `results/<job uid>/<task>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// The task's name.
    pub task: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It did what it was told.
    Succeeded(Done),
    /// It did not, and changed nothing that matters.
    Failed {
        /// Reason in CamelCase: becomes the condition's reason, the Event's and the metric's label.
        reason: String,
        /// One sentence for people: the object, what happened, the way out. No secrets.
        message: String,
        /// False when another attempt would fail the same way.
        retryable: bool,
    },
    /// It cannot be told whether the step took effect: a human must look (NeedsAttention).
    Unknown {
        /// Reason in CamelCase.
        reason: String,
        /// What to look at.
        message: String,
    },
}

/// What a successful task reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all_fields = "camelCase")]
pub enum Done {
    /// A copy exists.
    Dumped(CopySummary),
    /// A copy was read back whole.
    Verified(CopySummary),
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
    /// The live name now serves the copy's data.
    CutOver {
        /// The name that the old database is kept under.
        kept_database: String,
        /// How long the live name was not to be had, in milliseconds; -1 where the swap's own process did not live to
        /// tell and another found it committed.
        downtime_millis: i64,
        /// When the swap committed.
        committed_at: DateTime<Utc>,
    },
    /// The zip is in the bucket.
    Exported(ExportSummary),
    /// The ids that the live database has are in the bucket.
    Listed(super::exporting::LiveList),
    /// What a request left on the server is gone.
    Cleared(Cleared),
    /// A copy was restored into a scratch database and found whole.
    Drilled(Drilled),
}

/// A copy that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drilled {
    /// Its id.
    pub id: RecoveryPointId,
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
pub struct Cleared {
    /// Name that the database had; absent where it was not there any more.
    pub database: Option<String>,
    /// Its OID.
    pub oid: Option<u32>,
}

/// What is told of a copy: enough for status and for pinning it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopySummary {
    /// Id.
    pub id: RecoveryPointId,
    /// Key prefix, ending in `/`.
    pub prefix: String,
    /// The copy's day.
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

/// How far a running task is: the object `progress/<job uid>/<task>.json`, written at a bounded rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// When this was written.
    pub at: DateTime<Utc>,
    /// What is being done, where a task says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Bytes done.
    pub bytes: i64,
    /// Bytes in all, where known.
    pub total_bytes: Option<i64>,
    /// Rows done.
    pub rows: i64,
    /// Rows in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_rows: Option<i64>,
    /// Tables done.
    pub tables: i64,
    /// Tables in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tables: Option<i64>,
}

/// What a task is doing. Bytes, rows and tables are counted in the first of these only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
pub enum Stage {
    /// Rows are brought over.
    Rows,
    /// What arrived is counted or read again.
    Comparing,
    /// Indexes, constraints, and the rest of the schema.
    Indexes,
    /// The platform team's SQL.
    Hooks,
    /// Statistics for the server's planner.
    Statistics,
}
