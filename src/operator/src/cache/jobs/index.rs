//! An index of the operator's Jobs: by the schedule that a Job dumps, by budget, and by chain (dump Jobs whose names follow
//! from each other). A deleted Job stays for a while, because its reports may still have to be read.

use super::{JobKind, JobState, Run, failure, runs, state};
use crate::worker_job::labels;
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use sennight_api::convert::created;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a deleted Job stays in the index.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What the index stores of one Job.
#[derive(Debug, Clone)]
pub struct JobEntry {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Which budget it counts in; `None`: in none.
    pub kind: Option<JobKind>,
    /// Name of the DatabaseServer.
    pub server: String,
    /// Name of the BackupStorage; empty for a restore.
    pub storage: String,
    /// Places that it takes in the budgets: dumps that it runs at once.
    pub places: i64,
    /// State by its conditions. A state that has ended is never usage back.
    pub state: JobState,
    /// `spec.suspend`: Kueue or a person makes it wait, and that is no failure.
    pub suspended: bool,
    /// Creation time.
    pub created: Option<DateTime<Utc>>,
    /// When the operator decided on it: annotation [`labels::DECIDED_AT`].
    pub decided: Option<DateTime<Utc>>,
    /// The chain of Jobs that it belongs to.
    pub chain: Option<String>,
    /// UID of the Job before it in its chain.
    pub after: Option<String>,
    /// The dumps that it runs.
    pub runs: Vec<Run>,
    /// Why it failed; empty while it has not.
    pub failure: String,
    /// When its deletion was noticed.
    deleted: Option<Instant>,
    last_event: Instant,
}

impl JobEntry {
    fn of(job: &Job) -> Self {
        let annotation = |key: &str| job.annotations().get(key).cloned();
        let label = |key: &str| job.labels().get(key).map(String::as_str);
        let state = state(job);
        Self {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            kind: [JobKind::Dump, JobKind::Restore]
                .into_iter()
                .find(|kind| label(labels::JOB_KIND) == Some(kind.label())),
            server: label(labels::SERVER).unwrap_or_default().to_owned(),
            storage: annotation(labels::STORAGE).unwrap_or_default(),
            places: annotation(labels::CONCURRENCY).and_then(|text| text.parse().ok()).unwrap_or(1).max(1),
            state,
            suspended: job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true),
            created: created(&job.metadata),
            decided: annotation(labels::DECIDED_AT).and_then(|text| text.parse().ok()),
            chain: annotation(labels::BATCH_KEY),
            after: annotation(labels::PREVIOUS_JOB),
            runs: runs(job),
            failure: if state == JobState::Failed { failure(job) } else { String::new() },
            deleted: None,
            last_event: Instant::now(),
        }
    }

    /// Whether it takes places: it exists and has not ended.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running && self.deleted.is_none()
    }
}

/// Places that are usage in one budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Over all servers.
    pub total: i64,
    /// On each server, by namespace and name.
    pub servers: HashMap<(String, String), i64>,
    /// In each storage, by namespace and name.
    pub storages: HashMap<(String, String), i64>,
}

impl Usage {
    /// Adds places.
    pub fn add(&mut self, namespace: &str, server: &str, storage: &str, places: i64) {
        self.total += places;
        *self.servers.entry((namespace.to_owned(), server.to_owned())).or_default() += places;
        *self.storages.entry((namespace.to_owned(), storage.to_owned())).or_default() += places;
    }
}

/// All Jobs, by UID and by schedule.
#[derive(Debug, Default)]
pub struct JobIndex {
    by_uid: HashMap<String, Arc<JobEntry>>,
    by_schedule: HashMap<String, Vec<String>>,
}

impl JobIndex {
    /// Stores a Job as it is. True when it has ended since the last call.
    pub fn record(&mut self, job: &Job) -> bool {
        let mut entry = JobEntry::of(job);
        let before = self.by_uid.get(&entry.uid).map(|before| before.state);
        if let Some(ended @ (JobState::Complete | JobState::Failed)) = before {
            // A late answer of the API server must not bring an ended Job back.
            entry.state = ended;
        }
        for run in &entry.runs {
            let jobs = self.by_schedule.entry(run.uid.clone()).or_default();
            if !jobs.contains(&entry.uid) {
                jobs.push(entry.uid.clone());
            }
        }
        let ended = entry.state != JobState::Running && before.is_none_or(|before| before == JobState::Running);
        self.by_uid.insert(entry.uid.clone(), Arc::new(entry));
        ended
    }

    /// Marks a Job as deleted. Gives its entry unless that was known.
    pub fn mark_deleted(&mut self, uid: &str) -> Option<Arc<JobEntry>> {
        let entry = self.by_uid.get_mut(uid).filter(|entry| entry.deleted.is_none())?;
        let mut gone = (**entry).clone();
        if gone.state == JobState::Running {
            gone.state = JobState::Failed;
            "its Job was deleted before it ended".clone_into(&mut gone.failure);
        }
        gone.deleted = Some(Instant::now());
        *entry = Arc::new(gone);
        Some(entry.clone())
    }

    /// Marks a Job as deleted. True when it had not ended: then its schedules do not know of its end yet. The removal of a
    /// finished Job after its TTL reconciles nobody: that would be up to fifty schedules for nothing.
    pub fn deleted_while_running(&mut self, uid: &str) -> bool {
        let ran = self.by_uid.get(uid).is_some_and(|entry| entry.is_running());
        self.mark_deleted(uid).is_some() && ran
    }

    /// Drops Jobs that were deleted long ago. Gives namespace, name and UID of those without an event for `silent` whose
    /// deletion is not known.
    pub fn sweep(&mut self, silent: Duration) -> Vec<(String, String, String)> {
        let old: HashSet<String> = self
            .by_uid
            .values()
            .filter(|c| c.deleted.is_some_and(|at| at.elapsed() > REMEMBERED))
            .map(|c| c.uid.clone())
            .collect();
        for uid in &old {
            let entry = self.by_uid.remove(uid);
            for run in entry.iter().flat_map(|entry| &entry.runs) {
                if let Some(jobs) = self.by_schedule.get_mut(&run.uid) {
                    jobs.retain(|job| job != uid);
                    if jobs.is_empty() {
                        self.by_schedule.remove(&run.uid);
                    }
                }
            }
        }
        let silent_jobs = |entry: &&Arc<JobEntry>| entry.deleted.is_none() && entry.last_event.elapsed() > silent;
        self.by_uid.values().filter(silent_jobs).map(|c| (c.namespace.clone(), c.name.clone(), c.uid.clone())).collect()
    }

    /// The Jobs that dump a schedule, in the order in which they were decided on.
    pub fn of_schedule(&self, schedule_uid: &str) -> Vec<Arc<JobEntry>> {
        let jobs = self.by_schedule.get(schedule_uid).into_iter().flatten();
        let mut entries: Vec<_> = jobs.filter_map(|uid| self.by_uid.get(uid)).cloned().collect();
        entries.sort_by_key(|entry| entry.decided);
        entries
    }

    /// The places that running Jobs take in a budget.
    pub fn usage(&self, kind: JobKind) -> Usage {
        let mut usage = Usage::default();
        for entry in self.by_uid.values().filter(|entry| entry.kind == Some(kind) && entry.is_running()) {
            usage.add(&entry.namespace, &entry.server, &entry.storage, entry.places);
        }
        usage
    }

    /// The UID of the last Job of a chain. Several ends are possible: two operators did not know of each other, or a Job in
    /// the middle is gone. Then it is the youngest, so that every process sees the same one.
    pub fn chain_end(&self, namespace: &str, chain: &str) -> Option<String> {
        let mine =
            |c: &&Arc<JobEntry>| c.deleted.is_none() && c.namespace == namespace && c.chain.as_deref() == Some(chain);
        let links: Vec<_> = self.by_uid.values().filter(mine).collect();
        let followed: HashSet<&str> = links.iter().filter_map(|entry| entry.after.as_deref()).collect();
        let ends = links.into_iter().filter(|entry| !followed.contains(entry.uid.as_str()));
        ends.max_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name))).map(|entry| entry.uid.clone())
    }

    /// Creation times of all Jobs, for the token bucket after a restart.
    pub fn creation_times(&self) -> Vec<DateTime<Utc>> {
        self.by_uid.values().filter_map(|entry| entry.created).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(uid: &str, created: u32, after: Option<&str>, condition: Option<&str>, tenants: &[&str]) -> Job {
        let runs: Vec<_> = tenants.iter().map(|uid| json!({"schedule": uid, "uid": uid, "run": "r"})).collect();
        let mut annotations = json!({
            "sennight.dev/concurrency": "2", "sennight.dev/storage": "main", "sennight.dev/batch-key": "c",
            "sennight.dev/decided-at": format!("2026-11-22T00:00:{created:02}.5Z"),
            "sennight.dev/runs": serde_json::to_string(&runs).unwrap()
        });
        if let Some(after) = after {
            annotations["sennight.dev/previous-job"] = json!(after);
        }
        let conditions: Vec<_> = condition.iter().map(|c| json!({"type": c, "status": "True"})).collect();
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("job-{uid}"), "namespace": "n", "uid": uid, "annotations": annotations,
                "creationTimestamp": format!("2026-11-22T00:00:{created:02}Z"),
                "labels": {"sennight.dev/job-kind": "dump", "sennight.dev/server": "pg"}
            },
            "spec": {"template": {}}, "status": {"conditions": conditions}
        }))
        .unwrap()
    }

    #[test]
    fn places_are_taken_while_a_job_runs_also_while_it_is_suspended() {
        let mut index = JobIndex::default();
        let mut suspended = job("a", 0, None, None, &["x", "y"]);
        suspended.spec.as_mut().unwrap().suspend = Some(true);
        assert!(!index.record(&suspended));
        assert!(!index.record(&job("b", 1, Some("a"), None, &["z"])));
        let usage = index.usage(JobKind::Dump);
        let pg = ("n".to_owned(), "pg".to_owned());
        assert_eq!((usage.total, usage.servers[&pg], usage.storages.values().sum::<i64>()), (4, 4, 4));
        assert!(index.of_schedule("x")[0].suspended);
        assert!(index.record(&job("b", 1, Some("a"), Some("Complete"), &["z"])), "it has ended");
        assert!(!index.record(&job("b", 1, Some("a"), Some("Complete"), &["z"])), "that is known");
        assert!(!index.record(&job("b", 1, Some("a"), None, &["z"])), "a late answer does not bring it back");
        assert_eq!((index.usage(JobKind::Dump).total, index.usage(JobKind::Restore).total), (2, 0));
    }

    #[test]
    fn a_job_that_somebody_deleted_has_failed_and_still_says_whom_it_dumped() {
        let mut index = JobIndex::default();
        index.record(&job("a", 0, None, None, &["x"]));
        assert_eq!(index.sweep(Duration::ZERO).len(), 1);
        assert!(
            index.mark_deleted("a").is_some() && index.mark_deleted("a").is_none() && index.mark_deleted("b").is_none()
        );
        let entry = &index.of_schedule("x")[0];
        assert_eq!((entry.state, entry.uid.as_str()), (JobState::Failed, "a"));
        assert!(entry.failure.contains("deleted"), "{}", entry.failure);
        assert_eq!((index.usage(JobKind::Dump).total, index.chain_end("n", "c")), (0, None));
        assert!(index.sweep(Duration::ZERO).is_empty() && index.of_schedule("x").len() == 1);
    }

    #[test]
    fn a_job_that_is_removed_in_its_time_reconciles_nobody_a_second_time() {
        let mut index = JobIndex::default();
        index.record(&job("a", 0, None, None, &["x"]));
        assert!(index.record(&job("a", 0, None, Some("Complete"), &["x"])), "its end wakes");
        assert!(!index.deleted_while_running("a"));
        index.record(&job("b", 0, None, None, &["x"]));
        assert!(
            index.deleted_while_running("b")
                && !index.deleted_while_running("b")
                && !index.deleted_while_running("unknown")
        );
    }

    #[test]
    fn i8_the_end_of_a_chain_is_the_job_that_none_comes_after() {
        let mut index = JobIndex::default();
        assert_eq!(index.chain_end("n", "c"), None);
        // Created within one second.
        index.record(&job("b", 5, Some("a"), None, &[]));
        index.record(&job("a", 5, None, None, &[]));
        assert_eq!(index.chain_end("n", "c").as_deref(), Some("b"));
        assert_eq!((index.chain_end("other", "c"), index.chain_end("n", "d")), (None, None));
        index.record(&job("f", 9, None, None, &[]));
        assert_eq!(index.chain_end("n", "c").as_deref(), Some("f"), "of two ends the younger one");
        index.mark_deleted("f");
        assert_eq!(index.chain_end("n", "c").as_deref(), Some("b"));
        let decided: Vec<_> = index.of_schedule("none").iter().map(|c| c.decided).collect();
        assert!(decided.is_empty());
    }
}
