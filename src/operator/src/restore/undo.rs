//! Undo: whether the request that is named can be undone, and whether its previous database is held for this one. The hold
//! is in the undone request's own status, and its `restore_cleanup` writes it: so a drop and a hold cannot both win.

use super::gather::ObservedRequest;
use crate::error::ReconcileError;
use crate::request::undo::{committed_at, live_oid_after, requeue_undone, swapped, undone};
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use crate::runtime::writes::get_opt;
use crate::settings::Timing;
use chrono::{DateTime, TimeDelta, Utc};
use kube::api::Api;
use kube::{Client, ResourceExt};
use sennight_api::convert::created;
use sennight_api::restore_status::Undone;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::gate::GateInputs;
use sennight_core::gate::undo::{self, UndoRefusal};

/// Days that a hold covers beyond people's deadlines: queueing and the work itself.
const WORK_DAYS: i64 = 3;

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
    let previous = request.as_ref().and_then(|r| r.status.as_ref()).and_then(RestoreRequestStatus::replaced_database);
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

/// Whether the undone request's status says that its previous database is held for `object`. If not,
/// `restore_cleanup` looks at that request and writes the hold.
pub async fn hold(
    object: &RestoreRequest,
    client: &Client,
    cleanup_timer: &DelayQueue<Key>,
) -> Result<bool, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(reference) = &object.spec.undo_of else { return Ok(false) };
    let api: Api<RestoreRequest> = Api::namespaced(client.clone(), &namespace);
    let fresh = get_opt(&api, &reference.name).await?;
    let previous = fresh.and_then(|r| r.status).and_then(|s| s.previous_database);
    let held = previous.is_some_and(|k| k.dropping_since.is_none() && k.held_by.as_ref() == Some(&object.name_any()));
    if !held {
        requeue_undone(object, cleanup_timer);
    }
    Ok(held)
}
