//! Tasks that load a backup into a new database: a full restore beside the live one, and a drill on a scratch server.

use super::backup::{BackupRef, default_parallelism};
use super::target::DatabaseTarget;
use sennight_core::manifest::TenantIdentity;
use serde::{Deserialize, Serialize};

/// What `preflight` and `prepare` need to know of a full restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest; marks the new database.
    pub request_uid: String,
    /// Whose data it must be: a backup of anybody else is refused (I7).
    pub identity: TenantIdentity,
    /// The backup.
    pub backup: BackupRef,
    /// The live database; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// Connections that write rows.
    #[serde(default = "default_parallelism")]
    pub parallelism: i32,
    /// Bytes of disk that the restore may take; absent where the platform team has not said: then nothing is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom_bytes: Option<i64>,
    /// Directory with the platform team's hooks, `*.sql`; they run in the new database before anybody sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_dir: Option<String>,
    /// Owners of objects in the backup may be superusers, or own other databases too: the platform team has said so.
    #[serde(default)]
    pub allow_shared_owners: bool,
}

/// A restore into a scratch database, to prove that a backup can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillTask {
    /// Name of the task.
    pub name: String,
    /// Whose data it must be (I7).
    pub identity: TenantIdentity,
    /// The backup.
    pub backup: BackupRef,
    /// The scratch server; its `database` is ignored. Credentials are of a role that may create databases there.
    pub server: DatabaseTarget,
}

impl RestoreTask {
    /// What would make `other` another restore, in words. How fast it works does not.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.request_uid != other.request_uid {
            Some("it is for another request")
        } else if !self.backup.is_same(&other.backup) {
            Some("it is for another backup")
        } else if self.identity.first_difference(&other.identity).is_some() || !self.database.is_same(&other.database) {
            Some("it is for another tenant's database")
        } else {
            None
        }
    }
}
