//! Does what was decided: finalizers, pin, hold, Jobs, claim. Whatever needs approval and payment reads the request from the
//! API server first (I1).

use super::controller::RestoreController;
use super::gather::{ObservedRequest, backup_ref};
use super::validate::{Assessed, signatures};
use crate::authority::check as authority;
use crate::authority::status::AuthorityFault;
use crate::cache::jobs::{JobKind, Places};
use crate::error::ReconcileError;
use crate::request::api;
use crate::request::audit_state::audit_state;
use crate::request::job_creation::{JobCreation, record};
use crate::request::ownership::{Controller, controller_of_step_named};
use crate::request::payments;
use crate::request::step_job::{self, StepInputs};
use crate::runtime::writes::{VerbError, add_finalizers, delete, get_opt, patch_status_guarded, remove_finalizer};
use chrono::TimeDelta;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::Api;
use sennight_api::conditions::{RequestCondition, is_true};
use sennight_api::restore_report::JobRecord;
use sennight_api::restore_request::RestoreMode;
use sennight_api::restore_status::PinnedBackup;
use sennight_api::{BackupSchedule, RestoreRequest, RestoreRequestStatus};
use sennight_core::estimate::estimate;
use sennight_core::gate::{self, RunInputs};
use sennight_core::names::{RestoreStep, restore_job};
use sennight_core::restore::{self, RestorePlan};
use sennight_core::retention::held_until;

/// How often the claim is tried while others change the request.
const CLAIM_TRIES: usize = 3;
/// Days that a hold covers beyond people's deadlines: queueing and the work itself.
const WORK_DAYS: i64 = 3;

/// Adds the finalizers of all three controllers in one write, before anything exists that needs them. Gives the
/// resourceVersion of that write; `None` if none was missing.
pub async fn add_all_finalizers(
    object: &RestoreRequest,
    controller: &RestoreController,
) -> Result<Option<String>, VerbError> {
    let (hold, record) = (Controller::Restore.finalizer(), Controller::Record.finalizer());
    let all = match object.spec.mode {
        // An export leaves no database.
        RestoreMode::CrmExport => vec![hold, record],
        RestoreMode::FullRestore | RestoreMode::Undo => vec![hold, Controller::Cleanup.finalizer(), record],
    };
    add_finalizers(&api(object, &controller.client), object, &all).await
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
    let (Some(open), Some(storage)) = (observed.pinned.open(), &observed.references.storage) else {
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
    let deletable =
        |job: &&JobRecord| job.outcome.is_none() && controller_of_step_named(&job.step) == Controller::Restore;
    for record in status.jobs.iter().filter(deletable) {
        let job = get_opt(&jobs, &record.name).await?;
        if let Some(job) = job.filter(|job| job.uid() == record.uid) {
            delete(&jobs, &job).await?;
        }
    }
    Ok(())
}

/// Releases the backup, unless another open request or the schedule holds it too.
pub async fn release(
    status: &RestoreRequestStatus,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<(), ReconcileError> {
    if is_true(&status.conditions, RequestCondition::Held)
        && !observed.shared
        && let (Some(open), Some(storage)) = (observed.pinned.open(), &observed.references.storage)
    {
        controller.stores.open(storage).await?.release(open).await?;
    }
    Ok(())
}

/// Takes the finalizer away, once status says that the backup is released. Of a request that is being deleted nobody reads
/// that any more. Gives the resourceVersion that this made.
pub async fn let_go(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    controller: &RestoreController,
) -> Result<Option<String>, VerbError> {
    if is_true(&status.conditions, RequestCondition::Held) && object.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    remove_finalizer(&api(object, &controller.client), object, Controller::Restore.finalizer()).await
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
    let fresh = get_opt(&api(object, &controller.client), &object.name_any()).await?;
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
    let Some(judged) = &observed.references.schedule else { return Ok(false) };
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
    let inputs = StepInputs {
        object,
        status,
        references: &observed.references,
        profile: observed.profile.as_ref(),
        backup: backup.as_ref(),
        timing: &controller.timing,
    };
    let worker = step_job::worker(inputs, step, attempt)?;
    let on = observed.references.server.as_ref();
    let (namespace, server) = (worker.namespace.clone(), on.map(|s| s.name_any()).unwrap_or_default());
    let limit = on.map_or(1, |s| i64::from(s.spec.max_concurrent_restores));
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
    match controller.creator.create(object, &worker).await? {
        JobCreation::Ours(job) => record(status, &job, step, attempt, controller.clock.now()),
        JobCreation::Foreign { difference } => {
            let plan = restore::job_name_taken(step, &format!("{namespace}/{name}"), &difference);
            return Ok(StepStart::Never(Box::new(plan)));
        }
    }
    Ok(StepStart::Yes)
}

/// Writes the claim with the resourceVersion of the fresh read: of several writers one wins, and a signature that
/// changed since makes it fail. After a conflict everything begins again from another fresh read. Gives the
/// resourceVersion that the claim made; `None`: it was not written.
pub async fn claim(
    object: &RestoreRequest,
    step: RestoreStep,
    assessed: &Assessed,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<Option<String>, ReconcileError> {
    let not_written = |why: &str| tracing::info!(%step, why, "claim not written");
    for _ in 0..CLAIM_TRIES {
        let fresh = match unlocked(object, &assessed.facts.gate, observed, controller).await? {
            Reread::Usable(fresh) => fresh,
            Reread::Unusable(why) => {
                not_written(&why);
                return Ok(None);
            }
        };
        let record = controller.ledger.get(&fresh);
        if !record.is_some_and(|record| record.names_keys(&fresh, &audit_state(&fresh))) {
            not_written("approval or payment has just changed, and is not recorded yet");
            return Ok(None);
        }
        let job = restore_job(&object.uid().unwrap_or_default(), step, 1);
        let claim = serde_json::json!({"claim": {"attempt": 1, "job": job, "at": controller.clock.now().to_rfc3339()}});
        let manager = Controller::Restore.manager();
        match patch_status_guarded(&api(object, &controller.client), manager, &fresh, claim).await {
            Ok(claimed) => return Ok(claimed.resource_version()),
            Err(error) if error.is_conflict() => not_written("somebody has just changed the request"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
