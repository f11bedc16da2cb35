//! Due dumps and the Jobs that they share: which may share one, how large it may be, and when it is created within the
//! budgets. Pure: the queue and the token bucket know only their arguments.

pub mod queue;
mod round_robin;
pub mod token_bucket;

pub use queue::Queue;
pub use token_bucket::TokenBucket;

use super::backup::RunKey;
use super::names::stable_hash;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, HashSet};

/// Tenants in one Job at most.
pub const MAX_TENANTS: usize = 50;
/// A tenant whose last backup took this many stored bytes has a Job of its own.
pub const BIG_BYTES: i64 = 256 << 20;
/// Stored bytes of one Job's tenants together, at most: room for twenty that are just below [`BIG_BYTES`].
pub const BATCH_BYTES: i64 = 20 * BIG_BYTES;
/// Assumed size of a tenant without a backup, in stored bytes.
const UNKNOWN_BYTES: i64 = 32 << 20;
/// Dumps of one Job that run at once, at most: a worker's memory is shared out among them.
pub const MAX_AT_ONCE: i64 = 4;
/// Tenants in one Job at most on the second attempt, when the whole Job failed and not one of its tasks.
const FEW_TENANTS: usize = 5;
/// A dump that is queued this long after it was due counts as missed.
const LATE: TimeDelta = TimeDelta::minutes(10);
/// Reason of a run whose Job ended without a report: any of the tenants in it may be the cause.
pub const JOB_FAILED: &str = "JobFailed";

/// In which order due dumps get a Job. Restores are not queued: they never wait for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person waits for it.
    Manual,
    /// Its slot has just come.
    Fresh,
    /// Its slot was missed, or its attempt failed.
    CatchUp,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Manual, Self::Fresh, Self::CatchUp];

    /// The priority of a run that was due at `since` and is queued at `now`.
    pub fn of(run: &RunKey, since: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        match run {
            RunKey::Manual(_) => Self::Manual,
            RunKey::Slot { attempt, .. } if *attempt > 1 || now - since > LATE => Self::CatchUp,
            RunKey::Slot { .. } => Self::Fresh,
        }
    }
}

/// How many others a dump may share a Job with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchSharing {
    /// As many as fit.
    Any,
    /// A few that failed with the same Job: so the one that made it fail is found.
    Few,
    /// None: it is big, or it failed by itself.
    Alone,
}

impl BatchSharing {
    /// For a tenant of `bytes` stored bytes; `failed` is the reason if its last run failed.
    pub fn of(bytes: Option<i64>, run: &RunKey, failed: Option<&str>) -> Self {
        let attempt = match run {
            RunKey::Slot { attempt, .. } => *attempt,
            RunKey::Manual(_) => 1,
        };
        match (attempt, failed) {
            _ if bytes.is_some_and(|bytes| bytes >= BIG_BYTES) => Self::Alone,
            (..=1, _) => Self::Any,
            // Nobody knows which of its tenants ended the Job. Few together and then each alone, the one at fault is
            // found and the others do not wait for it.
            (2, Some(JOB_FAILED)) => Self::Few,
            _ => Self::Alone,
        }
    }

    fn max_tenants(self, settings: &BatchSettings) -> usize {
        match self {
            Self::Any => settings.tenants.clamp(1, MAX_TENANTS),
            Self::Few => settings.tenants.clamp(1, FEW_TENANTS),
            Self::Alone => 1,
        }
    }
}

/// What dumps must have in common to share a Job. It is one pod: one namespace, one set of credentials, one bucket, one
/// server's budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Namespace of the BackupSchedules.
    pub namespace: String,
    /// Name of the BackupStorage.
    pub storage: String,
    /// Name of the DatabaseServer.
    pub server: String,
    /// Name of the Secret with the credentials for dumping.
    pub secret: String,
}

impl Group {
    /// Name of the chain of this group's Jobs: 16 hex digits, the same in every process.
    pub fn chain(&self) -> String {
        stable_hash(&["batch", &self.namespace, &self.storage, &self.server, &self.secret], 16)
    }
}

/// The name of the Job that follows the one with the UID `after` in a chain; `None` is the first.
///
/// Two processes that see the same last Job choose the same name, and the API server lets one of them create it: the name
/// is the lock, whatever tenants the Job has.
pub fn job_name(chain: &str, after: Option<&str>) -> String {
    format!("sennight-dump-{}", stable_hash(&[chain, after.unwrap_or("first")], 20))
}

/// A dump that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDump {
    /// Name of the BackupSchedule.
    pub schedule: String,
    /// UID of the BackupSchedule.
    pub uid: String,
    /// The slot or manual token that the dump answers.
    pub run: RunKey,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when it is due.
    pub since: DateTime<Utc>,
    /// Since when it is queued.
    pub queued: DateTime<Utc>,
    /// Stored bytes of the last backup; `None` if there is none.
    pub bytes: Option<i64>,
    /// How many others it may share a Job with.
    pub sharing: BatchSharing,
}

impl DueDump {
    /// Stored bytes that it counts for when Jobs are filled.
    pub fn weight(&self) -> i64 {
        self.bytes.unwrap_or(UNKNOWN_BYTES).max(1)
    }
}

/// How due dumps are put together to Jobs: settings of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// Tenants in one Job at most; with 1 each tenant has its own Job.
    pub tenants: usize,
    /// How long a due dump waits for others to share its Job, where others came lately.
    pub batch_window: TimeDelta,
    /// How long every dump that may share a Job waits for those that are due in the same second.
    pub gather_delay: TimeDelta,
}

/// The budgets: what may be started now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Jobs that may be created.
    pub tokens: i64,
    /// Dumps that may start in total.
    pub total: i64,
    /// Dumps that may start on each server, by namespace and name.
    pub servers: HashMap<(String, String), i64>,
    /// Dumps that may start into each storage, by namespace and name; one that is not listed has no limit of its own.
    pub storages: HashMap<(String, String), i64>,
    /// Groups whose Jobs cannot be created at the moment.
    pub backing_off: HashSet<Group>,
}

impl Capacity {
    /// How many dumps of a group may start now.
    pub fn free(&self, group: &Group) -> i64 {
        if self.backing_off.contains(group) {
            return 0;
        }
        let key = |name: &str| (group.namespace.clone(), name.to_owned());
        // A server that is not listed is gone or not known yet: nothing starts there.
        let server = self.servers.get(&key(&group.server)).copied().unwrap_or(0);
        let storage = self.storages.get(&key(&group.storage)).copied().unwrap_or(i64::MAX);
        self.total.min(server).min(storage)
    }

    fn take(&mut self, group: &Group, dumps: i64) {
        self.tokens -= 1;
        self.total -= dumps;
        if let Some(server) = self.servers.get_mut(&(group.namespace.clone(), group.server.clone())) {
            *server -= dumps;
        }
        if let Some(storage) = self.storages.get_mut(&(group.namespace.clone(), group.storage.clone())) {
            *storage -= dumps;
        }
    }
}

/// A Job to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What its dumps have in common.
    pub group: Group,
    /// The dumps, the largest first.
    pub runs: Vec<DueDump>,
    /// How many of them run at once: so many dumps it takes from every budget.
    pub at_once: i64,
}

#[cfg(test)]
mod nights;
#[cfg(test)]
mod tests;
