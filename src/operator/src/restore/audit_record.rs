//! Writes the state of a request into its audit record (`core::audit`, docs/audit.md) before anything new is done for it.

use super::controller::RestoreController;
use super::gather::ObservedRequest;
use crate::error::RecordError;
use crate::runtime::writes::get_opt;
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

/// State of a request's audit record after [`bring_up_to_date`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditRecordState {
    /// It says what the cluster says, or there is nowhere to write it.
    UpToDate,
    /// Something could not be recorded, and the request may go on nevertheless.
    Behind,
    /// Somebody changed it; in which way. Nothing new may be done for the request.
    Broken(String),
}

/// Appends what `object` says and the record does not, and puts the new head into `status`. An unreachable bucket is an
/// error for a request that could still do something; one that has ended or is being deleted goes on.
pub async fn bring_up_to_date(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<AuditRecordState, RecordError> {
    let state = state(object);
    let digest = state.digest();
    let known = status.audit.clone();
    if known.as_ref().is_some_and(|head| head.state == digest) {
        return Ok(AuditRecordState::UpToDate);
    }
    let Some(storage) = storage(object, known.as_ref(), observed, controller) else {
        // No schedule and no storage: nothing can run, and there is nowhere to write.
        return Ok(AuditRecordState::UpToDate);
    };
    let leaving =
        object.metadata.deletion_timestamp.is_some() || object.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    // Before a backup is chosen nothing can run. The condition Eligible tells that the bucket is unreachable.
    let early = object.status.as_ref().is_none_or(|s| s.backup.is_none() && s.undo.is_none());
    match Box::pin(append(object, &state, known.as_ref(), &storage, controller)).await {
        Ok(last) => {
            let (seq, sha256) = (last.entry.seq, last.sha256);
            status.audit = Some(AuditHead { storage: storage.name_any(), seq, sha256, state: digest });
            Ok(AuditRecordState::UpToDate)
        }
        Err(error) if !error.is_behind() && leaving => {
            tracing::warn!(reason = error.reason(), %error, "audit record not updated");
            Ok(AuditRecordState::Behind)
        }
        Err(error @ RecordError::Broken(_)) => {
            tracing::error!(reason = error.reason(), %error, "audit record broken; request stopped");
            Ok(AuditRecordState::Broken(error.to_string()))
        }
        Err(error) if !error.is_behind() && early => {
            tracing::warn!(reason = error.reason(), %error, "audit record not updated");
            Ok(AuditRecordState::Behind)
        }
        Err(error) => Err(error),
    }
}

/// The storage that the record is in: where it was begun, else the schedule's.
fn storage(
    object: &RestoreRequest,
    known: Option<&AuditHead>,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Option<Arc<BackupStorage>> {
    let recorded_in =
        known.filter(|head| observed.storage.as_ref().is_none_or(|storage| storage.name_any() != head.storage));
    match recorded_in {
        Some(head) => {
            let namespace = object.namespace().unwrap_or_default();
            controller.storages.get(&ObjectRef::new(&head.storage).within(&namespace))
        }
        None => observed.storage.clone(),
    }
}

/// Appends the missing entries; gives the last entry of the record.
///
/// The order must not change, because it keeps the chain single. The end of the record is read first, then the request, then
/// the next number is written, which only one writer can (the bucket refuses an existing key). A writer that read an older
/// request than the end was made of loses that number, and starts again.
async fn append(
    object: &RestoreRequest,
    state: &AuditState,
    known: Option<&AuditHead>,
    storage: &BackupStorage,
    controller: &RestoreController,
) -> Result<Recorded, RecordError> {
    let store = controller.stores.open(storage).await?;
    let uid = object.uid().unwrap_or_default();
    let last = end(&store, &uid, known).await?;
    let api: Api<RestoreRequest> = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    let fresh = get_opt(&api, &object.name_any()).await?;
    let same = |fresh: &RestoreRequest| {
        fresh.uid() == object.uid() && fresh.metadata.resource_version == object.metadata.resource_version
    };
    if !fresh.as_ref().is_some_and(same) {
        return Err(RecordError::Behind);
    }
    let entries = follow(&uid, last.as_ref(), state, controller.clock.now());
    for entry in &entries {
        if !store.audit_append(&uid, entry.entry.seq, entry.bytes.clone()).await? {
            return Err(RecordError::Behind);
        }
    }
    // Without a change the last entry is the result. The first reconcile of a request always has one, its creation.
    entries.into_iter().next_back().or(last).ok_or(RecordError::Behind)
}

/// The last entry, after checking the chain from the head in status up to it.
async fn end(store: &Store, uid: &str, known: Option<&AuditHead>) -> Result<Option<Recorded>, RecordError> {
    let from = known.map_or(1, |head| head.seq);
    let head = known.map(|head| ChainHead { seq: head.seq, sha256: head.sha256.clone() });
    let found = store.audit_entries(uid, from).await?;
    Ok(verify(uid, &found, head.as_ref(), from)?.entries.pop())
}

/// The part of a request that is recorded.
pub fn state(object: &RestoreRequest) -> AuditState {
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
