//! Keeping the record up (`domain::audit`, docs/audit.md): what stands in the cluster is written into the bucket before
//! anything new is done for a request. The order is what keeps the chain single: the bucket's end is read first, then
//! the request afresh, then the next number is put, which only one writer can. Whoever read an older request than the
//! end was made of is beaten to that number, and looks again.

use super::gather::ObservedRequest;
use crate::context::Context;
use crate::error::RecordError;
use crate::writes::get_opt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use sennight_api::conditions::{RequestCondition, find, is_true};
use sennight_api::restore_report::AuditHead;
use sennight_api::{BackupStorage, RestoreRequest, RestoreRequestStatus};
use sennight_core::audit::{
    AuditState, AuditedBackup, AuditedClaim, AuditedDecision, AuditedEnd, AuditedPayment, ChainHead, Recorded, Subject,
    follow, verify,
};
use sennight_storage::Store;
use std::sync::Arc;

/// How the record of a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditRecordState {
    /// It says what the cluster says.
    UpToDate,
    /// Something is left to record, which nothing has to wait for.
    Behind,
    /// Somebody changed it; in which way.
    Broken(String),
}

/// Records what `object` says and the record does not yet, and puts the new head into `status`. A store that is away stops a
/// request that could still do something; what has ended or goes is let go.
pub async fn bring_up_to_date(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<AuditRecordState, RecordError> {
    let state = state(object);
    let digest = state.digest();
    let known = status.audit.clone();
    if known.as_ref().is_some_and(|head| head.state == digest) {
        return Ok(AuditRecordState::UpToDate);
    }
    let Some(storage) = storage(object, known.as_ref(), seen, ctx) else {
        // No schedule, no storage: there was never anything to restore, and there is nowhere to write.
        return Ok(AuditRecordState::UpToDate);
    };
    let leaving =
        object.metadata.deletion_timestamp.is_some() || object.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    // Before a backup is chosen nothing can run; a store that is away is told by the condition Eligible.
    let early = object.status.as_ref().is_none_or(|s| s.backup.is_none() && s.undo.is_none());
    match Box::pin(append(object, &state, known.as_ref(), &storage, ctx)).await {
        Ok(last) => {
            let (seq, sha256) = (last.entry.seq, last.sha256);
            status.audit = Some(AuditHead { storage: storage.name_any(), seq, sha256, state: digest });
            Ok(AuditRecordState::UpToDate)
        }
        Err(error) if !error.is_behind() && leaving => {
            tracing::warn!(reason = error.reason(), %error, "this request's record was not kept up");
            Ok(AuditRecordState::Behind)
        }
        Err(error @ RecordError::Broken(_)) => {
            tracing::error!(reason = error.reason(), %error, "nothing new is begun for this request");
            Ok(AuditRecordState::Broken(error.to_string()))
        }
        Err(error) if !error.is_behind() && early => {
            tracing::warn!(reason = error.reason(), %error, "this request's record was not kept up");
            Ok(AuditRecordState::Behind)
        }
        Err(error) => Err(error),
    }
}

/// The storage of the schedule; once that is gone, the one that the record was begun in.
fn storage(
    object: &RestoreRequest,
    known: Option<&AuditHead>,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Option<Arc<BackupStorage>> {
    let begun = known.filter(|head| seen.storage.as_ref().is_none_or(|storage| storage.name_any() != head.storage));
    match begun {
        Some(head) => {
            let namespace = object.namespace().unwrap_or_default();
            ctx.caches.storages.get(&ObjectRef::new(&head.storage).within(&namespace))
        }
        None => seen.storage.clone(),
    }
}

async fn append(
    object: &RestoreRequest,
    state: &AuditState,
    known: Option<&AuditHead>,
    storage: &BackupStorage,
    ctx: &Context,
) -> Result<Recorded, RecordError> {
    let store = ctx.stores.open(storage).await?;
    let uid = object.uid().unwrap_or_default();
    let last = end(&store, &uid, known).await?;
    let api: Api<RestoreRequest> = Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    let fresh = get_opt(&api, &object.name_any()).await?;
    let same = |fresh: &RestoreRequest| {
        fresh.uid() == object.uid() && fresh.metadata.resource_version == object.metadata.resource_version
    };
    if !fresh.as_ref().is_some_and(same) {
        return Err(RecordError::Behind);
    }
    let entries = follow(&uid, last.as_ref(), state, ctx.now());
    for entry in &entries {
        if !store.audit_append(&uid, entry.entry.seq, entry.bytes.clone()).await? {
            return Err(RecordError::Behind);
        }
    }
    // Without a change the last entry stands; the first round of a request always has one, its creation.
    entries.into_iter().next_back().or(last).ok_or(RecordError::Behind)
}

/// The last entry, the chain from the head that status names up to it checked.
async fn end(store: &Store, uid: &str, known: Option<&AuditHead>) -> Result<Option<Recorded>, RecordError> {
    let from = known.map_or(1, |head| head.seq);
    let head = known.map(|head| ChainHead { seq: head.seq, sha256: head.sha256.clone() });
    let found = store.audit_entries(uid, from).await?;
    Ok(verify(uid, &found, head.as_ref(), from)?.entries.pop())
}

/// What is recorded of a request, as it stands.
pub fn state(object: &RestoreRequest) -> AuditState {
    let status = object.status.clone().unwrap_or_default();
    let paid = find(&status.conditions, RequestCondition::Paid);
    let payment = status.payment.clone();
    let backup = status.backup.as_ref().map(|point| AuditedBackup {
        id: point.id.clone(),
        day: point.day,
        snapshot_time: point.snapshot_time,
        manifest_sha256: point.manifest_sha256.clone(),
    });
    let settled = (paid.is_some() || payment.is_some()).then(|| {
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
        payment: settled,
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
        created_at: super::validate::created(object),
    }
}

fn ended(status: &RestoreRequestStatus) -> Option<AuditedEnd> {
    let at = status.finished_at?;
    let conditions = [RequestCondition::Complete, RequestCondition::Failed];
    let told =
        conditions.iter().filter_map(|kind| find(&status.conditions, kind)).find(|condition| condition.is_true());
    let result = status.result.clone().unwrap_or_default();
    Some(AuditedEnd {
        outcome: status.phase.map(|phase| phase.to_string()).unwrap_or_default(),
        reason: told.map(|condition| condition.reason.clone()).unwrap_or_default(),
        at,
        previous_database: result.previous_database,
        export_sha256: result.sha256,
    })
}
