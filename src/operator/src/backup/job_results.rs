//! Writes the end of a dump, and what the bucket and drills say of backups, into a BackupSchedule's status. Pure.

use crate::cache::jobs::JobEntry;
use crate::server::drill_status::answered;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sennight_api::BackupScheduleStatus;
use sennight_api::backup_schedule::{Backup, LastFailure, LastRun, RunOutcome};
use sennight_api::database_server::DrillStatus;
use sennight_core::batch::JOB_FAILED;
use sennight_core::result::{BackupSummary, Done};
use sennight_core::retention::expires_at;
use sennight_protocol::report::{Outcome, TaskReport};
use sennight_storage::CatalogueEntry;

/// Longest list of backups in status.
const MAX_LISTED: usize = 40;
/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 2000;

/// State of the Job of the last run.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It has not ended.
    Running,
    /// Kueue or a person has suspended it: it waits.
    Suspended,
    /// It ended and left a report.
    Reported(Box<TaskReport>),
    /// It ended without one: killed, evicted, or its pod never started.
    Silent(String),
}

impl Ending {
    /// Whether the Job has ended.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Running | Self::Suspended)
    }
}

/// Whether a Job's run is not in status yet. The Jobs of one schedule are decided on one after the other, so their times
/// can be compared with that of the last recorded run.
pub fn is_unrecorded(job: &JobEntry, last: Option<&LastRun>) -> bool {
    let Some(decided) = job.decided else { return false };
    last.is_none_or(|last| {
        last.job_uid.as_deref() != Some(&job.uid) && last.started_at.is_none_or(|started| decided > started)
    })
}

/// How long an expired backup may stay in the list: the next run's write usually takes it out.
const EXPIRED_MAY_STAY: TimeDelta = TimeDelta::hours(26);

/// Whether `new` differs from `old` enough for a write. That a slot has passed or a backup has expired can wait for the
/// next run's write: so there is one write for each tenant and day.
pub fn is_worth_a_write(old: &BackupScheduleStatus, new: &BackupScheduleStatus, now: DateTime<Utc>) -> bool {
    let mut same = old.clone();
    if old.next_run_time.is_some_and(|slot| slot <= now && now - slot < EXPIRED_MAY_STAY) && new.next_run_time.is_some()
    {
        same.next_run_time = new.next_run_time;
    }
    let dropped = |listed: &Backup| !new.backups.iter().any(|other| other.id == listed.id);
    same.backups.retain(|listed| {
        !(dropped(listed) && listed.expires_at.is_some_and(|end| end <= now && now - end < EXPIRED_MAY_STAY))
    });
    same != *new
}

/// When the first expired backup has to leave the list although no run was written.
pub fn expiry(status: &BackupScheduleStatus) -> Option<DateTime<Utc>> {
    let free = |p: &&Backup| !p.held && p.held_until.is_none();
    Some(status.backups.iter().filter(free).filter_map(|p| p.expires_at).min()? + EXPIRED_MAY_STAY)
}

/// Writes the end of a run into `status`. `None` while it runs; `Some(None)` after success; `Some(reason)` after a failure.
pub fn record_ending(
    status: &mut BackupScheduleStatus,
    ending: Ending,
    days: i32,
    now: DateTime<Utc>,
) -> Option<Option<String>> {
    let failure = match ending {
        Ending::Running | Ending::Suspended => return None,
        Ending::Silent(message) => Some((JOB_FAILED.to_owned(), message, true)),
        Ending::Reported(report) => match report.outcome {
            Outcome::Succeeded(Done::Dumped(backup)) => {
                record_success(status, &backup, report.finished_at, days);
                None
            }
            Outcome::Succeeded(_) => {
                Some(("UnexpectedReport".to_owned(), "the Job reported another verb's result".to_owned(), true))
            }
            Outcome::Failed { reason, message, retryable } => Some((reason, message, retryable)),
            Outcome::Unknown { reason, message } => Some((reason, message, true)),
        },
    };
    let reason = failure.as_ref().map(|(reason, ..)| reason.clone());
    let outcome = if reason.is_none() { RunOutcome::Succeeded } else { RunOutcome::Failed };
    if let Some(run) = &mut status.last_run {
        run.finished_at = Some(now);
        run.outcome = Some(outcome);
        run.retryable = failure.as_ref().map(|(.., retryable)| *retryable);
    }
    if let Some((reason, message, _)) = failure {
        let message = crate::runtime::instrumented::cut(&message, MESSAGE_LIMIT).to_owned();
        status.last_failure = Some(LastFailure { time: now, reason, message });
        status.consecutive_failures = Some(status.consecutive_failures.unwrap_or_default() + 1);
    }
    status.active_job = None;
    Some(reason)
}

fn record_success(status: &mut BackupScheduleStatus, backup: &BackupSummary, stored: DateTime<Utc>, days: i32) {
    status.last_successful_time = Some(backup.snapshot_time);
    status.consecutive_failures = Some(0);
    status.last_failure = None;
    status.backups.retain(|listed| listed.id != backup.id.to_string());
    status.backups.insert(0, listed_backup(backup, expires_at(stored, days)));
    status.backups.truncate(MAX_LISTED);
}

/// A backup as status lists it.
fn listed_backup(backup: &BackupSummary, expires: DateTime<Utc>) -> Backup {
    Backup {
        id: backup.id.to_string(),
        day: backup.day,
        snapshot_time: backup.snapshot_time,
        bytes: backup.bytes,
        rows: backup.rows,
        tables: Some(backup.tables),
        manifest_sha256: backup.manifest_sha256.clone(),
        prefix: Some(backup.prefix.clone()),
        expires_at: Some(expires),
        held: false,
        suspicious: false,
        held_until: None,
        proven_time: None,
    }
}

/// Records a slot's backup that is in the bucket although no Job is known to have made it: the slot has run.
pub fn record_found_backup(
    status: &mut BackupScheduleStatus,
    entry: &CatalogueEntry,
    slot: DateTime<Utc>,
    day: NaiveDate,
    attempt: i32,
    days: i32,
) {
    record_success(status, &entry.summary, entry.started_at, days);
    status.last_run = Some(LastRun {
        key: entry.summary.id.to_string(),
        slot: Some(slot),
        day: Some(day),
        job: String::new(),
        job_uid: None,
        attempt: Some(attempt),
        started_at: Some(entry.summary.id.time()),
        finished_at: Some(entry.summary.snapshot_time),
        outcome: Some(RunOutcome::Succeeded),
        retryable: None,
    });
}

/// Fills an empty status from the bucket's catalogue, in a new cluster or for a re-created schedule. The newest backup's day
/// counts as run.
pub fn adopt_catalogue(status: &mut BackupScheduleStatus, backups: &[CatalogueEntry], days: i32) {
    status.backups = backups.iter().take(MAX_LISTED).map(|e| listed_backup(&e.summary, e.expires_at(days))).collect();
    let Some(newest) = backups.first().map(|entry| &entry.summary) else { return };
    status.last_successful_time = Some(newest.snapshot_time);
    status.last_run = Some(LastRun {
        key: newest.id.to_string(),
        slot: Some(newest.snapshot_time),
        day: Some(newest.day),
        job: String::new(),
        job_uid: None,
        attempt: Some(1),
        started_at: Some(newest.id.time()),
        finished_at: Some(newest.snapshot_time),
        outcome: Some(RunOutcome::Succeeded),
        retryable: None,
    });
}

/// Records which backups the server's drills have proven, and the token of the last drill that was asked for and answered.
pub fn record_proofs(status: &mut BackupScheduleStatus, schedule: &str, drills: &DrillStatus) {
    if let Some(answered) = answered(&drills.last, schedule) {
        status.drill_trigger = Some(answered.to_owned());
    }
    for run in drills.last.iter().filter(|run| run.schedule == schedule && run.proven == Some(true)) {
        status.last_proven_time = status.last_proven_time.max(run.finished_at);
        if let Some(listed) = status.backups.iter_mut().find(|listed| listed.id == run.backup) {
            listed.proven_time = listed.proven_time.max(run.finished_at);
        }
    }
}

/// Drops expired backups from the list and marks those that requests hold. True when something changed.
pub fn drop_expired(status: &mut BackupScheduleStatus, held: &[String], now: DateTime<Utc>) -> bool {
    let before = status.backups.clone();
    for listed in &mut status.backups {
        listed.held = held.contains(&listed.id);
    }
    status
        .backups
        .retain(|listed| listed.held || listed.held_until.is_some() || listed.expires_at.is_none_or(|end| now < end));
    before != status.backups
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::names::BackupId;

    fn now() -> DateTime<Utc> {
        "2026-11-22T03:00:00Z".parse().unwrap()
    }

    fn running() -> BackupScheduleStatus {
        let run = LastRun { outcome: None, finished_at: None, ..adopted(2).last_run.unwrap() };
        BackupScheduleStatus { last_run: Some(run), active_job: Some("j".into()), ..BackupScheduleStatus::default() }
    }

    fn backup(day: u32) -> BackupSummary {
        let time = format!("2026-11-{day:02}T02:00:00Z").parse().unwrap();
        BackupSummary {
            id: BackupId::new(time, day),
            prefix: format!("daily/n/s/{day}/"),
            day: time.date_naive(),
            snapshot_time: time,
            rows: 5,
            tables: 1,
            bytes: 9,
            raw_bytes: 20,
            manifest_sha256: "ab".into(),
        }
    }

    fn entry(summary: BackupSummary) -> CatalogueEntry {
        let identity = sennight_core::manifest::TenantIdentity {
            namespace: "n".into(),
            schedule: "s".into(),
            schedule_uid: String::new(),
            tenant: "t".into(),
            engine: sennight_core::engine::EngineKind::PostgreSQL,
            database: "d".into(),
        };
        CatalogueEntry { started_at: summary.id.time(), summary, identity, area: sennight_core::names::Area::Daily }
    }

    fn adopted(days: u32) -> BackupScheduleStatus {
        let backups: Vec<_> = (1..=days).rev().map(|d| entry(backup(20 + d))).collect();
        let mut status = BackupScheduleStatus::default();
        adopt_catalogue(&mut status, &backups, 7);
        status
    }

    fn report(outcome: Outcome) -> Ending {
        Ending::Reported(Box::new(TaskReport { task: "s".into(), started_at: now(), finished_at: now(), outcome }))
    }

    #[test]
    fn i4_only_a_reported_backup_is_listed() {
        let failed = Outcome::Failed { reason: "OutOfSpace".into(), message: "full".into(), retryable: true };
        for ending in [Ending::Silent("killed".into()), report(failed)] {
            let mut status = running();
            let reason = record_ending(&mut status, ending, 7, now()).unwrap().unwrap();
            assert!(status.backups.is_empty());
            assert_eq!((status.consecutive_failures, status.last_failure.unwrap().reason), (Some(1), reason));
        }
        let mut status = running();
        assert_eq!(
            record_ending(&mut status, report(Outcome::Succeeded(Done::Dumped(backup(22)))), 7, now()),
            Some(None)
        );
        assert_eq!(status.backups[0].expires_at, Some("2026-11-30T00:00:00Z".parse().unwrap()));
        assert_eq!((status.active_job, status.consecutive_failures), (None, Some(0)));
    }

    #[test]
    fn a_running_job_changes_nothing() {
        let mut status = running();
        assert_eq!(record_ending(&mut status, Ending::Running, 7, now()), None);
        assert_eq!(status, running());
    }

    #[test]
    fn an_empty_status_is_rebuilt_from_the_bucket_and_its_day_counts_as_run() {
        let status = adopted(2);
        assert_eq!(status.backups.len(), 2);
        assert_eq!(status.last_run.unwrap().day, Some("2026-11-22".parse().unwrap()));
    }

    #[test]
    fn that_a_backup_was_proven_outlives_the_backup() {
        let mut status = adopted(1);
        let run = serde_json::json!({
            "schedule": "s", "backup": status.backups[0].id, "job": "j", "trigger": "t",
            "startedAt": now(), "finishedAt": now(), "proven": true
        });
        let drills = DrillStatus { last: vec![serde_json::from_value(run).unwrap()], ..DrillStatus::default() };
        record_proofs(&mut status, "s", &drills);
        assert_eq!((status.backups[0].proven_time, status.last_proven_time), (Some(now()), Some(now())));
        assert_eq!(status.drill_trigger.as_deref(), Some("t"));
        drop_expired(&mut status, &[], now() + TimeDelta::days(9));
        record_proofs(&mut status, "s", &DrillStatus::default());
        assert!(status.backups.is_empty());
        let object = serde_json::json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "s", "namespace": "n"},
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                "database": {"serverRef": {"name": "pg"}, "name": "d"}, "storageRef": {"name": "b"}
            },
            "status": status
        });
        let index = crate::cache::schedule_index::ScheduleIndex::default();
        let (key, _) = index.put(&serde_json::from_value(object).unwrap(), 0, 1);
        assert_eq!(index.get(&key).unwrap().proven, Some(now()), "a week later the drills still know");
    }

    #[test]
    fn backups_go_when_the_bucket_lets_them_go_unless_they_are_held() {
        let mut status = adopted(2);
        let held = status.backups[1].id.clone();
        let late = "2026-12-20T00:00:00Z".parse().unwrap();
        assert!(drop_expired(&mut status, std::slice::from_ref(&held), late));
        assert_eq!(status.backups.len(), 1);
        assert!(status.backups[0].held && status.backups[0].id == held);
    }
}
