//! The controller of what is recorded of a RestoreRequest: its audit record, refunds, reminders, deletion after retention. One
//! reconcile: append what is missing → inputs → decide (`core::restore_record`) → write status → let go or delete.

mod append;
mod controller;
mod inputs;
mod report;

use crate::error::ReconcileError;
use crate::request::api;
use crate::request::audit_state::audit_state;
use crate::request::closed::{deletion_time, is_compacted};
use crate::request::ownership::Controller;
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::requeue_after;
use crate::runtime::key::Key;
use crate::runtime::turns::{Next, Turn};
use crate::runtime::writes::{delete, remove_finalizer};
use chrono::{DateTime, Utc};
pub use controller::RecordController;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use sennight_api::RestoreRequest;
use sennight_core::restore_record::{RecordAction, decide};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs the controller until `stop`.
pub async fn run(
    informer: Informer<RestoreRequest>,
    controller: RecordController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    informer.run(Arc::new(controller), shared, stop, reconcile).await;
}

async fn reconcile(object: Arc<RestoreRequest>, controller: Arc<RecordController>) -> Result<Action, ReconcileError> {
    let turn = match controller.turns.begin(&object).await {
        Next::Turn(turn) => turn,
        Next::Gone => return Ok(Action::await_change()),
        Next::Behind(pause) => return Ok(requeue_after(controller.clock, pause)),
    };
    if is_compacted(&turn.object) {
        delete_or_wait(&turn, &controller).await?;
        return Ok(Action::await_change());
    }
    let state = audit_state(&turn.object);
    let record = append::bring_up_to_date(&turn.object, &state, &controller).await?;
    let now = controller.clock.now();
    let plan = decide(&inputs::inputs(&turn.object, &state, &record, controller.retention, now), now);
    if let Some(note) = &plan.warning {
        let (type_, reason) = (EventType::Warning, "PaidRequestDeleted");
        controller.reconcile_metrics.publish_event(&*turn.object, type_, reason, "RefundDue", note).await;
    }
    if !report::write(&turn, &plan, record.head.as_ref(), &controller).await? {
        act(&turn, plan.action, &controller).await?;
    }
    schedule(&turn, plan.wake, &controller);
    Ok(Action::await_change())
}

/// A closed request is deleted once its retention is over.
async fn delete_or_wait(turn: &Turn<RestoreRequest>, controller: &RecordController) -> Result<(), ReconcileError> {
    let due = deletion_time(&turn.object, controller.retention);
    if due.is_some_and(|at| controller.clock.now() >= at) {
        return act(turn, RecordAction::Delete, controller).await;
    }
    schedule(turn, due, controller);
    Ok(())
}

async fn act(
    turn: &Turn<RestoreRequest>,
    action: RecordAction,
    controller: &RecordController,
) -> Result<(), ReconcileError> {
    let api = api(&turn.object, &controller.client);
    match action {
        RecordAction::Nothing => {}
        RecordAction::LetGo => {
            turn.wrote(remove_finalizer(&api, &*turn.object, Controller::Record.finalizer()).await?);
        }
        RecordAction::Delete => delete(&api, &*turn.object).await?,
    }
    Ok(())
}

fn schedule(turn: &Turn<RestoreRequest>, wake: Option<DateTime<Utc>>, controller: &RecordController) {
    let key = Key::of(&*turn.object);
    match wake {
        Some(at) => controller.record_timer.schedule(key, at),
        None => controller.record_timer.forget(key),
    }
}
