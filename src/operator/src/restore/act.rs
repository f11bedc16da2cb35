//! Doing what was decided: hold, Jobs, the claim. Everything that needs both keys reads them afresh first (I1).

use super::gather::{ObservedRequest, backup_ref};
use super::validate::{Assessed, signatures};
use super::{adoption, payments};
use crate::authority::{self, AuthorityFault};
use crate::context::Context;
use crate::error::ReconcileError;
use crate::jobs::{JobKind, Places};
use crate::worker_job::WorkerJob;
use crate::writes::{Created, add_finalizer, create_or_adopt, delete, get_opt, patch_status_guarded, remove_finalizer};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::Api;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_report::JobRecord;
use sennight_api::restore_status::PinnedBackup;
use sennight_api::{BackupSchedule, RestoreRequest, RestoreRequestStatus};
use sennight_core::estimate::estimate;
use sennight_core::gate::{self, RunInputs};
use sennight_core::names::{RestoreStep, restore_job};
use sennight_core::restore::{self, RestorePlan};
use sennight_core::retention::held_until;

/// Keeps a request until its hold is released.
pub const FINALIZER: &str = "sennight.dev/hold";
/// What a hold is meant to cover beyond people's deadlines: queueing and the work itself.
const WORK_DAYS: i64 = 3;

fn api(object: &RestoreRequest, ctx: &Context) -> Api<RestoreRequest> {
    Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default())
}

/// Keeps the request until its hold is released. True when that had to be written.
pub async fn add_hold_finalizer(object: &RestoreRequest, ctx: &Context) -> Result<bool, ReconcileError> {
    let missing = !object.finalizers().iter().any(|f| f == FINALIZER);
    add_finalizer(&api(object, ctx), object, FINALIZER).await?;
    Ok(missing)
}

/// Writes the chosen backup into status. It is never chosen again.
pub fn pin(status: &mut RestoreRequestStatus, assessed: &Assessed, seen: &ObservedRequest) {
    status.undo.clone_from(&assessed.undone);
    let chosen = assessed.chosen.as_ref().map(|c| &c.id);
    let entries = seen.catalogue.as_deref().unwrap_or_default();
    let backup = entries.iter().find(|e| Some(&e.summary.id) == chosen).map(|e| &e.summary);
    if backup.is_none() && status.undo.is_none() {
        return;
    }
    let expected = estimate(assessed.facts.gate.mode, backup.map_or(0, |backup| backup.bytes), &seen.samples);
    let estimate = status.estimate.get_or_insert_default();
    estimate.backup_bytes = backup.map(|backup| backup.bytes);
    estimate.rows = backup.map(|backup| backup.rows);
    estimate.duration_seconds = Some(expected.duration_seconds);
    estimate.downtime_millis = Some(expected.downtime_millis);
    estimate.basis = Some(expected.basis);
    estimate.not_contained = expected.not_contained;
    let Some(backup) = backup else { return };
    let pinned = PinnedBackup {
        id: backup.id.to_string(),
        prefix: backup.prefix.clone(),
        day: backup.day,
        snapshot_time: backup.snapshot_time,
        bytes: backup.bytes,
        rows: backup.rows,
        manifest_sha256: backup.manifest_sha256.clone(),
        held_until: None,
    };
    status.backup = Some(Box::new(pinned));
}

/// Holds the pinned backup; status says Held only once the store says so.
pub async fn hold(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<(), ReconcileError> {
    let (Some(open), Some(storage)) = (seen.pinned.open(), &seen.storage) else {
        return Err(ReconcileError::NothingToHold);
    };
    let expires = sennight_core::retention::expires_at(open.manifest.started_at, storage.spec.retention.days);
    let timing = &ctx.settings.timing;
    let people = TimeDelta::from_std(timing.approval_deadline + timing.payment_deadline).unwrap_or(TimeDelta::days(8));
    let now = ctx.now();
    let until =
        held_until(expires, super::validate::created(object).unwrap_or(now) + people + TimeDelta::days(WORK_DAYS));
    let until = until.max(expires);
    let held = ctx.stores.open(storage).await?.hold(open, expires, until, now).await?;
    if let Some(point) = &mut status.backup {
        point.prefix = held.backup.prefix;
        point.held_until = Some(held.until);
    }
    Ok(())
}

/// Ends the Jobs of a request that was denied, expired or failed before its claim: they would work for nobody. The worker
/// takes back what it began.
pub async fn delete_jobs(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    ctx: &Context,
) -> Result<(), ReconcileError> {
    if status.claim.is_some() {
        return Ok(());
    }
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(ctx.clients.write.clone(), &namespace);
    // What drops is not for the request but for the server.
    let works = |job: &&JobRecord| job.outcome.is_none() && !job.is(RestoreStep::DropDatabase);
    for record in status.jobs.iter().filter(works) {
        let job = get_opt(&jobs, &record.name).await?;
        if let Some(job) = job.filter(|job| job.uid() == record.uid) {
            delete(&jobs, &job).await?;
        }
    }
    Ok(())
}

/// Lets the backup go, unless another open request holds it too. True when it did.
pub async fn release(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<bool, ReconcileError> {
    let held = is_true(&status.conditions, RequestCondition::Held);
    if held
        && !seen.shared
        && let (Some(open), Some(storage)) = (seen.pinned.open(), &seen.storage)
    {
        ctx.stores.open(storage).await?.release(open).await?;
    }
    // One write a round: what was held says in status that it no longer is, and goes in the next. What billing owes is not
    // forgotten by deleting it.
    if (!held || object.metadata.deletion_timestamp.is_some()) && payments::owed(object).is_none() {
        remove_finalizer(&api(object, ctx), object, FINALIZER).await?;
    }
    Ok(held)
}

/// A request as it was read just now.
enum Reread {
    /// It still may be acted for.
    Usable(Box<RestoreRequest>),
    /// It may not, and why: a lock is closed, or it has gone on and this round is behind.
    Unusable(String),
}

impl Reread {
    fn unusable(why: &str) -> Self {
        Self::Unusable(why.to_owned())
    }
}

/// Reads the request afresh: what this round looked at may be minutes old (a watch that stands still) or of another
/// time (an API server that was set back).
async fn reread(object: &RestoreRequest, ctx: &Context) -> Result<Reread, ReconcileError> {
    let fresh = get_opt(&api(object, ctx), &object.name_any()).await?;
    let Some(fresh) = fresh.filter(|f| f.uid() == object.uid()) else {
        return Ok(Reread::unusable("the request is gone"));
    };
    if fresh.status.as_ref().is_some_and(|s| s.finished_at.is_some()) {
        return Ok(Reread::unusable("the request has ended"));
    }
    Ok(Reread::Usable(Box::new(fresh)))
}

/// Whether what is asked for still is as it was judged: the schedule says whose data it is and who may ask.
async fn same_schedule(object: &RestoreRequest, seen: &ObservedRequest, ctx: &Context) -> Result<bool, ReconcileError> {
    let Some(judged) = &seen.schedule else { return Ok(false) };
    let schedules: Api<BackupSchedule> =
        Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    let now = get_opt(&schedules, &judged.name_any()).await?;
    Ok(now.is_some_and(|now| (now.uid(), now.metadata.generation) == (judged.uid(), judged.metadata.generation)))
}

/// Tries every lock on a fresh read.
async fn unlocked(
    object: &RestoreRequest,
    known: &RunInputs,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<Reread, ReconcileError> {
    let fresh = match reread(object, ctx).await? {
        Reread::Usable(fresh) => fresh,
        behind @ Reread::Unusable(_) => return Ok(behind),
    };
    if fresh.metadata.deletion_timestamp.is_some() {
        return Ok(Reread::unusable("the request is being deleted"));
    }
    if fresh.status.as_ref().is_some_and(|s| s.claim.is_some()) {
        return Ok(Reread::unusable("it is claimed already"));
    }
    if !same_schedule(object, seen, ctx).await? {
        return Ok(Reread::unusable("its BackupSchedule has just been changed"));
    }
    let authority = authority::verify(ctx, &fresh).await;
    Ok(match gate::may_run(&keys(&fresh, known, authority, ctx).await?) {
        Ok(()) => Reread::Usable(fresh),
        Err(closed) => Reread::Unusable(closed.to_string()),
    })
}

/// The keys of a request that was read just now.
async fn keys(
    fresh: &RestoreRequest,
    known: &RunInputs,
    authority: Result<(), AuthorityFault>,
    ctx: &Context,
) -> Result<RunInputs, ReconcileError> {
    let keys = RunInputs {
        eligible: known.eligible,
        held: fresh.status.as_ref().is_some_and(|s| is_true(&s.conditions, RequestCondition::Held)),
        four_eyes: ctx.settings.four_eyes,
        signatures: ctx.authority.check_signatures(fresh, ctx.settings.four_eyes),
        policies: authority.map_err(|fault| fault.to_string()),
        ..signatures(fresh, fresh.spec.mode.into())
    };
    // Another one may have been paid by the same reference since.
    Ok(match payments::reused_now(fresh, ctx).await? {
        Some(payment) => RunInputs { payment, ..keys },
        None => keys,
    })
}

/// What became of the wish to begin a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStart {
    /// Its Job is there.
    Yes,
    /// Not now: a lock is closed, no place is free, or this round is behind.
    No,
    /// Never: a person has to look first.
    Never(Box<RestorePlan>),
}

/// Whether a step's Job may be created at all, from a fresh read: never one that was created before (I2), and none while a
/// lock is closed (I1), after the claim either: whoever could write status while nobody guarded it could write a claim.
async fn may_begin(
    object: &RestoreRequest,
    step: RestoreStep,
    name: &str,
    assessed: &Assessed,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<StepStart, ReconcileError> {
    let not_now = |why: String| {
        tracing::info!(%step, why, "the Job is not created");
        StepStart::No
    };
    let (claimed, known) = (assessed.facts.claim.is_some(), &assessed.facts.gate);
    // A preflight reads only, and what ends a lost swap begins nothing.
    let free = matches!(step, RestoreStep::Preflight | RestoreStep::RecoverCutover);
    let fresh = if claimed || free { reread(object, ctx).await? } else { unlocked(object, known, seen, ctx).await? };
    let fresh = match fresh {
        Reread::Usable(fresh) => fresh,
        Reread::Unusable(why) => return Ok(not_now(why)),
    };
    let status = fresh.status.clone().unwrap_or_default();
    if claimed && status.claim.is_none() {
        return Ok(not_now("the claim is gone: the cluster was set back".to_owned()));
    }
    if status.jobs.iter().any(|known| known.name == name) {
        return Ok(not_now(format!("Job {name} was created before and is never created again")));
    }
    if claimed && !free {
        // Without forgeries: of a claimed request the definition's own rules refuse them first.
        let authority = authority::intact(&ctx.clients.write, ctx.settings.four_eyes).await;
        match gate::may_run(&keys(&fresh, known, authority, ctx).await?) {
            Ok(()) => {}
            Err(closed) if closed.is_temporary() => return Ok(not_now(closed.to_string())),
            Err(closed) => return Ok(StepStart::Never(Box::new(restore::claim_without_approval(&closed)))),
        }
    }
    Ok(StepStart::Yes)
}

/// Creates a step's Job, unless a lock is closed; records it.
pub async fn start(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    step: RestoreStep,
    attempt: i32,
    assessed: &Assessed,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<StepStart, ReconcileError> {
    let uid = object.uid().unwrap_or_default();
    let name = restore_job(&uid, step, attempt);
    match may_begin(object, step, &name, assessed, seen, ctx).await? {
        StepStart::Yes => {}
        other => return Ok(other),
    }
    let backup = backup_ref(object)?;
    let worker = super::step_job::worker(object, status, step, attempt, backup.as_ref(), seen, ctx)?;
    let (namespace, server) =
        (worker.namespace.clone(), seen.server.as_ref().map(|s| s.name_any()).unwrap_or_default());
    let limit = seen.server.as_ref().map_or(1, |s| i64::from(s.spec.max_concurrent_restores));
    if step == RestoreStep::Prepare
        && !ctx.jobs.reserve(
            JobKind::Restore,
            &namespace,
            &server,
            &worker.name,
            Places { total: i64::MAX, on_server: limit },
        )
    {
        return Ok(StepStart::No);
    }
    match create_job(object, &worker, ctx).await? {
        JobCreation::Ours(job) => record(status, &job, step, attempt, ctx.now()),
        JobCreation::Foreign { difference } => {
            let plan = restore::job_name_taken(step, &format!("{namespace}/{name}"), &difference);
            return Ok(StepStart::Never(Box::new(plan)));
        }
    }
    Ok(StepStart::Yes)
}

/// What has a step's name in the cluster now.
pub enum JobCreation {
    /// This request's Job, created now or by a call whose answer was lost.
    Ours(Box<Job>),
    /// Somebody else's Job, and in what it differs.
    Foreign {
        /// For people.
        difference: String,
    },
}

/// Creates a step's Job or adopts the one of an answer that was lost. Where the name is taken, the place that was reserved
/// for it is free again.
pub async fn create_job(
    object: &RestoreRequest,
    worker: &WorkerJob,
    ctx: &Context,
) -> Result<JobCreation, ReconcileError> {
    let (uid, namespace) = (object.uid().unwrap_or_default(), &worker.namespace);
    let job = worker.build(&ctx.settings.worker.pod_defaults())?;
    let jobs: Api<Job> = Api::namespaced(ctx.clients.write.clone(), namespace);
    let created = create_or_adopt(&jobs, &job, |there| adoption::difference(&uid, &job, there).is_none())
        .await
        .inspect_err(|_| ctx.jobs.unreserve(namespace, &worker.name))?;
    match created {
        Created::New(job) | Created::Adopted(job) => {
            ctx.dispatch.restore_started(ctx.now());
            Ok(JobCreation::Ours(Box::new(job)))
        }
        Created::Foreign(there) => {
            ctx.jobs.unreserve(namespace, &worker.name);
            let difference = adoption::difference(&uid, &job, &there).unwrap_or_default();
            Ok(JobCreation::Foreign { difference })
        }
    }
}

/// Writes a Job that was created into status.
pub fn record(status: &mut RestoreRequestStatus, job: &Job, step: RestoreStep, attempt: i32, now: DateTime<Utc>) {
    let name = job.name_any();
    if status.jobs.iter().any(|known| known.name == name) {
        return;
    }
    super::job_results::make_room(&mut status.jobs);
    status.jobs.push(JobRecord {
        name,
        uid: job.uid(),
        step: step.to_string(),
        attempt,
        outcome: None,
        reason: None,
        message: None,
        retryable: None,
        started_at: Some(now),
        finished_at: None,
    });
}

/// Writes the claim with the resourceVersion of the fresh read: of several writers one wins, and a signature that
/// changed since makes it fail. True when it is ours.
pub async fn claim(
    object: &RestoreRequest,
    step: RestoreStep,
    assessed: &Assessed,
    seen: &ObservedRequest,
    ctx: &Context,
) -> Result<bool, ReconcileError> {
    let fresh = match unlocked(object, &assessed.facts.gate, seen, ctx).await? {
        Reread::Usable(fresh) => fresh,
        Reread::Unusable(why) => {
            tracing::info!(%step, why, "a lock closed just before the claim");
            return Ok(false);
        }
    };
    let job = restore_job(&object.uid().unwrap_or_default(), step, 1);
    let claim = serde_json::json!({"claim": {"attempt": 1, "job": job, "at": ctx.now().to_rfc3339()}});
    patch_status_guarded(&api(object, ctx), &fresh, claim).await?;
    Ok(true)
}
