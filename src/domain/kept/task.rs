//! What a worker is told about databases that a restore left: dump one safely, drop one.

use crate::domain::job::{CopyRef, DumpTask};
use crate::domain::manifest::TenantIdentity;
use crate::domain::target::DatabaseTarget;
use serde::{Deserialize, Serialize};

/// Dump the database that a swap replaced, and read the dump back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafetyTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest whose swap replaced it: it must carry its mark.
    pub request_uid: String,
    /// Its OID.
    pub kept_oid: u32,
    /// The dump: `identity` says whose data it is, `database` where it lies now; credentials are the dump ones.
    pub dump: DumpTask,
    /// Directory with the restore role's credentials: it lets the dump role into the kept database, which the swap shut.
    pub restore_credentials_dir: String,
}

/// Which mark a database that may be dropped carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// A swap replaced it.
    Kept,
    /// `prepare` made it, and it was never swapped in.
    Restore,
}

/// A database that is to be dropped. Its name is where to look; mark and OID decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Doomed {
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
pub struct ClearTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest.
    pub request_uid: String,
    /// The live database, which is never dropped; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// What is to go.
    pub doomed: Doomed,
    /// Whose data the safety dump must be (I7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<TenantIdentity>,
    /// Of a kept database: its safety dump, which must still be in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<CopyRef>,
}
