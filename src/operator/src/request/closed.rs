//! Closed requests: they have ended, and nothing of hold, databases or audit record is left to do. The cache keeps only the
//! fields that other requests and metrics read. A closed request is deleted after `--request-retention`.

use super::audit_state::audit_state;
use super::leftovers::nothing_left;
use super::payments;
use crate::runtime::namespaced_watch::prune;
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_request::{Requester, Ticket};
use sennight_api::restore_status::{JobRecord, Payment, PinnedBackup, RestoreResult};
use sennight_api::{Condition, RestoreRequest, RestoreRequestSpec, RestoreRequestStatus};
use std::time::Duration;

/// Conditions of a closed request that are read by others.
const KEPT_CONDITIONS: [RequestCondition; 4] =
    [RequestCondition::Complete, RequestCondition::Paid, RequestCondition::RefundDue, RequestCondition::UndoAvailable];

/// When a request is deleted; `None` while it has not ended or billing owes a refund for it.
pub fn deletion_time(object: &RestoreRequest, retention: Duration) -> Option<DateTime<Utc>> {
    let keep = TimeDelta::from_std(retention).unwrap_or(TimeDelta::days(90));
    Some(object.status.as_ref()?.finished_at.filter(|_| nothing_owed(object))? + keep)
}

/// Whether billing owes nothing. The condition RefundDue is the operator's own: while it is True, a refund that billing has
/// recorded is not in the audit record yet.
pub fn nothing_owed(object: &RestoreRequest) -> bool {
    let due = object.status.as_ref().is_some_and(|status| is_true(&status.conditions, RequestCondition::RefundDue));
    payments::owed(object).is_none() && !due
}

/// Whether a request is closed, by the object alone: so thousands of them cost a restart no request.
pub fn is_closed(object: &RestoreRequest) -> bool {
    let Some(status) = &object.status else { return false };
    let recorded = || status.audit.as_ref().is_some_and(|head| head.state == audit_state(object).digest());
    status.compacted
        || (status.finished_at.is_some()
            && status.observed_generation == object.metadata.generation
            && status.jobs.iter().all(|job| job.outcome.is_some())
            && nothing_left(status)
            && !is_true(&status.conditions, RequestCondition::Held)
            && object.metadata.deletion_timestamp.is_none()
            && object.finalizers().is_empty()
            && recorded())
}

/// Whether the object is the shortened one of a closed request: nobody has to do anything for it but delete it one day.
pub fn is_compacted(object: &RestoreRequest) -> bool {
    object.status.as_ref().is_some_and(|status| status.compacted)
}

/// Shrinks a request before it is cached, if it is closed.
pub fn compact(request: &mut RestoreRequest) {
    prune(request);
    if is_closed(request)
        && nothing_owed(request)
        && let Some(status) = &request.status
    {
        *request = compacted(request, status);
    }
}

/// The fields of a closed request that the cache keeps. Built anew: clearing fields would keep their allocated memory.
fn compacted(whole: &RestoreRequest, status: &RestoreRequestStatus) -> RestoreRequest {
    let metadata = ObjectMeta {
        name: whole.metadata.name.clone(),
        namespace: whole.metadata.namespace.clone(),
        uid: whole.metadata.uid.clone(),
        resource_version: whole.metadata.resource_version.clone(),
        generation: whole.metadata.generation,
        creation_timestamp: whole.metadata.creation_timestamp.clone(),
        ..ObjectMeta::default()
    };
    let (spec, status) = (spec(&whole.spec), self::status(status));
    RestoreRequest { metadata, spec, status: Some(status) }
}

fn spec(whole: &RestoreRequestSpec) -> RestoreRequestSpec {
    RestoreRequestSpec {
        schedule_ref: whole.schedule_ref.clone(),
        mode: whole.mode,
        date: None,
        backup: None,
        undo_of: whole.undo_of.clone(),
        requester: Requester { user_id: String::new() },
        ticket: Ticket { id: String::new(), url: None },
        reason: String::new(),
        acknowledge_data_loss: None,
        window: None,
        export_profile_ref: None,
        requested_by: None,
    }
}

fn status(whole: &RestoreRequestStatus) -> RestoreRequestStatus {
    let asked = |c: &&Condition| KEPT_CONDITIONS.iter().any(|type_| type_.as_ref() == c.type_);
    let conditions = whole.conditions.iter().filter(asked);
    RestoreRequestStatus {
        payment: whole.payment.as_ref().map(|payment| Payment {
            reference: payment.reference.clone(),
            refund: payment.refund.clone(),
            ..Payment::default()
        }),
        conditions: conditions.map(|c| Condition { message: None, ..c.clone() }).collect(),
        observed_generation: whole.observed_generation,
        phase: whole.phase,
        waiting_on: whole.waiting_on,
        backup: whole.backup.as_deref().map(|backup| {
            Box::new(PinnedBackup { prefix: String::new(), manifest_sha256: String::new(), ..backup.clone() })
        }),
        prepared: whole.prepared.clone(),
        undo: whole.undo.clone(),
        claim: whole.claim.clone(),
        jobs: whole.jobs.iter().map(|job| JobRecord { uid: None, message: None, ..job.clone() }).collect(),
        result: whole.result.as_deref().map(|result| {
            Box::new(RestoreResult {
                committed_at: result.committed_at,
                downtime_millis: result.downtime_millis,
                ..RestoreResult::default()
            })
        }),
        previous_database: whole.previous_database.clone(),
        dropped_database: whole.dropped_database.clone(),
        finished_at: whole.finished_at,
        compacted: true,
        ..RestoreRequestStatus::default()
    }
}

#[cfg(test)]
mod tests;
