//! The controller of the databases that a restore leaves: safety backup, undo window, drop. One reconcile: gather → decide
//! (`core::cleanup`) → act → write status → let go. It acts on what `restore` has written as ended.

mod act;
mod controller;
mod gather;
mod report;

use crate::error::ReconcileError;
use crate::request::api;
use crate::request::closed::is_compacted;
use crate::request::ownership::Controller;
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::requeue_after;
use crate::runtime::key::Key;
use crate::runtime::turns::{Next, Turn};
use crate::runtime::writes::remove_finalizer;
use chrono::{DateTime, TimeDelta, Utc};
pub use controller::CleanupController;
use gather::CleanupInput;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use sennight_api::RestoreRequest;
use sennight_core::cleanup::{self, CleanupInputs, Finalizer};
use sennight_core::restore::{LONGEST_DELETION, StepState};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How soon it is looked again whether the database of a deleted request can still be dropped.
const DELETION_RECHECK: TimeDelta = TimeDelta::seconds(15);

/// Runs the controller until `stop`.
pub async fn run(
    informer: Informer<RestoreRequest>,
    controller: CleanupController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    // Before the Jobs are listed, a running Job would look deleted.
    tokio::select! {
        () = stop.cancelled() => {}
        () = controller.jobs.filled() => informer.run(Arc::new(controller), shared, stop.clone(), reconcile).await,
    }
}

async fn reconcile(object: Arc<RestoreRequest>, controller: Arc<CleanupController>) -> Result<Action, ReconcileError> {
    let turn = match controller.turns.begin(&object).await {
        Next::Turn(turn) => turn,
        Next::Gone => return Ok(Action::await_change()),
        Next::Behind(pause) => return Ok(requeue_after(controller.clock, pause)),
    };
    if is_compacted(&turn.object) || !gather::concerns(&turn.object) {
        controller.cleanup_timer.forget(Key::of(&*turn.object));
        return Ok(Action::await_change());
    }
    let now = controller.clock.now();
    let mut input = Box::pin(gather::gather(&turn.object, &controller, now)).await?;
    let plan = cleanup::decide(&input.facts, now);
    let again = act::act(&turn.object, &mut input, &plan.action, &controller, now).await?;
    report::undo(&turn.object, &mut input.status, &plan, now);
    if !report::write(&turn, &input.status, &controller).await? {
        let_go(&turn, &input, &controller, now).await?;
    }
    schedule(&turn, &input.facts, again.or(plan.wake), &controller, now);
    Ok(Action::await_change())
}

/// Takes the finalizer away once the request may vanish.
async fn let_go(
    turn: &Turn<RestoreRequest>,
    input: &CleanupInput,
    controller: &CleanupController,
    now: DateTime<Utc>,
) -> Result<(), ReconcileError> {
    let finalizer = cleanup::finalizer(&input.facts, now);
    let kept = turn.object.finalizers().iter().any(|name| name == Controller::Cleanup.finalizer());
    if finalizer == Finalizer::Stays || !kept {
        return Ok(());
    }
    if finalizer == Finalizer::GoesAndTells {
        report::tell_left(&turn.object, input, controller).await;
    }
    let api = api(&turn.object, &controller.client);
    turn.wrote(remove_finalizer(&api, &*turn.object, Controller::Cleanup.finalizer()).await?);
    Ok(())
}

/// Puts the next reconcile into the delay queue: the earliest of all its reasons.
fn schedule(
    turn: &Turn<RestoreRequest>,
    facts: &CleanupInputs,
    wake: Option<DateTime<Utc>>,
    controller: &CleanupController,
    now: DateTime<Utc>,
) {
    let running = [&facts.safety_backup, &facts.drop_step].iter().any(|step| matches!(step, StepState::Running { .. }));
    // A Job's end brings a reconcile. This is for an event that was lost.
    let recheck =
        running.then(|| now + TimeDelta::from_std(controller.timing.job_interval).unwrap_or(TimeDelta::minutes(1)));
    let longest = facts.deleting.filter(|_| !facts.ended).map(|since| since + LONGEST_DELETION).filter(|at| now < *at);
    // Its schedule, server and storage may be deleted with it, and no event of theirs comes here.
    let looks = facts.deleting.map(|_| now + DELETION_RECHECK);
    let key = Key::of(&*turn.object);
    match [wake, recheck, longest, looks].into_iter().flatten().min() {
        Some(at) => controller.cleanup_timer.schedule(key, at),
        None => controller.cleanup_timer.forget(key),
    }
}
