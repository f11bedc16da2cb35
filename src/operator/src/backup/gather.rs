//! Everything a backup decision needs, read from caches, the cluster and the bucket. No decisions.

use super::job_results::{self, Ending};
use crate::context::Context;
use crate::error::ReconcileError;
use crate::jobs::{self, JobEntry, JobState, Run};
use crate::schedule_index::{Key, Rivals, ScheduleEntry};
use chrono::{DateTime, Utc};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, RestoreRequest};
use sennight_storage::CatalogueEntry;
use std::sync::Arc;

/// What was found.
pub struct ObservedSchedule {
    /// The BackupStorage.
    pub storage: Option<Arc<BackupStorage>>,
    /// The DatabaseServer.
    pub server: Option<Arc<DatabaseServer>>,
    /// The other schedules of the namespace with the same tenant or database.
    pub rivals: Rivals,
    /// How the last run's Job stands, if a run is written down as open.
    pub ending: Option<Ending>,
    /// A run that has a Job and is not written down.
    pub unrecorded: Option<UnrecordedRun>,
    /// The bucket's backups, only where it has not been asked for them yet.
    pub catalogue: Option<Vec<CatalogueEntry>>,
    /// Ids of backups that RestoreRequests hold.
    pub held: Vec<String>,
    /// A RestoreRequest has claimed the database, be it by another schedule's name.
    pub restoring: bool,
}

/// A run that only its Job knows of.
#[derive(Debug, Clone)]
pub struct UnrecordedRun {
    /// The Job.
    pub job: Arc<JobEntry>,
    /// What it does for this schedule.
    pub run: Run,
    /// How it stands.
    pub ending: Ending,
}

/// Looks.
pub async fn gather(object: &BackupSchedule, ctx: &Context) -> Result<ObservedSchedule, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let storage = ctx.caches.storages.get(&ObjectRef::new(&spec.storage_ref.name).within(&namespace));
    let server = ctx.caches.servers.get(&ObjectRef::new(&spec.database.server_ref.name).within(&namespace));
    let open = ctx.caches.open.open_of(&namespace, &object.name_any());
    let open: Vec<_> = open.iter().filter_map(|r| r.status.as_ref()).collect();
    let rivals = rivals(object, ctx);
    // A backup of a schedule that is refused by now can still be restored, into a database that this one dumps.
    let by_others = |key: &Key| ctx.caches.open.open_of(&key.namespace, &key.name);
    let claims = |request: &Arc<RestoreRequest>| request.status.as_ref().is_some_and(|s| s.claim.is_some());
    Ok(ObservedSchedule {
        ending: ending(object, storage.as_deref(), ctx).await?,
        unrecorded: unrecorded_run(object, storage.as_deref(), ctx).await?,
        catalogue: catalogue(object, storage.as_deref(), ctx).await?,
        held: open.iter().filter_map(|s| s.backup.as_ref()).map(|p| p.id.clone()).collect(),
        restoring: open.iter().any(|s| s.claim.is_some())
            || rivals.of_database.iter().flat_map(by_others).any(|r| claims(&r)),
        rivals,
        storage,
        server,
    })
}

/// The other schedules that claim what this one claims.
fn rivals(object: &BackupSchedule, ctx: &Context) -> Rivals {
    ctx.caches.schedules.rivals(object, |row| references_exist(row, ctx))
}

/// Whether a schedule's storage and server are there. One that lacks either runs nothing and keeps nothing.
pub fn references_exist(row: &ScheduleEntry, ctx: &Context) -> bool {
    let namespace = &*row.key.namespace;
    ctx.caches.storages.get(&ObjectRef::new(&row.storage).within(namespace)).is_some()
        && ctx.caches.servers.get(&ObjectRef::new(&row.server).within(namespace)).is_some()
}

/// How the open run's Job stands. The report in the bucket decides: it is there also when the Job is gone.
async fn ending(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Option<Ending>, ReconcileError> {
    let Some(run) = object.status.as_ref().and_then(|s| s.last_run.as_ref()).filter(|run| run.outcome.is_none()) else {
        return Ok(None);
    };
    let namespace = object.namespace().unwrap_or_default();
    let job = ctx.jobs.find(&ctx.clients.write, &namespace, &run.job).await?;
    // A name in a chain may belong to another Job by now.
    let job = job.filter(|job| run.job_uid.is_none() || job.uid() == run.job_uid);
    if let Some(job) = job.as_deref().filter(|job| jobs::state(job) == JobState::Running) {
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        return Ok(Some(if suspended { Ending::Suspended } else { Ending::Running }));
    }
    let uid = job.as_deref().and_then(ResourceExt::uid).or_else(|| run.job_uid.clone());
    let silent = job.as_deref().map_or_else(|| "its Job was deleted before it ended".to_owned(), jobs::failure);
    ended(object, uid, silent, storage, ctx).await.map(Some)
}

/// A Job that carries this schedule and that its status knows nothing of: what runs and has not run for long, or what has
/// just ended. The first one, if there should be several.
async fn unrecorded_run(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Option<UnrecordedRun>, ReconcileError> {
    let last = object.status.as_ref().and_then(|status| status.last_run.as_ref());
    if last.is_some_and(|run| run.outcome.is_none()) {
        return Ok(None);
    }
    let me = object.uid().unwrap_or_default();
    let cards = ctx.jobs.index().of_schedule(&me);
    let Some(card) = cards.into_iter().find(|card| job_results::is_unrecorded(card, last)) else { return Ok(None) };
    let Some(run) = card.runs.iter().find(|run| run.uid == me).cloned() else { return Ok(None) };
    let ending = match (card.state, card.suspended) {
        (JobState::Running, true) => Ending::Suspended,
        (JobState::Running, false) => Ending::Running,
        (JobState::Complete, _) => {
            let silent = "the Job ended without a report".to_owned();
            ended(object, Some(card.uid.clone()), silent, storage, ctx).await?
        }
        (JobState::Failed, _) => ended(object, Some(card.uid.clone()), card.failure.clone(), storage, ctx).await?,
    };
    Ok(Some(UnrecordedRun { job: card, run, ending }))
}

/// What the report says of a run whose Job has ended, or `silent`.
async fn ended(
    object: &BackupSchedule,
    job_uid: Option<String>,
    silent: String,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Ending, ReconcileError> {
    let (Some(uid), Some(storage)) = (job_uid, storage) else { return Ok(Ending::Silent(silent)) };
    let store = ctx.stores.open(storage).await?;
    let report = store.report(&uid, &object.name_any()).await?;
    Ok(report.map_or(Ending::Silent(silent), |report| Ending::Reported(Box::new(report))))
}

/// A backup that was made of this schedule since then, by whomever.
pub async fn backup_since(
    object: &BackupSchedule,
    storage: &BackupStorage,
    since: DateTime<Utc>,
    ctx: &Context,
) -> Result<Option<CatalogueEntry>, ReconcileError> {
    let store = ctx.stores.open(storage).await?;
    Ok(store.made_since(&object.namespace().unwrap_or_default(), &object.name_any(), since).await?)
}

async fn catalogue(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Option<Vec<CatalogueEntry>>, ReconcileError> {
    // Not whether anything was written before: a schedule may have been there before its storage.
    let known = object.status.as_ref().is_some_and(|s| s.last_run.is_some() || s.catalogue_time.is_some());
    let (false, Some(storage)) = (known, storage) else { return Ok(None) };
    let store = ctx.stores.open(storage).await?;
    let namespace = object.namespace().unwrap_or_default();
    Ok(Some(store.catalogue(&namespace, &object.name_any()).await?.backups))
}
