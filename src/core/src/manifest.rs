//! The manifest: the last object of a backup and the only proof that it exists (I4). What it lists is what is restored.

mod check;
mod mac;

pub use check::FRAME_LIMIT;
pub use mac::{Algorithm, Keyring, KeyringError, Mac, Seal, SealError};

use super::names::BackupId;
use crate::engine::EngineKind;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The format that this version writes and reads.
pub const FORMAT: &str = "sennight/v1";

/// The name of the manifest inside a backup's prefix.
pub const MANIFEST: &str = "manifest.json";

/// Whose data a backup holds. A backup may serve a request only if [`TenantIdentity::same_tenant`] says so (I7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantIdentity {
    /// Namespace of the BackupSchedule.
    pub namespace: String,
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// UID of the BackupSchedule: recorded, not compared (a re-created schedule adopts its backups).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schedule_uid: String,
    /// `tenant.id` of the BackupSchedule.
    pub tenant: String,
    /// Database engine.
    pub engine: EngineKind,
    /// Database name.
    pub database: String,
}

impl TenantIdentity {
    /// The first field in which `other` is somebody else's, or `None` if both are the same tenant's database.
    pub fn first_difference(&self, other: &Self) -> Option<IdentityMismatch> {
        let pairs = [
            ("namespace", &self.namespace, &other.namespace),
            ("schedule", &self.schedule, &other.schedule),
            ("tenant", &self.tenant, &other.tenant),
            ("database", &self.database, &other.database),
        ];
        let text = pairs.into_iter().find(|(_, mine, theirs)| mine != theirs);
        match text {
            Some((field, mine, theirs)) => {
                Some(IdentityMismatch { field, expected: mine.clone(), found: theirs.clone() })
            }
            None if self.engine != other.engine => Some(IdentityMismatch {
                field: "engine",
                expected: self.engine.to_string(),
                found: other.engine.to_string(),
            }),
            None => None,
        }
    }
}

/// A backup that belongs to another tenant, schedule or database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the backup's {field} is {found:?}, the request's is {expected:?}: one tenant's data never reaches another")]
pub struct IdentityMismatch {
    /// Which field differs.
    pub field: &'static str,
    /// What the request stands for.
    pub expected: String,
    /// What the manifest says.
    pub found: String,
}

/// A whole backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Id of the backup; equals the last segment of its key prefix.
    pub id: BackupId,
    /// Whose data it is.
    pub identity: TenantIdentity,
    /// The instant that the data is consistent at, as the database server's clock had it.
    pub snapshot_time: DateTime<Utc>,
    /// The local date of `snapshot_time` in `time_zone`: what a RestoreRequest's `date` is matched with.
    pub day: NaiveDate,
    /// The schedule's zone when the backup was made (IANA name).
    pub time_zone: String,
    /// When the worker started.
    pub started_at: DateTime<Utc>,
    /// When the last data object was stored.
    pub finished_at: DateTime<Utc>,
    /// The server and its database's own settings.
    pub server: ServerFacts,
    /// The schema archive.
    pub schema: SchemaArchive,
    /// Every data object, in the order written.
    pub objects: Vec<DataObject>,
    /// Every table, with the frames that hold its rows.
    pub tables: Vec<Table>,
    /// State of every sequence at the snapshot, to compare after a restore.
    #[serde(default)]
    pub sequences: Vec<Sequence>,
    /// Roles that owners and grants of the schema name: they must exist before a restore.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Sums over the backup.
    pub totals: Totals,
    /// Findings that did not fail the dump, for whoever restores it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Reserved for client-side encryption; always absent.
    #[serde(default)]
    pub encryption: Option<serde_json::Value>,
    /// Keyed MAC over all that stands before it; only [`Keyring::seal`] writes it.
    #[serde(default, skip_serializing)]
    pub mac: Option<Mac>,
}

/// The server that a backup was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFacts {
    /// The server's full version text.
    pub version: String,
    /// Major version.
    pub major: i32,
    /// `UTF8`, …
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// PostgreSQL's locale provider: `libc`, `icu`, `builtin`.
    #[serde(default)]
    pub locale_provider: String,
    /// The provider's locale where it is not `libc`.
    #[serde(default)]
    pub locale: Option<String>,
    /// ICU's own rules of the database's collation, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
    /// Extensions with their versions.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// Size of the database on the server's disk (`pg_database_size`) when the backup was made: what a restore may take,
    /// and what it is stopped at 1.5 times of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<i64>,
}

/// An extension that the database had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Name of the extension.
    pub name: String,
    /// Installed version.
    pub version: String,
}

/// The schema: for PostgreSQL a `pg_dump -Fc` archive without table rows (it keeps sequences and large objects).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaArchive {
    /// Object name below the backup's prefix.
    pub object: String,
    /// Length in bytes.
    pub length: i64,
    /// SHA-256 of the object's bytes, hex.
    pub sha256: String,
    /// The tool that wrote it, with its version; a restore needs the same major version.
    pub tool: String,
}

/// A stored data object: zstd frames one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataObject {
    /// Object name below the backup's prefix, `data/….zst`.
    pub name: String,
    /// Its length in bytes.
    pub length: i64,
}

/// One table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Schema (PostgreSQL) or database (MySQL).
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// The columns in the order of the row text: all stored ones, not generated ones.
    pub columns: Vec<Column>,
    /// Rows in all frames.
    pub rows: i64,
    /// Frames in row order; empty for an empty table.
    #[serde(default)]
    pub frames: Vec<Frame>,
}

/// A column of the row text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name of the column.
    pub name: String,
    /// Type as the engine prints it (`format_type`).
    #[serde(rename = "type")]
    pub kind: String,
}

/// One zstd frame: rows of one table only, whole rows only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frame {
    /// The [`DataObject`]'s name.
    pub object: String,
    /// Byte offset of the frame in it.
    pub offset: i64,
    /// Stored length in bytes.
    pub length: i64,
    /// Length of the row text in bytes.
    pub raw_length: i64,
    /// Number of rows.
    pub rows: i64,
    /// SHA-256 of the stored bytes, hex: checked before any of them is decoded.
    pub sha256: String,
}

/// A sequence's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequence {
    /// Schema of the sequence.
    pub schema: String,
    /// Name of the sequence.
    pub name: String,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`.
    pub is_called: bool,
}

/// Sums over a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Number of tables.
    pub tables: i64,
    /// Number of rows.
    pub rows: i64,
    /// Bytes of row text.
    pub raw_bytes: i64,
    /// Stored bytes: schema and data objects.
    pub stored_bytes: i64,
    /// Number of objects, without the manifest.
    pub objects: i64,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not this shape.
    #[error("the manifest is not readable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A format of another version.
    #[error("the manifest's format is {0:?}, this version reads {FORMAT:?}: use the Sennight that wrote it")]
    Format(String),
    /// Its parts contradict each other.
    #[error("the manifest contradicts itself: {0}")]
    Inconsistent(String),
}

/// The part that is read before the format is known to be ours.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    format: String,
}

impl Manifest {
    /// Reads and checks a manifest: format, frame bounds, sums. A damaged one never passes; whether somebody changed it
    /// is [`Keyring::examine`]'s question.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Header { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The format of these bytes, if they are a manifest of another one.
    pub fn foreign_format(bytes: &[u8]) -> Option<ManifestError> {
        let Header { format } = serde_json::from_slice(bytes).ok()?;
        // JSON without any format is damage, and no manifest of a later version.
        (format != FORMAT && !format.is_empty()).then_some(ManifestError::Format(format))
    }

    /// Checks that names, sums, rows and frames agree with each other, and that the frames leave no byte out.
    pub fn check(&self) -> Result<(), ManifestError> {
        check::check(self).map_err(ManifestError::Inconsistent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tables in one object of 30 bytes.
    pub(super) fn manifest() -> Manifest {
        let frame = |offset, length, raw, rows| {
            serde_json::json!({"object": "data/pack-0001.zst", "offset": offset, "length": length,
                "rawLength": raw, "rows": rows, "sha256": "00"})
        };
        let table = |name, rows, frame| {
            serde_json::json!({"schema": "public", "name": name, "columns": [{"name": "i", "type": "integer"}],
                "rows": rows, "frames": [frame]})
        };
        serde_json::from_value(serde_json::json!({
            "format": FORMAT, "id": "20261122T021000Z-1a2b3c4d",
            "identity": {"namespace": "n", "schedule": "s", "tenant": "t", "engine": "PostgreSQL", "database": "d"},
            "snapshotTime": "2026-11-22T02:10:01Z", "day": "2026-11-22", "timeZone": "UTC",
            "startedAt": "2026-11-22T02:10:00Z", "finishedAt": "2026-11-22T02:10:02Z",
            "server": {"version": "17", "major": 17, "encoding": "UTF8", "collate": "C", "ctype": "C"},
            "schema": {"object": "schema.pgdump", "length": 7, "sha256": "00", "tool": "pg_dump 17"},
            "objects": [{"name": "data/pack-0001.zst", "length": 30}],
            "tables": [table("a", 2, frame(0, 20, 4, 2)), table("b", 1, frame(20, 10, 5, 1))],
            "totals": {"tables": 2, "rows": 3, "rawBytes": 9, "storedBytes": 37, "objects": 2}
        }))
        .unwrap()
    }

    #[test]
    fn only_this_format_is_read_and_fields_of_later_writers_are_ignored() {
        let mut value = serde_json::to_value(manifest()).unwrap();
        value["later"] = serde_json::json!({"anything": [1, 2]});
        value["tables"][0]["later"] = true.into();
        assert_eq!(Manifest::parse(value.to_string().as_bytes()).unwrap(), manifest());
        value["format"] = "sennight/v2".into();
        let error = Manifest::parse(value.to_string().as_bytes()).unwrap_err();
        assert!(matches!(&error, ManifestError::Format(format) if format == "sennight/v2"), "{error}");
        assert!(matches!(Manifest::parse(b"{}").unwrap_err(), ManifestError::Format(_)));
        assert!(matches!(Manifest::parse(b"{\"format\":").unwrap_err(), ManifestError::Unreadable(_)));
    }
}
