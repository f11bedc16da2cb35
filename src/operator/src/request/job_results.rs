//! Writes the end of a restore's Job into its request's status, and gives each step's state as input of the decision. Pure.

use super::ownership::{Controller, controller_of_step_named};
use crate::runtime::instrumented::cut;
use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::RestoreRequestStatus;
use sennight_api::restore_report::{JobOutcome, JobRecord, LiveRecords, PreflightReport, Refusal};
use sennight_api::restore_status::{DroppedDatabase, HookReport, Prepared, SafetyBackup};
use sennight_core::names::RestoreStep;
use sennight_core::restore::{StepState, is_fault};
use sennight_core::result::{BackupSummary, DatabaseNumber, Done, HookRun, LiveList, Preflight, TAKEN_BACK};
use sennight_core::retention::{SAFETY_DAYS, expires_at};
use sennight_protocol::report::{Outcome, TaskReport};

/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 1000;

/// State of a Job.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It has not ended.
    Running,
    /// It ended and left a report.
    Reported(Box<TaskReport>),
    /// It ended without one, or was deleted; the message says which.
    Silent(String),
}

/// Results of the Jobs whose end this reconcile records, by step. [`step`] reads older ones from status.
pub type NewResults = Vec<(RestoreStep, StepState)>;

/// Writes the ends of Jobs into `status`; gives their results.
pub fn record_endings(
    status: &mut RestoreRequestStatus,
    endings: &[(String, Ending)],
    now: DateTime<Utc>,
) -> NewResults {
    let mut results = Vec::new();
    for (name, ending) in endings {
        let Some(position) = status.jobs.iter().position(|job| job.name == *name) else { continue };
        let Some(wanted) = step_of(&status.jobs[position]) else { continue };
        let attempt = status.jobs[position].attempt;
        let step = match ending {
            Ending::Running => continue,
            Ending::Silent(message) => StepState::Lost { attempt, message: message.clone(), at: now },
            Ending::Reported(report) => reported(&report.outcome, attempt, now),
        };
        if let Ending::Reported(report) = ending
            && let Outcome::Succeeded(done) = &report.outcome
        {
            keep_result(status, name, done, now);
        }
        close(&mut status.jobs[position], &step, now);
        results.push((wanted, step));
    }
    results
}

/// A report as a step's state.
pub fn reported(outcome: &Outcome, attempt: i32, at: DateTime<Utc>) -> StepState {
    match outcome {
        Outcome::Succeeded(Done::Preflighted(p)) if !p.refusals.is_empty() => {
            let first = &p.refusals[0];
            let all: Vec<&str> = p.refusals.iter().map(|r| r.message.as_str()).collect();
            StepState::Failed { attempt, retryable: true, reason: first.reason.clone(), message: all.join("; "), at }
        }
        Outcome::Succeeded(done) => StepState::Succeeded(done.clone()),
        Outcome::Failed { reason, message, retryable } => {
            StepState::Failed { attempt, retryable: *retryable, reason: reason.clone(), message: message.clone(), at }
        }
        // guard(i2_a_silent_or_unknown_end_is_lost_not_failed, = StepState::None): a report of an unknown outcome is no failure
        Outcome::Unknown { message, .. } => StepState::Lost { attempt, message: message.clone(), at },
    }
}

fn close(record: &mut JobRecord, step: &StepState, now: DateTime<Utc>) {
    record.finished_at = Some(now);
    let (outcome, reason, message, retryable) = match step {
        StepState::Succeeded(_) => (JobOutcome::Succeeded, None, None, None),
        StepState::Failed { reason, message, retryable, .. } => {
            (JobOutcome::Failed, Some(reason.clone()), Some(message.as_str()), Some(*retryable))
        }
        StepState::Lost { message, .. } => {
            (JobOutcome::Unknown, Some("NoReport".to_owned()), Some(message.as_str()), None)
        }
        StepState::None | StepState::Running { .. } => return,
    };
    record.outcome = Some(outcome);
    record.reason = reason;
    record.message = message.map(|m| cut(m, MESSAGE_LIMIT).to_owned());
    record.retryable = retryable;
}

fn hook_run(hook: &HookRun) -> HookReport {
    HookReport { name: cut(&hook.name, 253).to_owned(), rows: hook.rows }
}

/// Copies what later steps need into status: reports in the bucket expire after a week, and requests may wait longer.
fn keep_result(status: &mut RestoreRequestStatus, job: &str, done: &Done, now: DateTime<Utc>) {
    match done {
        Done::Preflighted(found) => preflighted(status, job, found, now),
        Done::Prepared { live_number, new_number, new_database, rows, tables, hooks } => {
            let prepared = Prepared {
                at: now,
                job: job.to_owned(),
                database: new_database.clone(),
                live_oid: (*live_number).into(),
                new_oid: (*new_number).into(),
                rows: *rows,
                tables: *tables,
                hooks: hooks.iter().take(64).map(hook_run).collect(),
            };
            status.prepared = Some(Box::new(prepared));
        }
        // Of a request's Jobs only the safety backup dumps.
        Done::Dumped(backup) => safety_backup_done(status, backup, now),
        Done::DatabaseDropped(dropped) => match &mut status.previous_database {
            Some(previous) => previous.dropped_at = Some(now),
            None => status.dropped_database = Some(DroppedDatabase { at: now, database: dropped.database.clone() }),
        },
        Done::Listed(list) => {
            status.live = Some(LiveRecords {
                key: list.key.clone(),
                sha256: list.sha256.clone(),
                bytes: list.bytes,
                ids: list.ids,
                at: list.at,
            });
        }
        Done::CutOver { .. } | Done::Exported(_) | Done::Verified(_) | Done::Drilled(_) => {}
    }
}

fn safety_backup_done(status: &mut RestoreRequestStatus, backup: &BackupSummary, now: DateTime<Utc>) {
    let Some(previous) = &mut status.previous_database else { return };
    previous.safety_backup = Some(SafetyBackup {
        id: backup.id.to_string(),
        prefix: backup.prefix.clone(),
        manifest_sha256: backup.manifest_sha256.clone(),
        bytes: backup.bytes,
        rows: backup.rows,
        verified_at: now,
        expires_at: expires_at(backup.id.time(), SAFETY_DAYS),
    });
}

fn preflighted(status: &mut RestoreRequestStatus, job: &str, found: &Preflight, now: DateTime<Utc>) {
    let refusals = found.refusals.iter().take(20);
    status.preflight = Some(PreflightReport {
        at: now,
        job: job.to_owned(),
        refusals: refusals
            .map(|r| Refusal { reason: r.reason.clone(), message: cut(&r.message, MESSAGE_LIMIT).to_owned() })
            .collect(),
    });
    let estimate = status.estimate.get_or_insert_default();
    estimate.live_bytes = Some(found.live_bytes);
    estimate.live_sessions = Some(found.live_sessions);
    // Replaced, not extended: what an earlier preflight warned of may have been repaired.
    estimate.warnings = found.warnings.iter().take(20).map(|warning| cut(warning, 500).to_owned()).collect();
}

/// State of a step: from this reconcile's results, else from status.
pub fn step(status: &RestoreRequestStatus, wanted: RestoreStep, results: &NewResults) -> StepState {
    let Some(last) = status.jobs.iter().filter(|j| step_of(j) == Some(wanted)).max_by_key(|j| j.attempt) else {
        return StepState::None;
    };
    if let Some((_, step)) = results.iter().rev().find(|(kind, _)| *kind == wanted) {
        return step.clone();
    }
    let (attempt, at) = (last.attempt, last.finished_at.unwrap_or_default());
    let message = last.message.clone().unwrap_or_default();
    match last.outcome {
        None => StepState::Running { attempt },
        Some(JobOutcome::Failed) => StepState::Failed {
            attempt,
            retryable: last.retryable.unwrap_or(true),
            reason: last.reason.clone().unwrap_or_default(),
            message,
            at,
        },
        Some(JobOutcome::Unknown) => StepState::Lost { attempt, message, at },
        Some(JobOutcome::Succeeded) => remembered(status, wanted, attempt, at),
    }
}

fn remembered(status: &RestoreRequestStatus, wanted: RestoreStep, attempt: i32, at: DateTime<Utc>) -> StepState {
    let number = |n: i64| DatabaseNumber::try_from(n).unwrap_or(DatabaseNumber(0));
    if let (RestoreStep::LiveIds, Some(live)) = (wanted, &status.live) {
        return StepState::Succeeded(Done::Listed(live_list(live)));
    }
    match (wanted, &status.prepared) {
        (RestoreStep::Preflight, _) => StepState::Succeeded(Done::Preflighted(Preflight::default())),
        (RestoreStep::Prepare, Some(p)) => StepState::Succeeded(Done::Prepared {
            live_number: number(p.live_oid),
            new_number: number(p.new_oid),
            new_database: p.database.clone(),
            rows: p.rows,
            tables: p.tables,
            hooks: p.hooks.iter().map(|hook| HookRun { name: hook.name.clone(), rows: hook.rows }).collect(),
        }),
        // The end of any other step ends the request in the same write. A status that says otherwise cannot be trusted.
        (_, _) => {
            StepState::Lost { attempt, message: "status says that the Job succeeded and not with what".to_owned(), at }
        }
    }
}

/// Number of attempts at a step whose failure the next attempt would repeat: by the kind of failure, or because it took all
/// the time (`longest`) that a step may take.
pub fn repeatable_failures(status: &RestoreRequestStatus, wanted: RestoreStep, longest: TimeDelta) -> i32 {
    let fault = |job: &&JobRecord| {
        let took_all = job.started_at.zip(job.finished_at).is_some_and(|(began, ended)| ended - began >= longest);
        match job.outcome {
            Some(JobOutcome::Failed) => took_all || job.reason.as_deref().is_some_and(is_fault),
            Some(JobOutcome::Unknown) => took_all,
            Some(JobOutcome::Succeeded) | None => false,
        }
    };
    let count = status.jobs.iter().filter(|job| step_of(job) == Some(wanted)).filter(fault).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Makes room for one more Job of the controller in a list that the schema bounds: drops its oldest attempt that has a
/// later one.
pub fn make_room(jobs: &mut Vec<JobRecord>, controller: Controller) {
    let mine = |job: &JobRecord| controller_of_step_named(&job.step) == controller;
    if jobs.iter().filter(|job| mine(job)).count() < controller.jobs_kept() {
        return;
    }
    let repeated = |at: &usize| {
        let job = &jobs[*at];
        mine(job)
            && job.outcome.is_some()
            && jobs[*at..].iter().any(|later| later.step == job.step && later.attempt > job.attempt)
    };
    if let Some(oldest) = (0..jobs.len()).find(repeated) {
        jobs.remove(oldest);
    }
}

/// The live database's ids in status, in the form of the export's task.
pub fn live_list(live: &LiveRecords) -> LiveList {
    LiveList { key: live.key.clone(), sha256: live.sha256.clone(), bytes: live.bytes, ids: live.ids, at: live.at }
}

/// Whether it is certain that no swap of the request took effect: there was no claim, or the worker reported that it failed or
/// was taken back.
pub fn surely_not_swapped(status: &RestoreRequestStatus, results: &NewResults) -> bool {
    let taken_back = |step: StepState| matches!(step, StepState::Failed { reason, .. } if reason == TAKEN_BACK);
    status.claim.is_none()
        || matches!(step(status, RestoreStep::Cutover, results), StepState::Failed { .. })
        || taken_back(step(status, RestoreStep::RecoverCutover, results))
}

fn step_of(record: &JobRecord) -> Option<RestoreStep> {
    record.step.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::result;

    fn now() -> DateTime<Utc> {
        "2026-11-22T03:00:00Z".parse().unwrap()
    }

    fn status(step: &str) -> RestoreRequestStatus {
        let job = serde_json::json!({"name": "j", "uid": "u", "step": step, "attempt": 2});
        RestoreRequestStatus { jobs: vec![serde_json::from_value(job).unwrap()], ..RestoreRequestStatus::default() }
    }

    fn end(status: &mut RestoreRequestStatus, outcome: Outcome) -> NewResults {
        let report = TaskReport { task: "r".into(), started_at: now(), finished_at: now(), outcome };
        record_endings(status, &[("j".into(), Ending::Reported(Box::new(report)))], now())
    }

    #[test]
    fn a_prepared_database_is_remembered_beyond_its_report() {
        let mut s = status("prepare");
        let done = Done::Prepared {
            live_number: DatabaseNumber(1),
            new_number: DatabaseNumber(2),
            new_database: "n".into(),
            rows: 3,
            tables: 4,
            hooks: vec![HookRun { name: "a.sql".into(), rows: 7 }],
        };
        end(&mut s, Outcome::Succeeded(done.clone()));
        assert_eq!(step(&s, RestoreStep::Prepare, &vec![]), StepState::Succeeded(done));
    }

    #[test]
    fn a_preflight_with_refusals_is_a_failed_step_that_names_the_first() {
        let mut s = status("preflight");
        let refusals = vec![result::Refusal { reason: "RoleMissing".into(), message: "create role x".into() }];
        let found = Preflight { refusals, live_bytes: 7, ..Preflight::default() };
        end(&mut s, Outcome::Succeeded(Done::Preflighted(found)));
        assert!(
            matches!(step(&s, RestoreStep::Preflight, &vec![]), StepState::Failed { attempt: 2, reason, .. } if reason == "RoleMissing")
        );
        assert_eq!(s.estimate.unwrap().live_bytes, Some(7));
    }

    #[test]
    fn the_warnings_are_those_of_the_last_look() {
        let mut s = status("preflight");
        for warnings in [vec!["slots".to_owned(), "sessions".to_owned()], vec!["sessions".to_owned()]] {
            s.jobs[0].outcome = None;
            end(&mut s, Outcome::Succeeded(Done::Preflighted(Preflight { warnings, ..Preflight::default() })));
        }
        assert_eq!(s.estimate.unwrap().warnings, ["sessions"]);
    }

    #[test]
    fn attempts_that_the_next_one_would_repeat_are_counted_and_others_not() {
        let jobs = serde_json::json!([
            ["prepare", "Failed", "ToolFailed", 60],
            ["prepare", "Failed", "Unreachable", 60],
            ["prepare", "Unknown", "NoReport", 60],
            ["prepare", "Unknown", "NoReport", 7200],
            ["prepare", "Failed", "Cancelled", 7200],
            ["export", "Failed", "ToolFailed", 60],
            ["prepare", null, null, 0]
        ]);
        let record = |(n, job): (usize, &serde_json::Value)| {
            let ended = now() + TimeDelta::seconds(job[3].as_i64().unwrap());
            serde_json::from_value(serde_json::json!({
                "name": format!("j{n}"), "step": job[0], "attempt": n + 1, "outcome": job[1], "reason": job[2],
                "startedAt": now(), "finishedAt": ended
            }))
            .unwrap()
        };
        let jobs = jobs.as_array().unwrap().iter().enumerate().map(record).collect();
        let s = RestoreRequestStatus { jobs, ..RestoreRequestStatus::default() };
        assert_eq!(repeatable_failures(&s, RestoreStep::Prepare, TimeDelta::hours(2)), 3);
    }

    #[test]
    fn only_attempts_that_were_repeated_make_room() {
        let job = |step: &str, attempt: i32| -> JobRecord {
            let name = format!("{step}-{attempt}");
            let job = serde_json::json!({"name": name, "step": step, "attempt": attempt, "outcome": "Failed"});
            serde_json::from_value(job).unwrap()
        };
        let mut jobs: Vec<JobRecord> = vec![job("preflight", 1)];
        for attempt in 1..=200 {
            make_room(&mut jobs, Controller::Cleanup);
            jobs.push(job("safety-backup", attempt));
            make_room(&mut jobs, Controller::Restore);
            jobs.push(job("prepare", attempt));
        }
        let longest = Controller::Restore.jobs_kept() + Controller::Cleanup.jobs_kept();
        assert!(jobs.len() <= longest, "{}", jobs.len());
        assert_eq!((jobs[0].name.as_str(), jobs.last().unwrap().attempt), ("preflight-1", 200));
    }

    #[test]
    fn i2_a_silent_or_unknown_end_is_lost_not_failed() {
        for ending in [
            Ending::Silent("evicted".into()),
            Ending::Reported(Box::new(TaskReport {
                task: "r".into(),
                started_at: now(),
                finished_at: now(),
                outcome: Outcome::Unknown { reason: "X".into(), message: "look".into() },
            })),
        ] {
            let mut s = status("cutover");
            record_endings(&mut s, &[("j".into(), ending)], now());
            assert!(matches!(step(&s, RestoreStep::Cutover, &vec![]), StepState::Lost { .. }));
        }
    }

    #[test]
    fn the_list_of_live_ids_is_remembered_beyond_its_report() {
        let mut s = status("live-ids");
        let list = LiveList { key: "k".into(), sha256: "ab".into(), bytes: 5, ids: 7, at: now() };
        end(&mut s, Outcome::Succeeded(Done::Listed(list.clone())));
        assert_eq!(step(&s, RestoreStep::LiveIds, &vec![]), StepState::Succeeded(Done::Listed(list)));
    }

    #[test]
    fn a_running_job_stays_open() {
        let mut s = status("export");
        assert!(record_endings(&mut s, &[("j".into(), Ending::Running)], now()).is_empty());
        assert_eq!(step(&s, RestoreStep::Export, &vec![]), StepState::Running { attempt: 2 });
        assert_eq!(step(&s, RestoreStep::Prepare, &vec![]), StepState::None);
    }
}
