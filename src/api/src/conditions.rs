//! Conditions: the structure that all kinds share, the types of each kind, and the reasons that other parties rely on.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a condition holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumString,
)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One fact about an object. `lastTransitionTime` and `message` are optional, so that a billing system may record
/// `Paid` with three fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in CamelCase; for programs.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// Why, in a sentence; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::common::time")]
    pub last_transition_time: Option<DateTime<Utc>>,
    /// The `metadata.generation` that the condition was written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// A condition without a transition time: [`set`] fills that in.
    pub fn new(
        type_: impl AsRef<str>,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self {
            type_: type_.as_ref().to_owned(),
            status: status.into(),
            reason: reason.into(),
            message: (!message.is_empty()).then_some(message),
            last_transition_time: None,
            observed_generation: None,
        }
    }

    /// Sets `observedGeneration`.
    #[must_use]
    pub fn observed(mut self, generation: Option<i64>) -> Self {
        self.observed_generation = generation;
        self
    }

    /// Whether the status is True.
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

/// The condition of a type, if it is there.
pub fn find(conditions: &[Condition], type_: impl AsRef<str>) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_ref())
}

/// Whether the condition of a type is there and True.
pub fn is_true(conditions: &[Condition], type_: impl AsRef<str>) -> bool {
    find(conditions, type_).is_some_and(Condition::is_true)
}

/// Puts a condition into the list. Its `lastTransitionTime` stays what it was unless the status changed.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition, now: DateTime<Utc>) {
    let old = conditions.iter_mut().find(|old| old.type_ == new.type_);
    // By status alone, as Kubernetes defines it: a new reason or message is no transition.
    new.last_transition_time =
        old.as_ref().filter(|old| old.status == new.status).and_then(|old| old.last_transition_time).or(Some(now));
    if let Some(old) = old {
        *old = new;
    } else {
        conditions.push(new);
    }
}

/// The conditions whose status or reason changed: each becomes one Event. A condition that is Unknown is left out.
pub fn changed<'a>(old: &[Condition], new: &'a [Condition]) -> Vec<&'a Condition> {
    let known = |c: &Condition| old.iter().any(|o| o.type_ == c.type_ && o.status == c.status && o.reason == c.reason);
    new.iter().filter(|c| c.status != ConditionStatus::Unknown && !known(c)).collect()
}

/// Conditions of a BackupStorage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::AsRefStr, strum::EnumIter)]
pub enum StorageCondition {
    /// The bucket can be read and written with the operator's credentials.
    Ready,
    /// The rules that let backups expire are in force in the bucket.
    RetentionEnforced,
    /// The admission policies that guard approval and payment are in force.
    AuthorityIntact,
    /// The last patrol found no backup, hold or upload that should be gone.
    NothingOverdue,
}

/// Conditions of a DatabaseServer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::AsRefStr, strum::EnumIter)]
pub enum ServerCondition {
    /// What the spec names exists.
    Ready,
    /// The last drill of every tenant that had one proved its backup.
    BackupsProven,
}

/// Conditions of a BackupSchedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::AsRefStr, strum::EnumIter)]
pub enum ScheduleCondition {
    /// What the spec names exists and the schedule can be computed.
    Ready,
    /// The newest backup is not older than the slot interval plus two hours.
    Fresh,
    /// The newest backup has far fewer rows or tables than the last good one: True is bad.
    Suspicious,
}

/// Conditions of a RestoreRequest. `Paid` is the billing system's; the others are the operator's.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::AsRefStr, strum::EnumIter, strum::EnumString,
)]
pub enum RequestCondition {
    /// The restore is possible: owner, date, backup, plan, server.
    Eligible,
    /// The backup is kept until the request ends.
    Held,
    /// Mirrors `status.approval`.
    Approved,
    /// Billing has recorded the payment, or that none is needed.
    Paid,
    /// A Job runs or is due.
    Progressing,
    /// The end: the tenant has what was asked for.
    Complete,
    /// The end: the tenant does not have it.
    Failed,
    /// Paid, and nothing was delivered: billing owes a refund.
    RefundDue,
    /// The replaced database still exists, so that the restore can be undone.
    UndoAvailable,
}

/// Conditions of an ExportProfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::AsRefStr, strum::EnumIter)]
pub enum ProfileCondition {
    /// The profile makes sense by itself; each backup decides which of its columns exist.
    Ready,
}

/// Reasons that other parties write or rely on. The reasons of refusals belong to the rules that refuse.
pub mod reason {
    /// Paid: money arrived.
    pub const PAYMENT_RECORDED: &str = "PaymentRecorded";
    /// Paid: the tenant's plan covers it.
    pub const INCLUDED_IN_PLAN: &str = "IncludedInPlan";
    /// Paid: nobody has to pay (our own fault, or goodwill).
    pub const WAIVED: &str = "Waived";
    /// Paid is False: the money was taken back.
    pub const CHARGED_BACK: &str = "ChargedBack";
    /// Approved: the helpdesk said yes.
    pub const HELPDESK_APPROVED: &str = "HelpdeskApproved";
    /// Approved is False: the helpdesk said no; final.
    pub const DENIED: &str = "Denied";
    /// Approved is Unknown: nobody has decided yet.
    pub const AWAITING_HELPDESK: &str = "AwaitingHelpdesk";
    /// Eligible is False until Paid: the plan has no restores, buying one that has is the payment.
    pub const PLAN_UPGRADE_REQUIRED: &str = "PlanUpgradeRequired";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let at = |s: &str| s.parse::<DateTime<Utc>>().unwrap();
        let mut list = vec![];
        let (first, later) = (at("2026-11-22T00:00:00Z"), at("2026-11-22T01:00:00Z"));
        set(&mut list, Condition::new(ScheduleCondition::Ready, true, "Ok", ""), first);
        set(&mut list, Condition::new(ScheduleCondition::Ready, true, "Still", ""), later);
        assert_eq!(list[0].last_transition_time, Some(first));
        assert_eq!(list[0].reason, "Still");
        set(&mut list, Condition::new(ScheduleCondition::Ready, false, "No", "gone"), later);
        assert_eq!(list[0].last_transition_time, Some(later));
        assert_eq!(list.len(), 1);
        assert!(!is_true(&list, ScheduleCondition::Ready));
    }
}
