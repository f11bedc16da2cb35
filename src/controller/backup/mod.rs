//! BackupSchedule: gather → settle the last run → validate → decide → act → report.

pub mod act;
pub mod alarm;
pub mod gather;
pub mod settle;
pub mod validate;

use super::context::Context;
use super::fleet::{Key, Runner, spread};
use super::observed::{Ailing, Failure, Outcome, Retry, pause};
use super::stores::OpenError;
use super::verbs::{VerbError, apply_status};
use crate::api::backup_schedule::{RecoveryPoint, RunOutcome};
use crate::api::conditions::{ScheduleCondition, find, set};
use crate::api::{BackupSchedule, BackupScheduleStatus, Condition, ConditionStatus};
use crate::domain::backup::{self, Budget, Ended, Facts, Freshness, LastRun, Plan, Waiting};
use crate::domain::job::WorkError;
use crate::store::CatalogueError;
use crate::store::StoreError;
use chrono::{DateTime, TimeDelta, Utc};
use gather::Seen;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use validate::{Invalid, Valid};

/// Why a BackupSchedule's reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The API server.
    #[error(transparent)]
    Verb(#[from] VerbError),
    /// The storage cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The storage does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket's copies cannot be listed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A task that makes no argv.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Somebody else's Job has our name.
    #[error("Job {namespace}/{name} exists and is not Sennight's for this run: delete or rename it")]
    JobNameTaken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Failure for BackupError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Verb(error) => error.reason(),
            Self::Open(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Catalogue(error) => error.reason(),
            Self::Work(_) => "TaskNotWritable",
            Self::JobNameTaken { .. } => "JobNameTaken",
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Verb(error) if error.is_conflict() => Retry::AtOnce,
            Self::Work(_) => Retry::OnChange,
            Self::Verb(_) | Self::Open(_) | Self::Store(_) | Self::Catalogue(_) | Self::JobNameTaken { .. } => {
                Retry::Later
            }
        }
    }
}

impl Ailing for BackupSchedule {
    fn ailing_since(&self) -> Option<DateTime<Utc>> {
        let ready = find(&self.status.as_ref()?.conditions, ScheduleCondition::Ready)?;
        ready.last_transition_time.filter(|_| !ready.is_true())
    }
}

/// Runs the controller until `stop`.
pub async fn run(feed: Runner, ctx: Arc<Context>, stop: CancellationToken) {
    // Budgets are counted from what runs: without the Jobs' list a restart would start everything at once.
    tokio::select! {
        () = stop.cancelled() => {}
        () = ctx.jobs.filled() => feed.run(ctx.clone(), stop.clone(), reconcile).await,
    }
}

async fn reconcile(object: Arc<BackupSchedule>, ctx: Arc<Context>) -> Result<Outcome, BackupError> {
    let seen = gather::gather(&object, &ctx).await?;
    let mut status = object.status.clone().unwrap_or_default();
    settle_last_run(&object, &seen, &mut status, &ctx).await;
    let valid = validate::validate(&object, seen.storage.clone(), seen.server.clone(), &seen.rivals);
    let wake = match &valid {
        Ok(valid) => follow(&object, &seen, valid, &mut status, &ctx).await?,
        Err(invalid) => {
            refuse(&object, invalid, &mut status, ctx.now());
            // What it names may come later, and wakes nobody here when it does.
            let missing = matches!(invalid, Invalid::StorageMissing(_) | Invalid::ServerMissing(_));
            let again = TimeDelta::from_std(pause(object.ailing_since(), ctx.now())).unwrap_or(TimeDelta::minutes(1));
            missing.then(|| ctx.now() + again)
        }
    };
    alarm::condition(&object, &mut status, ctx.now());
    let wake = [wake, upkeep(&object, &seen, &status, ctx.now())].into_iter().flatten().min();
    status.observed_generation = object.metadata.generation;
    report(&object, &status, &ctx).await?;
    let me = Key::of(&object);
    match wake {
        Some(at) => ctx.timers.schedules.schedule(me, at),
        None => ctx.timers.schedules.forget(me),
    }
    // The timers' heap wakes it; nothing is left to kube's own scheduler.
    Ok(Outcome::Applied(Action::await_change()))
}

/// Takes note of how the last run ended, and of copies that came and went.
async fn settle_last_run(object: &BackupSchedule, seen: &Seen, status: &mut BackupScheduleStatus, ctx: &Context) {
    let days = seen.storage.as_ref().map_or(7, |s| s.spec.retention.days);
    if let Some(copies) = &seen.catalogue {
        settle::adopt(status, copies, days);
        status.catalogue_time = Some(ctx.now());
    }
    if let Some(ending) = seen.ending.clone()
        && let Some(failure) = settle::settle(status, ending, days, ctx.now())
    {
        ctx.metrics.backup_ended(failure.as_deref());
        if let (Some(reason), Some(last)) = (failure, &status.last_failure) {
            ctx.observer.event(object, EventType::Warning, &reason, "Dump", &last.message).await;
        }
    }
    let verdicts = alarm::mark(&object.spec.alarm, status);
    if let Some(storage) = &seen.storage {
        alarm::keep_last_good(object, storage, &seen.held, &verdicts, status, ctx).await;
    }
    if let Some(drills) = seen.server.as_ref().and_then(|server| server.status.as_ref()?.drill.as_ref()) {
        settle::proven(status, &object.name_any(), drills);
    }
    settle::age(status, &seen.held, ctx.now());
}

/// When a copy ends, or the last good one must be held: also of a schedule that cannot be followed.
fn upkeep(
    object: &BackupSchedule,
    seen: &Seen,
    status: &BackupScheduleStatus,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let free = |p: &&RecoveryPoint| !p.held && p.kept_until.is_none();
    let expiry = status.recovery_points.iter().filter(free).filter_map(|p| p.expires_at).min();
    // A whole fleet's copies expire at one midnight: they leave the list with the next run's status, if that is near.
    let near = |expiry: &DateTime<Utc>| status.next_run_time.is_some_and(|next| next <= *expiry + TimeDelta::days(1));
    let expiry = expiry.filter(|expiry| !near(expiry)).map(|expiry| expiry + TimeDelta::seconds(spread(object)));
    let keeps = seen.storage.as_ref().is_some_and(|storage| storage.spec.retention.keep_last_good);
    let keep = keeps.then(|| alarm::wake(&object.spec.alarm, status, now)).flatten();
    [expiry, keep].into_iter().flatten().min()
}

/// A schedule that can be followed: start what is due, say how it stands; returns when to look again.
async fn follow(
    object: &BackupSchedule,
    seen: &Seen,
    valid: &Valid,
    status: &mut BackupScheduleStatus,
    ctx: &Context,
) -> Result<Option<DateTime<Utc>>, BackupError> {
    let now = ctx.now();
    let before = status.clone();
    let last = last_run(&before);
    let facts = facts(object, seen, valid, &before, last.as_ref(), ctx);
    let decision = backup::decide(&facts, now);
    let mut wake = decision.wake;
    let mut plan = decision.plan;
    if let Plan::Run(key) = &plan
        && !act::start(object, valid, key, status, ctx).await?
    {
        plan = Plan::Wait(Waiting::BudgetReached);
        wake = Some(now + TimeDelta::seconds(5));
    }
    if status.active_job.is_some() {
        // A Job's end wakes us; this is for the case that its event was lost.
        let safety = now + TimeDelta::from_std(ctx.settings.timing.job_interval).unwrap_or(TimeDelta::minutes(1));
        wake = Some(wake.map_or(safety, |w| w.min(safety)));
    }
    status.next_run_time = decision.next_run;
    let (freshness, changes) = backup::freshness(&facts, status.last_successful_time, now);
    write_conditions(object, status, &plan, freshness, now);
    Ok([wake, changes].into_iter().flatten().min())
}

fn facts<'a>(
    object: &'a BackupSchedule,
    seen: &Seen,
    valid: &'a Valid,
    status: &'a BackupScheduleStatus,
    last: Option<&'a LastRun>,
    ctx: &Context,
) -> Facts<'a> {
    let spec = &object.spec;
    let created = object.creation_timestamp().and_then(|t| t.0.to_string().parse().ok());
    Facts {
        schedule: &valid.schedule,
        created: created.unwrap_or_else(|| ctx.now()),
        suspended: spec.suspend,
        starting_deadline: spec.starting_deadline_seconds.map(|s| TimeDelta::seconds(s.into())),
        manual: spec.trigger.as_ref().and_then(|t| t.manual.as_deref()),
        answered: status.manual_trigger.as_deref(),
        running: status.active_job.is_some(),
        restoring: seen.restoring,
        last,
        budget: Budget {
            total: (seen.running.0, ctx.settings.max_dumps.into()),
            server: (seen.running.1, valid.server.spec.max_concurrent_dumps.into()),
        },
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

fn write_conditions(
    object: &BackupSchedule,
    status: &mut BackupScheduleStatus,
    plan: &Plan,
    freshness: Freshness,
    now: DateTime<Utc>,
) {
    let generation = object.metadata.generation;
    let ready = match (&status.last_failure, plan) {
        (Some(failure), _) if status.consecutive_failures.unwrap_or_default() > 0 => {
            Condition::new(ScheduleCondition::Ready, false, failure.reason.clone(), failure.message.clone())
        }
        (_, Plan::Run(_)) => Condition::new(ScheduleCondition::Ready, true, "Dumping", "a dump runs"),
        (_, Plan::Wait(why)) => {
            let reason: &'static str = why.into();
            let (reason, message) = match why {
                Waiting::NotDue => ("Scheduled", "the next dump is at status.nextRunTime"),
                Waiting::Running => ("Dumping", "a dump runs"),
                Waiting::Suspended => (reason, "spec.suspend is true: no dumps, and the copies still expire"),
                Waiting::RestoreInProgress => (reason, "a restore has claimed this database; dumps go on after it"),
                Waiting::BudgetReached => {
                    (reason, "due; waiting for another dump to end (maxConcurrentDumps, --max-dumps)")
                }
                Waiting::Retrying => (reason, "the last dump failed; it is tried again soon"),
                Waiting::DeadlineMissed => (reason, "the slot passed startingDeadlineSeconds ago; the next one runs"),
            };
            Condition::new(ScheduleCondition::Ready, true, reason, message)
        }
    };
    set(&mut status.conditions, ready.observed(generation), now);
    let reason: &'static str = freshness.into();
    let (holds, message) = match freshness {
        Freshness::CopyIsFresh => (ConditionStatus::True, "the newest copy is younger than a slot interval and 2 h"),
        Freshness::CopyIsStale => (ConditionStatus::False, "the newest copy is older than a slot interval and 2 h"),
        Freshness::AwaitingFirstCopy => (ConditionStatus::Unknown, "the first dump is still to come"),
        Freshness::NoCopy => (ConditionStatus::False, "there is no copy although one was due"),
        Freshness::Suspended => (ConditionStatus::Unknown, "suspended: copies still expire"),
    };
    let fresh = Condition::new(ScheduleCondition::Fresh, holds, reason, message);
    set(&mut status.conditions, fresh.observed(generation), now);
}

fn refuse(object: &BackupSchedule, invalid: &Invalid, status: &mut BackupScheduleStatus, now: DateTime<Utc>) {
    status.next_run_time = None;
    let ready = Condition::new(ScheduleCondition::Ready, false, invalid.reason(), invalid.to_string());
    set(&mut status.conditions, ready.observed(object.metadata.generation), now);
}

/// Writes the status if it changed, and one Warning Event for each condition that newly turned False.
async fn report(object: &BackupSchedule, status: &BackupScheduleStatus, ctx: &Context) -> Result<(), BackupError> {
    let api = Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    apply_status(&api, object, object.status.as_ref(), status).await?;
    let old = object.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let failed = status.last_failure.as_ref().map(|f| f.reason.as_str());
    for c in settle::news(old, &status.conditions) {
        let bad = c.is_true() == (c.type_ == ScheduleCondition::Suspicious.as_ref());
        // A failed run has had its Event when it was settled.
        if bad && Some(c.reason.as_str()) != failed {
            let note = c.message.as_deref().unwrap_or_default();
            ctx.observer.event(object, EventType::Warning, &c.reason, "Reconcile", note).await;
        }
    }
    Ok(())
}
