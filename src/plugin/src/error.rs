//! The plugin's errors and their exit codes.

use sennight_core::audit::ChainFault;
#[cfg(feature = "s3")]
use sennight_storage::StoreError;
use std::path::PathBuf;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No usable kubeconfig.
    #[error("the kubeconfig cannot be used: {0}; set --kubeconfig, --context or KUBECONFIG")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The cluster refused or does not have it.
    #[error("{what}: {source}")]
    Cluster {
        /// What was not done, in words.
        what: String,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// No such object.
    #[error("{kind} {namespace}/{name} does not exist; {} shows the ones that do", shows(kind, namespace))]
    NotFound {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace that was searched.
        namespace: String,
        /// Name that was asked for.
        name: String,
    },
    /// The request does not exist; a deleted one may still have an audit record.
    #[error(
        "RestoreRequest {name} does not exist; the record of one that is gone is found by its UID: kubectl sennight audit \
         --uid UID (approve showed it, and the API server's audit log has it)"
    )]
    NotFoundAudit {
        /// Name.
        name: String,
    },
    /// The record's chain is broken.
    #[error("the record is not what Sennight wrote: {0}; docs/audit.md says what to do")]
    Record(#[source] ChainFault),
    /// A drill failed.
    #[error("{schedule}: backup {backup} is not proven: {reason}: {message}")]
    NotProven {
        /// The BackupSchedule.
        schedule: String,
        /// The backup.
        backup: String,
        /// Why, in CamelCase.
        reason: String,
        /// Why, in a sentence.
        message: String,
    },
    /// Some tenant is not backed up; only with --exit-code.
    #[error("not everybody is backed up")]
    NotBackedUp,
    /// The command makes no sense in the present state of the object.
    #[error("{0}")]
    NotNow(String),
    /// A person said no, or nobody was there to ask.
    #[error("{0}")]
    NotConfirmed(String),
    /// The bucket cannot be read.
    #[cfg(feature = "s3")]
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that was named cannot be read.
    #[error("{file} cannot be read: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output could not be written.
    #[error("the output could not be written: {0}")]
    Output(#[from] std::io::Error),
    /// Output could not be made.
    #[error("the output could not be made: {0}")]
    Form(String),
}

/// The command that lists what there is instead.
fn shows(kind: &str, namespace: &str) -> String {
    match kind {
        "RestoreRequest" => format!("kubectl sennight list -n {namespace}"),
        other => format!("kubectl get {} -n {namespace}", other.to_lowercase()),
    }
}

impl PluginError {
    /// An error of the API server; `what` says what was not done.
    pub fn cluster(what: impl Into<String>, source: kube::Error) -> Self {
        Self::Cluster { what: what.into(), source: Box::new(source) }
    }

    /// The exit code: 3 refused by the cluster, 4 not found, 5 not confirmed, 6 a broken record, 7 not backed up, 8 a
    /// backup that a drill could not prove, 1 everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::NotFoundAudit { .. } => 4,
            Self::Record(_) => 6,
            Self::NotBackedUp => 7,
            Self::NotProven { .. } => 8,
            Self::NotConfirmed(_) => 5,
            Self::Cluster { source, .. } => match source.as_ref() {
                // Policies and RBAC answer 403, rules of the definition 422, a change in between 409.
                kube::Error::Api(status) if matches!(status.code, 401 | 403 | 409 | 422) => 3,
                kube::Error::Api(status) if status.code == 404 => 4,
                _ => 1,
            },
            _ => 1,
        }
    }
}
