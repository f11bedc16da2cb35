//! The task that drops a database which a restore left on the server.

use super::backup::BackupRef;
use super::target::DatabaseTarget;
use sennight_core::manifest::TenantIdentity;
use sennight_core::result::DatabaseNumber;
use serde::{Deserialize, Serialize};

/// Which mark a database that may be dropped carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// A swap replaced it.
    Previous,
    /// `prepare` made it, and it was never swapped in.
    Restore,
}

/// A database to drop. It is found by its name; whether it is the right one is decided by mark and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseToDrop {
    /// Name of the database.
    pub name: String,
    /// Number of the database, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<DatabaseNumber>,
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
    /// The live database, which is never dropped; credentials are those for restoring.
    pub database: DatabaseTarget,
    /// The database to drop.
    pub database_to_drop: DatabaseToDrop,
    /// Whose data the safety backup must be (I7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<TenantIdentity>,
    /// Of a previous database: its safety backup, which must still be in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_backup: Option<BackupRef>,
}

impl DropDatabaseTask {
    /// What would make `other` drop another database, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = self.request_uid == other.request_uid
            && self.database.is_same(&other.database)
            && self.database_to_drop == other.database_to_drop;
        (!same).then_some("it would drop another database")
    }
}
