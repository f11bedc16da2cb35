//! The operator's settings: the command line, parsed and checked once at start. Nothing after this parses a flag or reads the
//! environment. The flags themselves are in `sennight::cli`.

use crate::cache::storage_clients::AmbientNamespaces;
use crate::runtime::leader_election::Terms;
use crate::runtime::namespaced_watch::Watch;
use crate::worker_job::PodDefaults;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sennight_core::authority;
use sennight_core::batch::MAX_TENANTS;
use sennight_core::duration::{self, DurationError};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Why the operator does not start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A required flag is missing.
    #[error("{flag} is missing: {hint}")]
    Missing {
        /// The flag.
        flag: &'static str,
        /// Where its value usually comes from.
        hint: &'static str,
    },
    /// A flag's value makes no sense.
    #[error("{flag}={value:?} is refused: {why}")]
    Refused {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        why: String,
    },
}

/// Everything that the command line decides about an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of this process, unique among all candidates.
    pub identity: String,
    /// Namespace of the operator itself: its Lease lives there.
    pub namespace: String,
    /// Namespaces whose objects it serves.
    pub watch: Watch,
    /// What worker pods look like.
    pub worker: WorkerSettings,
    /// Dumps that run at once, over all servers.
    pub max_dumps: i32,
    /// How due dumps get their Jobs.
    pub jobs: JobSettings,
    /// Reconciles of one kind that run at once.
    pub concurrency: u16,
    /// Where /livez, /readyz and /metrics are served.
    pub metrics_addr: SocketAddr,
    /// Name of the Lease.
    pub lease_name: String,
    /// How the Lease is held.
    pub lease: Terms,
    /// Deadlines and pauses.
    pub timing: Timing,
    /// For which restores the requester must not be the approver.
    pub four_eyes: authority::FourEyes,
    /// The namespaces whose BackupStorages may use the operator's own S3 identity.
    pub ambient_s3_namespaces: AmbientNamespaces,
}

/// How due dumps get their Jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSettings {
    /// Tenants in one Job at most.
    pub batch_tenants: usize,
    /// How long a due dump waits for others of its group to share its Job.
    pub batch_window: Duration,
    /// Jobs created in a minute.
    pub per_minute: i32,
    /// Jobs that may be created at once after a pause (size of the token bucket).
    pub burst: i32,
}

/// What worker pods look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The image that holds this same program.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Names of the Secrets for pulling it.
    pub pull_secrets: Vec<String>,
    /// Resource requests.
    pub requests: BTreeMap<String, String>,
    /// Resource limits.
    pub limits: BTreeMap<String, String>,
    /// Kubernetes deletes a finished Job after this.
    pub ttl: Duration,
}

impl WorkerSettings {
    /// The same in the form that the Job builder needs.
    pub fn pod_defaults(&self) -> PodDefaults {
        let quantities = |map: &BTreeMap<String, String>| {
            Some(map.iter().map(|(key, value)| (key.clone(), Quantity(value.clone()))).collect())
        };
        PodDefaults {
            image: self.image.clone(),
            pull_policy: self.pull_policy.clone(),
            pull_secrets: self.pull_secrets.clone(),
            resources: ResourceRequirements {
                requests: quantities(&self.requests),
                limits: quantities(&self.limits),
                ..ResourceRequirements::default()
            },
            ttl_seconds: i32::try_from(self.ttl.as_secs()).unwrap_or(i32::MAX),
        }
    }
}

/// Deadlines and pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A request that nobody approved for this long expires.
    pub approval_deadline: Duration,
    /// An approved request that nobody paid for this long expires.
    pub payment_deadline: Duration,
    /// Pause between two probes of a BackupStorage.
    pub storage_interval: Duration,
    /// Pause between two walks through all backups of a BackupStorage.
    pub patrol_interval: Duration,
    /// Pause between two checks of the admission policies.
    pub authority_interval: Duration,
    /// Pause between two reconciles while a Job runs.
    pub job_interval: Duration,
    /// First pause before a failed dump is tried again; doubles with each attempt.
    pub dump_retry: Duration,
    /// Longest time for one dump.
    pub dump_deadline: Duration,
    /// First pause before a restore's step that failed is tried again; doubles with each attempt.
    pub restore_retry: Duration,
    /// Longest time for one step of a restore.
    pub restore_deadline: Duration,
    /// How long the database that a full restore replaced is kept.
    pub undo_window: Duration,
    /// How long a finished RestoreRequest is kept.
    pub request_retention: Duration,
    /// How late a backup may be before its schedule is not Fresh any more, beyond the slot's interval.
    pub freshness_slack: Duration,
}

/// `gate.fourEyes`: for which restores the requester must not be the approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum FourEyes {
    /// For none.
    #[default]
    #[value(name = "None")]
    None,
    /// For full restores and undos.
    #[value(name = "FullRestore")]
    FullRestore,
    /// For all.
    #[value(name = "All")]
    All,
}

impl From<FourEyes> for authority::FourEyes {
    fn from(flag: FourEyes) -> Self {
        match flag {
            FourEyes::None => Self::None,
            FourEyes::FullRestore => Self::FullRestore,
            FourEyes::All => Self::All,
        }
    }
}

/// A flag's duration, as Kubernetes writes it: `90s`, `10m`, `72h`, `1h30m`; not zero, not negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| match error {
        DurationError::OutOfRange => error.to_string(),
        error => format!("{error}; write it like 90s, 10m or 72h"),
    })
}

/// An address to listen on: `host:port`, or `:port` for every address of the machine.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|error| format!("port {port:?}: {error}"))?;
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|error| format!("{error}; write it like :8080 or 127.0.0.1:8080"))
}

/// One `key=value` of a repeated or comma separated flag.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like key=value".to_owned()),
    }
}

impl Settings {
    /// Checks what no single flag can: that the values fit together.
    pub fn check(self) -> Result<Self, SettingsError> {
        let Terms { duration, renew_deadline, retry_period } = self.lease;
        if renew_deadline >= duration || retry_period * 2 > renew_deadline {
            return Err(SettingsError::Refused {
                flag: "--lease-duration",
                value: format!("{duration:?}/{renew_deadline:?}/{retry_period:?}"),
                why: "duration > renew deadline >= 2 x retry period must hold, or two processes lead at once"
                    .to_owned(),
            });
        }
        if self.max_dumps < 1 {
            return Err(SettingsError::Refused {
                flag: "--max-dumps",
                value: self.max_dumps.to_string(),
                why: "at least 1, or no tenant is ever backed up; suspend schedules instead".to_owned(),
            });
        }
        let JobSettings { batch_tenants, per_minute, burst, .. } = self.jobs;
        if !(1..=MAX_TENANTS).contains(&batch_tenants) {
            return Err(SettingsError::Refused {
                flag: "--batch-tenants",
                value: batch_tenants.to_string(),
                why: format!("1 to {MAX_TENANTS}"),
            });
        }
        if per_minute < 1 || burst < 1 {
            return Err(SettingsError::Refused {
                flag: "--jobs-per-minute",
                value: format!("{per_minute}, --job-burst={burst}"),
                why: "at least 1 each, or no tenant is ever backed up".to_owned(),
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubernetes_writes_them() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "0s", "-5m", "5", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_may_leave_the_host_out() {
        assert_eq!(listen_address(":8080"), Ok("[::]:8080".parse().unwrap()));
        assert_eq!(listen_address("127.0.0.1:0"), Ok("127.0.0.1:0".parse().unwrap()));
        assert!(listen_address("8080").unwrap_err().contains(":8080"));
    }
}
