//! What Undo requests and the requests that they undo say of each other: which swap is the newest, and which Undo is open.

use super::job_results::surely_not_swapped;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::convert::created;
use sennight_api::restore_request::RestoreMode;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::cleanup::UndoRequests;
use std::sync::Arc;

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
        && status.is_some_and(|s| is_true(&s.conditions, RequestCondition::Complete) && s.replaced_database().is_some())
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

/// Has `restore_cleanup` look at the undone request: it writes who holds the previous database.
pub fn requeue_undone(object: &RestoreRequest, cleanup_timer: &DelayQueue<Key>) {
    if let (Some(reference), Some(namespace)) = (&object.spec.undo_of, object.namespace()) {
        cleanup_timer.requeue_now(Key::new(&namespace, &reference.name));
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
    if surely_not_swapped(status, &Vec::new()) { UndoEffect::WithoutEffect } else { UndoEffect::Unknown }
}
