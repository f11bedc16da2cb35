//! RestoreRequest: gather → settle the Jobs that ended → assess → decide → act → report. One action a round, so that a
//! crash between any two calls resumes where it was.

pub mod act;
pub mod adoption;
pub mod audit_record;
pub mod cleanup;
pub mod finished;
pub mod gather;
pub mod job_results;
pub mod payments;
pub mod report;
pub mod step_job;
pub mod undo;
pub mod validate;

use super::backup::job_results::changed_conditions;
use super::context::Context;
use super::informer::Informer;
use super::instrumented::FailingSince;
use super::writes::apply_status;
use crate::error::ReconcileError;
use act::StepStart;
use audit_record::AuditRecordState;
use chrono::{DateTime, TimeDelta, Utc};
use gather::ObservedRequest;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::{ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::gate::Mode;
use sennight_core::restore::{self, RestoreAction, RestorePlan, StepState};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::Assessed;

/// The profile of an export when nobody names one.
pub const DEFAULT_PROFILE: &str = "bitrix24-crm";

impl FailingSince for RestoreRequest {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        // Reads of the world fail, not the request: always try again soon.
        None
    }
}

/// Runs the controller until `stop`.
pub async fn run(feed: Informer<RestoreRequest>, ctx: Arc<Context>, stop: CancellationToken) {
    // A Job that is not in the cache yet would look deleted.
    tokio::select! {
        () = stop.cancelled() => {}
        () = ctx.jobs.filled() => feed.run(ctx.clone(), stop.clone(), reconcile).await,
    }
}

async fn reconcile(object: Arc<RestoreRequest>, ctx: Arc<Context>) -> Result<controller::Action, ReconcileError> {
    if finished::delete_expired(&object, &ctx).await? {
        return Ok(controller::Action::await_change());
    }
    if let Some(at) = finished::deletion_time(&object, &ctx).filter(|_| finished::is_closed(&object)) {
        ctx.timers.requests.schedule(ObjectRef::from_obj(&*object), at);
        return Ok(controller::Action::await_change());
    }
    let seen = Box::pin(gather::gather(&object, &ctx)).await?;
    let now = ctx.now();
    let mut status = own_status(&object);
    // What stands is recorded before anything new is done.
    let recorded = audit_record::bring_up_to_date(&object, &mut status, &seen, &ctx).await?;
    payments::warn_about_deleted_payment(&object, &ctx).await;
    let fresh = job_results::record_endings(&mut status, &seen.endings, now);
    report::progress(&mut status, &seen);
    let authority = match ctx.authority.last() {
        Some(last) => last.map_err(|fault| fault.to_string()),
        None => Err("they have not been looked at yet".to_owned()),
    };
    let standing = ctx.authority.check_signatures(&object, ctx.settings.four_eyes);
    let guarded = validate::GateFindings { authority, standing };
    let mut assessed = validate::assess(&object, &status, &fresh, &seen, guarded, &ctx.settings, now);
    if let AuditRecordState::Broken(why) = &recorded {
        assessed.facts.record_error = Some(why.clone());
    }
    report::facts(&object, &mut status, &assessed, &seen, now);
    // An approval that was mirrored just now counts from now.
    assessed.facts.approved_since = approved_since(&status);
    let plan = restore::decide(&assessed.facts, now);
    if plan.action == RestoreAction::Pin && act::add_hold_finalizer(&object, &ctx).await? {
        // That write changed the resourceVersion: the watch brings the next round.
        return Ok(controller::Action::await_change());
    }
    let (plan, acted) = match act(&object, &mut status, &plan, &assessed, &seen, &ctx).await? {
        StepStart::Yes => (plan, true),
        StepStart::No => (plan, false),
        StepStart::Never(instead) => (*instead, true),
    };
    report::plan(&object, &mut status, &plan, &ctx.settings, now);
    let clears = assessed.facts.ended || plan.action == RestoreAction::Drop;
    let after = if clears { cleanup::round(&object, &mut status, &fresh, &seen, &ctx).await? } else { None };
    if matches!(plan.action, RestoreAction::Finish(_) | RestoreAction::Release) {
        undo::requeue_undone(&object, &ctx);
    }
    status.observed_generation = object.metadata.generation;
    if !(plan.action == RestoreAction::Release && object.metadata.deletion_timestamp.is_some()) {
        write(&object, &status, &plan, &assessed, &ctx).await?;
    }
    let done = RoundResult { acted, recorded: recorded == AuditRecordState::UpToDate, after };
    schedule_next(&object, &plan, &assessed, &done, &ctx);
    Ok(controller::Action::await_change())
}

/// The operator's own part of a status: neither the helpdesk's nor billing's.
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

/// Does the plan's one action; `Yes` when the next one should follow at once.
async fn act(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<StepStart, ReconcileError> {
    let now = ctx.now();
    match &plan.action {
        RestoreAction::Nothing => Ok(StepStart::No),
        RestoreAction::Finish(_) | RestoreAction::Drop => {
            act::delete_jobs(object, status, ctx).await?;
            Ok(StepStart::Yes)
        }
        RestoreAction::Pin => {
            act::pin(status, assessed, seen);
            Ok(StepStart::Yes)
        }
        RestoreAction::Hold if assessed.facts.gate.mode == Mode::Undo => {
            let holds = undo::hold(object, ctx).await?;
            if holds {
                report::held(object, status, true, "HoldPlaced", "the replaced database is kept until this ends", now);
            }
            Ok(if holds { StepStart::Yes } else { StepStart::No })
        }
        RestoreAction::Hold => {
            act::hold(object, status, seen, ctx).await?;
            report::held(object, status, true, "HoldPlaced", "the backup outlives its retention until this ends", now);
            Ok(StepStart::Yes)
        }
        RestoreAction::Start(step, attempt) => act::start(object, status, *step, *attempt, assessed, seen, ctx).await,
        RestoreAction::Claim(step) => {
            // The claim is written by itself, guarded: this round's status must not contradict it.
            let won = act::claim(object, *step, assessed, seen, ctx).await?;
            Ok(if won { StepStart::Yes } else { StepStart::No })
        }
        RestoreAction::Release => {
            if act::release(object, status, seen, ctx).await? && object.metadata.deletion_timestamp.is_none() {
                report::held(object, status, false, "Released", "the request has ended", now);
            }
            Ok(StepStart::No)
        }
    }
}

/// Writes the status if it changed, and an Event for each condition that says something new.
async fn write(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    plan: &RestorePlan,
    assessed: &Assessed,
    ctx: &Context,
) -> Result<(), ReconcileError> {
    let api = Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    let before = own_status(object);
    if matches!(plan.action, RestoreAction::Claim(_)) {
        // Whatever else this round has to say is said in the next, on top of the claim.
        return Ok(());
    }
    apply_status(&api, object, Some(&before), status).await?;
    for c in changed_conditions(&before.conditions, &status.conditions) {
        let bad = [RequestCondition::Eligible, RequestCondition::Held].iter().any(|k| k.as_ref() == c.type_);
        let warning = (bad && c.status == ConditionStatus::False && c.reason != "Released")
            || (c.is_true()
                && [RequestCondition::Failed, RequestCondition::RefundDue].iter().any(|k| k.as_ref() == c.type_));
        // Failed=False beside Complete=True is no news, nor the other way round.
        let silent = c.status == ConditionStatus::False
            && [RequestCondition::Failed, RequestCondition::Complete].iter().any(|k| k.as_ref() == c.type_);
        if !silent {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            ctx.reconcile_metrics
                .publish_event(object, type_, &c.reason, &c.type_, c.message.as_deref().unwrap_or_default())
                .await;
        }
    }
    if plan.remind.is_some() {
        // Written down first: a crash in between costs an Event, never tells twice.
        ctx.metrics.reminded(plan.waiting_on.into());
        let note = report::reminder(plan);
        ctx.reconcile_metrics.publish_event(object, EventType::Warning, "DeadlineNear", "Remind", &note).await;
    }
    if let RestoreAction::Finish(terminal) = &plan.action {
        let (mode, outcome) = report::ended(assessed.facts.gate.mode, terminal);
        let failed = is_true(&status.conditions, RequestCondition::Failed);
        ctx.metrics.restore_ended(mode, outcome, failed.then_some(plan.reason.as_str()));
    }
    Ok(())
}

/// What this round has done.
struct RoundResult {
    /// The plan's action was done.
    acted: bool,
    /// The audit record says what the cluster says.
    recorded: bool,
    /// When what is left after the end is looked at again.
    after: Option<DateTime<Utc>>,
}

fn schedule_next(object: &RestoreRequest, plan: &RestorePlan, assessed: &Assessed, done: &RoundResult, ctx: &Context) {
    let (me, now) = (ObjectRef::from_obj(object), ctx.now());
    let facts = &assessed.facts;
    let running = [&facts.preflight, &facts.prepare, &facts.cutover, &facts.recover, &facts.export]
        .into_iter()
        .chain(&facts.live_ids)
        .any(|step| matches!(step, StepState::Running { .. }));
    // A Job's end wakes us; this is for its progress, and for the case that the event was lost.
    let look =
        running.then(|| now + TimeDelta::from_std(ctx.settings.timing.job_interval).unwrap_or(TimeDelta::minutes(1)));
    // What was acted on comes back by the watch; a closed lock is tried again soon.
    let stuck = !done.acted && matches!(plan.action, RestoreAction::Claim(_) | RestoreAction::Start(..));
    let retry = stuck.then(|| now + TimeDelta::seconds(10));
    // The other request writes the hold of an Undo, and nothing tells us when it has.
    let hold = (!done.acted && plan.action == RestoreAction::Hold).then(|| now + TimeDelta::seconds(2));
    let retire =
        finished::deletion_time(object, ctx).filter(|_| object.status.as_ref().is_none_or(cleanup::nothing_left));
    let record = (!done.recorded).then(|| now + TimeDelta::seconds(30));
    match [plan.wake, look, retry, hold, retire, record, done.after].into_iter().flatten().min() {
        Some(at) => ctx.timers.requests.schedule(me, at),
        None => ctx.timers.requests.forget(me),
    }
}
