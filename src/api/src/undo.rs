//! The parts of a RestoreRequest's status about undo: the replaced database, its safety backup, and what was dropped.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The database that a swap replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousDatabase {
    /// Name on the server.
    #[schemars(length(max = 64))]
    pub name: String,
    /// OID on the server. It is dropped only by this OID and its mark, never by name alone.
    pub oid: i64,
    /// Until when the restore can be undone. Afterwards the database is dropped, but never before its safety backup has
    /// been read back.
    #[schemars(schema_with = "super::common::time")]
    pub undo_until: DateTime<Utc>,
    /// RestoreRequest of mode Undo that it is held for, also past `undoUntil`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub held_by: Option<String>,
    /// Its safety backup, once made and read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_backup: Option<SafetyBackup>,
    /// Since when it is being dropped: from here on the restore cannot be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub dropping_since: Option<DateTime<Utc>>,
    /// When it was found dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub dropped_at: Option<DateTime<Utc>>,
}

/// A dump of a replaced database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SafetyBackup {
    /// Id of the safety backup.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Its key prefix in the bucket.
    #[schemars(length(max = 1024))]
    pub prefix: String,
    /// SHA-256 of its manifest, hex.
    #[schemars(length(max = 64))]
    pub manifest_sha256: String,
    /// Bytes in the bucket.
    pub bytes: i64,
    /// Number of rows.
    pub rows: i64,
    /// When it had been read back completely and found good.
    #[schemars(schema_with = "super::common::time")]
    pub verified_at: DateTime<Utc>,
    /// When the bucket removes it.
    #[schemars(schema_with = "super::common::time")]
    pub expires_at: DateTime<Utc>,
}

/// A database that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DroppedDatabase {
    /// When the operator read the report.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
    /// The name that it had; absent where nothing had been left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub database: Option<String>,
}

/// What an Undo undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "what is undone is chosen once: create another RestoreRequest"
}]))]
pub struct Undone {
    /// UID of the RestoreRequest that is undone.
    #[schemars(length(max = 64))]
    pub request_uid: String,
    /// The database that comes back.
    #[schemars(length(max = 64))]
    pub database: String,
    /// OID of that database.
    pub previous_oid: i64,
    /// OID of the live database: the swap happens only if it is still this one.
    pub live_oid: i64,
    /// Until when the database is held for this request, at the latest.
    #[schemars(schema_with = "super::common::time")]
    pub held_until: DateTime<Utc>,
}
