//! A fake worker: it plays the Job controller, the kubelet and the dumps. The tenants of a Job of ours are dumped in their
//! order, as many at once as the Job has places, each for some simulated seconds; each one's result is in the bucket before
//! the next one starts, and after the last of them the Job is complete. A while later it is removed, as its TTL says.

use crate::ledger::Ledger;
use crate::process::Simulated;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use sennight_core::names::BackupId;
use sennight_core::result::{BackupSummary, Done};
use sennight_operator::cache::jobs::{JobState, runs, state};
use sennight_operator::worker_job::labels;
use sennight_protocol::backup::DumpTask;
use sennight_protocol::report::{Outcome, TaskReport};
use sennight_protocol::task::Task;
use sennight_storage::Store;
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Simulated seconds that one tenant's dump takes.
pub const DUMP: f64 = 20.0;
/// Real time from a Job's end to its removal.
const TTL: Duration = Duration::from_secs(20);
/// A busy machine answers late: so often is a request made.
const TRIES: u32 = 5;

/// One worker for all Jobs of a namespace.
#[derive(Clone)]
pub struct Worker {
    /// The administrator.
    pub client: Client,
    /// Whose Jobs.
    pub namespace: String,
    /// Where results go.
    pub store: Store,
    /// What is seen.
    pub ledger: Arc<Ledger>,
}

/// What a Job says of itself.
struct Load {
    server: String,
    places: i32,
}

impl Load {
    fn of(job: &Job) -> Self {
        let places = job.annotations().get(labels::CONCURRENCY).and_then(|text| text.parse().ok());
        Self { server: job.labels().get(labels::SERVER).cloned().unwrap_or_default(), places: places.unwrap_or(1) }
    }
}

impl Worker {
    /// Works until it is dropped.
    pub async fn work(self, time: Simulated) {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=sennight");
        let mut events = pin!(watcher::watcher(api, config));
        // What runs, by UID: a Job appears once, and ends once.
        let mut running: HashMap<String, Load> = HashMap::new();
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(job) | Event::InitApply(job)) = event else { continue };
            let uid = job.uid().unwrap();
            if state(&job) == JobState::Running {
                if running.contains_key(&uid) {
                    continue;
                }
                let load = Load::of(&job);
                let answers: Vec<_> = runs(&job).into_iter().map(|run| (run.schedule, run.run)).collect();
                self.ledger.appeared(&load.server, load.places, &answers, time.now(), decided(&job));
                let places = usize::try_from(load.places).unwrap().max(1);
                running.insert(uid, load);
                let worker = self.clone();
                tokio::spawn(async move { worker.run(job, places, time).await });
            } else if let Some(load) = running.remove(&uid) {
                self.ledger.ended(&load.server, load.places);
            }
        }
    }

    async fn run(&self, job: Job, places: usize, time: Simulated) {
        let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
        let (work, _) = Task::from_argv(container.args.as_deref().unwrap()).unwrap();
        let Task::Dump(tasks) = work else { return };
        let uid = job.uid().unwrap();
        for some in tasks.chunks(places) {
            let began = time.now();
            tokio::time::sleep(time.real(DUMP)).await;
            let finished = time.now();
            join_all(some.iter().map(|task| self.report(&uid, task, began, finished))).await;
        }
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let now = Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let holds =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
        let status = json!({"status": {
            "startTime": now, "completionTime": now, "succeeded": 1,
            "conditions": [holds("SuccessCriteriaMet"), holds("Complete")], "uncountedTerminatedPods": {}
        }});
        let (name, status) = (job.name_any(), Patch::Merge(&status));
        patiently(|| async { api.patch_status(&name, &PatchParams::default(), &status).await }).await;
        tokio::time::sleep(TTL).await;
        patiently(|| async { api.delete(&name, &DeleteParams::background()).await }).await;
    }

    async fn report(&self, uid: &str, task: &DumpTask, began: DateTime<Utc>, finished: DateTime<Utc>) {
        let report = TaskReport {
            task: task.name.clone(),
            started_at: began,
            finished_at: finished,
            outcome: Outcome::Succeeded(Done::Dumped(backup(task, finished))),
        };
        patiently(|| async { self.store.put_report(uid, &report).await }).await;
    }
}

/// Does it until it is done.
async fn patiently<T, E: Display, F: Future<Output = Result<T, E>>>(what: impl Fn() -> F) {
    for attempt in 1..=TRIES {
        match what().await {
            Ok(_) => return,
            Err(error) if attempt == TRIES => eprintln!("the fake worker gives up: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_secs(attempt.into())).await,
        }
    }
}

/// When the operator decided on a Job, by its own clock.
fn decided(job: &Job) -> DateTime<Utc> {
    job.annotations()[labels::DECIDED_AT].parse().unwrap()
}

fn backup(task: &DumpTask, at: DateTime<Utc>) -> BackupSummary {
    let id = BackupId::new(at, rand::random());
    BackupSummary {
        prefix: format!("backups/daily/{}/{}/{id}/", task.identity.namespace, task.identity.schedule),
        id,
        day: at.date_naive(),
        snapshot_time: at,
        rows: 250_000,
        tables: 60,
        bytes: 123_456_789,
        raw_bytes: 500_000_000,
        manifest_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
    }
}
