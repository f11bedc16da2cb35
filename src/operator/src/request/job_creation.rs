//! Creates the Job of a step under its fixed name, or adopts the one that is there, and notes it in status.

use super::adoption;
use super::job_results::make_room;
use super::ownership::controller_of_step;
use crate::cache::jobs::Jobs;
use crate::dispatch::Dispatch;
use crate::error::ReconcileError;
use crate::runtime::clock::Clock;
use crate::runtime::writes::{Created, create_or_adopt};
use crate::worker_job::{PodDefaults, WorkerJob};
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sennight_api::restore_report::JobRecord;
use sennight_api::{RestoreRequest, RestoreRequestStatus};
use sennight_core::names::RestoreStep;

/// The Job that has a step's name after [`JobCreator::create`].
pub enum JobCreation {
    /// This request's Job, created now or by an earlier call whose answer was lost.
    Ours(Box<Job>),
    /// Somebody else's Job.
    Foreign {
        /// In what it differs, for a message.
        difference: String,
    },
}

/// What Jobs of restores are created with.
#[derive(Clone)]
pub struct JobCreator {
    /// Creates them.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// What worker pods look like.
    pub pod: PodDefaults,
    /// The operator's Jobs: a place that was reserved is given back.
    pub jobs: Jobs,
    /// Dumps that wait for a Job: a restore's Job takes one of their tokens.
    pub dispatch: Dispatch,
}

impl JobCreator {
    /// Creates a step's Job, or adopts it if an earlier answer was lost. If a foreign Job has the name, the reservation is
    /// dropped.
    pub async fn create(&self, object: &RestoreRequest, worker: &WorkerJob) -> Result<JobCreation, ReconcileError> {
        let (uid, namespace) = (object.uid().unwrap_or_default(), &worker.namespace);
        let job = worker.build(&self.pod)?;
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let created = create_or_adopt(&jobs, &job, |existing| adoption::difference(&uid, &job, existing).is_none())
            .await
            .inspect_err(|_| self.jobs.unreserve(namespace, &worker.name))?;
        match created {
            Created::New(job) | Created::Adopted(job) => {
                self.dispatch.restore_started(self.clock.now());
                Ok(JobCreation::Ours(Box::new(job)))
            }
            Created::Foreign(existing) => {
                self.jobs.unreserve(namespace, &worker.name);
                let difference = adoption::difference(&uid, &job, &existing).unwrap_or_default();
                Ok(JobCreation::Foreign { difference })
            }
        }
    }
}

/// Adds a created Job to `status.jobs`, if it is not there.
pub fn record(status: &mut RestoreRequestStatus, job: &Job, step: RestoreStep, attempt: i32, now: DateTime<Utc>) {
    let name = job.name_any();
    if status.jobs.iter().any(|known| known.name == name) {
        return;
    }
    make_room(&mut status.jobs, controller_of_step(step));
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
