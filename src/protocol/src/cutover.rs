//! The task of the swap. `cutover`, `recover-cutover` and `preflight-undo` share it.

use super::target::DatabaseTarget;
use chrono::{DateTime, Utc};
use sennight_core::result::DatabaseNumber;
use serde::{Deserialize, Serialize};

/// Swap a prepared database for the live one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CutoverTask {
    /// Name of the task.
    pub name: String,
    /// UID of the RestoreRequest, which has at most one cut-over (I2).
    pub request_uid: String,
    /// Namespace of the RestoreRequest, for the claim's record.
    pub namespace: String,
    /// The live database; credentials are the restore ones.
    pub database: DatabaseTarget,
    /// The prepared database's name.
    pub new_database: String,
    /// The name that the replaced database gets.
    pub previous_database: String,
    /// Number of the live database as `prepare` saw it: the swap commits only if it is still this one.
    pub live_number: DatabaseNumber,
    /// Number of the prepared database.
    pub new_number: DatabaseNumber,
    /// Of an Undo: UID of the request that is undone. The prepared database is then the one that its swap replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<String>,
    /// The swap must not begin after this instant: a pod that starts late, after its node was lost, may find its request
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<DateTime<Utc>>,
}

impl CutoverTask {
    /// What would make `other` another swap, in words. Until when it may begin does not.
    // guard(i2_only_a_job_with_the_same_effect_is_taken_for_ours, = None): a Job that would swap other databases is not ours
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let timeless = |task: &Self| Self { start_by: None, ..task.clone() };
        (timeless(self) != timeless(other)).then_some("it would swap other databases")
    }
}
