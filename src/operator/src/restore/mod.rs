//! The controller that restores. One reconcile: gather → record the ends of Jobs → assess → decide (`core::restore`) → act →
//! write status. It does one action only, so that a crash between any two calls resumes where it was.

pub mod act;
mod claim_traces;
mod controller;
pub mod gather;
pub mod report;
pub mod undo;
pub mod validate;

use crate::error::ReconcileError;
use crate::request::audit_state::audit_state;
use crate::request::closed::{is_closed, nothing_owed};
use crate::request::job_results::record_endings;
use crate::request::ownership::{Controller, own};
use crate::request::undo::requeue_undone;
use crate::request::{api, events};
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::requeue_after;
use crate::runtime::key::Key;
use crate::runtime::turns::{Next, Turn};
use crate::runtime::writes::apply_status;
use act::StepStart;
use chrono::{DateTime, TimeDelta, Utc};
pub use controller::RestoreController;
use gather::ObservedRequest;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::gate::Mode;
use sennight_core::restore::{self, RestoreAction, RestorePlan, StepState};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::Assessed;

/// Runs the controller until `stop`.
pub async fn run(
    informer: Informer<RestoreRequest>,
    controller: RestoreController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    // Before the Jobs are listed, a running Job would look deleted.
    tokio::select! {
        () = stop.cancelled() => {}
        () = controller.jobs.filled() => informer.run(Arc::new(controller), shared, stop.clone(), reconcile).await,
    }
}

async fn reconcile(object: Arc<RestoreRequest>, controller: Arc<RestoreController>) -> Result<Action, ReconcileError> {
    let turn = match controller.turns.begin(&object).await {
        Next::Turn(turn) => turn,
        Next::Gone => return Ok(Action::await_change()),
        Next::Behind(pause) => return Ok(requeue_after(controller.clock, pause)),
    };
    let (object, now) = (&*turn.object, controller.clock.now());
    if (is_closed(object) && nothing_owed(object)) || has_let_go(object) {
        controller.restore_timer.forget(Key::of(object));
        return Ok(Action::await_change());
    }
    // The audit record is written before anything new is done: see docs/design.md, "Restores".
    let state = audit_state(object);
    let Some(record) = controller.ledger.of_state(object, &state) else {
        controller.record_timer.requeue_now(Key::of(object));
        return Ok(Action::await_change());
    };
    let observed = Box::pin(gather::gather(object, &state, &record, &controller)).await?;
    let (mut status, assessed) = assess(object, &observed, &controller, now);
    let plan = restore::decide(&assessed.facts, now);
    if plan.action == RestoreAction::Pin
        && let Some(written) = act::add_all_finalizers(object, &controller).await?
    {
        // That write changed the resourceVersion: the watch brings the next reconcile.
        turn.wrote(Some(written));
        return Ok(Action::await_change());
    }
    let (plan, acted) = match act(&turn, &mut status, &plan, &assessed, &observed, &controller).await? {
        StepStart::Yes => (plan, true),
        StepStart::No => (plan, false),
        StepStart::Never(instead) => (*instead, true),
    };
    if !(plan.action == RestoreAction::Release && acted) {
        write(&turn, &mut status, &plan, &assessed, &controller).await?;
    }
    schedule_next(object, &plan, &assessed, acted, &controller);
    Ok(Action::await_change())
}

/// Whether the object is being deleted, and only others still keep it.
fn has_let_go(object: &RestoreRequest) -> bool {
    let kept = object.finalizers().iter().any(|name| name == Controller::Restore.finalizer());
    let runs = object.status.as_ref().is_some_and(|status| status.claim.is_some() && status.finished_at.is_none());
    object.metadata.deletion_timestamp.is_some() && !kept && !runs
}

/// Status with what this reconcile has found, and the inputs of the decision.
fn assess(
    object: &RestoreRequest,
    observed: &ObservedRequest,
    controller: &RestoreController,
    now: DateTime<Utc>,
) -> (RestoreRequestStatus, Assessed) {
    let mut status = object.status.clone().unwrap_or_default();
    let results = record_endings(&mut status, &observed.endings.states, now);
    report::progress(&mut status, observed);
    let authority = match controller.authority.last() {
        Some(last) => last.map_err(|fault| fault.to_string()),
        None => Err("they have not been looked at yet".to_owned()),
    };
    let standing = controller.authority.check_signatures(object, controller.four_eyes);
    let guarded = validate::GateFindings { authority, standing, four_eyes: controller.four_eyes };
    let mut assessed = validate::assess(object, &status, &results, observed, guarded, &controller.timing, now);
    report::facts(object, &mut status, &assessed, observed, now);
    // An approval that `report::facts` has just mirrored counts from now.
    assessed.facts.approved_since = approved_since(&status);
    (status, assessed)
}

fn approved_since(status: &RestoreRequestStatus) -> Option<DateTime<Utc>> {
    let approved = sennight_api::conditions::find(&status.conditions, RequestCondition::Approved)?;
    approved.last_transition_time.filter(|_| approved.is_true())
}

/// Does the plan's one action. `Yes`: the watch brings the next reconcile; `No`: it has to be scheduled.
async fn act(
    turn: &Turn<RestoreRequest>,
    status: &mut RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<StepStart, ReconcileError> {
    let (object, now) = (&*turn.object, controller.clock.now());
    match &plan.action {
        RestoreAction::Nothing | RestoreAction::AwaitRecord => Ok(StepStart::No),
        RestoreAction::Finish(_) | RestoreAction::Drop => {
            act::delete_jobs(object, status, controller).await?;
            Ok(StepStart::Yes)
        }
        RestoreAction::Pin => {
            act::pin(status, assessed, observed);
            Ok(StepStart::Yes)
        }
        RestoreAction::Hold if assessed.facts.gate.mode == Mode::Undo => {
            let holds = undo::hold(object, &controller.client, &controller.cleanup_timer).await?;
            if holds {
                report::held(object, status, true, "HoldPlaced", "the replaced database is kept until this ends", now);
            }
            Ok(if holds { StepStart::Yes } else { StepStart::No })
        }
        RestoreAction::Hold => {
            act::hold(object, status, observed, controller).await?;
            report::held(object, status, true, "HoldPlaced", "the backup outlives its retention until this ends", now);
            Ok(StepStart::Yes)
        }
        RestoreAction::Start(step, attempt) => {
            act::start(object, status, *step, *attempt, assessed, observed, controller).await
        }
        RestoreAction::Claim(step) => {
            // The claim is a guarded write of its own: this reconcile's status must not contradict it.
            let claimed = act::claim(object, *step, assessed, observed, controller).await?;
            let won = claimed.is_some();
            turn.wrote(claimed);
            Ok(if won { StepStart::Yes } else { StepStart::No })
        }
        RestoreAction::Release => {
            act::release(status, observed, controller).await?;
            // One write for each reconcile: first status says that the backup is released, then the finalizer goes.
            if let Some(written) = act::let_go(object, status, controller).await? {
                turn.wrote(Some(written));
                return Ok(StepStart::Yes);
            }
            if is_true(&status.conditions, RequestCondition::Held) {
                report::held(object, status, false, "Released", "the request has ended", now);
            }
            Ok(StepStart::No)
        }
    }
}

/// Writes what the plan says into status if that changed, and an Event for each condition whose status or reason changed.
async fn write(
    turn: &Turn<RestoreRequest>,
    status: &mut RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    controller: &RestoreController,
) -> Result<(), ReconcileError> {
    let object = &*turn.object;
    if matches!(plan.action, RestoreAction::Finish(_) | RestoreAction::Release) {
        requeue_undone(object, &controller.cleanup_timer);
    }
    let silent = match plan.action {
        // The rest of this status is written by the next reconcile, on top of the claim.
        RestoreAction::Claim(_) | RestoreAction::AwaitRecord => true,
        // The object is gone with its finalizers.
        RestoreAction::Release => object.metadata.deletion_timestamp.is_some(),
        _ => false,
    };
    if silent {
        return Ok(());
    }
    report::plan(object, status, plan, &controller.timing, controller.clock.now());
    status.observed_generation = object.metadata.generation;
    let before = own(&object.status.clone().unwrap_or_default(), Controller::Restore);
    let status = own(status, Controller::Restore);
    let (api, manager) = (api(object, &controller.client), Controller::Restore.manager());
    turn.wrote(apply_status(&api, manager, object, Some(&before), &status).await?);
    events::publish(object, &before.conditions, &status.conditions, &controller.reconcile_metrics).await;
    if let RestoreAction::Finish(terminal) = &plan.action {
        let (mode, outcome) = report::ended(assessed.facts.gate.mode, terminal);
        let failed = is_true(&status.conditions, RequestCondition::Failed);
        controller.metrics.restore_ended(mode, outcome, failed.then_some(plan.reason.as_str()));
    }
    Ok(())
}

/// Puts the next reconcile into the delay queue: the earliest of all its reasons.
fn schedule_next(
    object: &RestoreRequest,
    plan: &RestorePlan,
    assessed: &Assessed,
    acted: bool,
    controller: &RestoreController,
) {
    let (me, now) = (Key::of(object), controller.clock.now());
    let facts = &assessed.facts;
    let running = [&facts.preflight, &facts.prepare, &facts.cutover, &facts.recover, &facts.export]
        .into_iter()
        .chain(&facts.live_ids)
        .any(|step| matches!(step, StepState::Running { .. }));
    // A Job's end brings a reconcile. This is for its progress, and for an event that was lost.
    let recheck =
        running.then(|| now + TimeDelta::from_std(controller.timing.job_interval).unwrap_or(TimeDelta::minutes(1)));
    // An action's own write comes back by the watch; a closed lock is tried again soon.
    let stuck = !acted && matches!(plan.action, RestoreAction::Claim(_) | RestoreAction::Start(..));
    let retry = stuck.then(|| now + TimeDelta::seconds(10));
    // The hold of an Undo is written by the undone request, and no event of ours tells when.
    let hold = (!acted && plan.action == RestoreAction::Hold).then(|| now + TimeDelta::seconds(2));
    match [plan.wake, recheck, retry, hold].into_iter().flatten().min() {
        Some(at) => controller.restore_timer.schedule(me, at),
        None => controller.restore_timer.forget(me),
    }
}
