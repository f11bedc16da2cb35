//! Which due dumps ride in one Job, and when it is created: what is due, what may ride together, how large a Job may be.
//! Pure: the queue's order and the token bucket are functions of what they are told.

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
/// Stored bytes of one Job's tenants together, at most: twenty that just miss being big ones.
pub const BATCH_BYTES: i64 = 20 * BIG_BYTES;
/// What a tenant without a backup is taken for.
const UNKNOWN_BYTES: i64 = 32 << 20;
/// Dumps of one Job that run at once, at most: a worker's memory is shared out among them.
pub const MAX_AT_ONCE: i64 = 4;
/// Tenants that share a Job on their second attempt, when what failed was a Job and not one of them.
const FEW_TENANTS: usize = 5;
/// What is queued this long after it was due has missed its turn.
const LATE: TimeDelta = TimeDelta::minutes(10);
/// The reason of a run whose Job ended without a word: any of its passengers may be to blame.
pub const JOB_FAILED: &str = "JobFailed";

/// In which order due dumps get a Job. Restores come before all of these: they only take from the bucket.
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
    /// All, first come first.
    pub const ALL: [Self; 3] = [Self::Manual, Self::Fresh, Self::CatchUp];

    /// The lane of a run that was due at `since` and is queued at `now`.
    pub fn of(run: &RunKey, since: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        match run {
            RunKey::Manual(_) => Self::Manual,
            RunKey::Slot { attempt, .. } if *attempt > 1 || now - since > LATE => Self::CatchUp,
            RunKey::Slot { .. } => Self::Fresh,
        }
    }
}

/// With how many others a dump may share a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchSharing {
    /// With as many as fit.
    Any,
    /// With a few that failed as it did: the one that is to blame is found among fewer each time.
    Few,
    /// With nobody: it is big, or it failed by itself.
    Alone,
}

impl BatchSharing {
    /// For a tenant of this size, at this run, whose last run failed for this reason (if it did).
    pub fn of(bytes: Option<i64>, run: &RunKey, failed: Option<&str>) -> Self {
        let attempt = match run {
            RunKey::Slot { attempt, .. } => *attempt,
            RunKey::Manual(_) => 1,
        };
        match (attempt, failed) {
            _ if bytes.is_some_and(|bytes| bytes >= BIG_BYTES) => Self::Alone,
            (..=1, _) => Self::Any,
            (2, Some(JOB_FAILED)) => Self::Few,
            _ => Self::Alone,
        }
    }

    fn max_tenants(self, shape: &BatchSettings) -> usize {
        match self {
            Self::Any => shape.tenants.clamp(1, MAX_TENANTS),
            Self::Few => shape.tenants.clamp(1, FEW_TENANTS),
            Self::Alone => 1,
        }
    }
}

/// What dumps must have in common to share a Job: one pod, one set of mounted credentials, one bucket, one budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The namespace.
    pub namespace: String,
    /// The BackupStorage.
    pub storage: String,
    /// The DatabaseServer.
    pub server: String,
    /// The Secret with the credentials for dumping.
    pub secret: String,
}

impl Group {
    /// Names the chain of this group's Jobs.
    pub fn chain(&self) -> String {
        stable_hash(&["batch", &self.namespace, &self.storage, &self.server, &self.secret], 16)
    }
}

/// The name of the Job that comes after the one with the UID `after` (or first) in a chain. Whoever has the same view of
/// the chain's end wants the same name, and one of them gets it: the name is the lock, whatever rides in the Job.
pub fn job_name(chain: &str, after: Option<&str>) -> String {
    format!("sennight-dump-{}", stable_hash(&[chain, after.unwrap_or("first")], 20))
}

/// A dump that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDump {
    /// The BackupSchedule.
    pub schedule: String,
    /// Its UID.
    pub uid: String,
    /// What it answers.
    pub run: RunKey,
    /// Its lane.
    pub priority: Priority,
    /// Since when it is due.
    pub since: DateTime<Utc>,
    /// Since when it is queued.
    pub queued: DateTime<Utc>,
    /// Stored bytes of the last backup.
    pub bytes: Option<i64>,
    /// With how many others.
    pub sharing: BatchSharing,
}

impl DueDump {
    /// What it is taken for when Jobs are filled.
    pub fn weight(&self) -> i64 {
        self.bytes.unwrap_or(UNKNOWN_BYTES).max(1)
    }
}

/// How Jobs are shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// Tenants in one Job at most; 1 is a Job a tenant.
    pub tenants: usize,
    /// How long a due dump waits for company where some is to be expected.
    pub batch_window: TimeDelta,
    /// How long every dump that may share a Job waits, for those that come due in the same second.
    pub gather_delay: TimeDelta,
}

/// What may be started now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Jobs that may be created.
    pub tokens: i64,
    /// Dumps that may start in total.
    pub total: i64,
    /// And on each server, by namespace and name.
    pub servers: HashMap<(String, String), i64>,
    /// And into each storage, by namespace and name; one that is not listed has no limit of its own.
    pub storages: HashMap<(String, String), i64>,
    /// Groups whose Jobs cannot be created at the moment.
    pub backing_off: HashSet<Group>,
}

impl Capacity {
    /// Places for dumps of a group.
    pub fn free(&self, group: &Group) -> i64 {
        if self.backing_off.contains(group) {
            return 0;
        }
        let key = |name: &str| (group.namespace.clone(), name.to_owned());
        let server = self.servers.get(&key(&group.server)).copied().unwrap_or(0);
        let storage = self.storages.get(&key(&group.storage)).copied().unwrap_or(i64::MAX);
        self.total.min(server).min(storage)
    }

    fn take(&mut self, group: &Group, places: i64) {
        self.tokens -= 1;
        self.total -= places;
        if let Some(server) = self.servers.get_mut(&(group.namespace.clone(), group.server.clone())) {
            *server -= places;
        }
        if let Some(storage) = self.storages.get_mut(&(group.namespace.clone(), group.storage.clone())) {
            *storage -= places;
        }
    }
}

/// A Job to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose tenants they are.
    pub group: Group,
    /// The dumps, the longest first.
    pub runs: Vec<DueDump>,
    /// How many of them run at once: its places in every budget.
    pub at_once: i64,
}

#[cfg(test)]
mod nights;
#[cfg(test)]
mod tests;
