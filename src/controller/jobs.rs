//! The operator's own Jobs: a cache of them, the budgets counted from it, and whom a change wakes. The Jobs in the cluster
//! are the truth: after a restart the budgets are rebuilt from what runs.

use super::context::Context;
use super::scopes::cached;
use super::verbs::{VerbError, get_opt};
use super::worker_job::mark;
use crate::settings::Watch;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a reservation counts without its Job in the cache: longer than any watch lags.
const RESERVED: Duration = Duration::from_mins(1);

/// How a Job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It has not ended.
    Running,
    /// Its pod succeeded.
    Complete,
    /// It failed.
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

/// Why a failed Job failed, as Kubernetes tells it.
pub fn failure(job: &Job) -> String {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let failed = conditions.iter().find(|c| c.type_ == "Failed" && c.status == "True");
    let text = |c: &Option<String>| c.clone().unwrap_or_default();
    failed.map_or_else(
        || "the Job ended without a report".to_owned(),
        |c| format!("the Job ended without a report: {} {}", text(&c.reason), text(&c.message)),
    )
}

/// Which lane a Job runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Dumps.
    Dump,
    /// Preflights, preparations, cut-overs and exports.
    Restore,
}

impl Lane {
    fn label(self) -> &'static str {
        match self {
            Self::Dump => mark::DUMP,
            Self::Restore => mark::RESTORE,
        }
    }
}

struct Reserved {
    lane: Lane,
    namespace: String,
    server: String,
    since: Instant,
}

/// The Jobs.
#[derive(Clone)]
pub struct Jobs {
    cache: Store<Job>,
    filled: CancellationToken,
    reserved: Arc<Mutex<HashMap<(String, String), Reserved>>>,
}

/// What changes, for [`run`].
pub type Changes = BoxStream<'static, Result<Job, watcher::Error>>;

impl Jobs {
    /// Starts the watch; nothing is asked before the stream is polled.
    pub fn start(client: &Client, watched: &Watch) -> (Self, Changes) {
        let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=sennight");
        let (cache, changes, filled) = cached::<Job>(client, watched, &config);
        (Self { cache, filled, reserved: Arc::default() }, changes)
    }

    /// Waits until the cache has been filled once.
    pub async fn filled(&self) {
        self.filled.cancelled().await;
    }

    /// A Job by name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        self.cache.get(&ObjectRef::new(name).within(namespace))
    }

    /// A Job by name, read afresh if the cache does not have it: the cache may lag behind a creation.
    pub async fn find(&self, client: &Client, namespace: &str, name: &str) -> Result<Option<Arc<Job>>, VerbError> {
        if let Some(job) = self.get(namespace, name) {
            return Ok(Some(job));
        }
        let api: Api<Job> = Api::namespaced(client.clone(), namespace);
        Ok(get_opt(&api, name).await?.map(Arc::new))
    }

    /// Running Jobs of a lane: in total and on one server.
    pub fn running(&self, lane: Lane, namespace: &str, server: &str) -> (i64, i64) {
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(&reserved, lane, namespace, server)
    }

    /// Running dump Jobs that carry this schedule.
    pub fn carrying(&self, namespace: &str, uid: &str) -> i64 {
        let mine = |job: &Arc<Job>| {
            job.metadata.namespace.as_deref() == Some(namespace)
                && state(job) == JobState::Running
                && runs(job).iter().any(|run| run.uid == uid)
        };
        self.cache.state().iter().filter(|job| mine(job)).map(|_| 1).sum()
    }

    fn count(
        &self,
        reserved: &HashMap<(String, String), Reserved>,
        lane: Lane,
        namespace: &str,
        server: &str,
    ) -> (i64, i64) {
        let (mut total, mut here) = (0, 0);
        let mut add = |ns: &str, on: &str| {
            total += 1;
            here += i64::from(ns == namespace && on == server);
        };
        for job in self.cache.state() {
            let label = |key: &str| job.labels().get(key).map(String::as_str);
            if label(mark::LANE) == Some(lane.label()) && state(&job) == JobState::Running {
                add(job.metadata.namespace.as_deref().unwrap_or_default(), label(mark::SERVER).unwrap_or_default());
            }
        }
        for ((ns, name), r) in reserved {
            let seen = self.get(ns, name).is_some();
            if r.lane == lane && !seen && r.since.elapsed() < RESERVED {
                add(&r.namespace, &r.server);
            }
        }
        (total, here)
    }

    /// Takes a place for a Job that is about to be created, if there is one: the cache lags behind creations, and two
    /// reconciles must not both see the last free place. `limits` are for the total and for the server.
    pub fn reserve(&self, lane: Lane, namespace: &str, server: &str, name: &str, limits: (i64, i64)) -> bool {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.retain(|(ns, job), r| r.since.elapsed() < RESERVED && self.get(ns, job).is_none());
        let key = (namespace.to_owned(), name.to_owned());
        if reserved.contains_key(&key) || self.get(namespace, name).is_some() {
            return true;
        }
        let (total, here) = self.count(&reserved, lane, namespace, server);
        if total >= limits.0 || here >= limits.1 {
            return false;
        }
        let (ns, server) = (namespace.to_owned(), server.to_owned());
        reserved.insert(key, Reserved { lane, namespace: ns, server, since: Instant::now() });
        true
    }

    /// Gives a place back: its Job was not created.
    pub fn unreserve(&self, namespace: &str, name: &str) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Wakes the schedules and requests that a changed Job works for, until `stop`.
pub async fn run(mut changes: Changes, ctx: Arc<Context>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => match change {
                Some(Ok(job)) => wake(&job, &ctx),
                Some(Err(error)) => warn!(%error, kind = "Job", "the watch stumbled; it goes on"),
                None => return,
            }
        }
    }
}

fn wake(job: &Job, ctx: &Context) {
    let namespace = job.namespace().unwrap_or_default();
    for run in runs(job) {
        ctx.timers.schedules.call(ObjectRef::new(&run.schedule).within(&namespace));
    }
    if let Some(request) = job.annotations().get(mark::REQUEST_NAME) {
        ctx.timers.requests.call(ObjectRef::new(request).within(&namespace));
    }
}

/// One dump task of a Job, as its annotation tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// The BackupSchedule.
    pub schedule: String,
    /// Its UID.
    pub uid: String,
    /// What it answers: a slot or a manual token.
    pub run: String,
}

/// The dump tasks of a Job; none if the annotation is missing or not ours.
pub fn runs(job: &Job) -> Vec<Run> {
    let text = job.annotations().get(mark::RUNS);
    text.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
