//! A backup as a BackupSchedule's status lists it.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A backup in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Id; a RestoreRequest may name it in `backup`.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Local day of the snapshot in the schedule's zone: what a RestoreRequest's date is matched with.
    #[schemars(schema_with = "super::common::day")]
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    #[schemars(schema_with = "super::common::time")]
    pub snapshot_time: DateTime<Utc>,
    /// Bytes in the bucket.
    pub bytes: i64,
    /// Number of rows.
    pub rows: i64,
    /// Number of tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<i64>,
    /// SHA-256 of the manifest, hex.
    #[schemars(length(max = 64))]
    pub manifest_sha256: String,
    /// Key prefix of the backup in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub prefix: Option<String>,
    /// When the bucket removes it, unless it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub expires_at: Option<DateTime<Utc>>,
    /// A RestoreRequest holds it: it outlives `expiresAt` until that request ends.
    #[serde(default)]
    pub held: bool,
    /// It has far fewer rows or tables than the last good backup before it: check the database, and see condition Suspicious.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspicious: bool,
    /// `retention.keepLastGood`: nothing better came after it, so it outlives `expiresAt` until then at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub held_until: Option<DateTime<Utc>>,
    /// When a drill last restored it and found it good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub proven_time: Option<DateTime<Utc>>,
}
