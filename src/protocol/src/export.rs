//! Tasks of a CRM export: the export itself, and the list of records that the live database still has. Listing is a task of
//! its own, because it needs database credentials that the export must not see.

use super::backup::BackupRef;
use super::target::DatabaseTarget;
use sennight_core::manifest::TenantIdentity;
use sennight_core::profile::{Entity, ExportProfile, TableName};
use sennight_core::result::LiveList;
use serde::{Deserialize, Serialize};

/// A CRM export of one backup. It never sees a database.
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
    /// The backup.
    pub backup: BackupRef,
    /// The compiled-from ExportProfile, as its spec's JSON.
    pub profile: serde_json::Value,
    /// What the live database still has; absent where the profile does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveAnswer>,
}

/// What the live database still has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum LiveAnswer {
    /// The ids are in the bucket.
    Listed(LiveList),
    /// The live database could not be asked: only the full set is delivered, and its manifest says why.
    Unreachable {
        /// Why, in words for the tenant's manifest.
        why: String,
    },
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
    /// The tables whose ids are listed.
    pub entities: Vec<LiveEntity>,
}

/// One table's ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveEntity {
    /// Name of the profile's entity.
    pub name: String,
    /// Table with one row for each record.
    pub table: TableName,
    /// The column that identifies a record.
    pub key: String,
}

impl LiveEntity {
    /// The tables to list for a profile: one for each of its entities.
    pub fn of(profile: &ExportProfile) -> Vec<Self> {
        let entity =
            |entity: &Entity| Self { name: entity.name.clone(), table: entity.table.clone(), key: entity.key.clone() };
        profile.entities.iter().map(entity).collect()
    }
}

impl ExportTask {
    /// What would make `other` another export, in words. The wording of the profile does not.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = self.request_uid == other.request_uid
            && self.backup.is_same(&other.backup)
            && self.identity.first_difference(&other.identity).is_none();
        // The profile may be edited between a claim and its Job; the Job that is there is still this request's.
        (!same).then_some("it would export something else")
    }
}

impl LiveIdsTask {
    /// What would make `other` ask another database, in words.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = self.request_uid == other.request_uid
            && self.identity.first_difference(&other.identity).is_none()
            && self.database.is_same(&other.database);
        (!same).then_some("it would ask another database")
    }
}
