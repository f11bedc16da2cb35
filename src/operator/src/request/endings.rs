//! Reads what became of a request's Jobs: from the cluster whether one runs, from the bucket what it reported.

use super::job_results::Ending;
use super::ownership::{Controller, controller_of_step_named};
use crate::cache::jobs::{self, JobState, Jobs};
use crate::cache::storage_clients::Stores;
use crate::error::ReconcileError;
use kube::{Client, ResourceExt};
use sennight_api::restore_report::JobRecord;
use sennight_api::{BackupStorage, RestoreRequest};
use sennight_core::progress::Progress;

/// Where Jobs and their reports are looked up.
pub struct Places<'a> {
    /// Finds a Job that the cache does not have.
    pub client: &'a Client,
    /// The operator's Jobs.
    pub jobs: &'a Jobs,
    /// Open S3 clients.
    pub stores: &'a Stores,
    /// The bucket of the reports.
    pub storage: Option<&'a BackupStorage>,
}

/// The states of a controller's own Jobs.
#[derive(Default)]
pub struct Endings {
    /// The state of each Job without an outcome in status, by name.
    pub states: Vec<(String, Ending)>,
    /// The progress of the running one.
    pub progress: Option<Progress>,
}

/// Reads the states of the controller's Jobs that have no outcome in status.
pub async fn endings(
    object: &RestoreRequest,
    controller: Controller,
    places: &Places<'_>,
) -> Result<Endings, ReconcileError> {
    let mut found = Endings::default();
    let open = object.status.iter().flat_map(|s| &s.jobs).filter(|job| job.outcome.is_none());
    for record in open.filter(|job| controller_of_step_named(&job.step) == controller) {
        let ending = ending(object, record, places).await?;
        if let (Ending::Running, Some(uid), Some(storage)) = (&ending, &record.uid, places.storage) {
            let store = places.stores.open(storage).await?;
            // Progress is optional: a failed read must not delay the decision.
            found.progress = store.progress(uid, &object.name_any()).await.ok().flatten();
        }
        found.states.push((record.name.clone(), ending));
    }
    Ok(found)
}

async fn ending(object: &RestoreRequest, record: &JobRecord, places: &Places<'_>) -> Result<Ending, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let job = places.jobs.find(places.client, &namespace, &record.name).await?;
    if job.as_deref().is_some_and(|job| jobs::state(job) == JobState::Running) {
        return Ok(Ending::Running);
    }
    let silent =
        job.as_deref().map_or_else(|| format!("Job {} was deleted before it ended", record.name), jobs::failure);
    let (Some(uid), Some(storage)) = (&record.uid, places.storage) else { return Ok(Ending::Silent(silent)) };
    let store = places.stores.open(storage).await?;
    let report = store.report(uid, &object.name_any()).await?;
    Ok(report.map_or(Ending::Silent(silent), |report| Ending::Reported(Box::new(report))))
}
