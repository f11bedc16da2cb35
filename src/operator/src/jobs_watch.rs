//! Keeps the index of the operator's Jobs, and says which schedules and requests a Job's end reconciles.

use crate::cache::jobs::{Changes, Jobs, RESERVATION_AGE, Run, runs};
use crate::request::ownership::{Controller, controller_of_step_named};
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::key::Key;
use crate::worker_job::labels;
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pause between two searches for Jobs whose deletion no event told.
const SWEEP: Duration = Duration::from_secs(30);

/// What the events of Jobs go to.
pub struct JobsWatch {
    /// The cache and the index.
    pub jobs: Jobs,
    /// Reconciles the schedules that a Job dumps.
    pub schedules_timer: DelayQueue<Key>,
    /// Has `restore` look at the request whose step a Job is.
    pub restore_timer: DelayQueue<Key>,
    /// Has `restore_cleanup` look at the request for which a Job dumps or drops a database.
    pub cleanup_timer: DelayQueue<Key>,
}

impl JobsWatch {
    /// Keeps the index until `stop`, and reconciles the schedules and requests that a changed Job works for.
    pub async fn run(self, mut changes: Changes, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = sweep.tick() => self.sweep_deleted(),
                change = changes.next() => match change {
                    Some(Ok(event)) => self.handle_event(&event),
                    Some(Err(error)) => warn!(%error, kind = "Job", "watch failed; retrying"),
                    None => return,
                }
            }
        }
    }

    fn handle_event(&self, event: &Event<Job>) {
        // A Job has many events, and its schedules have something to do at its end only.
        let (job, ended) = match event {
            Event::Apply(job) | Event::InitApply(job) => (job, self.jobs.index().record(job)),
            Event::Delete(job) => (job, self.jobs.index().deleted_while_running(&job.uid().unwrap_or_default())),
            Event::Init | Event::InitDone => return,
        };
        let namespace = job.namespace().unwrap_or_default();
        if ended {
            self.requeue_schedules(&namespace, &runs(job));
        }
        if let Some(request) = job.annotations().get(labels::REQUEST_NAME) {
            let step = job.labels().get(labels::STEP).map(String::as_str).unwrap_or_default();
            let timer = match controller_of_step_named(step) {
                Controller::Cleanup => &self.cleanup_timer,
                Controller::Restore | Controller::Record => &self.restore_timer,
            };
            timer.requeue_now(Key::new(&namespace, request));
        }
    }

    fn requeue_schedules(&self, namespace: &str, runs: &[Run]) {
        for run in runs {
            self.schedules_timer.requeue_now(Key::new(namespace, &run.schedule));
        }
    }

    /// Finds Jobs that are gone without an event: a re-list after a broken watch does not name what was deleted.
    fn sweep_deleted(&self) {
        let silent = self.jobs.index().sweep(RESERVATION_AGE);
        for (namespace, name, uid) in silent {
            let cached = self.jobs.get(&namespace, &name).is_some_and(|job| job.uid().as_ref() == Some(&uid));
            let deleted = if cached { None } else { self.jobs.index().mark_deleted(&uid) };
            if let Some(entry) = deleted {
                self.requeue_schedules(&namespace, &entry.runs);
            }
        }
    }
}
