//! The operator's own Jobs: their cache, and the budgets counted from it. Nothing is stored elsewhere: after a restart the
//! budgets are counted again from the Jobs in the cluster.

mod index;

pub use index::{JobEntry, JobIndex, Usage};

use crate::runtime::namespaced_watch::Watch;
use crate::runtime::namespaced_watch::{cached_events, prune};
use crate::runtime::writes::{VerbError, get_opt};
use crate::worker_job::labels;
use futures::stream::BoxStream;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use parking_lot::{Mutex, MutexGuard};
use sennight_core::batch::{Batch, Group};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a reservation counts while its Job is not in the cache. Longer than any watch lags.
pub const RESERVATION_AGE: Duration = Duration::from_mins(1);
/// State of a Job, by its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It has not ended; it may wait for its pod, or be suspended.
    Running,
    /// Its pod succeeded.
    Complete,
    /// It has the condition Failed.
    Failed,
}

/// The state of a Job, from its conditions.
pub fn state(job: &Job) -> JobState {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let holds = |kind: &str| conditions.iter().any(|c| c.type_ == kind && c.status == "True");
    if holds("Complete") {
        JobState::Complete
    } else if holds("Failed") {
        JobState::Failed
    } else {
        JobState::Running
    }
}

/// Reason and message of a Job's condition Failed, for a Job whose worker left no report.
pub fn failure(job: &Job) -> String {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let failed = conditions.iter().find(|c| c.type_ == "Failed" && c.status == "True");
    let text = |c: &Option<String>| c.clone().unwrap_or_default();
    failed.map_or_else(
        || "the Job ended without a report".to_owned(),
        |c| format!("the Job ended without a report: {} {}", text(&c.reason), text(&c.message)),
    )
}

/// Which budget a Job counts in: value of the label [`labels::JOB_KIND`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Dumps, safety backups and the reading of live ids.
    Dump,
    /// Preparations and cut-overs.
    Restore,
}

impl JobKind {
    fn label(self) -> &'static str {
        match self {
            Self::Dump => labels::DUMP,
            Self::Restore => labels::RESTORE,
        }
    }
}

struct Reservation {
    kind: JobKind,
    namespace: String,
    server: String,
    storage: String,
    places: i64,
    since: Instant,
}

/// Places in a budget, taken or allowed. A Job takes as many as it runs dumps at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Over all servers and namespaces.
    pub total: i64,
    /// On one server.
    pub on_server: i64,
}

/// A batch whose places are reserved until its Job is in the cache.
pub struct ReservedBatch {
    /// Name of the reservation; no Job has it.
    pub reservation: String,
    /// The dumps, and what they share.
    pub batch: Batch,
}

type Reservations = HashMap<(String, String), Reservation>;

/// The Jobs of the operator; clones share their state.
#[derive(Clone)]
pub struct Jobs {
    cache: Store<Job>,
    filled: CancellationToken,
    index: Arc<Mutex<JobIndex>>,
    reserved: Arc<Mutex<Reservations>>,
}

/// The events of the Job watch, for whoever keeps the index.
pub type Changes = BoxStream<'static, Result<Event<Job>, watcher::Error>>;

impl Jobs {
    /// Builds the watch. No request is sent before the stream is polled.
    pub fn start(client: &Client, watched: &Watch) -> (Self, Changes) {
        let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=sennight");
        let (cache, changes, filled) = cached_events::<Job>(client, watched, &config, shrink);
        (Self { cache, filled, index: Arc::default(), reserved: Arc::default() }, changes)
    }

    /// Waits until the Jobs have been listed once.
    pub async fn filled(&self) {
        self.filled.cancelled().await;
    }

    /// A Job from the cache, by name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        self.cache.get(&ObjectRef::new(name).within(namespace))
    }

    /// A Job by name; from the API server if the cache does not have it, which may lag behind a creation.
    pub async fn find(&self, client: &Client, namespace: &str, name: &str) -> Result<Option<Arc<Job>>, VerbError> {
        if let Some(job) = self.get(namespace, name) {
            return Ok(Some(job));
        }
        let api: Api<Job> = Api::namespaced(client.clone(), namespace);
        Ok(get_opt(&api, name).await?.map(Arc::new))
    }

    /// The index of all Jobs, locked.
    pub fn index(&self) -> MutexGuard<'_, JobIndex> {
        self.index.lock()
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations> {
        self.reserved.lock()
    }

    /// Places that are taken in a budget: in total and on one server.
    pub fn running(&self, kind: JobKind, namespace: &str, server: &str) -> Places {
        let usage = self.usage(kind);
        let on_server = usage.servers.get(&(namespace.to_owned(), server.to_owned())).copied();
        Places { total: usage.total, on_server: on_server.unwrap_or_default() }
    }

    /// Whether a Job that has not ended dumps this schedule.
    pub fn dumping(&self, schedule_uid: &str) -> bool {
        self.index().of_schedule(schedule_uid).iter().any(|entry| entry.is_running())
    }

    /// The places that are taken in a budget, including reservations for Jobs about to be created.
    pub fn usage(&self, kind: JobKind) -> Usage {
        self.usage_with(&self.reservations(), kind)
    }

    fn usage_with(&self, reserved: &Reservations, kind: JobKind) -> Usage {
        let mut usage = self.index().usage(kind);
        for ((ns, name), r) in reserved {
            let cached = self.get(ns, name).is_some();
            if r.kind == kind && !cached && r.since.elapsed() < RESERVATION_AGE {
                usage.add(&r.namespace, &r.server, &r.storage, r.places);
            }
        }
        usage
    }

    /// Reserves a place for a Job that is about to be created; false if none is free. The cache lags behind creations, and
    /// two reconciles must not both see the last free place.
    pub fn reserve(&self, kind: JobKind, namespace: &str, server: &str, name: &str, limits: Places) -> bool {
        let mut reserved = self.reservations();
        reserved.retain(|(ns, job), r| r.since.elapsed() < RESERVATION_AGE && self.get(ns, job).is_none());
        let key = (namespace.to_owned(), name.to_owned());
        if reserved.contains_key(&key) || self.get(namespace, name).is_some() {
            return true;
        }
        let usage = self.usage_with(&reserved, kind);
        let on_server = usage.servers.get(&(namespace.to_owned(), server.to_owned())).copied().unwrap_or_default();
        if usage.total >= limits.total || on_server >= limits.on_server {
            return false;
        }
        let (namespace, server) = (namespace.to_owned(), server.to_owned());
        let since = Instant::now();
        reserved.insert(key, Reservation { kind, namespace, server, storage: String::new(), places: 1, since });
        true
    }

    /// Reserves places for the batches that `choose` returns. It gets what is taken; the lock keeps other reservations out
    /// meanwhile.
    pub fn reserve_dumps(&self, choose: impl FnOnce(&Usage) -> Vec<ReservedBatch>) -> Vec<ReservedBatch> {
        let mut reserved = self.reservations();
        let chosen = choose(&self.usage_with(&reserved, JobKind::Dump));
        for ReservedBatch { reservation, batch } in &chosen {
            let Group { namespace, storage, server, .. } = batch.group.clone();
            let key = (namespace.clone(), reservation.clone());
            let (kind, places, since) = (JobKind::Dump, batch.at_once, Instant::now());
            reserved.insert(key, Reservation { kind, namespace, server, storage, places, since });
        }
        chosen
    }

    /// Drops a reservation: its Job was not created, or counts by itself now.
    pub fn unreserve(&self, namespace: &str, name: &str) {
        self.reservations().remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Drops what nobody reads in the cache. The tasks in its pod template are most of a dump Job's size.
fn shrink(job: &mut Job) {
    prune(job);
    let dump = job.labels().get(labels::JOB_KIND).is_some_and(|kind| kind == labels::DUMP);
    if let Some(spec) = job.spec.as_mut().filter(|_| dump) {
        spec.template = PodTemplateSpec::default();
    }
}

/// One dump task of a Job, as the annotation [`labels::RUNS`] lists it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// UID of the BackupSchedule.
    pub uid: String,
    /// The `RunKey` that it answers: a slot and attempt, or a manual token.
    pub run: String,
}

/// The dump tasks of a Job; empty if the annotation is missing or cannot be parsed.
pub fn runs(job: &Job) -> Vec<Run> {
    let text = job.annotations().get(labels::RUNS);
    text.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
