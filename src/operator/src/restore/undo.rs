//! Undo: which request is undone, whether that is still possible, and which Undo holds its previous database. The hold is in
//! the undone request's own status and is written by its own reconcile: so a drop and a hold cannot both win.

use super::gather::ObservedRequest;
use crate::error::ReconcileError;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use crate::runtime::writes::get_opt;
use crate::settings::Timing;
use chrono::{DateTime, TimeDelta, Utc};
use kube::api::Api;
use kube::{Client, ResourceExt};
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::convert::created;
use sennight_api::restore_request::RestoreMode;
use sennight_api::restore_status::Undone;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::cleanup::UndoRequests;
use sennight_core::gate::GateInputs;
use sennight_core::gate::undo::{self, UndoRefusal};
use std::sync::Arc;

/// Days that a hold covers beyond people's deadlines: queueing and the work itself.
const WORK_DAYS: i64 = 3;

/// The OID of the database that a completed request made the live one.
pub fn live_oid_after(request: &RestoreRequest) -> Option<i64> {
    let status = request.status.as_ref()?;
    if !swapped(request) {
        return None;
    }
    status.undo.as_ref().map(|u| u.previous_oid).or_else(|| status.prepared.as_ref().map(|p| p.new_oid))
}

/// Whether a request completed with a swap: a full restore or an Undo.
pub fn swapped(request: &RestoreRequest) -> bool {
    let status = request.status.as_ref();
    request.spec.mode != RestoreMode::CrmExport
        && status.is_some_and(|s| is_true(&s.conditions, RequestCondition::Complete) && s.previous_database.is_some())
}

/// When a request's swap took effect.
pub fn committed_at(request: &RestoreRequest) -> Option<DateTime<Utc>> {
    request.status.as_ref()?.result.as_ref()?.committed_at
}

/// The request that `spec.undoOf` names, if it is of the same schedule.
pub fn undone(object: &RestoreRequest, siblings: &[Arc<RestoreRequest>]) -> Option<Arc<RestoreRequest>> {
    let name = &object.spec.undo_of.as_ref()?.name;
    siblings.iter().find(|r| r.name_any() == *name).cloned()
}

/// Checks whether `object` can undo what it names. Gives the databases to swap, or the refusal.
pub fn assess(
    object: &RestoreRequest,
    inputs: &GateInputs<'_>,
    observed: &ObservedRequest,
    timing: &Timing,
    now: DateTime<Utc>,
) -> Result<Undone, UndoRefusal> {
    let wanted = object.spec.undo_of.as_ref().map(|r| r.name.clone()).unwrap_or_default();
    let request = undone(object, &observed.siblings);
    let asked = created(&object.metadata).unwrap_or(now);
    let newest = observed.siblings.iter().filter(|r| swapped(r)).max_by_key(|r| committed_at(r));
    let replaced_by =
        request.as_ref().zip(newest).filter(|(r, n)| live_oid_after(r) != live_oid_after(n)).map(|(_, n)| n.name_any());
    let previous = request.as_ref().and_then(|r| r.status.as_ref()).and_then(|s| s.previous_database.clone());
    let facts = request.as_ref().map(|r| undo::UndoTarget {
        name: &wanted,
        same_schedule: r.spec.schedule_ref == object.spec.schedule_ref,
        swapped: swapped(r) && live_oid_after(r).is_some(),
        undo_until: previous.as_ref().map(|k| k.undo_until),
        database_gone: previous.as_ref().is_some_and(|k| k.dropping_since.is_some() || k.dropped_at.is_some()),
        replaced_by: replaced_by.as_deref(),
        held_for_this_request: previous.as_ref().is_some_and(|k| k.held_by.as_ref() == Some(&object.name_any())),
        requested_at: asked,
    });
    undo::check_undo(inputs, &wanted, facts.as_ref())?;
    let target = request.as_ref().zip(previous).zip(request.as_ref().and_then(|r| live_oid_after(r)));
    let ((request, previous), live_oid) = target.ok_or_else(|| UndoRefusal::UndoneMissing(wanted.clone()))?;
    let people = TimeDelta::from_std(timing.approval_deadline + timing.payment_deadline).unwrap_or(TimeDelta::days(8));
    Ok(Undone {
        request_uid: request.uid().unwrap_or_default(),
        database: previous.name,
        previous_oid: previous.oid,
        live_oid,
        held_until: asked + people + TimeDelta::days(WORK_DAYS),
    })
}

/// Whether the undone request's status says that its previous database is held for `object`. If not, that request is
/// reconciled, which writes the hold.
pub async fn hold(
    object: &RestoreRequest,
    client: &Client,
    requests_timer: &DelayQueue<Key>,
) -> Result<bool, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(reference) = &object.spec.undo_of else { return Ok(false) };
    let api: Api<RestoreRequest> = Api::namespaced(client.clone(), &namespace);
    let fresh = get_opt(&api, &reference.name).await?;
    let previous = fresh.and_then(|r| r.status).and_then(|s| s.previous_database);
    let held = previous.is_some_and(|k| k.dropping_since.is_none() && k.held_by.as_ref() == Some(&object.name_any()));
    if !held {
        requeue_undone(object, requests_timer);
    }
    Ok(held)
}

/// Reconciles the undone request: it looks who holds its previous database.
pub fn requeue_undone(object: &RestoreRequest, requests_timer: &DelayQueue<Key>) {
    if let (Some(reference), Some(namespace)) = (&object.spec.undo_of, object.namespace()) {
        requests_timer.requeue_now(Key::new(&namespace, &reference.name));
    }
}

/// The Undo requests for `object` among the requests of its schedule, as input of the cleanup decision.
pub fn undoing(object: &RestoreRequest, siblings: &[Arc<RestoreRequest>]) -> UndoRequests {
    let name = object.name_any();
    let mine = |r: &&Arc<RestoreRequest>| {
        r.spec.mode == RestoreMode::Undo
            && r.spec.undo_of.as_ref().is_some_and(|of| of.name == name)
            && r.spec.schedule_ref == object.spec.schedule_ref
            // An Undo of an earlier request with the same name does not count.
            && r.status.as_ref().and_then(|s| s.undo.as_ref()).is_none_or(|u| Some(&u.request_uid) == object.uid().as_ref())
    };
    let (mut open, mut unknown) = (Vec::new(), Vec::new());
    for request in siblings.iter().filter(mine) {
        match undo_effect(request.status.as_ref()) {
            UndoEffect::Open => open.push((created(&request.metadata), request.name_any())),
            UndoEffect::Effective => return UndoRequests::Done(request.name_any()),
            UndoEffect::Unknown => unknown.push(request.name_any()),
            UndoEffect::WithoutEffect => {}
        }
    }
    if let Some(name) = unknown.pop() {
        return UndoRequests::Unknown(name);
    }
    open.into_iter().min().map_or(UndoRequests::None, |(_, name)| UndoRequests::Open(name))
}

/// Whether an Undo has ended, and whether its swap took effect.
enum UndoEffect {
    Open,
    Effective,
    WithoutEffect,
    Unknown,
}

fn undo_effect(status: Option<&RestoreRequestStatus>) -> UndoEffect {
    let Some(status) = status.filter(|s| s.finished_at.is_some()) else { return UndoEffect::Open };
    if is_true(&status.conditions, RequestCondition::Complete) {
        return UndoEffect::Effective;
    }
    if super::job_results::surely_not_swapped(status, &Vec::new()) {
        UndoEffect::WithoutEffect
    } else {
        UndoEffect::Unknown
    }
}
