//! Controller of BackupSchedule. One reconcile: gather → record the last run's end → validate → decide (`core::backup`) →
//! queue a dump → write status.

pub mod act;
pub mod alarm;
mod conditions;
mod controller;
mod first_reconcile;
pub mod gather;
pub mod job_results;
mod runner;
pub mod validate;

use crate::cache::schedule_index::{Invalid, was_refused};
use crate::dispatch::{self, report_after};
use crate::error::ReconcileError;
use crate::runtime::informer::ReconcileLoop;
use crate::runtime::instrumented::{FailingSince, pause};
use crate::runtime::key::Key;
use crate::runtime::writes::{FieldManager, apply_status};
use chrono::{DateTime, TimeDelta, Utc};
use conditions::Reported;
pub use controller::BackupController;
use first_reconcile::spread_seconds;
use gather::ObservedSchedule;
use job_results::Ending;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
pub use runner::{Runner, ScheduleTimers};
use sennight_api::backup_schedule::RunOutcome;
use sennight_api::conditions::{ScheduleCondition, changed, find, set};
use sennight_api::convert::created;
use sennight_api::{BackupSchedule, BackupScheduleStatus, Condition};
use sennight_core::backup::{self, BackupInputs, BackupPlan, Decision, Ended, LastRun, RunKey, WaitReason};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::Valid;

/// Schedules that claim the same thing are reconciled one after the other, this far apart.
const RIVALS_SPACING: TimeDelta = TimeDelta::milliseconds(100);

impl FailingSince for BackupSchedule {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        let ready = find(&self.status.as_ref()?.conditions, ScheduleCondition::Ready)?;
        ready.last_transition_time.filter(|_| !ready.is_true())
    }
}

/// Runs the controller until `stop`.
pub async fn run(runner: Runner, controller: BackupController, shared: ReconcileLoop, stop: CancellationToken) {
    // Which runs go on or have ended is read from the Jobs: without their list every slot would look as if it had not run.
    tokio::select! {
        () = stop.cancelled() => {}
        () = controller.jobs.filled() => {
            let client = controller.client.clone();
            runner.run(client, Arc::new(controller), shared, stop.clone(), reconcile).await;
        }
    }
}

async fn reconcile(object: Arc<BackupSchedule>, controller: Arc<BackupController>) -> Result<Action, ReconcileError> {
    let observed = gather::gather(&object, &controller).await?;
    let mut status = object.status.clone().unwrap_or_default();
    record_last_run(&object, &observed, &mut status, &controller).await;
    let holder = observed.rivals.holder.as_ref();
    let valid = validate::validate(&object, observed.storage.clone(), observed.server.clone(), holder);
    wake_rivals(&object, valid.is_err(), &observed, &controller);
    let wake = match &valid {
        Ok(valid) => reconcile_valid(&object, &observed, valid, &mut status, &controller).await?,
        Err(invalid) => {
            report_invalid(&object, invalid, &mut status, controller.clock.now());
            controller.dispatch.forget(&object.uid().unwrap_or_default());
            let again = TimeDelta::from_std(pause(object.failing_since(), controller.clock.now()))
                .unwrap_or(TimeDelta::minutes(1));
            invalid.waits_for_what_it_names().then(|| controller.clock.now() + again)
        }
    };
    alarm::condition(&object, &mut status, controller.clock.now());
    let others = rivals_recheck(observed.rivals.older).map(|pause| controller.clock.now() + pause);
    let wake = [
        wake,
        others,
        next_upkeep(&object, &observed, &status, controller.clock.now()),
        next_expiry(&object, controller.clock.now()),
    ];
    let wake = wake.into_iter().flatten().min();
    status.observed_generation = object.metadata.generation;
    report(&object, &status, &controller).await?;
    let me = Key::of(&*object);
    match wake {
        Some(at) => controller.schedules_timer.schedule(me, at),
        None => controller.schedules_timer.forget(me),
    }
    // The delay queue brings the next reconcile, not kube's own scheduler.
    Ok(Action::await_change())
}

/// Reconciles the rivals when this schedule becomes refused or is no longer refused: then another one may be the holder.
/// The runner does this for edits and deletions; this passes a change on to schedules that are no rivals of the edited one.
fn wake_rivals(object: &BackupSchedule, refused: bool, observed: &ObservedSchedule, controller: &BackupController) {
    if object.status.is_some() && was_refused(object) != refused {
        observed.rivals.all.iter().for_each(|rival| controller.schedules_timer.requeue_now(rival.clone()));
    }
}

/// When a schedule with older rivals is reconciled again: after a minute, or later where hundreds claim one thing (a
/// template that names one database for all), so that at most ten a second are.
fn rivals_recheck(older: usize) -> Option<TimeDelta> {
    let turns = RIVALS_SPACING * i32::try_from(older).unwrap_or(i32::MAX);
    (older > 0).then(|| turns.max(TimeDelta::minutes(1)))
}

/// Writes into `status` how the last run ended and which backups came, expired, are held or were proven.
async fn record_last_run(
    object: &BackupSchedule,
    observed: &ObservedSchedule,
    status: &mut BackupScheduleStatus,
    controller: &BackupController,
) {
    let days = observed.storage.as_ref().map_or(7, |s| s.spec.retention.days);
    if let Some(backups) = &observed.catalogue {
        job_results::adopt_catalogue(status, backups, days);
        status.catalogue_time = Some(controller.clock.now());
    }
    // A run that status does not know yet gets one write for both: that it began and how it ended.
    let unrecorded = observed.unrecorded.as_ref().filter(|run| run.ending.is_over());
    if let Some(run) = unrecorded {
        act::record(object, status, &run.run, &run.job);
    }
    let ending = observed.ending.as_ref().or(unrecorded.map(|run| &run.ending)).cloned();
    if let Some(ending) = ending
        && let Some(failure) = job_results::record_ending(status, ending, days, controller.clock.now())
    {
        controller.metrics.backup_ended(failure.as_deref());
        if let (Some(reason), Some(last)) = (failure, &status.last_failure) {
            controller
                .reconcile_metrics
                .publish_event(object, EventType::Warning, &reason, "Dump", &last.message)
                .await;
        }
    }
    let verdicts = alarm::mark_suspicious(&object.spec.alarm, status);
    if let Some(storage) = &observed.storage {
        alarm::keep_last_good(object, storage, &observed.held, &verdicts, status, controller).await;
    }
    if let Some(drills) = observed.server.as_ref().and_then(|server| server.status.as_ref()?.drill.as_ref()) {
        job_results::record_proofs(status, &object.name_any(), drills);
    }
    job_results::drop_expired(status, &observed.held, controller.clock.now());
}

/// When a backup leaves the list, or the last good one has to be held. Needed for refused schedules, too.
fn next_upkeep(
    object: &BackupSchedule,
    observed: &ObservedSchedule,
    status: &BackupScheduleStatus,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let keeps = observed.storage.as_ref().is_some_and(|storage| storage.spec.retention.keep_last_good);
    let keep = keeps.then(|| alarm::wake(&object.spec.alarm, status, now)).flatten();
    let expiry = job_results::expiry(status).map(|expiry| expiry + TimeDelta::seconds(spread_seconds(object)));
    [expiry, keep].into_iter().flatten().min()
}

/// When a backup leaves the list that is written in the cluster; `None` if that time has passed.
fn next_expiry(object: &BackupSchedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let expiry = job_results::expiry(object.status.as_ref()?)? + TimeDelta::seconds(spread_seconds(object));
    Some(expiry).filter(|at| *at > now)
}

/// The part for a schedule that is not refused: queues a dump that is due, writes the conditions. Gives the time of the next
/// reconcile.
async fn reconcile_valid(
    object: &BackupSchedule,
    observed: &ObservedSchedule,
    valid: &Valid,
    status: &mut BackupScheduleStatus,
    controller: &BackupController,
) -> Result<Option<DateTime<Utc>>, ReconcileError> {
    let now = controller.clock.now();
    let (mut decision, mut since) = decided(object, observed, valid, status, controller);
    if let BackupPlan::Run(RunKey::Slot { slot, attempt }) = decision.plan
        && act::may_have_run_unseen(object, since, controller)
        && let Some(entry) = gather::backup_since(object, &valid.storage, slot, controller).await?
    {
        let days = valid.storage.spec.retention.days;
        job_results::record_found_backup(status, &entry, slot, valid.schedule.day(slot), attempt, days);
        (decision, since) = decided(object, observed, valid, status, controller);
    }
    let mut wake = decision.wake;
    let reported = match &decision.plan {
        BackupPlan::Run(key) => {
            let (reported, again) = queue(object, key, since, status, controller);
            wake = Some(wake.map_or(again, |at| at.min(again)));
            reported
        }
        BackupPlan::Wait(why) => {
            controller.dispatch.forget(&object.uid().unwrap_or_default());
            if *why == WaitReason::Running {
                report_running(object, observed, status, controller)
            } else {
                Reported::Plan(*why)
            }
        }
    };
    if decision.plan == BackupPlan::Wait(WaitReason::Running) {
        // A Job's end brings the next reconcile. This is for an event that was lost, and for a Job that takes long.
        let recheck = now + recheck_after(observed, controller);
        wake = Some(wake.map_or(recheck, |at| at.min(recheck)));
    }
    status.next_run_time = decision.next_run;
    let facts_status = status.clone();
    let last = last_run(&facts_status);
    let facts = facts(object, observed, valid, &facts_status, last.as_ref(), controller);
    let (freshness, changes) = backup::freshness(&facts, status.last_successful_time, now);
    conditions::write(object, status, &reported, freshness, now);
    Ok([wake, changes].into_iter().flatten().min())
}

/// The decision, and since when the run that it wants is due.
fn decided(
    object: &BackupSchedule,
    observed: &ObservedSchedule,
    valid: &Valid,
    status: &BackupScheduleStatus,
    controller: &BackupController,
) -> (Decision, DateTime<Utc>) {
    let now = controller.clock.now();
    let last = last_run(status);
    let facts = facts(object, observed, valid, status, last.as_ref(), controller);
    let decision = backup::decide(&facts, now);
    let since = match &decision.plan {
        BackupPlan::Run(key) => backup::due_since(&facts, key, now),
        BackupPlan::Wait(_) => now,
    };
    (decision, since)
}

/// Queues a run. Gives what Ready says, and the time of the next reconcile.
fn queue(
    object: &BackupSchedule,
    key: &RunKey,
    since: DateTime<Utc>,
    status: &BackupScheduleStatus,
    controller: &BackupController,
) -> (Reported, DateTime<Utc>) {
    let now = controller.clock.now();
    let notice = report_after(controller.job_interval);
    let Some(asked) = act::enqueue(object, key, since, status, controller) else {
        return (Reported::Nothing, now + notice);
    };
    let again = asked.next_check(notice, now);
    match asked.failure {
        _ if now < asked.since + notice => (Reported::Shortly, again),
        Some(trouble) => (Reported::CreationFailed(trouble), again),
        None if asked.batching_until.is_some() => (Reported::Shortly, again),
        None => (Reported::Plan(WaitReason::BudgetReached), again),
    }
}

/// Time until the next reconcile of a schedule whose run has a Job.
fn recheck_after(observed: &ObservedSchedule, controller: &BackupController) -> TimeDelta {
    let job = observed.unrecorded.as_ref().map(|run| &run.job);
    job.map_or(report_after(controller.job_interval), |job| {
        dispatch::recheck_after(job.runs.len(), job.suspended, controller.job_interval)
    })
}

/// Writes a run that has a Job into `status` if it is worth a write before its end; gives what Ready says.
fn report_running(
    object: &BackupSchedule,
    observed: &ObservedSchedule,
    status: &mut BackupScheduleStatus,
    controller: &BackupController,
) -> Reported {
    let ending = observed.unrecorded.as_ref().map(|run| &run.ending).or(observed.ending.as_ref());
    let reported = if ending == Some(&Ending::Suspended) { WaitReason::JobSuspended } else { WaitReason::Running };
    let Some(run) = observed.unrecorded.as_ref().filter(|run| !run.ending.is_over()) else {
        return Reported::Plan(reported);
    };
    let long =
        run.job.decided.is_none_or(|decided| controller.clock.now() - decided >= report_after(controller.job_interval));
    if conditions::is_worth_a_write(&run.run, &run.job, long) {
        act::record(object, status, &run.run, &run.job);
        return Reported::Plan(reported);
    }
    if long { Reported::Nothing } else { Reported::Shortly }
}

fn facts<'a>(
    object: &'a BackupSchedule,
    observed: &ObservedSchedule,
    valid: &'a Valid,
    status: &'a BackupScheduleStatus,
    last: Option<&'a LastRun>,
    controller: &BackupController,
) -> BackupInputs<'a> {
    let spec = &object.spec;
    let created = created(&object.metadata);
    let run = observed.unrecorded.as_ref().is_some_and(|run| !run.ending.is_over());
    BackupInputs {
        schedule: &valid.schedule,
        created: created.unwrap_or_else(|| controller.clock.now()),
        suspended: spec.suspend,
        starting_deadline: spec.starting_deadline_seconds.map(|s| TimeDelta::seconds(s.into())),
        manual: spec.trigger.as_ref().and_then(|t| t.manual.as_deref()),
        answered: status.manual_trigger.as_deref(),
        running: run || status.active_job.is_some(),
        restoring: observed.restoring,
        last,
        retry_base: TimeDelta::from_std(controller.dump_retry).unwrap_or(backup::RETRY_BASE),
    }
}

/// The last slot that ran, as input of the decision. A failed manual run counts as success: it must not make the day's slot
/// run again.
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

/// Writes why the schedule is refused; no dump is scheduled.
fn report_invalid(object: &BackupSchedule, invalid: &Invalid, status: &mut BackupScheduleStatus, now: DateTime<Utc>) {
    status.next_run_time = None;
    let ready = Condition::new(ScheduleCondition::Ready, false, invalid.reason(), invalid.to_string());
    set(&mut status.conditions, ready.observed(object.metadata.generation), now);
}

/// Writes the status if it changed, and one Warning Event for each condition that newly turned False.
async fn report(
    object: &BackupSchedule,
    status: &BackupScheduleStatus,
    controller: &BackupController,
) -> Result<(), ReconcileError> {
    let api = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    if object.status.as_ref().is_some_and(|old| !job_results::is_worth_a_write(old, status, controller.clock.now())) {
        return Ok(());
    }
    apply_status(&api, FieldManager::Sennight, object, object.status.as_ref(), status).await?;
    let old = object.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let failed = status.last_failure.as_ref().map(|f| f.reason.as_str());
    for c in changed(old, &status.conditions) {
        let bad = c.is_true() == (c.type_ == ScheduleCondition::Suspicious.as_ref());
        // A failed run had its Event when its end was recorded.
        if bad && Some(c.reason.as_str()) != failed {
            let note = c.message.as_deref().unwrap_or_default();
            controller.reconcile_metrics.publish_event(object, EventType::Warning, &c.reason, "Reconcile", note).await;
        }
    }
    Ok(())
}
