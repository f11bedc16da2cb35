//! The status of a RestoreRequest: `approval` is the helpdesk's, `payment` and the condition `Paid` are billing's, everything
//! else is the operator's. The validation rules here hold even where the admission policies are missing.

use super::conditions::Condition;
pub use super::restore_report::{
    AuditHead, Estimate, HistoryEntry, JobOutcome, JobRecord, LiveRecords, PreflightReport, Refusal, RestoreProgress,
    RestoreResult, ResultFile,
};
pub use super::undo::{DroppedDatabase, PreviousDatabase, SafetyBackup, Undone};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a request is, and who did what. Three parties write here, each its own part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    // Rules of a field are not asked when the field itself goes. So that nothing vanishes, each has one here.
    {"rule": "!has(oldSelf.conditions) || has(self.conditions)",
     "message": "conditions never vanish: a merge patch replaces the whole list; use kubectl apply --server-side --subresource=status"},
    {"rule": "!has(oldSelf.approval) || has(self.approval)",
     "message": "a decision is final and never vanishes; an approval can only become Denied"},
    {"rule": "!has(oldSelf.payment) || has(self.payment)",
     "message": "payment never vanishes: set the condition Paid to False, or record payment.refund"},
    {"rule": "!has(oldSelf.backup) || has(self.backup)",
     "message": "backup is pinned once and never taken back"},
    {"rule": "!has(oldSelf.claim) || has(self.claim)",
     "message": "the claim is the point of no return and never vanishes"},
    {"rule": "!has(oldSelf.audit) || has(self.audit)",
     "message": "audit never vanishes: it names the last entry of the record"},
    {"rule": "!has(oldSelf.finishedAt) || (has(self.finishedAt) && self.finishedAt == oldSelf.finishedAt)",
     "message": "finishedAt is written once: a finished request never runs again; create another RestoreRequest"},
    {"rule": "!(has(oldSelf.claim) || has(oldSelf.finishedAt)) || !has(self.approval) || (has(oldSelf.approval) && self.approval == oldSelf.approval)",
     "message": "too late: the restore has been claimed or has ended, its approval no longer changes"},
    {"rule": "!(has(oldSelf.claim) || has(oldSelf.finishedAt)) || !has(self.conditions) || self.conditions.filter(c, c.type == 'Paid') == (has(oldSelf.conditions) ? oldSelf.conditions.filter(c, c.type == 'Paid') : [])",
     "message": "too late: the restore has been claimed or has ended, Paid no longer changes; record payment.refund instead"},
    {"rule": "!has(oldSelf.finishedAt) || has(oldSelf.claim) || !has(self.claim)",
     "message": "the request has ended: it cannot be claimed any more"},
    {"rule": "!has(self.payment) || !has(self.payment.refund) || has(self.finishedAt)",
     "message": "payment.refund is recorded once the request has ended: have the helpdesk deny it first, or set the condition Paid to False"},
    {"rule": "!has(oldSelf.payment) || !has(oldSelf.payment.refund) || (has(self.payment) && has(self.payment.refund) && self.payment.refund == oldSelf.payment.refund)",
     "message": "payment.refund is written once and never changes"}
]))]
pub struct RestoreRequestStatus {
    /// The helpdesk's decision. Set it with: kubectl patch rreq NAME --subresource=status --type=merge -p
    /// '{"status":{"approval":{"decision":"Approved"}}}'
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The payment, recorded by billing together with the condition Paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    /// Eligible, Held, Approved, Progressing, Complete, Failed, RefundDue, UndoAvailable; and Paid, which is billing's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend(
        // A map, so that server-side apply lets each party own its conditions; an atomic list has one owner.
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"],
        "x-kubernetes-validations" = [{
            "rule": "oldSelf.all(o, self.exists(n, n.type == o.type))",
            "message": "conditions never vanish: a merge patch replaces the whole list; use kubectl apply --server-side --subresource=status"
        }]
    ))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Id of the tenant, from the BackupSchedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub tenant: Option<String>,
    /// How far it is, in one word. For people: programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// Who has to act next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// Until when it waits. After that the request expires or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub deadline: Option<DateTime<Utc>>,
    /// The backup. Chosen once, then never another one: what was approved is what is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<PinnedBackup>>,
    /// What to expect, for those who decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Box<Estimate>>,
    /// What the last preflight found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightReport>,
    /// The filled and verified new database that waits for its cut-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Box<Prepared>>,
    /// CrmExport: which records the live database still had when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveRecords>,
    /// Undo: what is undone. Chosen once, when the request is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undone>,
    /// The point of no return: from here on nothing can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The Jobs that ran for this request, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub jobs: Vec<JobRecord>,
    /// How far the running Job is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Box<RestoreProgress>>,
    /// What the restore delivered, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RestoreResult>>,
    /// The replaced database: until when the restore can be undone, its safety backup, and when it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_database: Option<Box<PreviousDatabase>>,
    /// A prepared database that never became the live one, and was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_database: Option<DroppedDatabase>,
    /// What happened, oldest first; the oldest entries go when it is full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<HistoryEntry>,
    /// The last instant that whoever is waited for was reminded for: half-way, a day before, four hours before the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub reminded_at: Option<DateTime<Utc>>,
    /// The head of this request's record in the bucket. kubectl sennight audit NAME verifies and prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditHead>,
    /// When the request ended. It is deleted 90 days later, but not while a refund is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Only in the operator's memory: this object is a shortened one of an ended request, with the fields that others need.
    #[serde(skip)]
    pub compacted: bool,
}

impl RestoreRequestStatus {
    /// The database that a swap replaced: as `previousDatabase` says, or as the result does until that is written.
    pub fn replaced_database(&self) -> Option<PreviousDatabase> {
        if let Some(written) = &self.previous_database {
            return Some((**written).clone());
        }
        let result = self.result.as_ref()?;
        let undone = self.undo.as_ref().map(|undo| undo.live_oid);
        Some(PreviousDatabase {
            name: result.previous_database.clone()?,
            oid: undone.or_else(|| self.prepared.as_ref().map(|prepared| prepared.live_oid))?,
            undo_until: result.undo_until?,
            held_by: None,
            safety_backup: None,
            dropping_since: None,
            dropped_at: None,
        })
    }
}

/// The helpdesk's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf || (oldSelf.decision == 'Approved' && self.decision == 'Denied')",
    "message": "a decision is final: after it only Approved may become Denied; create another RestoreRequest"
}]))]
pub struct Approval {
    /// Approved or Denied. A denial is final; an approval can be withdrawn by Denied until the restore is claimed.
    pub decision: Decision,
    /// Who decided. Stamped by admission; whatever is written here is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
    /// Why, for the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// What the helpdesk decided.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString,
)]
pub enum Decision {
    /// The restore may run once it is paid.
    Approved,
    /// The restore never runs.
    Denied,
}

/// A payment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Billing's own reference: the invoice, order or waiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub reference: Option<String>,
    /// Amount as a decimal number in text, `49.00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = r"^[0-9]{1,16}([.][0-9]{1,4})?$"))]
    pub amount: Option<String>,
    /// Currency, three letters: `EUR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(equal = 3), regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: Option<String>,
    /// Who recorded it. Stamped by admission; whatever is written here is overwritten. Never the one who approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
    /// The money went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// Billing's own reference of the refund.
    #[schemars(length(min = 1, max = 128))]
    pub reference: String,
    /// Who recorded it. Stamped by admission; whatever is written here is overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub by: Option<String>,
}

/// How far a request is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
pub enum RestorePhase {
    /// Whether it is possible is being checked.
    Checking,
    /// The helpdesk has to decide.
    AwaitingApproval,
    /// Billing has to record the payment.
    AwaitingPayment,
    /// Waits for a place on the server, or for its window.
    Queued,
    /// The new database is being filled.
    Preparing,
    /// The databases are being swapped.
    CuttingOver,
    /// The CSV files are being written.
    Exporting,
    /// The end: done.
    Complete,
    /// The end: the helpdesk said no.
    Denied,
    /// The end: a deadline passed.
    Expired,
    /// The end: it did not work; live data is untouched.
    Failed,
    /// The end: whether the swap took effect is not known; a person must check.
    NeedsAttention,
}

/// Who has to act next.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString,
)]
pub enum WaitingOn {
    /// Sennight itself.
    Operator,
    /// The helpdesk: approve or deny.
    Helpdesk,
    /// Billing: record the payment (or the refund).
    Billing,
    /// A place on the database server, or the maintenance window.
    Queue,
    /// The platform team: something in the cluster, the bucket or the server must be put right.
    PlatformTeam,
    /// Nobody: it has ended.
    Nobody,
}

/// The backup that a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.id == oldSelf.id && self.day == oldSelf.day && self.snapshotTime == oldSelf.snapshotTime && self.manifestSha256 == oldSelf.manifestSha256",
    "message": "backup is pinned once, never re-chosen: only its place and its hold may change"
}]))]
pub struct PinnedBackup {
    /// Id of the backup.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Its key prefix in the bucket.
    #[schemars(length(max = 1024))]
    pub prefix: String,
    /// Its local day.
    #[schemars(schema_with = "super::common::day")]
    pub day: NaiveDate,
    /// The instant that the data is consistent at.
    #[schemars(schema_with = "super::common::time")]
    pub snapshot_time: DateTime<Utc>,
    /// Bytes in the bucket.
    pub bytes: i64,
    /// Number of rows.
    pub rows: i64,
    /// SHA-256 of its manifest, hex.
    #[schemars(length(max = 64))]
    pub manifest_sha256: String,
    /// Until when it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub held_until: Option<DateTime<Utc>>,
}

/// A new database that waits for its cut-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// When it was ready.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
    /// Job that filled it.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Name of the new database on the server.
    #[schemars(length(max = 64))]
    pub database: String,
    /// OID of the live database: the swap happens only if it is still this one.
    pub live_oid: i64,
    /// OID of the new database.
    pub new_oid: i64,
    /// Rows loaded.
    pub rows: i64,
    /// Tables loaded.
    pub tables: i64,
    /// The platform team's hooks that ran in it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub hooks: Vec<HookReport>,
}

/// A hook that ran in the new database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    /// Its key in the ConfigMap or Secret.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Rows that its statements changed, by the server's count. 0 may mean that it has met nothing to change.
    pub rows: i64,
}

/// The point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a request is claimed once, for ever: create another RestoreRequest"
}]))]
pub struct Claim {
    /// Attempt that was claimed, from 1.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// Name of the one Job that may act for it.
    #[schemars(length(max = 63))]
    pub job: String,
    /// When it was claimed.
    #[schemars(schema_with = "super::common::time")]
    pub at: DateTime<Utc>,
}

impl RestorePhase {
    /// Whether nothing happens after it.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Checking
            | Self::AwaitingApproval
            | Self::AwaitingPayment
            | Self::Queued
            | Self::Preparing
            | Self::CuttingOver
            | Self::Exporting => false,
            Self::Complete | Self::Denied | Self::Expired | Self::Failed | Self::NeedsAttention => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_replaced_database_is_known_by_the_result_until_status_names_it() {
        let found = |extra: Value| {
            let mut status = json!({
                "prepared": {"at": "2026-11-22T03:00:00Z", "job": "p", "database": "d__new", "liveOid": 3, "newOid": 4,
                    "rows": 1, "tables": 1},
                "result": {"previousDatabase": "d__old", "undoUntil": "2026-11-25T03:00:00Z"}
            });
            status.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let status: RestoreRequestStatus = serde_json::from_value(status).unwrap();
            status.replaced_database().map(|previous| (previous.name, previous.oid))
        };
        assert_eq!(found(json!({})), Some(("d__old".to_owned(), 3)));
        let undo = json!({"requestUid": "u", "database": "d", "previousOid": 8, "liveOid": 9, "heldUntil": "2026-11-22T03:00:00Z"});
        assert_eq!(found(json!({"undo": undo})), Some(("d__old".to_owned(), 9)));
        let written = json!({"name": "w", "oid": 5, "undoUntil": "2026-11-25T03:00:00Z"});
        assert_eq!(found(json!({"previousDatabase": written})), Some(("w".to_owned(), 5)));
        assert_eq!(found(json!({"result": {"key": "exports/a.zip"}})), None);
        assert_eq!(found(json!({"prepared": null})), None);
    }
}
