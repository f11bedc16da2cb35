//! The operator's own Jobs: a cache of them, the budgets counted from it, and whom a change wakes. The Jobs in the cluster
//! are the truth: after a restart the budgets are rebuilt from what runs.

mod index;

pub use index::{JobEntry, JobIndex, Usage};

use super::context::Context;
use super::namespaced_watch::{cached_events, prune};
use super::schedule_index::Key;
use super::worker_job::labels;
use super::writes::{VerbError, get_opt};
use crate::settings::Watch;
use futures::StreamExt;
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
use tracing::warn;

/// How long a reservation counts without its Job in the cache: longer than any watch lags.
const RESERVATION_AGE: Duration = Duration::from_mins(1);
/// Pause between two looks for Jobs whose deletion nobody told.
const SWEEP: Duration = Duration::from_secs(30);

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
pub enum JobKind {
    /// Dumps.
    Dump,
    /// Preflights, preparations, cut-overs and exports.
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

/// Places of Jobs: how many are taken, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Over all servers.
    pub total: i64,
    /// On one server.
    pub on_server: i64,
}

/// A batch that was decided on, and the ticket that holds its places until its Job is there.
pub struct ReservedBatch {
    /// Name of the reservation.
    pub reservation: String,
    /// Who rides.
    pub batch: Batch,
}

type Reservations = HashMap<(String, String), Reservation>;

/// The Jobs.
#[derive(Clone)]
pub struct Jobs {
    cache: Store<Job>,
    filled: CancellationToken,
    index: Arc<Mutex<JobIndex>>,
    reserved: Arc<Mutex<Reservations>>,
}

/// What changes, for [`run`].
pub type Changes = BoxStream<'static, Result<Event<Job>, watcher::Error>>;

impl Jobs {
    /// Starts the watch; nothing is asked before the stream is polled.
    pub fn start(client: &Client, watched: &Watch) -> (Self, Changes) {
        let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=sennight");
        let (cache, changes, filled) = cached_events::<Job>(client, watched, &config, shrink);
        (Self { cache, filled, index: Arc::default(), reserved: Arc::default() }, changes)
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

    /// The cards of all Jobs.
    pub fn index(&self) -> MutexGuard<'_, JobIndex> {
        self.index.lock()
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations> {
        self.reserved.lock()
    }

    /// Running dumps or restores: in total and on one server.
    pub fn running(&self, lane: JobKind, namespace: &str, server: &str) -> Places {
        let taken = self.usage(lane);
        let here = taken.servers.get(&(namespace.to_owned(), server.to_owned())).copied();
        Places { total: taken.total, on_server: here.unwrap_or_default() }
    }

    /// Whether a Job that has not ended dumps this schedule.
    pub fn dumping(&self, schedule_uid: &str) -> bool {
        self.index().of_schedule(schedule_uid).iter().any(|card| card.is_running())
    }

    /// The places that are taken, those of Jobs about to be created among them.
    pub fn usage(&self, lane: JobKind) -> Usage {
        self.usage_with(&self.reservations(), lane)
    }

    fn usage_with(&self, reserved: &Reservations, lane: JobKind) -> Usage {
        let mut taken = self.index().usage(lane);
        for ((ns, name), r) in reserved {
            let seen = self.get(ns, name).is_some();
            if r.kind == lane && !seen && r.since.elapsed() < RESERVATION_AGE {
                taken.add(&r.namespace, &r.server, &r.storage, r.places);
            }
        }
        taken
    }

    /// Takes a place for a Job that is about to be created, if there is one: the cache lags behind creations, and two
    /// reconciles must not both see the last free place.
    pub fn reserve(&self, lane: JobKind, namespace: &str, server: &str, name: &str, limits: Places) -> bool {
        let mut reserved = self.reservations();
        reserved.retain(|(ns, job), r| r.since.elapsed() < RESERVATION_AGE && self.get(ns, job).is_none());
        let key = (namespace.to_owned(), name.to_owned());
        if reserved.contains_key(&key) || self.get(namespace, name).is_some() {
            return true;
        }
        let taken = self.usage_with(&reserved, lane);
        let here = taken.servers.get(&(namespace.to_owned(), server.to_owned())).copied().unwrap_or_default();
        if taken.total >= limits.total || here >= limits.on_server {
            return false;
        }
        let (namespace, server) = (namespace.to_owned(), server.to_owned());
        let since = Instant::now();
        reserved.insert(key, Reservation { kind: lane, namespace, server, storage: String::new(), places: 1, since });
        true
    }

    /// Takes places for the batches that `choose` decides on, knowing what is taken. Nobody else decides meanwhile.
    pub fn reserve_dumps(&self, choose: impl FnOnce(&Usage) -> Vec<ReservedBatch>) -> Vec<ReservedBatch> {
        let mut reserved = self.reservations();
        let chosen = choose(&self.usage_with(&reserved, JobKind::Dump));
        for ReservedBatch { reservation: ticket, batch } in &chosen {
            let Group { namespace, storage, server, .. } = batch.group.clone();
            let key = (namespace.clone(), ticket.clone());
            let (lane, places, since) = (JobKind::Dump, batch.at_once, Instant::now());
            reserved.insert(key, Reservation { kind: lane, namespace, server, storage, places, since });
        }
        chosen
    }

    /// Gives a place back: its Job was not created.
    pub fn unreserve(&self, namespace: &str, name: &str) {
        self.reservations().remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Keeps the cards, and wakes the schedules and requests that a Job worked for, until `stop`.
pub async fn run(mut changes: Changes, ctx: Arc<Context>, stop: CancellationToken) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => sweep_deleted(&ctx),
            change = changes.next() => match change {
                Some(Ok(event)) => handle_event(&event, &ctx),
                Some(Err(error)) => warn!(%error, kind = "Job", "the watch stumbled; it goes on"),
                None => return,
            }
        }
    }
}

/// Tasks are most of a dump Job's size, and nobody reads them in the cache.
fn shrink(job: &mut Job) {
    prune(job);
    let dump = job.labels().get(labels::JOB_KIND).is_some_and(|lane| lane == labels::DUMP);
    if let Some(spec) = job.spec.as_mut().filter(|_| dump) {
        spec.template = PodTemplateSpec::default();
    }
}

fn handle_event(event: &Event<Job>, ctx: &Context) {
    // A Job has many events; its schedules have something to do at its end only.
    let (job, over) = match event {
        Event::Apply(job) | Event::InitApply(job) => (job, ctx.jobs.index().record(job)),
        Event::Delete(job) => (job, ctx.jobs.index().deleted_while_running(&job.uid().unwrap_or_default())),
        Event::Init | Event::InitDone => return,
    };
    let namespace = job.namespace().unwrap_or_default();
    if over {
        requeue_schedules(&namespace, &runs(job), ctx);
    }
    if let Some(request) = job.annotations().get(labels::REQUEST_NAME) {
        ctx.timers.requests.requeue_now(Key::new(&namespace, request));
    }
}

fn requeue_schedules(namespace: &str, runs: &[Run], ctx: &Context) {
    for run in runs {
        ctx.timers.schedules.requeue_now(Key::new(namespace, &run.schedule));
    }
}

/// A list that was made anew does not say what is gone.
fn sweep_deleted(ctx: &Context) {
    let quiet = ctx.jobs.index().sweep(RESERVATION_AGE);
    for (namespace, name, uid) in quiet {
        let there = ctx.jobs.get(&namespace, &name).is_some_and(|cached| cached.uid().as_ref() == Some(&uid));
        let lost = if there { None } else { ctx.jobs.index().mark_deleted(&uid) };
        if let Some(card) = lost {
            requeue_schedules(&namespace, &card.runs, ctx);
        }
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
    let text = job.annotations().get(labels::RUNS);
    text.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
