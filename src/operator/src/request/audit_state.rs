//! The part of a request that its audit record tells (`core::audit`, docs/audit.md). Pure.

use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, find, is_true};
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::audit::{
    AuditState, AuditedBackup, AuditedClaim, AuditedDecision, AuditedEnd, AuditedPayment, Subject,
};

/// The part of a request that is recorded.
pub fn audit_state(object: &RestoreRequest) -> AuditState {
    let status = object.status.clone().unwrap_or_default();
    let paid = find(&status.conditions, RequestCondition::Paid);
    let payment = status.payment.clone();
    let backup = status.backup.as_ref().map(|pinned| AuditedBackup {
        id: pinned.id.clone(),
        day: pinned.day,
        snapshot_time: pinned.snapshot_time,
        manifest_sha256: pinned.manifest_sha256.clone(),
    });
    let audited = (paid.is_some() || payment.is_some()).then(|| {
        let payment = payment.clone().unwrap_or_default();
        AuditedPayment {
            paid: paid.is_some_and(sennight_api::Condition::is_true),
            reason: paid.map(|condition| condition.reason.clone()).unwrap_or_default(),
            reference: payment.reference,
            amount: payment.amount,
            currency: payment.currency,
            by: payment.by,
        }
    });
    let refund = payment.and_then(|payment| payment.refund);
    AuditState {
        subject: subject(object, &status),
        backup,
        held: is_true(&status.conditions, RequestCondition::Held),
        approval: status
            .approval
            .as_ref()
            .map(|a| AuditedDecision { decision: a.decision.to_string(), by: a.by.clone() }),
        payment: audited,
        claim: status.claim.as_ref().map(|claim| AuditedClaim { job: claim.job.clone(), at: claim.at }),
        phase: status.phase.map(|phase| phase.to_string()),
        end: ended(&status),
        refund_due: is_true(&status.conditions, RequestCondition::RefundDue),
        refund: refund.as_ref().map(|refund| refund.reference.clone()),
        refund_by: refund.and_then(|refund| refund.by),
        deleted: object.metadata.deletion_timestamp.is_some() && status.claim.is_none() && status.finished_at.is_none(),
    }
}

fn subject(object: &RestoreRequest, status: &RestoreRequestStatus) -> Subject {
    let spec = &object.spec;
    Subject {
        namespace: object.namespace().unwrap_or_default(),
        request: object.name_any(),
        schedule: spec.schedule_ref.name.clone(),
        tenant: status.tenant.clone(),
        mode: spec.mode.to_string(),
        ticket: spec.ticket.id.clone(),
        requester: spec.requester.user_id.clone(),
        requested_by: spec.requested_by.clone(),
        created_at: sennight_api::convert::created(&object.metadata),
    }
}

fn ended(status: &RestoreRequestStatus) -> Option<AuditedEnd> {
    let at = status.finished_at?;
    let conditions = [RequestCondition::Complete, RequestCondition::Failed];
    let outcome =
        conditions.iter().filter_map(|kind| find(&status.conditions, kind)).find(|condition| condition.is_true());
    let result = status.result.clone().unwrap_or_default();
    Some(AuditedEnd {
        outcome: status.phase.map(|phase| phase.to_string()).unwrap_or_default(),
        reason: outcome.map(|condition| condition.reason.clone()).unwrap_or_default(),
        at,
        previous_database: result.previous_database,
        export_sha256: result.sha256,
    })
}
