//! Writes the databases' part of a request's status, and tells people what is new in it.

use super::controller::CleanupController;
use super::gather::CleanupInput;
use crate::error::ReconcileError;
use crate::request::ownership::{Controller, own};
use crate::request::{api, events};
use crate::runtime::turns::Turn;
use crate::runtime::writes::apply_status;
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use kube::runtime::events::EventType;
use sennight_api::conditions::{RequestCondition, set};
use sennight_api::restore_status::PreviousDatabase;
use sennight_api::{Condition, ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::cleanup::{CleanupPlan, UndoAvailability};

/// Writes the condition UndoAvailable.
pub fn undo(object: &RestoreRequest, status: &mut RestoreRequestStatus, plan: &CleanupPlan, now: DateTime<Utc>) {
    let Some(previous) = &status.previous_database else { return };
    let holds = match plan.undo {
        UndoAvailability::Available => ConditionStatus::True,
        UndoAvailability::Gone => ConditionStatus::False,
        UndoAvailability::Unknown => ConditionStatus::Unknown,
        UndoAvailability::Never => return,
    };
    let condition = Condition::new(RequestCondition::UndoAvailable, holds, plan.reason, message(previous, plan));
    set(&mut status.conditions, condition.observed(object.metadata.generation), now);
}

fn message(previous: &PreviousDatabase, plan: &CleanupPlan) -> String {
    let time = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M UTC");
    let what = match (plan.undo, previous.dropped_at) {
        (_, Some(at)) => format!("the replaced database {} was dropped at {}", previous.name, time(at)),
        (UndoAvailability::Available, None) => {
            format!("the replaced database is kept as {} at least until {}", previous.name, time(previous.undo_until))
        }
        (_, None) => format!("the replaced database {}", previous.name),
    };
    let safety = previous
        .safety_backup
        .as_ref()
        .filter(|_| plan.undo == UndoAvailability::Gone)
        .map(|s| format!("; its safety backup {} is in the bucket until {}", s.prefix, time(s.expires_at)));
    let note = if plan.note.is_empty() { String::new() } else { format!("; {}", plan.note) };
    format!("{what}{note}{}", safety.unwrap_or_default())
}

/// Writes status if it changed, then Events. True if it was written: the watch brings the next reconcile.
pub async fn write(
    turn: &Turn<RestoreRequest>,
    status: &RestoreRequestStatus,
    controller: &CleanupController,
) -> Result<bool, ReconcileError> {
    let object = &*turn.object;
    let before = own(&object.status.clone().unwrap_or_default(), Controller::Cleanup);
    let status = own(status, Controller::Cleanup);
    let (api, manager) = (api(object, &controller.client), Controller::Cleanup.manager());
    let written = apply_status(&api, manager, object, Some(&before), &status).await?;
    if written.is_none() {
        return Ok(false);
    }
    turn.wrote(written);
    events::publish(object, &before.conditions, &status.conditions, &controller.reconcile_metrics).await;
    Ok(true)
}

/// Tells which database stays on the server: nobody drops it any more.
pub async fn tell_left(object: &RestoreRequest, input: &CleanupInput, controller: &CleanupController) {
    let previous = input.status.replaced_database().map(|previous| previous.name);
    let prepared = || input.status.prepared.as_ref().map(|prepared| prepared.database.clone());
    let database = previous.or_else(prepared);
    let name = database.unwrap_or_else(|| format!("with the mark of request {}", object.uid().unwrap_or_default()));
    let note = format!(
        "the request is deleted, and database {name} may still be on its server: its schedule, server or storage is gone, \
         or there was no time to drop it; drop it by hand"
    );
    controller
        .reconcile_metrics
        .publish_event(object, EventType::Warning, "PreviousDatabaseLeft", "Delete", &note)
        .await;
}
