//! The command line of `sennight`. What the operator's settings mean together is checked in `operator::settings`, what a
//! worker's task means in `protocol::task`.

mod backup_args;
mod job_timing;
mod shell;
mod task;

pub use backup_args::{BackupArgs, PickError, StorageArgs};
pub use job_timing::{JobArgs, TimingArgs};
pub use shell::{CatalogueArgs, Output, RestoreArgs, Shell, VerifyArgs, VerifyMode};
pub use task::{ResolvedTask, TaskArgs, TaskArgsError, TaskCommand, text_or_file};

use clap::{Args, Parser, Subcommand};
use sennight_operator::cache::storage_clients::AmbientNamespaces;
use sennight_operator::runtime::leader_election::Terms;
use sennight_operator::runtime::namespaced_watch::Watch;
use sennight_operator::settings::{FourEyes, Settings, SettingsError, WorkerSettings, duration, listen_address, pair};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Daily backups of tenants' databases to S3, kept one week, given back only when approved and paid.
#[derive(Debug, Parser)]
#[command(name = "sennight", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM, or until leadership is lost.
    Operator(Box<OperatorArgs>),
    /// What worker Jobs run; a person may as well.
    #[command(flatten)]
    Task(TaskCommand),
    /// Read a backup back and check every byte; needs no cluster and writes nothing.
    Verify(Box<VerifyArgs>),
    /// Write a backup to files that psql and pg_restore load; needs no cluster.
    Restore(Box<RestoreArgs>),
    /// List all backups in the bucket; needs no cluster.
    Catalogue(Box<CatalogueArgs>),
    /// Write the CustomResourceDefinitions and admission policies as YAML files.
    Generate(GenerateArgs),
    /// Print the version.
    Version,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Directory to write to; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// Arguments of `operator`. Durations are written like 90s, 10m or 72h.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// Image of worker pods: the one that holds this program.
    #[arg(long, env = "SENNIGHT_WORKER_IMAGE")]
    pub worker_image: String,
    /// imagePullPolicy of worker pods.
    #[arg(long, default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub worker_pull_policy: String,
    /// imagePullSecrets of worker pods, comma separated; they must exist in the tenants' namespaces.
    #[arg(long, value_delimiter = ',', value_name = "SECRET")]
    pub worker_pull_secrets: Vec<String>,
    /// Resource requests of worker pods.
    #[arg(long, value_delimiter = ',', value_parser = pair, default_value = "cpu=100m,memory=256Mi", value_name = "KEY=QUANTITY")]
    pub worker_requests: Vec<(String, String)>,
    /// Resource limits of worker pods. A dump needs 256 MiB and three times the largest row.
    #[arg(long, value_delimiter = ',', value_parser = pair, default_value = "memory=1Gi", value_name = "KEY=QUANTITY")]
    pub worker_limits: Vec<(String, String)>,
    /// Finished worker Jobs are removed after this.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub worker_ttl: Duration,
    /// Namespace of the operator itself.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sennight-system")]
    pub namespace: String,
    /// Namespaces to serve, comma separated; none means all.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,
    /// Dumps that run at once, over all servers.
    #[arg(long, default_value_t = 20)]
    pub max_dumps: i32,
    /// How due dumps get their Jobs.
    #[command(flatten)]
    pub jobs: JobArgs,
    /// Reconciles of one kind that run at once.
    #[arg(long, default_value_t = 16)]
    pub concurrency: u16,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value = ":8080", value_parser = listen_address)]
    pub metrics_addr: SocketAddr,
    /// For which restores the requester must not be the approver.
    #[arg(long, value_enum, default_value_t)]
    pub four_eyes: FourEyes,
    /// Namespaces whose BackupStorages may go without credentialsSecretRef and use the operator's own S3 identity (IRSA, Pod
    /// Identity, IMDS), comma separated; * is all. Whoever may write a BackupStorage there has that identity's rights.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE")]
    pub ambient_s3_namespaces: Vec<String>,
    /// Name of this process in logs and in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "sennight")]
    pub identity: String,
    /// Name of the Lease that elects the leader.
    #[arg(long, default_value = "sennight")]
    pub lease_name: String,
    /// A Lease that nobody renewed for this long is free.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// A leader that could not renew for this long stops.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub lease_renew_deadline: Duration,
    /// Pause between two tries to take or renew the Lease.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub lease_retry_period: Duration,
    /// Deadlines and pauses.
    #[command(flatten)]
    pub timing: TimingArgs,
}

impl OperatorArgs {
    /// The checked settings. Destructured whole, so that no flag can be forgotten.
    pub fn resolve(self, random: u32) -> Result<Settings, SettingsError> {
        let Self {
            worker_image,
            worker_pull_policy,
            worker_pull_secrets,
            worker_requests,
            worker_limits,
            worker_ttl,
            namespace,
            watch_namespaces,
            max_dumps,
            jobs,
            concurrency,
            metrics_addr,
            four_eyes,
            ambient_s3_namespaces,
            identity,
            lease_name,
            lease_duration,
            lease_renew_deadline,
            lease_retry_period,
            timing,
        } = self;
        if worker_image.is_empty() {
            return Err(SettingsError::Missing { flag: "--worker-image", hint: "the image of this very Deployment" });
        }
        let mut namespaces: Vec<String> = watch_namespaces.into_iter().filter(|n| !n.is_empty()).collect();
        // One that is named twice would be watched twice.
        namespaces.sort();
        namespaces.dedup();
        Settings {
            // A restarted container keeps its pod's name, but is another process.
            identity: format!("{identity}_{random:08x}"),
            namespace,
            watch: if namespaces.is_empty() { Watch::All } else { Watch::Namespaces(namespaces) },
            worker: WorkerSettings {
                image: worker_image,
                pull_policy: worker_pull_policy,
                pull_secrets: worker_pull_secrets,
                requests: worker_requests.into_iter().collect(),
                limits: worker_limits.into_iter().collect(),
                ttl: worker_ttl,
            },
            max_dumps,
            jobs: jobs.resolve(),
            concurrency,
            metrics_addr,
            lease_name,
            lease: Terms {
                duration: lease_duration,
                renew_deadline: lease_renew_deadline,
                retry_period: lease_retry_period,
            },
            timing: timing.resolve(),
            four_eyes: four_eyes.into(),
            ambient_s3_namespaces: AmbientNamespaces(ambient_s3_namespaces),
        }
        .check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use sennight_protocol::task::Task;

    fn settings(extra: &[&str]) -> Result<Settings, SettingsError> {
        let line = ["sennight", "operator", "--worker-image=i", "--identity=pod", "--namespace=ops"];
        let Command::Operator(args) = Cli::parse_from(line.iter().chain(extra)).command else {
            panic!("not the operator")
        };
        args.resolve(7)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_of_the_protocol_is_a_command() {
        for verb in Task::VERBS {
            assert!(Cli::command().find_subcommand(verb.name).is_some(), "{}", verb.name);
        }
        let line = ["sennight", "recover-cutover", "--storage", "@s", "--task", "@t", "--job-uid", "u", "--pod", "p"];
        let Command::Task(command) = Cli::parse_from(line).command else { panic!("not a task") };
        assert_eq!((command.verb, command.args.pod.as_deref()), ("recover-cutover", Some("p")));
        assert!(Cli::try_parse_from(["sennight", "dump", "--storage", "{}"]).is_err(), "no --task");
    }

    #[test]
    fn what_the_chart_passes_becomes_settings() {
        let all = settings(&["--watch-namespaces="]).unwrap();
        assert_eq!((all.watch, all.identity.as_str()), (Watch::All, "pod_00000007"));
        assert_eq!(all.worker.requests["memory"], "256Mi");
        assert_eq!(all.timing.approval_deadline, Duration::from_hours(72));
        let two = settings(&["--watch-namespaces=b,a,b", "--metrics-addr=:9090", "--four-eyes=FullRestore"]).unwrap();
        assert_eq!(two.watch, Watch::Namespaces(vec!["a".into(), "b".into()]));
        assert_eq!((two.metrics_addr.port(), two.four_eyes), (9090, FourEyes::FullRestore.into()));
    }

    #[test]
    fn settings_that_would_elect_two_leaders_or_back_up_nobody_are_refused() {
        for bad in [
            "--lease-duration=10s",
            "--lease-retry-period=6s",
            "--max-dumps=0",
            "--batch-tenants=51",
            "--jobs-per-minute=0",
        ] {
            let error = settings(&[bad]).unwrap_err();
            assert!(matches!(error, SettingsError::Refused { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn a_shell_names_its_runs_by_chance_and_a_task_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"name":"v","backup":{"prefix":"p/","id":"20261122T021000Z-1a2b3c4d"}}"#)
            .unwrap();
        let task = format!("@{}", file.path().display());
        let line = ["sennight", "verify", "--storage", r#"{"bucket":"b"}"#, "--task", &task];
        let Command::Verify(args) = Cli::parse_from(line).command else { panic!("not verify") };
        let VerifyMode::ByJob(args) = args.mode() else { panic!("not a Job's") };
        let order = args.resolve("verify", 0xab).unwrap();
        assert!(matches!(&order.task, Task::Verify(tasks) if tasks[0].name == "v"));
        assert_eq!((order.storage.bucket.as_str(), order.pod.as_str()), ("b", "shell-000000ab"));
        let missing = text_or_file("--task", "@/nowhere/x").unwrap_err();
        assert!(missing.to_string().starts_with("--task @/nowhere/x: No such file"), "{missing}");
    }
}
