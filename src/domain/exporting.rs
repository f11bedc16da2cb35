//! What a CRM export is told: which copy by which profile, and what became of the question what the live database still
//! has. That question is a task of its own, with the read-only credentials that the export never sees.

use super::job::CopyRef;
use super::manifest::TenantIdentity;
use super::profile::{ExportProfile, TableName};
use super::target::DatabaseTarget;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A CRM export of one copy. It never sees a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest; part of the result's key.
    pub request_uid: String,
    /// Name of the RestoreRequest; part of the file name.
    pub request: String,
    /// Whose data it must be (I7).
    pub identity: TenantIdentity,
    /// The copy.
    pub copy: CopyRef,
    /// The compiled-from ExportProfile, as its spec's JSON.
    pub profile: serde_json::Value,
    /// What the live database still has; absent where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveAnswer>,
}

/// What the live database still has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum LiveAnswer {
    /// The ids are in the bucket.
    Listed(LiveList),
    /// It could not be asked: the full set is delivered, and says so.
    Unreachable {
        /// Why, in words for the tenant's manifest.
        why: String,
    },
}

/// The ids that the live database has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveList {
    /// Key of the object.
    pub key: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: i64,
    /// How many ids there are.
    pub ids: i64,
    /// When the database was asked.
    pub at: DateTime<Utc>,
}

/// List the ids that the live database has. Reads nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveIdsTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest; part of the list's key.
    pub request_uid: String,
    /// Whose database it is.
    pub identity: TenantIdentity,
    /// The live database; credentials are the read-only ones.
    pub database: DatabaseTarget,
    /// What is asked for.
    pub entities: Vec<LiveEntity>,
}

/// One table's ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveEntity {
    /// The profile's entity.
    pub name: String,
    /// Its table.
    pub table: TableName,
    /// The column that identifies a record.
    pub key: String,
}

impl ExportProfile {
    /// What the live database is asked for.
    pub fn live_entities(&self) -> Vec<LiveEntity> {
        let entity = |entity: &super::profile::Entity| LiveEntity {
            name: entity.name.clone(),
            table: entity.table.clone(),
            key: entity.key.clone(),
        };
        self.entities.iter().map(entity).collect()
    }
}
