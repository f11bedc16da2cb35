//! What the operator keeps of each of its Jobs: enough for budgets, for the runs it carries, for the chain that its name
//! belongs to. A Job that is gone leaves its card for a while: its reports may still have to be read.

use super::{JobKind, JobState, Run, failure, runs, state};
use crate::worker_job::labels;
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use sennight_api::convert::instant;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a deleted Job is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);

/// A Job.
#[derive(Debug, Clone)]
pub struct JobEntry {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Whose budget it is in.
    pub kind: Option<JobKind>,
    /// The DatabaseServer.
    pub server: String,
    /// The BackupStorage.
    pub storage: String,
    /// Its places in the budgets: dumps that run at once.
    pub places: i64,
    /// How it stands.
    pub state: JobState,
    /// Somebody suspended it: it waits, and that is no failure.
    pub suspended: bool,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// When the operator decided on it.
    pub decided: Option<DateTime<Utc>>,
    /// The chain of Jobs that it belongs to.
    pub chain: Option<String>,
    /// The Job before it there.
    pub after: Option<String>,
    /// The schedules that it dumps.
    pub runs: Vec<Run>,
    /// Why it failed, if it did.
    pub failure: String,
    /// Since when it is gone.
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
                .find(|lane| label(labels::JOB_KIND) == Some(lane.label())),
            server: label(labels::SERVER).unwrap_or_default().to_owned(),
            storage: annotation(labels::STORAGE).unwrap_or_default(),
            places: annotation(labels::CONCURRENCY).and_then(|text| text.parse().ok()).unwrap_or(1).max(1),
            state,
            suspended: job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true),
            created: job.creation_timestamp().as_ref().and_then(instant),
            decided: annotation(labels::DECIDED_AT).and_then(|text| text.parse().ok()),
            chain: annotation(labels::BATCH_KEY),
            after: annotation(labels::PREVIOUS_JOB),
            runs: runs(job),
            failure: if state == JobState::Failed { failure(job) } else { String::new() },
            deleted: None,
            last_event: Instant::now(),
        }
    }

    /// Whether it takes places.
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running && self.deleted.is_none()
    }
}

/// Places that are taken by a lane's Jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// In total.
    pub total: i64,
    /// On each server, by namespace and name.
    pub servers: HashMap<(String, String), i64>,
    /// In each storage.
    pub storages: HashMap<(String, String), i64>,
}

impl Usage {
    /// Counts some more.
    pub fn add(&mut self, namespace: &str, server: &str, storage: &str, places: i64) {
        self.total += places;
        *self.servers.entry((namespace.to_owned(), server.to_owned())).or_default() += places;
        *self.storages.entry((namespace.to_owned(), storage.to_owned())).or_default() += places;
    }
}

/// All cards.
#[derive(Debug, Default)]
pub struct JobIndex {
    by_uid: HashMap<String, Arc<JobEntry>>,
    by_schedule: HashMap<String, Vec<String>>,
}

impl JobIndex {
    /// Takes note of a Job as it is. True when it has ended since it was last seen.
    pub fn record(&mut self, job: &Job) -> bool {
        let mut card = JobEntry::of(job);
        let before = self.by_uid.get(&card.uid).map(|before| before.state);
        if let Some(ended @ (JobState::Complete | JobState::Failed)) = before {
            // Whoever answers late does not bring a Job back.
            card.state = ended;
        }
        for run in &card.runs {
            let jobs = self.by_schedule.entry(run.uid.clone()).or_default();
            if !jobs.contains(&card.uid) {
                jobs.push(card.uid.clone());
            }
        }
        let ended = card.state != JobState::Running && before.is_none_or(|before| before == JobState::Running);
        self.by_uid.insert(card.uid.clone(), Arc::new(card));
        ended
    }

    /// A Job was deleted; its card, if that was news.
    pub fn mark_deleted(&mut self, uid: &str) -> Option<Arc<JobEntry>> {
        let card = self.by_uid.get_mut(uid).filter(|card| card.deleted.is_none())?;
        let mut gone = (**card).clone();
        if gone.state == JobState::Running {
            gone.state = JobState::Failed;
            "its Job was deleted before it ended".clone_into(&mut gone.failure);
        }
        gone.deleted = Some(Instant::now());
        *card = Arc::new(gone);
        Some(card.clone())
    }

    /// A Job was deleted. True when it had not ended before: then nobody has been told of its end yet. A finished one that is
    /// removed in its time is no reason to look at fifty schedules once more.
    pub fn deleted_while_running(&mut self, uid: &str) -> bool {
        let ran = self.by_uid.get(uid).is_some_and(|card| card.is_running());
        self.mark_deleted(uid).is_some() && ran
    }

    /// Drops what is gone for long; the UIDs of those that nobody has named for `silent` and that are not known to be gone.
    pub fn sweep(&mut self, silent: Duration) -> Vec<(String, String, String)> {
        let old: HashSet<String> = self
            .by_uid
            .values()
            .filter(|c| c.deleted.is_some_and(|at| at.elapsed() > REMEMBERED))
            .map(|c| c.uid.clone())
            .collect();
        for uid in &old {
            let card = self.by_uid.remove(uid);
            for run in card.iter().flat_map(|card| &card.runs) {
                if let Some(jobs) = self.by_schedule.get_mut(&run.uid) {
                    jobs.retain(|job| job != uid);
                    if jobs.is_empty() {
                        self.by_schedule.remove(&run.uid);
                    }
                }
            }
        }
        let quiet = |card: &&Arc<JobEntry>| card.deleted.is_none() && card.last_event.elapsed() > silent;
        self.by_uid.values().filter(quiet).map(|c| (c.namespace.clone(), c.name.clone(), c.uid.clone())).collect()
    }

    /// The Jobs that carry a schedule, the first decided first.
    pub fn of_schedule(&self, schedule_uid: &str) -> Vec<Arc<JobEntry>> {
        let jobs = self.by_schedule.get(schedule_uid).into_iter().flatten();
        let mut cards: Vec<_> = jobs.filter_map(|uid| self.by_uid.get(uid)).cloned().collect();
        cards.sort_by_key(|card| card.decided);
        cards
    }

    /// The places that a lane's running Jobs take.
    pub fn usage(&self, lane: JobKind) -> Usage {
        let mut taken = Usage::default();
        for card in self.by_uid.values().filter(|card| card.kind == Some(lane) && card.is_running()) {
            taken.add(&card.namespace, &card.server, &card.storage, card.places);
        }
        taken
    }

    /// The UID of the last Job of a chain, if any is there. Of several ends (two operators that did not know of each other,
    /// or a Job in the middle is gone) the youngest: everybody sees the same one.
    pub fn chain_end(&self, namespace: &str, chain: &str) -> Option<String> {
        let mine =
            |c: &&Arc<JobEntry>| c.deleted.is_none() && c.namespace == namespace && c.chain.as_deref() == Some(chain);
        let links: Vec<_> = self.by_uid.values().filter(mine).collect();
        let followed: HashSet<&str> = links.iter().filter_map(|card| card.after.as_deref()).collect();
        let ends = links.into_iter().filter(|card| !followed.contains(card.uid.as_str()));
        ends.max_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name))).map(|card| card.uid.clone())
    }

    /// When the Jobs were created.
    pub fn creation_times(&self) -> Vec<DateTime<Utc>> {
        self.by_uid.values().filter_map(|card| card.created).collect()
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
        let mut cards = JobIndex::default();
        let mut suspended = job("a", 0, None, None, &["x", "y"]);
        suspended.spec.as_mut().unwrap().suspend = Some(true);
        assert!(!cards.record(&suspended));
        assert!(!cards.record(&job("b", 1, Some("a"), None, &["z"])));
        let taken = cards.usage(JobKind::Dump);
        let pg = ("n".to_owned(), "pg".to_owned());
        assert_eq!((taken.total, taken.servers[&pg], taken.storages.values().sum::<i64>()), (4, 4, 4));
        assert!(cards.of_schedule("x")[0].suspended);
        assert!(cards.record(&job("b", 1, Some("a"), Some("Complete"), &["z"])), "it has ended");
        assert!(!cards.record(&job("b", 1, Some("a"), Some("Complete"), &["z"])), "that is known");
        assert!(!cards.record(&job("b", 1, Some("a"), None, &["z"])), "a late answer does not bring it back");
        assert_eq!((cards.usage(JobKind::Dump).total, cards.usage(JobKind::Restore).total), (2, 0));
    }

    #[test]
    fn a_job_that_somebody_deleted_has_failed_and_still_tells_whom_it_carried() {
        let mut cards = JobIndex::default();
        cards.record(&job("a", 0, None, None, &["x"]));
        assert_eq!(cards.sweep(Duration::ZERO).len(), 1);
        assert!(cards.mark_deleted("a").is_some() && cards.mark_deleted("a").is_none() && cards.mark_deleted("b").is_none());
        let card = &cards.of_schedule("x")[0];
        assert_eq!((card.state, card.uid.as_str()), (JobState::Failed, "a"));
        assert!(card.failure.contains("deleted"), "{}", card.failure);
        assert_eq!((cards.usage(JobKind::Dump).total, cards.chain_end("n", "c")), (0, None));
        assert!(cards.sweep(Duration::ZERO).is_empty() && cards.of_schedule("x").len() == 1);
    }

    #[test]
    fn a_job_that_is_removed_in_its_time_wakes_nobody_a_second_time() {
        let mut cards = JobIndex::default();
        cards.record(&job("a", 0, None, None, &["x"]));
        assert!(cards.record(&job("a", 0, None, Some("Complete"), &["x"])), "its end wakes");
        assert!(!cards.deleted_while_running("a"));
        cards.record(&job("b", 0, None, None, &["x"]));
        assert!(cards.deleted_while_running("b") && !cards.deleted_while_running("b") && !cards.deleted_while_running("unknown"));
    }

    #[test]
    fn i8_the_end_of_a_chain_is_the_job_that_none_comes_after() {
        let mut cards = JobIndex::default();
        assert_eq!(cards.chain_end("n", "c"), None);
        // Created within one second.
        cards.record(&job("b", 5, Some("a"), None, &[]));
        cards.record(&job("a", 5, None, None, &[]));
        assert_eq!(cards.chain_end("n", "c").as_deref(), Some("b"));
        assert_eq!((cards.chain_end("other", "c"), cards.chain_end("n", "d")), (None, None));
        cards.record(&job("f", 9, None, None, &[]));
        assert_eq!(cards.chain_end("n", "c").as_deref(), Some("f"), "of two ends the younger one");
        cards.mark_deleted("f");
        assert_eq!(cards.chain_end("n", "c").as_deref(), Some("b"));
        let decided: Vec<_> = cards.of_schedule("none").iter().map(|c| c.decided).collect();
        assert!(decided.is_empty());
    }
}
