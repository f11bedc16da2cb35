//! Does what was decided: finalizer, pin, hold, Jobs, claim. Whatever needs approval and payment reads the request from the
//! API server first (I1).

use super::controller::RestoreController;
use super::gather::{ObservedRequest, backup_ref};
use super::job_creation::{JobCreation, create_job, record};
use super::payments;
use super::validate::{Assessed, signatures};
use crate::authority::check as authority;
use crate::authority::status::AuthorityFault;
use crate::cache::jobs::{JobKind, Places};
use crate::error::ReconcileError;
use crate::runtime::writes::{add_finalizer, delete, get_opt, patch_status_guarded, remove_finalizer};
use chrono::TimeDelta;
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

/// Finalizer that keeps a request until its hold is released.
pub const FINALIZER: &str = "sennight.dev/hold";
/// Days that a hold covers beyond people's deadlines: queueing and the work itself.
const WORK_DAYS: i64 = 3;

fn api(object: &RestoreRequest, controller: &RestoreController) -> Api<RestoreRequest> {
    Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default())
}

/// Adds the finalizer. True when it was missing and had to be written.
pub async fn add_hold_finalizer(
    object: &RestoreRequest,
    controller: &RestoreController,
) -> Result<bool, ReconcileError> {
    let missing = !object.finalizers().iter().any(|f| f == FINALIZER);
    add_finalizer(&api(object, controller), object, FINALIZER).await?;
    Ok(missing)
}

/// Writes the chosen backup (or the undone request) and the estimate into status. It is never chosen again.
pub fn pin(status: &mut RestoreRequestStatus, assessed: &Assessed, observed: &ObservedRequest) {
    status.undo.clone_from(&assessed.undone);
    let chosen = assessed.chosen.as_ref().map(|c| &c.id);
    let entries = observed.catalogue.as_deref().unwrap_or_default();
    let backup = entries.iter().find(|e| Some(&e.summary.id) == chosen).map(|e| &e.summary);
    if backup.is_none() && status.undo.is_none() {
        return;
    }
    let expected = estimate(assessed.facts.gate.mode, backup.map_or(0, |backup| backup.bytes), &observed.samples);
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

/// Holds the pinned backup in the bucket. The caller writes Held only after this succeeded.
pub async fn hold(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<(), ReconcileError> {
    let (Some(open), Some(storage)) = (observed.pinned.open(), &observed.storage) else {
        return Err(ReconcileError::NothingToHold);
    };
    let expires = sennight_core::retention::expires_at(open.manifest.started_at, storage.spec.retention.days);
    let timing = &controller.timing;
    let people = TimeDelta::from_std(timing.approval_deadline + timing.payment_deadline).unwrap_or(TimeDelta::days(8));
    let now = controller.clock.now();
    let until = held_until(
        expires,
        sennight_api::convert::created(&object.metadata).unwrap_or(now) + people + TimeDelta::days(WORK_DAYS),
    );
    let until = until.max(expires);
    let held = controller.stores.open(storage).await?.hold(open, expires, until, now).await?;
    if let Some(point) = &mut status.backup {
        point.prefix = held.backup.prefix;
        point.held_until = Some(held.until);
    }
    Ok(())
}

/// Deletes the Jobs of a request that was denied, expired or failed before its claim. The worker takes back what it began.
pub async fn delete_jobs(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    controller: &RestoreController,
) -> Result<(), ReconcileError> {
    if status.claim.is_some() {
        return Ok(());
    }
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(controller.client.clone(), &namespace);
    // A drop goes on: it cleans the server up.
    let deletable = |job: &&JobRecord| job.outcome.is_none() && !job.is(RestoreStep::DropDatabase);
    for record in status.jobs.iter().filter(deletable) {
        let job = get_opt(&jobs, &record.name).await?;
        if let Some(job) = job.filter(|job| job.uid() == record.uid) {
            delete(&jobs, &job).await?;
        }
    }
    Ok(())
}

/// Releases the backup, unless another open request or the schedule holds it too. True when the condition Held was set.
pub async fn release(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<bool, ReconcileError> {
    let held = is_true(&status.conditions, RequestCondition::Held);
    if held
        && !observed.shared
        && let (Some(open), Some(storage)) = (observed.pinned.open(), &observed.storage)
    {
        controller.stores.open(storage).await?.release(open).await?;
    }
    // One write for each reconcile: first status says that the backup is released, and the next one removes the finalizer.
    // While billing owes a refund the finalizer stays, so that deleting the request does not hide it.
    if (!held || object.metadata.deletion_timestamp.is_some()) && payments::owed(object).is_none() {
        remove_finalizer(&api(object, controller), object, FINALIZER).await?;
    }
    Ok(held)
}

/// A request as it was just read from the API server.
enum Reread {
    /// The step may go on.
    Usable(Box<RestoreRequest>),
    /// It may not, and why: a lock is closed, or this reconcile works on an old version.
    Unusable(String),
}

impl Reread {
    fn unusable(why: &str) -> Self {
        Self::Unusable(why.to_owned())
    }
}

/// Reads the request from the API server. The cached one may be minutes old (a stalled watch), or from before a restore of
/// etcd.
async fn reread(object: &RestoreRequest, controller: &RestoreController) -> Result<Reread, ReconcileError> {
    let fresh = get_opt(&api(object, controller), &object.name_any()).await?;
    let Some(fresh) = fresh.filter(|f| f.uid() == object.uid()) else {
        return Ok(Reread::unusable("the request is gone"));
    };
    if fresh.status.as_ref().is_some_and(|s| s.finished_at.is_some()) {
        return Ok(Reread::unusable("the request has ended"));
    }
    Ok(Reread::Usable(Box::new(fresh)))
}

/// Whether the BackupSchedule is unchanged since it was assessed: it says whose data this is and who may ask.
async fn same_schedule(
    object: &RestoreRequest,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<bool, ReconcileError> {
    let Some(judged) = &observed.schedule else { return Ok(false) };
    let schedules: Api<BackupSchedule> =
        Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    let now = get_opt(&schedules, &judged.name_any()).await?;
    Ok(now.is_some_and(|now| (now.uid(), now.metadata.generation) == (judged.uid(), judged.metadata.generation)))
}

/// Reads the request again and checks every lock on it: deletion, claim, schedule, policies, approval, payment.
async fn unlocked(
    object: &RestoreRequest,
    known: &RunInputs,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<Reread, ReconcileError> {
    let fresh = match reread(object, controller).await? {
        Reread::Usable(fresh) => fresh,
        behind @ Reread::Unusable(_) => return Ok(behind),
    };
    if fresh.metadata.deletion_timestamp.is_some() {
        return Ok(Reread::unusable("the request is being deleted"));
    }
    if fresh.status.as_ref().is_some_and(|s| s.claim.is_some()) {
        return Ok(Reread::unusable("it is claimed already"));
    }
    if !same_schedule(object, observed, controller).await? {
        return Ok(Reread::unusable("its BackupSchedule has just been changed"));
    }
    let authority = authority::verify(&controller.client, controller.four_eyes, &fresh).await;
    Ok(match gate::may_run(&keys(&fresh, known, authority, controller).await?) {
        Ok(()) => Reread::Usable(fresh),
        Err(closed) => Reread::Unusable(closed.to_string()),
    })
}

/// The keys (eligibility, hold, approval, payment, policies) of a request that was just read.
async fn keys(
    fresh: &RestoreRequest,
    known: &RunInputs,
    authority: Result<(), AuthorityFault>,
    controller: &RestoreController,
) -> Result<RunInputs, ReconcileError> {
    let keys = RunInputs {
        eligible: known.eligible,
        held: fresh.status.as_ref().is_some_and(|s| is_true(&s.conditions, RequestCondition::Held)),
        four_eyes: controller.four_eyes,
        signatures: controller.authority.check_signatures(fresh, controller.four_eyes),
        policies: authority.map_err(|fault| fault.to_string()),
        ..signatures(fresh, fresh.spec.mode.into())
    };
    // Another request may have been paid by the same reference since.
    Ok(match payments::reused_now(fresh, &controller.client).await? {
        Some(payment) => RunInputs { payment, ..keys },
        None => keys,
    })
}

/// Result of starting a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStart {
    /// Its Job exists.
    Yes,
    /// Not now: a lock is closed, no place is free, or this reconcile works on an old version.
    No,
    /// Never without a person: the plan to write instead.
    Never(Box<RestorePlan>),
}

/// Whether a step's Job may be created, by a fresh read. Never one that was created before (I2), and none while a lock is
/// closed (I1). The locks are checked after the claim, too: a claim in status could be forged while the policies were off.
async fn may_begin(
    object: &RestoreRequest,
    step: RestoreStep,
    name: &str,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<StepStart, ReconcileError> {
    let not_now = |why: String| {
        tracing::info!(%step, why, "Job not created");
        StepStart::No
    };
    let (claimed, known) = (assessed.facts.claim.is_some(), &assessed.facts.gate);
    // A preflight only reads, and recover-cutover starts nothing new.
    let free = matches!(step, RestoreStep::Preflight | RestoreStep::RecoverCutover);
    let fresh = if claimed || free {
        reread(object, controller).await?
    } else {
        unlocked(object, known, observed, controller).await?
    };
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
        // Without the forgery test: on a claimed request the schema's own rules refuse a forgery before the policies do.
        let authority = authority::intact(&controller.client, controller.four_eyes).await;
        match gate::may_run(&keys(&fresh, known, authority, controller).await?) {
            Ok(()) => {}
            Err(closed) if closed.is_temporary() => return Ok(not_now(closed.to_string())),
            Err(closed) => return Ok(StepStart::Never(Box::new(restore::claim_without_approval(&closed)))),
        }
    }
    Ok(StepStart::Yes)
}

/// Creates a step's Job, unless a lock is closed, and records it in status.
pub async fn start(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    step: RestoreStep,
    attempt: i32,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<StepStart, ReconcileError> {
    let uid = object.uid().unwrap_or_default();
    let name = restore_job(&uid, step, attempt);
    match may_begin(object, step, &name, assessed, observed, controller).await? {
        StepStart::Yes => {}
        other => return Ok(other),
    }
    let backup = backup_ref(object)?;
    let worker = super::step_job::worker(object, status, step, attempt, backup.as_ref(), observed, &controller.timing)?;
    let (namespace, server) =
        (worker.namespace.clone(), observed.server.as_ref().map(|s| s.name_any()).unwrap_or_default());
    let limit = observed.server.as_ref().map_or(1, |s| i64::from(s.spec.max_concurrent_restores));
    if step == RestoreStep::Prepare
        && !controller.jobs.reserve(
            JobKind::Restore,
            &namespace,
            &server,
            &worker.name,
            Places { total: i64::MAX, on_server: limit },
        )
    {
        return Ok(StepStart::No);
    }
    match create_job(object, &worker, controller).await? {
        JobCreation::Ours(job) => record(status, &job, step, attempt, controller.clock.now()),
        JobCreation::Foreign { difference } => {
            let plan = restore::job_name_taken(step, &format!("{namespace}/{name}"), &difference);
            return Ok(StepStart::Never(Box::new(plan)));
        }
    }
    Ok(StepStart::Yes)
}

/// Writes the claim with the resourceVersion of the fresh read: of several writers one wins, and a signature that
/// changed since makes it fail. True when this call wrote it.
pub async fn claim(
    object: &RestoreRequest,
    step: RestoreStep,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<bool, ReconcileError> {
    let fresh = match unlocked(object, &assessed.facts.gate, observed, controller).await? {
        Reread::Usable(fresh) => fresh,
        Reread::Unusable(why) => {
            tracing::info!(%step, why, "claim not written");
            return Ok(false);
        }
    };
    let job = restore_job(&object.uid().unwrap_or_default(), step, 1);
    let claim = serde_json::json!({"claim": {"attempt": 1, "job": job, "at": controller.clock.now().to_rfc3339()}});
    patch_status_guarded(&api(object, controller), &fresh, claim).await?;
    Ok(true)
}
