//! Traces of a claim that status lacks, after a crash or a restore of etcd: the claim's Job in the cluster, and the worker's
//! claim in the bucket. Both are read from API server and bucket: a cache may be older or newer than etcd.

use crate::cache::storage_clients::Stores;
use crate::error::ReconcileError;
use crate::request::job_results;
use crate::runtime::writes::get_opt;
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sennight_api::{BackupStorage, RestoreRequest, RestoreRequestStatus};
use sennight_core::restore::{StepState, WorkerClaim};

/// The claim's Job, if it exists and is not in `status.jobs`.
pub async fn unrecorded(object: &RestoreRequest, client: &Client) -> Result<Option<Job>, ReconcileError> {
    let Some(status) = &object.status else { return Ok(None) };
    let Some(claim) = status.claim.as_ref().filter(|_| status.finished_at.is_none()) else { return Ok(None) };
    if status.jobs.iter().any(|known| known.name == claim.job) {
        return Ok(None);
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    Ok(get_opt(&jobs, &claim.job).await?)
}

/// The worker's claim in the bucket, if its Job is neither in status nor in the cluster.
pub async fn begun(
    object: &RestoreRequest,
    storage: Option<&BackupStorage>,
    unrecorded: Option<&Job>,
    stores: &Stores,
) -> Result<Option<WorkerClaim>, ReconcileError> {
    let pinned = |s: &&RestoreRequestStatus| s.backup.is_some() || s.undo.is_some();
    let Some(status) = object.status.as_ref().filter(|s| s.finished_at.is_none()).filter(pinned) else {
        return Ok(None);
    };
    let (Some(storage), Some(uid)) = (storage, object.uid()) else { return Ok(None) };
    let store = stores.open(storage).await?;
    let Some(claim) = store.claim_of(&uid).await? else { return Ok(None) };
    let is_its = |uid: Option<&str>| uid == Some(claim.job_uid.as_str());
    let known = status.jobs.iter().any(|job| is_its(job.uid.as_deref()));
    if known || unrecorded.is_some_and(|job| is_its(job.metadata.uid.as_deref())) {
        return Ok(None);
    }
    let report = store.report(&claim.job_uid, &object.name_any()).await?;
    let step = report.map_or(StepState::None, |report| job_results::reported(&report.outcome, 1, report.finished_at));
    Ok(Some(WorkerClaim { at: claim.at, job_uid: claim.job_uid, pod: claim.pod, step }))
}
