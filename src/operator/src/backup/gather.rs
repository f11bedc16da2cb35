//! Reads all that one reconcile of a BackupSchedule needs, from caches, API server and bucket. Decides nothing.

use super::controller::BackupController;
use super::job_results::{self, Ending};
use crate::cache::jobs::{self, JobEntry, JobState, Run};
use crate::cache::schedule_index::{Rivals, references_exist};
use crate::error::ReconcileError;
use crate::runtime::key::Key;
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, RestoreRequest};
use sennight_storage::CatalogueEntry;
use std::sync::Arc;

/// Input of one reconcile.
pub struct ObservedSchedule {
    /// The BackupStorage; `None` while it does not exist.
    pub storage: Option<Arc<BackupStorage>>,
    /// The DatabaseServer; `None` while it does not exist.
    pub server: Option<Arc<DatabaseServer>>,
    /// The other schedules of the namespace with the same tenant or database.
    pub rivals: Rivals,
    /// State of the last run's Job, if status has that run without an outcome.
    pub ending: Option<Ending>,
    /// A run that has a Job and is not in status.
    pub unrecorded: Option<UnrecordedRun>,
    /// The bucket's backups; only while status has never been filled from the bucket.
    pub catalogue: Option<Vec<CatalogueEntry>>,
    /// Ids of backups that open RestoreRequests hold.
    pub held: Vec<String>,
    /// Whether a RestoreRequest has claimed the database, of this schedule or of a rival with the same database.
    pub restoring: bool,
}

/// A run that is known by its Job only.
#[derive(Debug, Clone)]
pub struct UnrecordedRun {
    /// The Job.
    pub job: Arc<JobEntry>,
    /// The Job's task for this schedule.
    pub run: Run,
    /// State of the Job.
    pub ending: Ending,
}

/// Reads everything.
pub async fn gather(
    object: &BackupSchedule,
    controller: &BackupController,
) -> Result<ObservedSchedule, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let storage = controller.storages.get(&ObjectRef::new(&spec.storage_ref.name).within(&namespace));
    let server = controller.servers.get(&ObjectRef::new(&spec.database.server_ref.name).within(&namespace));
    let open = controller.open.open_of(&namespace, &object.name_any());
    let open: Vec<_> = open.iter().filter_map(|r| r.status.as_ref()).collect();
    let rivals = rivals(object, controller);
    // A backup of a rival that is refused by now can still be restored, into the database that this one dumps.
    let by_others = |key: &Key| controller.open.open_of(&key.namespace, &key.name);
    let claims = |request: &Arc<RestoreRequest>| request.status.as_ref().is_some_and(|s| s.claim.is_some());
    Ok(ObservedSchedule {
        ending: ending(object, storage.as_deref(), controller).await?,
        unrecorded: unrecorded_run(object, storage.as_deref(), controller).await?,
        catalogue: catalogue(object, storage.as_deref(), controller).await?,
        held: open.iter().filter_map(|s| s.backup.as_ref()).map(|p| p.id.clone()).collect(),
        restoring: open.iter().any(|s| s.claim.is_some())
            || rivals.of_database.iter().flat_map(by_others).any(|r| claims(&r)),
        rivals,
        storage,
        server,
    })
}

/// The other schedules that claim what this one claims.
fn rivals(object: &BackupSchedule, controller: &BackupController) -> Rivals {
    controller.schedules.rivals(object, |entry| references_exist(entry, &controller.storages, &controller.servers))
}

/// State of the open run's Job. An ended run is judged by its report in the bucket, which outlives the Job.
async fn ending(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    controller: &BackupController,
) -> Result<Option<Ending>, ReconcileError> {
    let Some(run) = object.status.as_ref().and_then(|s| s.last_run.as_ref()).filter(|run| run.outcome.is_none()) else {
        return Ok(None);
    };
    let namespace = object.namespace().unwrap_or_default();
    let job = controller.jobs.find(&controller.client, &namespace, &run.job).await?;
    // The name is reused if a chain starts over: the UID says whether it is still the same Job.
    let job = job.filter(|job| run.job_uid.is_none() || job.uid() == run.job_uid);
    if let Some(job) = job.as_deref().filter(|job| jobs::state(job) == JobState::Running) {
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        return Ok(Some(if suspended { Ending::Suspended } else { Ending::Running }));
    }
    let uid = job.as_deref().and_then(ResourceExt::uid).or_else(|| run.job_uid.clone());
    let silent = job.as_deref().map_or_else(|| "its Job was deleted before it ended".to_owned(), jobs::failure);
    ended(object, uid, silent, storage, controller).await.map(Some)
}

/// The first Job that dumps this schedule and is not in its status: it runs, or has ended since the last write.
async fn unrecorded_run(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    controller: &BackupController,
) -> Result<Option<UnrecordedRun>, ReconcileError> {
    let last = object.status.as_ref().and_then(|status| status.last_run.as_ref());
    if last.is_some_and(|run| run.outcome.is_none()) {
        return Ok(None);
    }
    let me = object.uid().unwrap_or_default();
    let jobs = controller.jobs.index().of_schedule(&me);
    let Some(job) = jobs.into_iter().find(|job| job_results::is_unrecorded(job, last)) else { return Ok(None) };
    let Some(run) = job.runs.iter().find(|run| run.uid == me).cloned() else { return Ok(None) };
    let ending = match (job.state, job.suspended) {
        (JobState::Running, true) => Ending::Suspended,
        (JobState::Running, false) => Ending::Running,
        (JobState::Complete, _) => {
            let silent = "the Job ended without a report".to_owned();
            ended(object, Some(job.uid.clone()), silent, storage, controller).await?
        }
        (JobState::Failed, _) => ended(object, Some(job.uid.clone()), job.failure.clone(), storage, controller).await?,
    };
    Ok(Some(UnrecordedRun { job, run, ending }))
}

/// The report of a run whose Job has ended; `silent` is the message where there is none.
async fn ended(
    object: &BackupSchedule,
    job_uid: Option<String>,
    silent: String,
    storage: Option<&BackupStorage>,
    controller: &BackupController,
) -> Result<Ending, ReconcileError> {
    let (Some(uid), Some(storage)) = (job_uid, storage) else { return Ok(Ending::Silent(silent)) };
    let store = controller.stores.open(storage).await?;
    let report = store.report(&uid, &object.name_any()).await?;
    Ok(report.map_or(Ending::Silent(silent), |report| Ending::Reported(Box::new(report))))
}

/// A backup of this schedule in the bucket that was made since `since`, by any process.
pub async fn backup_since(
    object: &BackupSchedule,
    storage: &BackupStorage,
    since: DateTime<Utc>,
    controller: &BackupController,
) -> Result<Option<CatalogueEntry>, ReconcileError> {
    let store = controller.stores.open(storage).await?;
    Ok(store.made_since(&object.namespace().unwrap_or_default(), &object.name_any(), since).await?)
}

/// The bucket's backups, for a status that has neither a run nor a catalogue time.
async fn catalogue(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    controller: &BackupController,
) -> Result<Option<Vec<CatalogueEntry>>, ReconcileError> {
    // That status exists is no sign: a schedule may have been there before its storage.
    let known = object.status.as_ref().is_some_and(|s| s.last_run.is_some() || s.catalogue_time.is_some());
    let (false, Some(storage)) = (known, storage) else { return Ok(None) };
    let store = controller.stores.open(storage).await?;
    let namespace = object.namespace().unwrap_or_default();
    Ok(Some(store.catalogue(&namespace, &object.name_any()).await?.backups))
}
