//! Controller of RestoreRequest. One reconcile: gather → record the ends of Jobs → assess → decide (`core::restore`) → act →
//! write status. It does one action only, so that a crash between any two calls resumes where it was.

pub mod act;
pub mod adoption;
pub mod audit_record;
pub mod cleanup;
mod controller;
pub mod finished;
pub mod gather;
pub mod history;
pub mod job_creation;
pub mod job_results;
pub mod payments;
pub mod report;
pub mod step_job;
pub mod undo;
pub mod validate;

use crate::error::ReconcileError;
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::FailingSince;
use crate::runtime::writes::apply_status;
use act::StepStart;
use audit_record::AuditRecordState;
use chrono::{DateTime, TimeDelta, Utc};
pub use controller::RestoreController;
use gather::ObservedRequest;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use sennight_api::conditions::{RequestCondition, changed, is_true};
use sennight_api::{ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::gate::Mode;
use sennight_core::restore::{self, RestoreAction, RestorePlan, StepState};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::Assessed;

impl FailingSince for RestoreRequest {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        // What fails is a read of cluster or bucket, not the request: always retried after the shortest pause.
        None
    }
}

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
    let retention = controller.timing.request_retention;
    if finished::delete_expired(&object, retention, &controller.client, controller.clock.now()).await? {
        return Ok(Action::await_change());
    }
    if let Some(at) = finished::deletion_time(&object, retention).filter(|_| finished::is_closed(&object)) {
        controller.requests_timer.schedule(ObjectRef::from_obj(&*object), at);
        return Ok(Action::await_change());
    }
    let observed = Box::pin(gather::gather(&object, &controller)).await?;
    let now = controller.clock.now();
    let mut status = own_status(&object);
    // The audit record is written before anything new is done: see docs/design.md, "Restores".
    let recorded = audit_record::bring_up_to_date(&object, &mut status, &observed, &controller).await?;
    payments::warn_about_deleted_payment(&object, &controller.reconcile_metrics).await;
    let fresh = job_results::record_endings(&mut status, &observed.endings, now);
    report::progress(&mut status, &observed);
    let authority = match controller.authority.last() {
        Some(last) => last.map_err(|fault| fault.to_string()),
        None => Err("they have not been looked at yet".to_owned()),
    };
    let standing = controller.authority.check_signatures(&object, controller.four_eyes);
    let guarded = validate::GateFindings { authority, standing, four_eyes: controller.four_eyes };
    let mut assessed = validate::assess(&object, &status, &fresh, &observed, guarded, &controller.timing, now);
    if let AuditRecordState::Broken(why) = &recorded {
        assessed.facts.record_error = Some(why.clone());
    }
    report::facts(&object, &mut status, &assessed, &observed, now);
    // An approval that `report::facts` has just mirrored counts from now.
    assessed.facts.approved_since = approved_since(&status);
    let plan = restore::decide(&assessed.facts, now);
    if plan.action == RestoreAction::Pin && act::add_hold_finalizer(&object, &controller).await? {
        // That write changed the resourceVersion: the watch brings the next reconcile.
        return Ok(Action::await_change());
    }
    let (plan, acted) = match act(&object, &mut status, &plan, &assessed, &observed, &controller).await? {
        StepStart::Yes => (plan, true),
        StepStart::No => (plan, false),
        StepStart::Never(instead) => (*instead, true),
    };
    report::plan(&object, &mut status, &plan, &controller.timing, now);
    let cleans_up = assessed.facts.ended || plan.action == RestoreAction::Drop;
    let after =
        if cleans_up { cleanup::round(&object, &mut status, &fresh, &observed, &controller).await? } else { None };
    if matches!(plan.action, RestoreAction::Finish(_) | RestoreAction::Release) {
        undo::requeue_undone(&object, &controller.requests_timer);
    }
    status.observed_generation = object.metadata.generation;
    if !(plan.action == RestoreAction::Release && object.metadata.deletion_timestamp.is_some()) {
        write(&object, &status, &plan, &assessed, &controller).await?;
    }
    let done = RoundResult { acted, recorded: recorded == AuditRecordState::UpToDate, after };
    schedule_next(&object, &plan, &assessed, &done, &controller);
    Ok(Action::await_change())
}

/// The operator's own part of a status, without what helpdesk and billing write: applying theirs would take it over.
fn own_status(object: &RestoreRequest) -> RestoreRequestStatus {
    let mut status = object.status.clone().unwrap_or_default();
    status.approval = None;
    status.payment = None;
    status.conditions.retain(|c| c.type_ != RequestCondition::Paid.as_ref());
    status
}

fn approved_since(status: &RestoreRequestStatus) -> Option<DateTime<Utc>> {
    let approved = sennight_api::conditions::find(&status.conditions, RequestCondition::Approved)?;
    approved.last_transition_time.filter(|_| approved.is_true())
}

/// Does the plan's one action. `Yes`: the watch brings the next reconcile; `No`: it has to be scheduled.
async fn act(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<StepStart, ReconcileError> {
    let now = controller.clock.now();
    match &plan.action {
        RestoreAction::Nothing => Ok(StepStart::No),
        RestoreAction::Finish(_) | RestoreAction::Drop => {
            act::delete_jobs(object, status, controller).await?;
            Ok(StepStart::Yes)
        }
        RestoreAction::Pin => {
            act::pin(status, assessed, observed);
            Ok(StepStart::Yes)
        }
        RestoreAction::Hold if assessed.facts.gate.mode == Mode::Undo => {
            let holds = undo::hold(object, &controller.client, &controller.requests_timer).await?;
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
            let won = act::claim(object, *step, assessed, observed, controller).await?;
            Ok(if won { StepStart::Yes } else { StepStart::No })
        }
        RestoreAction::Release => {
            if act::release(object, status, observed, controller).await? && object.metadata.deletion_timestamp.is_none()
            {
                report::held(object, status, false, "Released", "the request has ended", now);
            }
            Ok(StepStart::No)
        }
    }
}

/// Writes the status if it changed, and an Event for each condition whose status or reason changed.
async fn write(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    controller: &RestoreController,
) -> Result<(), ReconcileError> {
    let api = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    let before = own_status(object);
    if matches!(plan.action, RestoreAction::Claim(_)) {
        // The rest of this status is written by the next reconcile, on top of the claim.
        return Ok(());
    }
    apply_status(&api, object, Some(&before), status).await?;
    for c in changed(&before.conditions, &status.conditions) {
        let bad = [RequestCondition::Eligible, RequestCondition::Held].iter().any(|k| k.as_ref() == c.type_);
        let warning = (bad && c.status == ConditionStatus::False && c.reason != "Released")
            || (c.is_true()
                && [RequestCondition::Failed, RequestCondition::RefundDue].iter().any(|k| k.as_ref() == c.type_));
        // Failed=False beside Complete=True needs no Event, nor the other way round.
        let silent = c.status == ConditionStatus::False
            && [RequestCondition::Failed, RequestCondition::Complete].iter().any(|k| k.as_ref() == c.type_);
        if !silent {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            controller
                .reconcile_metrics
                .publish_event(object, type_, &c.reason, &c.type_, c.message.as_deref().unwrap_or_default())
                .await;
        }
    }
    if plan.remind.is_some() {
        // Status is written first: a crash in between costs the Event, and never sends it twice.
        controller.metrics.reminded(plan.waiting_on.into());
        let note = report::reminder(plan);
        controller.reconcile_metrics.publish_event(object, EventType::Warning, "DeadlineNear", "Remind", &note).await;
    }
    if let RestoreAction::Finish(terminal) = &plan.action {
        let (mode, outcome) = report::ended(assessed.facts.gate.mode, terminal);
        let failed = is_true(&status.conditions, RequestCondition::Failed);
        controller.metrics.restore_ended(mode, outcome, failed.then_some(plan.reason.as_str()));
    }
    Ok(())
}

/// What this reconcile has done.
struct RoundResult {
    /// Whether the plan's action was done.
    acted: bool,
    /// Whether the audit record is up to date.
    recorded: bool,
    /// When the cleanup after the request's end goes on.
    after: Option<DateTime<Utc>>,
}

/// Puts the next reconcile into the delay queue: the earliest of all its reasons.
fn schedule_next(
    object: &RestoreRequest,
    plan: &RestorePlan,
    assessed: &Assessed,
    done: &RoundResult,
    controller: &RestoreController,
) {
    let (me, now) = (ObjectRef::from_obj(object), controller.clock.now());
    let facts = &assessed.facts;
    let running = [&facts.preflight, &facts.prepare, &facts.cutover, &facts.recover, &facts.export]
        .into_iter()
        .chain(&facts.live_ids)
        .any(|step| matches!(step, StepState::Running { .. }));
    // A Job's end brings a reconcile. This is for its progress, and for an event that was lost.
    let recheck =
        running.then(|| now + TimeDelta::from_std(controller.timing.job_interval).unwrap_or(TimeDelta::minutes(1)));
    // An action's own write comes back by the watch; a closed lock is tried again soon.
    let stuck = !done.acted && matches!(plan.action, RestoreAction::Claim(_) | RestoreAction::Start(..));
    let retry = stuck.then(|| now + TimeDelta::seconds(10));
    // The hold of an Undo is written by the undone request, and no event of ours tells when.
    let hold = (!done.acted && plan.action == RestoreAction::Hold).then(|| now + TimeDelta::seconds(2));
    let deletion = finished::deletion_time(object, controller.timing.request_retention)
        .filter(|_| object.status.as_ref().is_none_or(cleanup::nothing_left));
    let record = (!done.recorded).then(|| now + TimeDelta::seconds(30));
    match [plan.wake, recheck, retry, hold, deletion, record, done.after].into_iter().flatten().min() {
        Some(at) => controller.requests_timer.schedule(me, at),
        None => controller.requests_timer.forget(me),
    }
}
