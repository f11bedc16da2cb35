//! Creates the Job of a step under its fixed name, or adopts the one that is there, and notes it in status.

use super::adoption;
use super::controller::RestoreController;
use super::job_results::make_room;
use crate::error::ReconcileError;
use crate::runtime::writes::{Created, create_or_adopt};
use crate::worker_job::WorkerJob;
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::Api;
use sennight_api::restore_report::JobRecord;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::names::RestoreStep;

/// The Job that has a step's name after [`create_job`].
pub enum JobCreation {
    /// This request's Job, created now or by an earlier call whose answer was lost.
    Ours(Box<Job>),
    /// Somebody else's Job.
    Foreign {
        /// In what it differs, for a message.
        difference: String,
    },
}

/// Creates a step's Job, or adopts it if an earlier answer was lost. If a foreign Job has the name, the reservation is
/// dropped.
pub async fn create_job(
    object: &RestoreRequest,
    worker: &WorkerJob,
    controller: &RestoreController,
) -> Result<JobCreation, ReconcileError> {
    let (uid, namespace) = (object.uid().unwrap_or_default(), &worker.namespace);
    let job = worker.build(&controller.pod)?;
    let jobs: Api<Job> = Api::namespaced(controller.client.clone(), namespace);
    let created = create_or_adopt(&jobs, &job, |existing| adoption::difference(&uid, &job, existing).is_none())
        .await
        .inspect_err(|_| controller.jobs.unreserve(namespace, &worker.name))?;
    match created {
        Created::New(job) | Created::Adopted(job) => {
            controller.dispatch.restore_started(controller.clock.now());
            Ok(JobCreation::Ours(Box::new(job)))
        }
        Created::Foreign(existing) => {
            controller.jobs.unreserve(namespace, &worker.name);
            let difference = adoption::difference(&uid, &job, &existing).unwrap_or_default();
            Ok(JobCreation::Foreign { difference })
        }
    }
}

/// Adds a created Job to `status.jobs`, if it is not there.
pub fn record(status: &mut RestoreRequestStatus, job: &Job, step: RestoreStep, attempt: i32, now: DateTime<Utc>) {
    let name = job.name_any();
    if status.jobs.iter().any(|known| known.name == name) {
        return;
    }
    make_room(&mut status.jobs);
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
