//! Tasks that make a backup or read one, and how a task names a backup.

use super::target::DatabaseTarget;
use sennight_core::manifest::TenantIdentity;
use sennight_core::names::BackupId;
use sennight_core::result::DatabaseNumber;
use serde::{Deserialize, Serialize};

/// A backup, named so that a worker can insist on exactly this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupRef {
    /// Key prefix of the backup in the bucket, ending in `/`; in `daily/` or `held/`.
    pub prefix: String,
    /// Id of the backup.
    pub id: BackupId,
    /// SHA-256 of the manifest's bytes, hex: pins the backup that was approved. Absent where a person at a shell wants any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

impl BackupRef {
    /// Whether it names the same backup, wherever in the bucket that lies.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // Without the prefix: a hold may have copied the backup to `held/` in between.
        (&self.id, &self.manifest_sha256) == (&other.id, &other.manifest_sha256)
    }
}

/// Dump one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DumpTask {
    /// Name of the task inside its Job; names the result object.
    pub name: String,
    /// Whose data it is; goes into the manifest.
    pub identity: TenantIdentity,
    /// The database to read.
    pub database: DatabaseTarget,
    /// IANA zone that decides the backup's day.
    pub time_zone: String,
    /// Connections that read rows (1 for a small database whatever this says).
    #[serde(default = "default_parallelism")]
    pub parallelism: i32,
    /// Longest wait for the table locks, in seconds: those who come behind the dump wait no longer.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout_seconds: i32,
    /// Longest time that a tenant's DDL may wait for the running dump's locks, in seconds; then the dump is given up.
    #[serde(default = "default_ddl_wait")]
    pub ddl_wait_seconds: i32,
    /// The whole task's deadline, in seconds.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: i32,
    /// Row text that all connections together read from the server in a second; absent is without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<i64>,
    /// MySQL and MariaDB: dump tables of other storage engines than InnoDB too, although the snapshot does not cover them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_non_transactional: bool,
}

pub(super) fn default_parallelism() -> i32 {
    2
}
fn default_lock_timeout() -> i32 {
    30
}
fn default_ddl_wait() -> i32 {
    60
}
fn default_deadline() -> i32 {
    7200
}

/// Read a backup back and check every byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyTask {
    /// Name of the task.
    pub name: String,
    /// The backup to check.
    pub backup: BackupRef,
}

/// Dump the database that a swap replaced, and read the dump back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafetyBackupTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest whose swap replaced the database: it must carry its mark.
    pub request_uid: String,
    /// Number of the replaced database.
    pub previous_number: DatabaseNumber,
    /// The dump: `identity` says whose data it is, `database` has its present name; credentials are those for dumping.
    pub dump: DumpTask,
    /// Directory with the restore role's credentials. That role lets the dump role into the previous database, which the swap
    /// closed to connections.
    pub restore_credentials_dir: String,
}

impl SafetyBackupTask {
    /// What would make `other` dump another database, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = self.request_uid == other.request_uid
            && self.previous_number == other.previous_number
            && self.dump.identity.first_difference(&other.dump.identity).is_none()
            && self.dump.database.is_same(&other.dump.database);
        (!same).then_some("it would dump another database")
    }
}
