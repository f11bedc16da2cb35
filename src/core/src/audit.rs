//! The append-only record of a RestoreRequest: what is recorded of it, which changes make an entry, and how entries are
//! chained (docs/audit.md). Ids, times and reasons in one word only: no text that a person wrote.

mod chain;

pub use chain::{Chain, ChainFault, ChainHead, Recorded, StoredEntry, verify};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format of entries.
pub const VERSION: i32 = 1;

/// What a request is: none of it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// Namespace of the RestoreRequest.
    pub namespace: String,
    /// Its name.
    pub request: String,
    /// The BackupSchedule.
    pub schedule: String,
    /// The tenant's id, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `CrmExport`, `FullRestore` or `Undo`.
    pub mode: String,
    /// Id of the ticket.
    pub ticket: String,
    /// Id of the user who asked.
    pub requester: String,
    /// Account that created the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// The chosen backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedBackup {
    /// Its id.
    pub id: String,
    /// Its local day.
    pub day: NaiveDate,
    /// The instant that its data is from.
    pub snapshot_time: DateTime<Utc>,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
}

/// The helpdesk's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedDecision {
    /// `Approved` or `Denied`.
    pub decision: String,
    /// Who, as admission stamped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Billing's word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditedPayment {
    /// Whether the condition Paid is True.
    pub paid: bool,
    /// Its reason: `PaymentRecorded`, `Waived`, `IncludedInPlan`, `ChargedBack`.
    pub reason: String,
    /// Billing's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Amount, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Who, as admission stamped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedClaim {
    /// The one Job.
    pub job: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedEnd {
    /// `Complete`, `Denied`, `Expired`, `Failed` or `NeedsAttention`.
    pub outcome: String,
    /// Why, in CamelCase.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Of a full restore: the name that the replaced database is kept under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_database: Option<String>,
    /// Of an export: SHA-256 of the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_sha256: Option<String>,
}

/// All that is recorded of a request, as it stands at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditState {
    /// What it is.
    pub subject: Subject,
    /// The backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<AuditedBackup>,
    /// Whether the backup is held.
    pub held: bool,
    /// The helpdesk's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<AuditedDecision>,
    /// Billing's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<AuditedPayment>,
    /// The point of no return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<AuditedClaim>,
    /// How far it is, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AuditedEnd>,
    /// Billing owes a refund.
    pub refund_due: bool,
    /// Billing's reference of the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<String>,
    /// Who recorded the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_by: Option<String>,
    /// Deleted before its claim.
    pub deleted: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
pub enum AuditEvent {
    /// Somebody created the request.
    Created,
    /// The backup was chosen.
    BackupChosen,
    /// The backup is held.
    Held,
    /// The backup is let go.
    Released,
    /// The helpdesk approved.
    Approved,
    /// The helpdesk denied.
    Denied,
    /// Billing recorded a payment, a waiver or a plan.
    Paid,
    /// Billing took it back, or changed what it says.
    PaymentChanged,
    /// The point of no return.
    Claimed,
    /// The claim is not there any more: the cluster was put back to an earlier state.
    ClaimVanished,
    /// It came into another phase.
    Phase,
    /// It ended.
    Ended,
    /// The end is not there any more: the cluster was put back to an earlier state.
    EndVanished,
    /// Billing owes a refund.
    RefundDue,
    /// Billing recorded the refund.
    Refunded,
    /// It was deleted before its claim.
    Deleted,
}

/// One entry, an object of its own. The SHA-256 of an entry is that of the object's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// [`VERSION`].
    pub version: i32,
    /// UID of the RestoreRequest.
    pub uid: String,
    /// Its number, from 1, without gaps.
    pub seq: i64,
    /// SHA-256 of the entry before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When the operator recorded it.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: AuditEvent,
    /// Who did it, where a person or another system did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How the request stood after it.
    pub state: AuditState,
}

/// SHA-256, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl AuditState {
    /// A digest that changes with anything recorded.
    pub fn digest(&self) -> String {
        // A state has no map and no number that JSON could not hold.
        sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A part of the state that changes at once, and what its change is called. The order is that of a request's life: what
/// changed between two looks is told in this order.
type Part = fn(&AuditState, &mut AuditState) -> Option<(AuditEvent, Option<String>)>;

const PARTS: &[Part] = &[backup, held, approval, payment, claim, phase, end, refund_due, refund, deleted];

fn changed<T: PartialEq + Clone>(from: &T, to: &mut T) -> bool {
    let changed = from != to;
    if changed {
        *to = from.clone();
    }
    changed
}

fn backup(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    changed(&now.backup, &mut told.backup).then_some((AuditEvent::BackupChosen, None))
}

fn held(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.held { AuditEvent::Held } else { AuditEvent::Released };
    changed(&now.held, &mut told.held).then_some((event, None))
}

fn approval(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let approved = now.approval.as_ref().is_some_and(|a| a.decision == "Approved");
    let event = if approved { AuditEvent::Approved } else { AuditEvent::Denied };
    let by = now.approval.as_ref().and_then(|a| a.by.clone());
    changed(&now.approval, &mut told.approval).then_some((event, by))
}

fn payment(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let before = told.payment.as_ref().is_some_and(|p| p.paid);
    let paid = now.payment.as_ref().is_some_and(|p| p.paid);
    let event = if paid && !before { AuditEvent::Paid } else { AuditEvent::PaymentChanged };
    let by = now.payment.as_ref().and_then(|p| p.by.clone());
    changed(&now.payment, &mut told.payment).then_some((event, by))
}

fn claim(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.claim.is_some() { AuditEvent::Claimed } else { AuditEvent::ClaimVanished };
    changed(&now.claim, &mut told.claim).then_some((event, None))
}

fn phase(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    // A last phase is told by the end.
    let silent = now.end.is_some() || now.phase.is_none();
    (changed(&now.phase, &mut told.phase) && !silent).then_some((AuditEvent::Phase, None))
}

fn end(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.end.is_some() { AuditEvent::Ended } else { AuditEvent::EndVanished };
    changed(&now.end, &mut told.end).then_some((event, None))
}

fn refund_due(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let due = now.refund_due;
    (changed(&now.refund_due, &mut told.refund_due) && due).then_some((AuditEvent::RefundDue, None))
}

fn refund(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    told.refund_by.clone_from(&now.refund_by);
    changed(&now.refund, &mut told.refund).then_some((AuditEvent::Refunded, now.refund_by.clone()))
}

fn deleted(now: &AuditState, told: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    changed(&now.deleted, &mut told.deleted).then_some((AuditEvent::Deleted, None))
}

/// What happened between the state that was recorded last and now, each with the state after it: one step a change, so
/// that a crash between two entries loses neither.
pub fn transitions(told: Option<&AuditState>, now: &AuditState) -> Vec<(AuditEvent, Option<String>, AuditState)> {
    let mut steps = Vec::new();
    let mut state = AuditState { subject: now.subject.clone(), ..told.cloned().unwrap_or_default() };
    if told.is_none() {
        steps.push((AuditEvent::Created, now.subject.requested_by.clone(), state.clone()));
    }
    for part in PARTS {
        if let Some((event, by)) = part(now, &mut state) {
            steps.push((event, by, state.clone()));
        }
    }
    steps
}

/// The entries that follow `last` so that the record says `now`; each with its bytes.
pub fn follow(uid: &str, last: Option<&Recorded>, state: &AuditState, at: DateTime<Utc>) -> Vec<Recorded> {
    let mut previous = last.map(|last| last.sha256.clone());
    let first = last.map_or(1, |last| last.entry.seq + 1);
    let steps = transitions(last.map(|last| &last.entry.state), state);
    let mut made = Vec::new();
    for ((event, by, state), seq) in steps.into_iter().zip(first..) {
        let entry = AuditEntry { version: VERSION, uid: uid.to_owned(), seq, previous, at, event, by, state };
        let recorded = Recorded::of(entry);
        previous = Some(recorded.sha256.clone());
        made.push(recorded);
    }
    made
}

#[cfg(test)]
mod tests;
