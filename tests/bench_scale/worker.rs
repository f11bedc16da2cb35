//! A fake worker: it plays the Job controller, the kubelet and the dump. Every Job of ours runs for some simulated seconds,
//! then its results are in the bucket and it is complete; a while later it is removed, as its TTL says.

use crate::ledger::Ledger;
use crate::process::Simulated;
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use sennight::controller::jobs::{JobState, runs, state};
use sennight::controller::worker_job::mark;
use sennight::domain::job::{CopySummary, Done, DumpTask, Outcome, TaskReport, Work};
use sennight::domain::names::RecoveryPointId;
use sennight::store::Store;
use serde_json::json;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Simulated seconds that one tenant's dump takes.
pub const DUMP: f64 = 20.0;
/// Real time from a Job's end to its removal.
const TTL: Duration = Duration::from_secs(20);

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

impl Worker {
    /// Works until it is dropped.
    pub async fn work(self, time: Simulated) {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=sennight");
        let mut events = pin!(watcher::watcher(api, config));
        // What runs, by UID, with its server: one appears once, and ends once.
        let mut running: HashMap<String, String> = HashMap::new();
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(job) | Event::InitApply(job)) = event else { continue };
            let uid = job.uid().unwrap();
            if state(&job) == JobState::Running {
                if running.contains_key(&uid) {
                    continue;
                }
                let server = job.labels().get(mark::SERVER).cloned().unwrap_or_default();
                let answers: Vec<_> = runs(&job).into_iter().map(|run| (run.schedule, run.run)).collect();
                self.ledger.appeared(&server, &answers, time.now());
                running.insert(uid, server);
                let worker = self.clone();
                tokio::spawn(async move { worker.run(job, time).await });
            } else if let Some(server) = running.remove(&uid) {
                self.ledger.ended(&server);
            }
        }
    }

    async fn run(&self, job: Job, time: Simulated) {
        let began = time.now();
        let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
        let (work, _) = Work::from_argv(container.args.as_deref().unwrap()).unwrap();
        let Work::Dump(tasks) = work else { return };
        tokio::time::sleep(time.real(DUMP * tasks.len() as f64)).await;
        let uid = job.uid().unwrap();
        for task in &tasks {
            let finished = time.now();
            let report = TaskReport {
                task: task.name.clone(),
                started_at: began,
                finished_at: finished,
                outcome: Outcome::Succeeded(Done::Dumped(copy(task, finished))),
            };
            self.store.put_report(&uid, &report).await.unwrap();
        }
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let holds =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
        let status = json!({"status": {
            "startTime": now, "completionTime": now, "succeeded": 1,
            "conditions": [holds("SuccessCriteriaMet"), holds("Complete")], "uncountedTerminatedPods": {}
        }});
        api.patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        tokio::time::sleep(TTL).await;
        let _ = api.delete(&job.name_any(), &DeleteParams::background()).await;
    }
}

fn copy(task: &DumpTask, at: chrono::DateTime<chrono::Utc>) -> CopySummary {
    let id = RecoveryPointId::new(at, rand::random());
    CopySummary {
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
