//! The task that drops a database which a restore left on the server.

use super::backup::BackupRef;
use super::target::DatabaseTarget;
use sennight_core::manifest::TenantIdentity;
use serde::{Deserialize, Serialize};

/// Which mark a database that may be dropped carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// A swap replaced it.
    Previous,
    /// `prepare` made it, and it was never swapped in.
    Restore,
}

/// A database that is to be dropped. Its name is where to look; mark and OID decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseToDrop {
    /// Its name.
    pub name: String,
    /// Its OID, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// The mark that it must carry.
    pub mark: Mark,
}

/// Drop what a RestoreRequest left on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropDatabaseTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest.
    pub request_uid: String,
    /// The live database, which is never dropped; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// What is to go.
    pub database_to_drop: DatabaseToDrop,
    /// Whose data the safety backup must be (I7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<TenantIdentity>,
    /// Of a previous database: its safety backup, which must still be in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_backup: Option<BackupRef>,
}
