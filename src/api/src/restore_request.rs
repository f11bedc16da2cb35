//! RestoreRequest and its spec, which the helpdesk writes: what to restore, for whom, and why. The status, which three
//! parties write, is in `restore_status`.

use super::common::LocalRef;
use super::restore_status::RestoreRequestStatus;
use chrono::{DateTime, NaiveDate, Utc};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A tenant wants data back. Nothing runs until the helpdesk has approved (`status.approval`) and billing has recorded the
/// payment (condition `Paid`). The spec never changes: to ask for something else, create another RestoreRequest.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sennight.dev",
    version = "v1alpha1",
    kind = "RestoreRequest",
    plural = "restorerequests",
    namespaced,
    category = "sennight",
    shortname = "rreq",
    status = "RestoreRequestStatus",
    derive = "PartialEq",
    doc = "A tenant's data is to come back; runs only when the helpdesk approved and billing was paid.",
    // At the root: rules of `status` are not asked when status itself is removed.
    validation = ("!has(oldSelf.status) || has(self.status)", "status never vanishes: it is the record of who approved and who paid"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".status.tenant"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Date", type_ = "string", json_path = ".spec.date"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Waiting-On",
        type_ = "string",
        description = "Who has to act next.",
        json_path = ".status.waitingOn"
    ),
    printcolumn(
        name = "Deadline",
        type_ = "string",
        description = "Until when, UTC.",
        json_path = ".status.deadline"
    ),
    printcolumn(name = "Ticket", type_ = "string", json_path = ".spec.ticket.id"),
    printcolumn(
        name = "Schedule",
        type_ = "string",
        priority = 1,
        json_path = ".spec.scheduleRef.name"
    ),
    printcolumn(
        name = "Snapshot",
        type_ = "string",
        priority = 1,
        description = "The exact instant that the data is from.",
        json_path = ".status.backup.snapshotTime"
    ),
    printcolumn(
        name = "Approved-By",
        type_ = "string",
        priority = 1,
        json_path = ".status.approval.by"
    ),
    printcolumn(name = "Paid-By", type_ = "string", priority = 1, json_path = ".status.payment.by"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "self == oldSelf",
    "spec is immutable: delete this RestoreRequest and create another one"
))]
#[x_kube(validation = (
    "self.mode == 'Undo' ? has(self.undoOf) && !has(self.date) && !has(self.backup) : !has(self.undoOf) && has(self.date) != has(self.backup)",
    "name one source: for CrmExport and FullRestore either date or backup, for Undo undoOf and neither of them"
))]
#[x_kube(validation = (
    "self.mode == 'CrmExport' || (has(self.acknowledgeDataLoss) && self.acknowledgeDataLoss)",
    "FullRestore and Undo lose every later change: set acknowledgeDataLoss: true after the owner agreed, or use mode CrmExport"
))]
#[x_kube(validation = (
    "self.mode == 'CrmExport' || !has(self.exportProfileRef)",
    "exportProfileRef is for mode CrmExport: remove it"
))]
pub struct RestoreRequestSpec {
    /// The BackupSchedule whose backup is wanted.
    pub schedule_ref: LocalRef,
    /// CrmExport: CSV files of all CRM elements; live data is not touched. FullRestore: the whole database goes back, all
    /// later changes are lost. Undo: a FullRestore is taken back.
    pub mode: RestoreMode,
    /// The day that the data is to be from: the newest backup taken on that local day. No backup of that day is no restore,
    /// never the nearest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::day")]
    pub date: Option<NaiveDate>,
    /// Instead of a date: the id of one backup, from the BackupSchedule's `status.backups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$"))]
    pub backup: Option<String>,
    /// For Undo: the completed FullRestore to take back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<LocalRef>,
    /// Who asked. It must be the account's owner.
    pub requester: Requester,
    /// The helpdesk's ticket.
    pub ticket: Ticket,
    /// What was lost, and how, in the tenant's words.
    #[schemars(length(min = 1, max = 2048))]
    pub reason: String,
    /// The owner knows and accepts that every change after the date is lost. Required for FullRestore and Undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_data_loss: Option<bool>,
    /// When the cut-over of a FullRestore or Undo may happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<MaintenanceWindow>,
    /// For CrmExport: the ExportProfile, instead of the BackupSchedule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_profile_ref: Option<LocalRef>,
    /// Who created this object. Stamped by admission; whatever is written here is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub requested_by: Option<String>,
}

/// The ways to bring data back.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumString,
)]
pub enum RestoreMode {
    /// CSV files of all CRM elements.
    CrmExport,
    /// The whole database.
    FullRestore,
    /// A FullRestore is taken back.
    Undo,
}

/// Who asked for a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// User id inside the tenant's account; compared with the BackupSchedule's `tenant.owner`. An id, not a name.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
}

/// A helpdesk ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Id of the ticket.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// Web address of the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https?://"))]
    pub url: Option<String>,
}

/// When a cut-over may happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",
    "message": "window.notBefore must lie before window.notAfter"
}]))]
pub struct MaintenanceWindow {
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub not_before: Option<DateTime<Utc>>,
    /// Not after this time: a cut-over that could not begin by then is not begun at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub not_after: Option<DateTime<Utc>>,
}
