//! Reads all that one reconcile of a restore's databases needs, and makes the input of the decision of it.

use super::controller::CleanupController;
use crate::cache::jobs::JobKind;
use crate::error::ReconcileError;
use crate::request::endings::{Places, endings};
use crate::request::job_results::{NewResults, record_endings, step};
use crate::request::leftovers::{leftover, nothing_left};
use crate::request::list_beside;
use crate::request::ownership::Controller;
use crate::request::references::References;
use crate::request::undo::undoing;
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use sennight_api::conditions::{RequestCondition, find};
use sennight_api::convert::instant;
use sennight_api::restore_request::RestoreMode;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::cleanup::{self, CleanupInputs};
use sennight_core::names::RestoreStep;
use std::sync::Arc;

/// Input of one reconcile.
pub struct CleanupInput {
    /// Schedule, storage and server.
    pub references: References,
    /// Status with the ends of Jobs that were found now, and the replaced database if there is one.
    pub status: RestoreRequestStatus,
    /// Input of the decision.
    pub facts: CleanupInputs,
}

/// Whether `restore` has stopped, because the request is deleted before its claim.
fn stopped(object: &RestoreRequest, status: &RestoreRequestStatus) -> bool {
    let progressing = find(&status.conditions, RequestCondition::Progressing);
    object.metadata.deletion_timestamp.is_some()
        && status.claim.is_none()
        && progressing.is_some_and(|c| c.reason == "Deleting")
}

/// Whether there is anything to look at. Asked before anything is read: a request that runs has many events.
pub fn concerns(object: &RestoreRequest) -> bool {
    let Some(status) = &object.status else { return false };
    let over = status.finished_at.is_some() || (object.metadata.deletion_timestamp.is_some() && status.claim.is_none());
    let kept = object.finalizers().iter().any(|name| name == Controller::Cleanup.finalizer());
    over && (kept || !nothing_left(status))
}

/// Reads everything.
pub async fn gather(
    object: &RestoreRequest,
    controller: &CleanupController,
    now: DateTime<Utc>,
) -> Result<CleanupInput, ReconcileError> {
    let references = References::read(object, &controller.client, &controller.storages, &controller.servers).await?;
    let places = Places {
        client: &controller.client,
        jobs: &controller.jobs,
        stores: &controller.stores,
        storage: references.storage.as_deref(),
    };
    let ended = endings(object, Controller::Cleanup, &places).await?;
    let mut status = object.status.clone().unwrap_or_default();
    if status.finished_at.is_some() {
        status.previous_database = status.replaced_database().map(Box::new);
    }
    let results = record_endings(&mut status, &ended.states, now);
    let mut facts = facts(object, &status, &results, &references, controller, now);
    let siblings = controller.open.all_of(&object.namespace().unwrap_or_default(), &object.spec.schedule_ref.name);
    facts.undoing = undoing(object, &siblings);
    if facts.undo_until.is_some() && cleanup::decide(&facts, now).drops() {
        // An Undo that was just created may not be in the cache. Before anything is dropped, they are listed afresh.
        facts.undoing = undoing(object, &fresh_undos(object, controller).await?);
    }
    Ok(CleanupInput { references, status, facts })
}

/// The Undo requests of the namespace, from the API server: the cache may not have one that was just created.
async fn fresh_undos(
    object: &RestoreRequest,
    controller: &CleanupController,
) -> Result<Vec<Arc<RestoreRequest>>, ReconcileError> {
    let undo = |other: RestoreRequest| (other.spec.mode == RestoreMode::Undo).then(|| Arc::new(other));
    list_beside(object, &controller.client, undo).await
}

fn facts(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    results: &NewResults,
    references: &References,
    controller: &CleanupController,
    now: DateTime<Utc>,
) -> CleanupInputs {
    let previous = status.previous_database.as_ref();
    let place_free = references.server.as_ref().is_none_or(|server| {
        let running =
            controller.jobs.running(JobKind::Dump, &object.namespace().unwrap_or_default(), &server.name_any());
        running.total < i64::from(controller.max_dumps)
            && running.on_server < i64::from(server.spec.max_concurrent_dumps)
    });
    CleanupInputs {
        ended: status.finished_at.is_some(),
        claimed: status.claim.is_some(),
        deleting: object.metadata.deletion_timestamp.as_ref().map(|at| instant(at).unwrap_or(now)),
        stopped: stopped(object, status),
        nothing_left: nothing_left(status),
        undo_until: previous.map(|k| k.undo_until),
        undoing: cleanup::UndoRequests::None,
        held_by: previous.and_then(|k| k.held_by.clone()),
        safety_backup_ready: previous
            .and_then(|k| k.safety_backup.as_ref())
            .is_some_and(|s| cleanup::safety_backup_counts(s.expires_at, now)),
        safety_backup: step(status, RestoreStep::SafetyBackup, results),
        dropping: previous.is_some_and(|k| k.dropping_since.is_some()),
        drop_step: step(status, RestoreStep::DropDatabase, results),
        dropped: previous.is_some_and(|k| k.dropped_at.is_some()) || status.dropped_database.is_some(),
        leftover: leftover(status),
        reachable: references.reachable(),
        slot_free: place_free,
    }
}
