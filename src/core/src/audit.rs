//! The append-only audit record of a RestoreRequest: what is recorded, which changes make an entry, how entries are chained
//! (docs/audit.md). It holds ids, times and one-word reasons, and no text that a person wrote.

mod chain;

pub use chain::{Chain, ChainFault, ChainHead, Recorded, StoredEntry, verify};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Format version of entries.
pub const VERSION: i32 = 1;

/// What a request is. None of it changes after its creation, except that the tenant becomes known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// Namespace of the RestoreRequest.
    pub namespace: String,
    /// Name of the RestoreRequest.
    pub request: String,
    /// Name of the BackupSchedule.
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
    /// User name that created the request, as admission stamped it.
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
    /// Id of the backup.
    pub id: String,
    /// Local day of its snapshot.
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
    /// User name that admission stamped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What billing recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditedPayment {
    /// Whether the condition Paid is True.
    pub paid: bool,
    /// Reason of that condition: `PaymentRecorded`, `Waived`, `IncludedInPlan`, `ChargedBack`.
    pub reason: String,
    /// Billing's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Amount as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Currency, three letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// User name that admission stamped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The claim: from here on nothing can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedClaim {
    /// Name of the one Job that may act on it.
    pub job: String,
    /// When it was claimed.
    pub at: DateTime<Utc>,
}

/// How the request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedEnd {
    /// `Complete`, `Denied`, `Expired`, `Failed` or `NeedsAttention`.
    pub outcome: String,
    /// Reason in CamelCase.
    pub reason: String,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Of a full restore: name of the replaced database, which is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_database: Option<String>,
    /// Of an export: SHA-256 of the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_sha256: Option<String>,
}

/// All that is recorded of a request, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditState {
    /// What the request is.
    pub subject: Subject,
    /// The backup, once it is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<AuditedBackup>,
    /// Whether the backup is held.
    pub held: bool,
    /// The helpdesk's decision, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<AuditedDecision>,
    /// What billing recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<AuditedPayment>,
    /// The claim, once it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<AuditedClaim>,
    /// `status.phase`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How it ended, once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AuditedEnd>,
    /// Billing owes a refund.
    pub refund_due: bool,
    /// Billing's reference of the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<String>,
    /// User name that recorded the refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_by: Option<String>,
    /// Deleted before its claim.
    pub deleted: bool,
}

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
pub enum AuditEvent {
    /// Somebody created the request.
    Created,
    /// The backup was chosen.
    BackupChosen,
    /// The backup is held.
    Held,
    /// The hold of the backup was released.
    Released,
    /// The helpdesk approved.
    Approved,
    /// The helpdesk denied.
    Denied,
    /// Billing recorded a payment, a waiver or a plan.
    Paid,
    /// Billing took the payment back, or changed what is recorded of it.
    PaymentChanged,
    /// The restore was claimed: from here on nothing can be revoked.
    Claimed,
    /// The claim is not in status any more: the cluster was set back to an earlier state.
    ClaimVanished,
    /// The phase changed.
    Phase,
    /// It ended.
    Ended,
    /// The end is not in status any more: the cluster was set back to an earlier state.
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
    /// Number of the entry, from 1, without gaps.
    pub seq: i64,
    /// SHA-256 of the entry before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When the operator recorded it.
    pub at: DateTime<Utc>,
    /// What the entry records.
    pub event: AuditEvent,
    /// User name of the person or system that did it; absent where the operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How the request stood after it.
    pub state: AuditState,
}

/// SHA-256 of the bytes, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl AuditState {
    /// SHA-256, hex, that changes with anything recorded: while it is the same there is nothing to record.
    pub fn digest(&self) -> String {
        // A state has no map and no number that JSON could not hold.
        sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Compares one part of the state and copies it over if it differs; the event and who caused it. In the order of a
/// request's life: several changes since the last entry are recorded in this order.
type Part = fn(&AuditState, &mut AuditState) -> Option<(AuditEvent, Option<String>)>;

const PARTS: &[Part] = &[backup, held, approval, payment, claim, phase, end, refund_due, refund, deleted];

fn changed<T: PartialEq + Clone>(from: &T, to: &mut T) -> bool {
    let changed = from != to;
    if changed {
        *to = from.clone();
    }
    changed
}

fn backup(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    changed(&now.backup, &mut recorded.backup).then_some((AuditEvent::BackupChosen, None))
}

fn held(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.held { AuditEvent::Held } else { AuditEvent::Released };
    changed(&now.held, &mut recorded.held).then_some((event, None))
}

fn approval(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let approved = now.approval.as_ref().is_some_and(|a| a.decision == "Approved");
    let event = if approved { AuditEvent::Approved } else { AuditEvent::Denied };
    let by = now.approval.as_ref().and_then(|a| a.by.clone());
    changed(&now.approval, &mut recorded.approval).then_some((event, by))
}

fn payment(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let before = recorded.payment.as_ref().is_some_and(|p| p.paid);
    let paid = now.payment.as_ref().is_some_and(|p| p.paid);
    let event = if paid && !before { AuditEvent::Paid } else { AuditEvent::PaymentChanged };
    let by = now.payment.as_ref().and_then(|p| p.by.clone());
    changed(&now.payment, &mut recorded.payment).then_some((event, by))
}

fn claim(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.claim.is_some() { AuditEvent::Claimed } else { AuditEvent::ClaimVanished };
    changed(&now.claim, &mut recorded.claim).then_some((event, None))
}

fn phase(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    // The last phase is part of the end's entry.
    let silent = now.end.is_some() || now.phase.is_none();
    (changed(&now.phase, &mut recorded.phase) && !silent).then_some((AuditEvent::Phase, None))
}

fn end(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let event = if now.end.is_some() { AuditEvent::Ended } else { AuditEvent::EndVanished };
    changed(&now.end, &mut recorded.end).then_some((event, None))
}

fn refund_due(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    let due = now.refund_due;
    (changed(&now.refund_due, &mut recorded.refund_due) && due).then_some((AuditEvent::RefundDue, None))
}

fn refund(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    // The name belongs to the refund's entry; by itself it makes none.
    recorded.refund_by.clone_from(&now.refund_by);
    changed(&now.refund, &mut recorded.refund).then_some((AuditEvent::Refunded, now.refund_by.clone()))
}

fn deleted(now: &AuditState, recorded: &mut AuditState) -> Option<(AuditEvent, Option<String>)> {
    changed(&now.deleted, &mut recorded.deleted).then_some((AuditEvent::Deleted, None))
}

/// The events between the state that was recorded last and `now`, each with who caused it and the state after it.
///
/// One event for each change, so that a crash between two entries loses neither.
pub fn transitions(recorded: Option<&AuditState>, now: &AuditState) -> Vec<(AuditEvent, Option<String>, AuditState)> {
    let mut steps = Vec::new();
    // The subject makes no entry of its own: only the tenant in it can change, from unknown to known.
    let mut state = AuditState { subject: now.subject.clone(), ..recorded.cloned().unwrap_or_default() };
    if recorded.is_none() {
        steps.push((AuditEvent::Created, now.subject.requested_by.clone(), state.clone()));
    }
    for part in PARTS {
        if let Some((event, by)) = part(now, &mut state) {
            steps.push((event, by, state.clone()));
        }
    }
    steps
}

/// The entries to append after `last` so that the record says `state`, each with its bytes.
pub fn follow(uid: &str, last: Option<&Recorded>, state: &AuditState, at: DateTime<Utc>) -> Vec<Recorded> {
    let mut previous = last.map(|last| last.sha256.clone());
    let first = last.map_or(1, |last| last.entry.seq + 1);
    let steps = transitions(last.map(|last| &last.entry.state), state);
    let mut made = Vec::new();
    // One entry a transition, each with its own number: after a crash in between, the next round takes up what is
    // there.
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
