//! The kubelet, played by the test: it reads the pod that the real Job controller made, mounts its Secrets and ConfigMaps as files, runs
//! the worker's real binary with the pod's own arguments, and tells the API server how the container ended. What becomes
//! of the Job is the Job controller's word.

use super::World;
use crate::cluster::until;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use sennight_operator::cache::jobs::{JobState, state};
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A worker that runs in a pod.
pub struct Container {
    job: String,
    pod: String,
    child: Child,
    // The mounts go with it.
    _mounts: TempDir,
}

impl World {
    /// Runs a Job's pod to its end; the container's exit code. The Job has ended when this returns.
    pub async fn run(&self, job: &str) -> i32 {
        let container = self.start(job).await;
        self.finish(container).await
    }

    /// Starts a Job's pod.
    pub async fn start(&self, job: &str) -> Container {
        let pod = self.pod(job).await;
        let mounts = tempfile::tempdir().unwrap();
        self.mount(&pod, mounts.path()).await;
        let spec = pod.spec.as_ref().unwrap();
        let root = format!("\"{}/secrets/", mounts.path().display());
        let arguments = spec.containers[0].args.iter().flatten().map(|text| text.replace("\"/secrets/", &root));
        let (name, labels) = (pod.metadata.name.clone().unwrap(), pod.metadata.labels.clone().unwrap());
        let child = Command::new(crate::binary("sennight"))
            .args(arguments)
            .env("SENNIGHT_JOB_UID", &labels["batch.kubernetes.io/controller-uid"])
            .env("SENNIGHT_POD", &name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Container { job: job.to_owned(), pod: name, child, _mounts: mounts }
    }

    /// Waits for the worker and reports its end.
    pub async fn finish(&self, mut container: Container) -> i32 {
        let status = container.child.wait().await.unwrap();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        self.ended(&container.job, &container.pod, code).await;
        code
    }

    /// The node's out-of-memory killer.
    pub async fn kill(&self, mut container: Container) {
        container.child.start_kill().unwrap();
        assert_eq!(self.finish(container).await, 137);
    }

    /// A pod that ends before its program has said a word.
    pub async fn evict(&self, job: &str) {
        let pod = self.pod(job).await;
        self.ended(job, pod.metadata.name.as_deref().unwrap(), 137).await;
    }

    async fn pod(&self, job: &str) -> Pod {
        let pods: Api<Pod> = self.api();
        let of = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        until("the Job controller made a pod", async || !pods.list(&of).await.unwrap().items.is_empty()).await;
        pods.list(&of).await.unwrap().items.remove(0)
    }

    async fn mount(&self, pod: &Pod, root: &Path) {
        let spec = pod.spec.as_ref().unwrap();
        for mount in spec.containers[0].volume_mounts.iter().flatten() {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name).unwrap();
            self.fill(volume, &root.join(mount.mount_path.trim_start_matches('/'))).await;
        }
    }

    async fn fill(&self, volume: &Volume, directory: &Path) {
        // Every source is optional: a missing one is an empty directory.
        let (keys, items) = if let Some(source) = &volume.secret {
            let secret = self.api::<Secret>().get_opt(source.secret_name.as_deref().unwrap()).await.unwrap();
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            (data.into_iter().map(|(key, value)| (key, value.0)).collect::<Vec<_>>(), &source.items)
        } else if let Some(source) = &volume.config_map {
            let map = self.api::<ConfigMap>().get_opt(&source.name).await.unwrap();
            let data = map.and_then(|map| map.data).unwrap_or_default();
            (data.into_iter().map(|(key, value)| (key, value.into_bytes())).collect(), &source.items)
        } else {
            return;
        };
        std::fs::create_dir_all(directory).unwrap();
        for (key, value) in keys {
            let file = match items {
                None => Some(key),
                Some(items) => items.iter().find(|item| item.key == key).map(|item| item.path.clone()),
            };
            if let Some(file) = file {
                std::fs::write(directory.join(file), value).unwrap();
            }
        }
    }

    async fn ended(&self, job: &str, pod: &str, code: i32) {
        let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let terminated = json!({"exitCode": code, "startedAt": at, "finishedAt": at});
        let status = json!({"status": {
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            "startTime": at,
            "containerStatuses": [{
                "name": "worker", "image": "none", "imageID": "none", "ready": false, "started": false, "restartCount": 0,
                "state": {"terminated": terminated}
            }]
        }});
        let pods: Api<Pod> = self.api();
        pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        let jobs: Api<Job> = self.api();
        until("the Job controller noticed", async || {
            jobs.get_opt(job).await.unwrap().is_none_or(|job| state(&job) != JobState::Running)
        })
        .await;
    }
}
