//! BackupSchedule: gather → settle the last run → validate → decide → act → report.

pub mod act;
pub mod alarm;
mod conditions;
pub mod gather;
pub mod job_results;
pub mod validate;

use super::context::Context;
use super::instrumented::{FailingSince, pause};
use super::schedule_index::{Key, Runner, spread_seconds};
use super::writes::apply_status;
use crate::error::ReconcileError;
use chrono::{DateTime, TimeDelta, Utc};
use conditions::Reported;
use gather::ObservedSchedule;
use job_results::Ending;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use sennight_api::backup_schedule::RunOutcome;
use sennight_api::conditions::{ScheduleCondition, find, set};
use sennight_api::convert::instant;
use sennight_api::{BackupSchedule, BackupScheduleStatus, Condition};
use sennight_core::backup::{self, BackupInputs, BackupPlan, Decision, Ended, LastRun, RunKey, WaitReason};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::{Invalid, Valid};

/// Of those that claim one thing, one at a time looks whether it is still kept from it, so much apart.
const RIVALS_SPACING: TimeDelta = TimeDelta::milliseconds(100);

impl FailingSince for BackupSchedule {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        let ready = find(&self.status.as_ref()?.conditions, ScheduleCondition::Ready)?;
        ready.last_transition_time.filter(|_| !ready.is_true())
    }
}

/// Runs the controller until `stop`.
pub async fn run(feed: Runner, ctx: Arc<Context>, stop: CancellationToken) {
    // What runs and what has ended is read from the Jobs: without their list every day would look as if it had not run.
    tokio::select! {
        () = stop.cancelled() => {}
        () = ctx.jobs.filled() => feed.run(ctx.clone(), stop.clone(), reconcile).await,
    }
}

async fn reconcile(object: Arc<BackupSchedule>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let seen = gather::gather(&object, &ctx).await?;
    let mut status = object.status.clone().unwrap_or_default();
    record_last_run(&object, &seen, &mut status, &ctx).await;
    let holder = seen.rivals.holder.as_ref();
    let valid = validate::validate(&object, seen.storage.clone(), seen.server.clone(), holder);
    wake_rivals(&object, valid.is_err(), &seen, &ctx);
    let wake = match &valid {
        Ok(valid) => reconcile_valid(&object, &seen, valid, &mut status, &ctx).await?,
        Err(invalid) => {
            report_invalid(&object, invalid, &mut status, ctx.now());
            ctx.dispatch.forget(&object.uid().unwrap_or_default());
            let again = TimeDelta::from_std(pause(object.failing_since(), ctx.now())).unwrap_or(TimeDelta::minutes(1));
            invalid.waits_for_what_it_names().then(|| ctx.now() + again)
        }
    };
    alarm::condition(&object, &mut status, ctx.now());
    let others = rivals_recheck(seen.rivals.older).map(|pause| ctx.now() + pause);
    let wake = [wake, others, next_upkeep(&object, &seen, &status, ctx.now()), next_expiry(&object, ctx.now())];
    let wake = wake.into_iter().flatten().min();
    status.observed_generation = object.metadata.generation;
    report(&object, &status, &ctx).await?;
    let me = Key::of(&object);
    match wake {
        Some(at) => ctx.timers.schedules.schedule(me, at),
        None => ctx.timers.schedules.forget(me),
    }
    // The timers' heap wakes it; nothing is left to kube's own scheduler.
    Ok(Action::await_change())
}

/// Whoever claims the same looks at once when this one is refused from now on, or is not any more: it then keeps what it
/// claims, or leaves it. Edits and deletions wake them, too; this passes it on to those who are no rivals of the edited one.
fn wake_rivals(object: &BackupSchedule, refused: bool, seen: &ObservedSchedule, ctx: &Context) {
    if object.status.is_some() && validate::was_refused(object) != refused {
        seen.rivals.all.iter().for_each(|rival| ctx.timers.schedules.requeue_now(rival.clone()));
    }
}

/// How long after a schedule with older rivals is looked at again, whatever wakes it: each minute, and where hundreds claim
/// one thing (a template that names one database for all of them) ten a second of these.
fn rivals_recheck(older: usize) -> Option<TimeDelta> {
    let turns = RIVALS_SPACING * i32::try_from(older).unwrap_or(i32::MAX);
    (older > 0).then(|| turns.max(TimeDelta::minutes(1)))
}

/// Takes note of how the last run ended, and of backups that came and went.
async fn record_last_run(
    object: &BackupSchedule,
    seen: &ObservedSchedule,
    status: &mut BackupScheduleStatus,
    ctx: &Context,
) {
    let days = seen.storage.as_ref().map_or(7, |s| s.spec.retention.days);
    if let Some(backups) = &seen.catalogue {
        job_results::adopt_catalogue(status, backups, days);
        status.catalogue_time = Some(ctx.now());
    }
    // One write for a run that nothing was written of before: that it began and how it ended.
    let unwritten = seen.unrecorded.as_ref().filter(|riding| riding.ending.is_over());
    if let Some(riding) = unwritten {
        act::record(object, status, &riding.run, &riding.job);
    }
    let ending = seen.ending.as_ref().or(unwritten.map(|riding| &riding.ending)).cloned();
    if let Some(ending) = ending
        && let Some(failure) = job_results::record_ending(status, ending, days, ctx.now())
    {
        ctx.metrics.backup_ended(failure.as_deref());
        if let (Some(reason), Some(last)) = (failure, &status.last_failure) {
            ctx.reconcile_metrics.publish_event(object, EventType::Warning, &reason, "Dump", &last.message).await;
        }
    }
    let verdicts = alarm::mark_suspicious(&object.spec.alarm, status);
    if let Some(storage) = &seen.storage {
        alarm::keep_last_good(object, storage, &seen.held, &verdicts, status, ctx).await;
    }
    if let Some(drills) = seen.server.as_ref().and_then(|server| server.status.as_ref()?.drill.as_ref()) {
        job_results::record_proofs(status, &object.name_any(), drills);
    }
    job_results::drop_expired(status, &seen.held, ctx.now());
}

/// When a backup must go from the list, or the last good one must be held: also of a schedule that cannot be followed.
fn next_upkeep(
    object: &BackupSchedule,
    seen: &ObservedSchedule,
    status: &BackupScheduleStatus,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let keeps = seen.storage.as_ref().is_some_and(|storage| storage.spec.retention.keep_last_good);
    let keep = keeps.then(|| alarm::wake(&object.spec.alarm, status, now)).flatten();
    let expiry = job_results::expiry(status).map(|expiry| expiry + TimeDelta::seconds(spread_seconds(object)));
    [expiry, keep].into_iter().flatten().min()
}

/// The same of what is written: a backup that has just expired is not worth a write of its own.
fn next_expiry(object: &BackupSchedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let expiry = job_results::expiry(object.status.as_ref()?)? + TimeDelta::seconds(spread_seconds(object));
    Some(expiry).filter(|at| *at > now)
}

/// A schedule that can be followed: queue what is due, say how it stands; returns when to look again.
async fn reconcile_valid(
    object: &BackupSchedule,
    seen: &ObservedSchedule,
    valid: &Valid,
    status: &mut BackupScheduleStatus,
    ctx: &Context,
) -> Result<Option<DateTime<Utc>>, ReconcileError> {
    let now = ctx.now();
    let (mut decision, mut since) = decided(object, seen, valid, status, ctx);
    if let BackupPlan::Run(RunKey::Slot { slot, attempt }) = decision.plan
        && act::may_have_run_unseen(object, since, ctx)
        && let Some(entry) = gather::backup_since(object, &valid.storage, slot, ctx).await?
    {
        let days = valid.storage.spec.retention.days;
        job_results::record_found_backup(status, &entry, slot, valid.schedule.day(slot), attempt, days);
        (decision, since) = decided(object, seen, valid, status, ctx);
    }
    let mut wake = decision.wake;
    let told = match &decision.plan {
        BackupPlan::Run(key) => {
            let (told, again) = queue(object, key, since, status, ctx);
            wake = Some(wake.map_or(again, |at| at.min(again)));
            told
        }
        BackupPlan::Wait(why) => {
            ctx.dispatch.forget(&object.uid().unwrap_or_default());
            if *why == WaitReason::Running { report_running(object, seen, status, ctx) } else { Reported::Plan(*why) }
        }
    };
    if decision.plan == BackupPlan::Wait(WaitReason::Running) {
        // A Job's end wakes us; this is for the case that its event was lost, and for a Job that takes long.
        let safety = now + recheck_after(seen, ctx);
        wake = Some(wake.map_or(safety, |at| at.min(safety)));
    }
    status.next_run_time = decision.next_run;
    let facts_status = status.clone();
    let last = last_run(&facts_status);
    let facts = facts(object, seen, valid, &facts_status, last.as_ref(), ctx);
    let (freshness, changes) = backup::freshness(&facts, status.last_successful_time, now);
    conditions::write(object, status, &told, freshness, now);
    Ok([wake, changes].into_iter().flatten().min())
}

/// The decision, and since when what it wants is due.
fn decided(
    object: &BackupSchedule,
    seen: &ObservedSchedule,
    valid: &Valid,
    status: &BackupScheduleStatus,
    ctx: &Context,
) -> (Decision, DateTime<Utc>) {
    let now = ctx.now();
    let last = last_run(status);
    let facts = facts(object, seen, valid, status, last.as_ref(), ctx);
    let decision = backup::decide(&facts, now);
    let since = match &decision.plan {
        BackupPlan::Run(key) => backup::due_since(&facts, key, now),
        BackupPlan::Wait(_) => now,
    };
    (decision, since)
}

/// Queues a run; what is told of it, and when to look again.
fn queue(
    object: &BackupSchedule,
    key: &RunKey,
    since: DateTime<Utc>,
    status: &BackupScheduleStatus,
    ctx: &Context,
) -> (Reported, DateTime<Utc>) {
    let now = ctx.now();
    let notice = act::report_after(ctx);
    let Some(asked) = act::enqueue(object, key, since, status, ctx) else { return (Reported::Nothing, now + notice) };
    let again = asked.next_check(notice, now);
    match asked.failure {
        _ if now < asked.since + notice => (Reported::Shortly, again),
        Some(trouble) => (Reported::CreationFailed(trouble), again),
        None if asked.batching_until.is_some() => (Reported::Shortly, again),
        None => (Reported::Plan(WaitReason::BudgetReached), again),
    }
}

/// How long a run that has a Job goes on before it is looked at again.
fn recheck_after(seen: &ObservedSchedule, ctx: &Context) -> TimeDelta {
    let card = seen.unrecorded.as_ref().map(|riding| &riding.job);
    card.map_or(act::report_after(ctx), |card| act::recheck_after(card.runs.len(), card.suspended, ctx))
}

/// A run that has a Job, as far as it is told before it has ended.
fn report_running(
    object: &BackupSchedule,
    seen: &ObservedSchedule,
    status: &mut BackupScheduleStatus,
    ctx: &Context,
) -> Reported {
    let ending = seen.unrecorded.as_ref().map(|riding| &riding.ending).or(seen.ending.as_ref());
    let told = if ending == Some(&Ending::Suspended) { WaitReason::JobSuspended } else { WaitReason::Running };
    let Some(riding) = seen.unrecorded.as_ref().filter(|riding| !riding.ending.is_over()) else {
        return Reported::Plan(told);
    };
    let long = riding.job.decided.is_none_or(|decided| ctx.now() - decided >= act::report_after(ctx));
    if conditions::is_worth_a_write(&riding.run, &riding.job, long) {
        act::record(object, status, &riding.run, &riding.job);
        return Reported::Plan(told);
    }
    if long { Reported::Nothing } else { Reported::Shortly }
}

fn facts<'a>(
    object: &'a BackupSchedule,
    seen: &ObservedSchedule,
    valid: &'a Valid,
    status: &'a BackupScheduleStatus,
    last: Option<&'a LastRun>,
    ctx: &Context,
) -> BackupInputs<'a> {
    let spec = &object.spec;
    let created = object.creation_timestamp().as_ref().and_then(instant);
    let riding = seen.unrecorded.as_ref().is_some_and(|riding| !riding.ending.is_over());
    BackupInputs {
        schedule: &valid.schedule,
        created: created.unwrap_or_else(|| ctx.now()),
        suspended: spec.suspend,
        starting_deadline: spec.starting_deadline_seconds.map(|s| TimeDelta::seconds(s.into())),
        manual: spec.trigger.as_ref().and_then(|t| t.manual.as_deref()),
        answered: status.manual_trigger.as_deref(),
        running: riding || status.active_job.is_some(),
        restoring: seen.restoring,
        last,
        retry_base: TimeDelta::from_std(ctx.settings.timing.dump_retry).unwrap_or(backup::RETRY_BASE),
    }
}

/// The last slot that ran, as the decision needs it. A manual run leaves the day's slot as done as it was.
fn last_run(status: &BackupScheduleStatus) -> Option<LastRun> {
    let run = status.last_run.as_ref()?;
    let ended = match run.outcome {
        Some(RunOutcome::Failed | RunOutcome::Aborted) if run.key.starts_with("manual-") => Ended::Succeeded,
        Some(RunOutcome::Failed) if run.retryable == Some(false) => Ended::Refused,
        Some(RunOutcome::Failed | RunOutcome::Aborted) => Ended::Failed { at: run.finished_at? },
        Some(RunOutcome::Succeeded) | None => Ended::Succeeded,
    };
    Some(LastRun { slot: run.slot?, attempt: run.attempt.unwrap_or(1), ended })
}

fn report_invalid(object: &BackupSchedule, invalid: &Invalid, status: &mut BackupScheduleStatus, now: DateTime<Utc>) {
    status.next_run_time = None;
    let ready = Condition::new(ScheduleCondition::Ready, false, invalid.reason(), invalid.to_string());
    set(&mut status.conditions, ready.observed(object.metadata.generation), now);
}

/// Writes the status if it changed, and one Warning Event for each condition that newly turned False.
async fn report(object: &BackupSchedule, status: &BackupScheduleStatus, ctx: &Context) -> Result<(), ReconcileError> {
    let api = Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    if object.status.as_ref().is_some_and(|old| !job_results::is_worth_a_write(old, status, ctx.now())) {
        return Ok(());
    }
    apply_status(&api, object, object.status.as_ref(), status).await?;
    let old = object.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let failed = status.last_failure.as_ref().map(|f| f.reason.as_str());
    for c in job_results::changed_conditions(old, &status.conditions) {
        let bad = c.is_true() == (c.type_ == ScheduleCondition::Suspicious.as_ref());
        // A failed run has had its Event when it was settled.
        if bad && Some(c.reason.as_str()) != failed {
            let note = c.message.as_deref().unwrap_or_default();
            ctx.reconcile_metrics.publish_event(object, EventType::Warning, &c.reason, "Reconcile", note).await;
        }
    }
    Ok(())
}
