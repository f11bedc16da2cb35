//! Everything a backup decision needs, read from caches, the cluster and the bucket. No decisions.

use super::BackupError;
use super::settle::Ending;
use crate::api::{BackupSchedule, BackupStorage, DatabaseServer};
use crate::controller::context::Context;
use crate::controller::fleet::Rival;
use crate::controller::jobs::{self, JobState, Lane};
use crate::store::Entry;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::sync::Arc;

/// What was found.
pub struct Seen {
    /// The BackupStorage.
    pub storage: Option<Arc<BackupStorage>>,
    /// The DatabaseServer.
    pub server: Option<Arc<DatabaseServer>>,
    /// The other schedules of the namespace with the same tenant or database.
    pub rivals: Vec<Rival>,
    /// How the last run's Job stands, if a run is open.
    pub ending: Option<Ending>,
    /// The bucket's copies, only where it has not been asked for them yet.
    pub catalogue: Option<Vec<Entry>>,
    /// Ids of copies that RestoreRequests hold.
    pub held: Vec<String>,
    /// A RestoreRequest has claimed the database.
    pub restoring: bool,
    /// Others' running dumps in total and on the server.
    pub running: (i64, i64),
}

/// Looks.
pub async fn gather(object: &BackupSchedule, ctx: &Context) -> Result<Seen, BackupError> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let storage = ctx.caches.storages.get(&ObjectRef::new(&spec.storage_ref.name).within(&namespace));
    let server = ctx.caches.servers.get(&ObjectRef::new(&spec.database.server_ref.name).within(&namespace));
    let requests = ctx.caches.requests.state_filter(|r| {
        r.metadata.namespace == object.metadata.namespace && r.spec.schedule_ref.name == object.name_any()
    });
    let open = |r: &crate::api::RestoreRequest| r.status.as_ref().is_none_or(|s| s.finished_at.is_none());
    let open: Vec<_> = requests.iter().filter(|r| open(r)).filter_map(|r| r.status.as_ref()).collect();
    Ok(Seen {
        ending: ending(object, storage.as_deref(), ctx).await?,
        catalogue: catalogue(object, storage.as_deref(), ctx).await?,
        held: open.iter().filter_map(|s| s.recovery_point.as_ref()).map(|p| p.id.clone()).collect(),
        restoring: open.iter().any(|s| s.claim.is_some()),
        rivals: ctx.caches.schedules.rivals(object),
        running: running(object, &namespace, ctx),
        storage,
        server,
    })
}

/// Other schedules' running dumps. A Job of one's own that status does not know (the process died before it was written
/// down) must not keep its schedule from adopting it.
fn running(object: &BackupSchedule, namespace: &str, ctx: &Context) -> (i64, i64) {
    let (total, here) = ctx.jobs.running(Lane::Dump, namespace, &object.spec.database.server_ref.name);
    let own = ctx.jobs.carrying(namespace, &object.uid().unwrap_or_default());
    (total - own, here - own)
}

/// How the open run's Job stands. The report in the bucket decides: it is there also when the Job is gone.
async fn ending(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Option<Ending>, BackupError> {
    let Some(run) = object.status.as_ref().and_then(|s| s.last_run.as_ref()).filter(|run| run.outcome.is_none()) else {
        return Ok(None);
    };
    let namespace = object.namespace().unwrap_or_default();
    let job = ctx.jobs.find(&ctx.clients.write, &namespace, &run.job).await?;
    if job.as_deref().is_some_and(|job| jobs::state(job) == JobState::Running) {
        return Ok(Some(Ending::Running));
    }
    let uid = job.as_deref().and_then(ResourceExt::uid).or_else(|| run.job_uid.clone());
    let silent = job.as_deref().map_or_else(|| "its Job was deleted before it ended".to_owned(), jobs::failure);
    let (Some(uid), Some(storage)) = (uid, storage) else { return Ok(Some(Ending::Silent(silent))) };
    let store = ctx.stores.open(storage).await?;
    let report = store.report(&uid, &object.name_any()).await?;
    Ok(Some(report.map_or(Ending::Silent(silent), |report| Ending::Reported(Box::new(report)))))
}

async fn catalogue(
    object: &BackupSchedule,
    storage: Option<&BackupStorage>,
    ctx: &Context,
) -> Result<Option<Vec<Entry>>, BackupError> {
    // Not whether anything was written before: a schedule may have been there before its storage.
    let known = object.status.as_ref().is_some_and(|s| s.last_run.is_some() || s.catalogue_time.is_some());
    let (false, Some(storage)) = (known, storage) else { return Ok(None) };
    let store = ctx.stores.open(storage).await?;
    let namespace = object.namespace().unwrap_or_default();
    Ok(Some(store.catalogue(&namespace, &object.name_any()).await?.copies))
}
