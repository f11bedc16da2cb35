//! Reads all that one reconcile of a RestoreRequest needs, from caches, API server and bucket. Decides nothing.

use super::claim_traces;
use super::controller::RestoreController;
use crate::cache::audit_ledger::{LedgerEntry, LedgerState};
use crate::cache::jobs::JobKind;
use crate::error::ReconcileError;
use crate::request::endings::{Endings, Places, endings};
use crate::request::ownership::Controller;
use crate::request::payments;
use crate::request::references::References;
use crate::runtime::key::Key;
use crate::runtime::writes::get_opt;
use crate::targets;
use kube::ResourceExt;
use kube::api::Api;
use sennight_api::conditions::RequestCondition;
use sennight_api::restore_report::{JobOutcome, JobRecord};
use sennight_api::restore_request::RestoreMode;
use sennight_api::{BackupSchedule, BackupStorage, ExportProfile, RestoreRequest, RestoreRequestStatus};
use sennight_core::audit::AuditState;
use sennight_core::estimate::{SAMPLES, Sample};
use sennight_core::gate::{BackupCandidate, Payment};
use sennight_core::names::{NameError, RestoreStep};
use sennight_core::restore::WorkerClaim;
use sennight_protocol::backup::BackupRef;
use sennight_storage::{CatalogueEntry, CatalogueError, OpenBackup};
use std::sync::Arc;

/// Name of the ExportProfile when neither request nor schedule names one.
const DEFAULT_PROFILE: &str = "bitrix24-crm";

/// The pinned backup, if it could be opened.
pub enum Pinned {
    /// None is pinned, or its storage is missing.
    None,
    /// It is in the bucket and belongs to this tenant.
    Open(Box<OpenBackup>),
    /// It is gone, damaged or another tenant's.
    Unusable(CatalogueError),
}

impl Pinned {
    /// The backup, if it was opened.
    pub fn open(&self) -> Option<&OpenBackup> {
        match self {
            Self::Open(open) => Some(open),
            Self::None | Self::Unusable(_) => None,
        }
    }
}

/// Input of one reconcile.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
pub struct ObservedRequest {
    /// Schedule, storage and server.
    pub references: References,
    /// What somebody changed in the audit record, if it is broken.
    pub record_error: Option<String>,
    /// Whether status names an entry of the audit record that has both keys.
    pub keys_recorded: bool,
    /// The ExportProfile; only for an export that has not ended.
    pub profile: Option<ExportProfile>,
    /// Name of an earlier request of the same schedule that has not ended, or has not released its hold yet.
    pub rival: Option<String>,
    /// Whether another open request or the schedule holds the same backup.
    pub shared: bool,
    /// The bucket's backups, while none is pinned and the request is open; or why they could not be listed.
    pub catalogue: Result<Vec<CatalogueEntry>, String>,
    /// The pinned backup.
    pub pinned: Pinned,
    /// States of the steps' Jobs without an outcome in status, and the progress of the running one.
    pub endings: Endings,
    /// Restores that run on the server.
    pub restores_here: i64,
    /// Whether a dump of this database runs or is about to.
    pub dumping: bool,
    /// The other requests of the same schedule; only for an Undo.
    pub siblings: Vec<Arc<RestoreRequest>>,
    /// Whether the claim's Job is in the cluster and not in status.
    pub job_unrecorded: bool,
    /// A worker's claim in the bucket by a Job that neither status nor the cluster has.
    pub proof: Option<WorkerClaim>,
    /// The refused payment, if its reference belongs to another request.
    pub reused_payment: Option<Payment>,
    /// Earlier restores of the same mode on the same server, newest first; only while there is no estimate.
    pub samples: Vec<Sample>,
}

/// Reads everything.
pub async fn gather(
    object: &RestoreRequest,
    state: &AuditState,
    record: &LedgerEntry,
    controller: &RestoreController,
) -> Result<ObservedRequest, ReconcileError> {
    let references = References::read(object, &controller.client, &controller.storages, &controller.servers).await?;
    let (schedule, storage) = (references.schedule.as_deref(), references.storage.as_deref());
    let server = references.server.as_deref();
    let namespace = object.namespace().unwrap_or_default();
    let running = server.map_or(0, |s| controller.jobs.running(JobKind::Restore, &namespace, &s.name_any()).on_server);
    let (rival, shared) = rival_and_shared(object, controller);
    let shared = shared || held_as_last_good(object, schedule);
    let (client, jobs, stores) = (&controller.client, &controller.jobs, &*controller.stores);
    let endings = endings(object, Controller::Restore, &Places { client, jobs, stores, storage }).await?;
    let unrecorded = claim_traces::unrecorded(object, client).await?;
    Ok(ObservedRequest {
        catalogue: catalogue(object, storage, controller).await,
        pinned: pinned(object, &references, controller).await?,
        profile: profile(object, schedule, controller).await?,
        dumping: schedule.is_some_and(|schedule| dumping(schedule, controller)),
        restores_here: running,
        job_unrecorded: unrecorded.is_some(),
        proof: claim_traces::begun(object, storage, unrecorded.as_ref(), stores).await?,
        reused_payment: payments::reused(object, &controller.requests),
        samples: samples(object, schedule, controller),
        record_error: match &record.state {
            LedgerState::Broken(why) => Some(why.clone()),
            LedgerState::UpToDate | LedgerState::Behind => None,
        },
        keys_recorded: record.names_keys(object, state),
        rival,
        shared,
        endings,
        siblings: siblings(object, controller),
        references,
    })
}

/// Whether a dump of the database runs, or its Job is being created.
fn dumping(schedule: &BackupSchedule, controller: &RestoreController) -> bool {
    let uid = schedule.uid().unwrap_or_default();
    schedule.status.as_ref().is_some_and(|status| status.active_job.is_some())
        || controller.jobs.dumping(&uid)
        || controller.dispatch.is_creating(&uid)
}

fn siblings(object: &RestoreRequest, controller: &RestoreController) -> Vec<Arc<RestoreRequest>> {
    if object.spec.mode == RestoreMode::Undo { other_requests(object, controller) } else { Vec::new() }
}

/// The other requests of the same schedule.
fn other_requests(object: &RestoreRequest, controller: &RestoreController) -> Vec<Arc<RestoreRequest>> {
    let all = controller.open.all_of(&object.namespace().unwrap_or_default(), &object.spec.schedule_ref.name);
    all.into_iter().filter(|other| other.uid() != object.uid()).collect()
}

/// The first open request of the same schedule that came earlier, and whether any other open one holds our backup.
fn rival_and_shared(object: &RestoreRequest, controller: &RestoreController) -> (Option<String>, bool) {
    let age = |r: &RestoreRequest| (r.creation_timestamp(), r.name_any());
    let id = |r: &RestoreRequest| r.status.as_ref().and_then(|s| s.backup.as_ref()).map(|p| p.id.clone());
    let ended = |r: &RestoreRequest| r.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    let (releasing, open): (Vec<_>, Vec<_>) = other_requests(object, controller).into_iter().partition(|r| ended(r));
    // A request that has ended and not released its backup yet still writes tags, so a later one waits for it before it holds.
    // An Undo holds no backup.
    let holds = |r: &RestoreRequest| {
        let held = |s: &RestoreRequestStatus| sennight_api::conditions::is_true(&s.conditions, RequestCondition::Held);
        object.spec.mode != RestoreMode::Undo && r.status.as_ref().is_some_and(held)
    };
    let releasing: Vec<_> = releasing.into_iter().filter(|r| holds(r)).collect();
    let rival =
        open.iter().chain(&releasing).filter(|r| age(r) < age(object)).min_by_key(|r| age(r)).map(|r| r.name_any());
    let shared = id(object).is_some() && open.iter().any(|r| id(r) == id(object));
    (rival, shared)
}

/// Whether the schedule holds our backup as its last good one: then this request must not release it.
fn held_as_last_good(object: &RestoreRequest, schedule: Option<&BackupSchedule>) -> bool {
    let pinned = object.status.as_ref().and_then(|s| s.backup.as_ref());
    let backups = schedule.and_then(|s| s.status.as_ref()).map(|s| s.backups.as_slice()).unwrap_or_default();
    pinned.is_some_and(|pinned| backups.iter().any(|p| p.id == pinned.id && p.held_until.is_some()))
}

async fn catalogue(
    object: &RestoreRequest,
    storage: Option<&BackupStorage>,
    controller: &RestoreController,
) -> Result<Vec<CatalogueEntry>, String> {
    let Some(storage) = storage else { return Err("the BackupStorage is missing".to_owned()) };
    let undo = object.spec.mode == RestoreMode::Undo;
    if undo || object.status.as_ref().is_some_and(|s| s.backup.is_some() || s.finished_at.is_some()) {
        return Ok(Vec::new());
    }
    let store = controller.stores.open(storage).await.map_err(|e| e.to_string())?;
    let namespace = object.namespace().unwrap_or_default();
    let found = store.catalogue(&namespace, &object.spec.schedule_ref.name).await;
    let catalogue = found.map_err(|e| e.to_string())?;
    for damaged in &catalogue.damaged {
        tracing::warn!(reason = damaged.reason(), error = %damaged, "damaged backup left out");
    }
    Ok(catalogue.backups)
}

/// Opens the pinned backup and checks that it exists, is unchanged and belongs to this tenant (I7).
async fn pinned(
    object: &RestoreRequest,
    references: &References,
    controller: &RestoreController,
) -> Result<Pinned, ReconcileError> {
    let Some(backup) = backup_ref(object)? else { return Ok(Pinned::None) };
    let Some(storage) = references.storage.as_deref() else { return Ok(Pinned::None) };
    let owner = references.schedule.as_deref().zip(references.server.as_deref());
    let identity = owner.map(|(schedule, server)| targets::identity(schedule, server));
    let store = controller.stores.open(storage).await?;
    match store.open(&backup, identity.as_ref()).await {
        // An unreachable bucket says nothing about the backup.
        Err(error) if error.retryable() => Err(error.into()),
        Err(error) => Ok(Pinned::Unusable(error)),
        Ok(open) => Ok(Pinned::Open(Box::new(open))),
    }
}

/// The backup that status pins.
pub fn backup_ref(object: &RestoreRequest) -> Result<Option<BackupRef>, NameError> {
    let Some(pinned) = object.status.as_ref().and_then(|s| s.backup.as_ref()) else { return Ok(None) };
    let backup = BackupRef {
        prefix: pinned.prefix.clone(),
        id: pinned.id.parse()?,
        manifest_sha256: Some(pinned.manifest_sha256.clone()),
    };
    Ok(Some(backup))
}

async fn profile(
    object: &RestoreRequest,
    schedule: Option<&BackupSchedule>,
    controller: &RestoreController,
) -> Result<Option<ExportProfile>, ReconcileError> {
    let reference =
        object.spec.export_profile_ref.as_ref().or_else(|| schedule.and_then(|s| s.spec.export_profile_ref.as_ref()));
    let name = reference.map_or(DEFAULT_PROFILE, |r| &r.name);
    // An ended request exports nothing: without this, thousands of them would read it at every restart.
    let ended = object.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    if object.spec.mode != RestoreMode::CrmExport || ended {
        return Ok(None);
    }
    let api = Api::namespaced(controller.client.clone(), &object.namespace().unwrap_or_default());
    Ok(get_opt(&api, name).await?)
}

/// Durations of earlier requests of the same mode on the same server.
fn samples(object: &RestoreRequest, schedule: Option<&BackupSchedule>, controller: &RestoreController) -> Vec<Sample> {
    let known = object.status.as_ref().and_then(|s| s.estimate.as_ref()).is_some_and(|e| e.duration_seconds.is_some());
    let ended = object.status.as_ref().is_some_and(|s| s.finished_at.is_some());
    let Some(schedule) = schedule.filter(|_| !known && !ended) else { return Vec::new() };
    let server = |other: &RestoreRequest| {
        let key = Key::new(&other.namespace().unwrap_or_default(), &other.spec.schedule_ref.name);
        controller.schedules.get(&key).map(|entry| entry.server)
    };
    let mut done = controller.requests.state_filter(|other| {
        other.metadata.namespace == object.metadata.namespace
            && other.spec.mode == object.spec.mode
            && measured(other).is_some()
            && server(other).is_some_and(|name| *name == *schedule.spec.database.server_ref.name)
    });
    done.sort_by_key(|other| std::cmp::Reverse(other.status.as_ref().and_then(|s| s.finished_at)));
    done.iter().take(SAMPLES).filter_map(|other| measured(other)).collect()
}

/// The measured duration of a request's main step: loading the new database, or writing the export.
pub fn measured(other: &RestoreRequest) -> Option<Sample> {
    let status = other.status.as_ref()?;
    let worked = |job: &&JobRecord| job.is(RestoreStep::Prepare) || job.is(RestoreStep::Export);
    let job = status.jobs.iter().find(|job| worked(job) && job.outcome == Some(JobOutcome::Succeeded))?;
    Some(Sample {
        bytes: status.backup.as_ref()?.bytes,
        seconds: (job.finished_at? - job.started_at?).num_seconds(),
        downtime_millis: status.result.as_ref().and_then(|result| result.downtime_millis),
    })
}

/// A backup of the catalogue as input of the gate.
pub fn candidate(entry: &CatalogueEntry) -> BackupCandidate {
    BackupCandidate { id: entry.summary.id.clone(), day: entry.summary.day, identity: entry.identity.clone() }
}
