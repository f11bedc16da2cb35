//! The parts of a RestoreRequest's status that report on the work: estimate, preflight, Jobs, progress, result, history.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to expect of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Bytes to read from the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_bytes: Option<i64>,
    /// Rows to bring back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Size of the live database, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_bytes: Option<i64>,
    /// Sessions on the live database that a cut-over would end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_sessions: Option<i64>,
    /// How long it may take from the payment to the end, in seconds. An estimate: see basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    /// How long the live database may be away, in milliseconds; 0 for a CrmExport. An estimate: see basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_millis: Option<i64>,
    /// What duration and downtime are estimated from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub basis: Option<String>,
    /// What this way of restoring does not bring back, or costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub not_contained: Vec<String>,
    /// What people should know before they approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 512)), extend("x-kubernetes-list-type" = "atomic"))]
    pub warnings: Vec<String>,
}

/// What the last preflight, a check of the server, found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightReport {
    /// When the server was checked.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
    /// Name of the Job that checked it.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Why a restore would fail; empty if nothing stands in its way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub refusals: Vec<Refusal>,
}

/// A reason why a restore would fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Reason in CamelCase.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// A sentence: the object, what is wrong, what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A Job that ran for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub name: String,
    /// UID of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// preflight, prepare, cutover, recover-cutover, live-ids, export, safety-backup or drop-database.
    #[schemars(length(max = 32))]
    pub step: String,
    /// Which try of the step, from 1.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<JobOutcome>,
    /// Why it failed, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// Why it failed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Of a failed Job: whether another try may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub started_at: Option<DateTime<Utc>>,
    /// When its outcome was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// How a Job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString)]
pub enum JobOutcome {
    /// It did what it was told.
    Succeeded,
    /// It did not, and changed nothing that matters.
    Failed,
    /// Not known.
    Unknown,
}

/// How far a running Job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreProgress {
    /// When this was written.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
    /// What is being done: Rows, Comparing, Indexes, Hooks or Statistics. Bytes, rows and tables count only while rows are
    /// loaded; the later stages take time, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub stage: Option<String>,
    /// Bytes done.
    pub bytes: i64,
    /// Bytes in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// When it may be done: by its own pace while rows are loaded, else by the estimate. Absent if neither says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub expected_end: Option<DateTime<Utc>>,
}

/// Which records the live database still has: a list in the bucket, for the set of what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveRecords {
    /// Key of the list in the bucket.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// SHA-256 of its bytes, hex.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Length of the list, in bytes.
    pub bytes: i64,
    /// How many records there are.
    pub ids: i64,
    /// When the live database was asked.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
}

/// What came of a request. Which fields are there depends on the mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreResult {
    /// CrmExport: key of the zip in the bucket. kubectl sennight link makes a short-lived link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub key: Option<String>,
    /// CrmExport: length of the zip, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// CrmExport: SHA-256 of the zip, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// CrmExport: the CSV files in it, in the order to import them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub files: Vec<ResultFile>,
    /// CrmExport: when the bucket removes the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub expires_at: Option<DateTime<Utc>>,
    /// FullRestore: name of the replaced database, which stays on the server until it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub previous_database: Option<String>,
    /// FullRestore: until when it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub undo_until: Option<DateTime<Utc>>,
    /// FullRestore: when the swap took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub committed_at: Option<DateTime<Utc>>,
    /// FullRestore: how long the database was unavailable, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_millis: Option<i64>,
    /// Rows brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultFile {
    /// Name inside the zip.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Records, the header not counted.
    pub rows: i64,
}

/// Something that happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When it happened.
    #[schemars(schema_with = "super::common::time")]
    pub time: DateTime<Utc>,
    /// What happened, in CamelCase.
    #[schemars(length(max = 128))]
    pub event: String,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// User name of whoever did it; absent where the operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
}

/// The record of this request in the bucket: each transition an object of its own, each with the hash of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.seq >= oldSelf.seq && (self.seq > oldSelf.seq || self.sha256 == oldSelf.sha256)",
    "message": "the record only grows: its head never goes back and never becomes another one"
}]))]
pub struct AuditHead {
    /// The BackupStorage that it lies in, below audit/ and the request's UID.
    #[schemars(length(max = 253))]
    pub storage: String,
    /// Number of the last entry, from 1.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// SHA-256 of the last entry's object, hex.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Digest of what was recorded, hex: while it is the same there is nothing to record.
    #[schemars(length(max = 64))]
    pub state: String,
}
