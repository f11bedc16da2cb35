//! The only builder of Jobs and pods: turns a task into a restricted pod that mounts its Secrets and has no Kubernetes
//! token. What the task is, is built elsewhere (`dispatch::dump_job`, `restore::step_job`, `server::drill`).

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sennight_protocol::report::EXIT_REFUSED;
use sennight_protocol::target::StorageTarget;
use sennight_protocol::task::{Task, TaskParseError};
use std::collections::BTreeMap;

/// User and group id that the worker runs as.
const UID: i64 = 65532;
/// Directory of the pod's scratch volume, for private files of client tools. Dumps are streamed and never stored there.
const SCRATCH: &str = "/tmp";
/// Seconds between SIGTERM and SIGKILL: time to abort an upload.
const GRACE_SECONDS: i64 = 30;

/// Labels and annotations that Jobs are found by.
pub mod labels {
    /// Label: `dump` or `restore`.
    pub const JOB_KIND: &str = "sennight.dev/job-kind";
    /// Label: the DatabaseServer.
    pub const SERVER: &str = "sennight.dev/server";
    /// Label: the RestoreRequest's UID.
    pub const REQUEST: &str = "sennight.dev/restore-request-uid";
    /// Label: the restore step.
    pub const STEP: &str = "sennight.dev/step";
    /// Annotation: the RestoreRequest's name.
    pub const REQUEST_NAME: &str = "sennight.dev/restore-request";
    /// Annotation: the BackupStorage.
    pub const STORAGE: &str = "sennight.dev/storage";
    /// Annotation: dumps that run at once; absent is one.
    pub const CONCURRENCY: &str = "sennight.dev/concurrency";
    /// Annotation: the chain of dump Jobs that it belongs to; each name follows from the Job before (`core::batch`).
    pub const BATCH_KEY: &str = "sennight.dev/batch-key";
    /// Annotation: UID of the Job before this one in its chain.
    pub const PREVIOUS_JOB: &str = "sennight.dev/previous-job";
    /// Annotation: when the operator decided on this Job; later than anything that its schedules have recorded.
    pub const DECIDED_AT: &str = "sennight.dev/decided-at";
    /// Annotation: JSON list of the dump tasks' schedules, each with the run it answers.
    pub const RUNS: &str = "sennight.dev/runs";
    /// Value of [`JOB_KIND`] for dumps.
    pub const DUMP: &str = "dump";
    /// Value of [`JOB_KIND`] for restores.
    pub const RESTORE: &str = "restore";
}

/// A Secret or ConfigMap and where its keys appear as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The object, and which of its keys.
    pub source: Source,
    /// Directory in the pod.
    pub path: String,
}

/// The object behind a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// All keys of a Secret.
    Secret(String),
    /// One key of a Secret, under a file name.
    SecretKey {
        /// Name of the Secret.
        name: String,
        /// Key in the Secret.
        key: String,
        /// Name of the file in the pod.
        file: String,
    },
    /// All keys of a ConfigMap.
    ConfigMap(String),
}

/// What every worker pod of an installation shares.
#[derive(Debug, Clone)]
pub struct PodDefaults {
    /// Image of the worker: the operator's own.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Names of the Secrets for pulling it.
    pub pull_secrets: Vec<String>,
    /// Resource requests and limits of the container.
    pub resources: ResourceRequirements,
    /// Seconds after which Kubernetes deletes a finished Job.
    pub ttl_seconds: i32,
}

/// The parts of a Job that differ from task to task.
#[derive(Debug, Clone)]
pub struct WorkerJob {
    /// Name that follows from the task, so that the same task gets no second Job.
    pub name: String,
    /// Namespace of the custom resource that it works for.
    pub namespace: String,
    /// Controlling owner: Kubernetes deletes the Job with it.
    pub owner: OwnerReference,
    /// Labels besides the standard ones.
    pub labels: BTreeMap<String, String>,
    /// Annotations: what the operator reads back ([`labels`]).
    pub annotations: BTreeMap<String, String>,
    /// The worker's verb and its arguments.
    pub task: Task,
    /// How many of several dumps run at once; `None` for any other task.
    pub at_once: Option<i64>,
    /// The bucket that the worker reads or writes.
    pub storage: StorageTarget,
    /// Secrets and CA bundles.
    pub mounts: Vec<Mount>,
    /// Service account of the pod; its Kubernetes token is not mounted, a cloud identity mounts its own.
    pub service_account: Option<String>,
    /// Longest run in seconds.
    pub deadline_seconds: i64,
}

impl WorkerJob {
    /// Builds the Job. Fails only if a task cannot be written as JSON.
    pub fn build(&self, defaults: &PodDefaults) -> Result<Job, TaskParseError> {
        let mut labels = self.labels.clone();
        labels.insert("app.kubernetes.io/name".to_owned(), "sennight-worker".to_owned());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), "sennight".to_owned());
        let template = PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() }),
            spec: Some(self.pod(defaults)?),
        };
        Ok(Job {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels),
                annotations: Some(self.annotations.clone()),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            spec: Some(JobSpec {
                // Attempts are the operator's, each under its own name: a Job that retries by itself would run a
                // destructive step twice.
                // guard(i2_a_job_never_retries_by_itself, = Some(6)): a Job does not start its pod again
                backoff_limit: Some(0),
                active_deadline_seconds: Some(self.deadline_seconds),
                ttl_seconds_after_finished: Some(defaults.ttl_seconds),
                pod_failure_policy: Some(failure_policy()),
                pod_replacement_policy: Some("Failed".to_owned()),
                template,
                ..JobSpec::default()
            }),
            status: None,
        })
    }

    fn argv(&self) -> Result<Vec<String>, TaskParseError> {
        let mut argv = self.task.to_argv(&self.storage)?;
        argv.extend(self.at_once.iter().flat_map(|places| ["--at-once".to_owned(), places.to_string()]));
        Ok(argv)
    }

    fn pod(&self, defaults: &PodDefaults) -> Result<PodSpec, TaskParseError> {
        let (mut volumes, mut volume_mounts) = (Vec::new(), Vec::new());
        for (n, mount) in self.mounts.iter().enumerate() {
            let name = format!("mount-{n}");
            volumes.push(volume(&name, &mount.source));
            volume_mounts.push(VolumeMount {
                name,
                mount_path: mount.path.clone(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
        }
        let scratch = EmptyDirVolumeSource::default();
        volumes.push(Volume { name: "scratch".to_owned(), empty_dir: Some(scratch), ..Volume::default() });
        volume_mounts.push(VolumeMount {
            name: "scratch".to_owned(),
            mount_path: SCRATCH.to_owned(),
            ..VolumeMount::default()
        });
        Ok(PodSpec {
            containers: vec![Container {
                name: "worker".to_owned(),
                image: Some(defaults.image.clone()),
                image_pull_policy: Some(defaults.pull_policy.clone()),
                args: Some(self.argv()?),
                env: Some(environment()),
                resources: Some(defaults.resources.clone()),
                security_context: Some(container_security()),
                volume_mounts: Some(volume_mounts),
                termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                ..Container::default()
            }],
            volumes: Some(volumes),
            image_pull_secrets: Some(
                defaults.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
            )
            .filter(|secrets: &Vec<_>| !secrets.is_empty()),
            restart_policy: Some("Never".to_owned()),
            service_account_name: self.service_account.clone(),
            // I9: no Kubernetes token. Cloud identities project their own, independent of this switch.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(pod_security()),
            ..PodSpec::default()
        })
    }
}

/// Both a refusal (exit code 3) and a lost node end the Job at once; the operator decides whether to try again.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some("worker".to_owned()),
                    operator: "In".to_owned(),
                    values: vec![EXIT_REFUSED],
                }),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    status: "True".to_owned(),
                    type_: "DisruptionTarget".to_owned(),
                }]),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

fn environment() -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    vec![
        field("SENNIGHT_JOB_UID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
        field("SENNIGHT_POD", "metadata.name"),
        EnvVar { name: "TMPDIR".to_owned(), value: Some(SCRATCH.to_owned()), ..EnvVar::default() },
    ]
}

fn volume(name: &str, source: &Source) -> Volume {
    let item = |key: &str, file: &str| Some(vec![KeyToPath { key: key.into(), path: file.into(), mode: None }]);
    let secret = |secret_name: &str, items| SecretVolumeSource {
        secret_name: Some(secret_name.to_owned()),
        items,
        default_mode: Some(0o440),
        // A missing Secret fails its own task with a reason instead of leaving the pod pending for ever.
        optional: Some(true),
    };
    let map = |name: &str| ConfigMapVolumeSource {
        name: name.to_owned(),
        optional: Some(true),
        ..ConfigMapVolumeSource::default()
    };
    let (secret, config_map) = match source {
        Source::Secret(name) => (Some(secret(name, None)), None),
        Source::SecretKey { name, key, file } => (Some(secret(name, item(key, file))), None),
        Source::ConfigMap(name) => (None, Some(map(name))),
    };
    Volume { name: name.to_owned(), secret, config_map, ..Volume::default() }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(UID),
        run_as_group: Some(UID),
        fs_group: Some(UID),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_protocol::backup::VerifyTask;

    fn job() -> Job {
        let backup = serde_json::json!({"prefix": "daily/n/s/x/", "id": "20261122T021000Z-1a2b3c4d"});
        let task: VerifyTask = serde_json::from_value(serde_json::json!({"name": "v", "backup": backup})).unwrap();
        let worker = WorkerJob {
            name: "j".into(),
            namespace: "n".into(),
            owner: OwnerReference { uid: "u".into(), ..OwnerReference::default() },
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            task: Task::Verify(vec![task]),
            at_once: None,
            storage: Task::parse_storage(r#"{"bucket":"b","credentialsDir":"/secrets/s3"}"#).unwrap(),
            mounts: vec![Mount { source: Source::Secret("s3".into()), path: "/secrets/s3".into() }],
            service_account: None,
            deadline_seconds: 60,
        };
        let defaults = PodDefaults {
            image: "i".into(),
            pull_policy: "Never".into(),
            pull_secrets: vec![],
            resources: ResourceRequirements::default(),
            ttl_seconds: 600,
        };
        worker.build(&defaults).unwrap()
    }

    #[test]
    fn i9_a_worker_pod_is_restricted_and_has_no_token() {
        let pod = job().spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.security_context.unwrap().run_as_non_root, Some(true));
        let container = &pod.containers[0];
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.capabilities.as_ref().unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(container.args.as_ref().unwrap()[0], "verify");
    }

    #[test]
    fn i2_a_job_never_retries_by_itself() {
        let spec = job().spec.unwrap();
        assert_eq!((spec.backoff_limit, spec.pod_replacement_policy.as_deref()), (Some(0), Some("Failed")));
        assert_eq!(spec.template.spec.unwrap().restart_policy.as_deref(), Some("Never"));
    }
}
