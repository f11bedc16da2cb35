//! The conditions Ready and Fresh of a BackupSchedule: texts, and when a running dump is worth a write. Suspicious is in
//! `alarm`.

use crate::cache::jobs::{JobEntry, Run};
use crate::dispatch::CreationFailure;
use crate::runtime::instrumented::cut;
use chrono::{DateTime, Utc};
use sennight_api::conditions::{ScheduleCondition, find, set};
use sennight_api::{BackupSchedule, BackupScheduleStatus, Condition, ConditionStatus};
use sennight_core::backup::{Freshness, WaitReason};

/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 2000;

/// What Ready says.
pub enum Reported {
    /// What the decision waits for.
    Plan(WaitReason),
    /// Nothing new: most dumps are written once, when they have ended.
    Nothing,
    /// Nothing new, and Fresh does not turn False either, because the dump has only just become due. After an outage every
    /// tenant is late, and a write and an Event for each would be most of the catch-up.
    Shortly,
    /// The Job could not be created.
    CreationFailed(CreationFailure),
}

/// Whether a run with a Job is worth a write before its end. Yes for a manual run, for one that is alone in its Job and takes
/// long, and for a Job that somebody suspended for long. Fifty tenants in one Job would be fifty writes.
pub fn is_worth_a_write(run: &Run, job: &JobEntry, long: bool) -> bool {
    run.run.starts_with("manual-") || long && (job.suspended || job.runs.len() == 1)
}

/// Writes Ready and Fresh into `status`.
pub fn write(
    object: &BackupSchedule,
    status: &mut BackupScheduleStatus,
    reported: &Reported,
    freshness: Freshness,
    now: DateTime<Utc>,
) {
    let generation = object.metadata.generation;
    if let Some(ready) = ready(status, reported) {
        set(&mut status.conditions, ready.observed(generation), now);
    }
    let reason: &'static str = freshness.into();
    let (holds, message) = match freshness {
        Freshness::BackupIsFresh => {
            (ConditionStatus::True, "the newest backup is younger than a slot interval and 2 h")
        }
        Freshness::BackupIsStale => (ConditionStatus::False, "the newest backup is older than a slot interval and 2 h"),
        Freshness::AwaitingFirstBackup => (ConditionStatus::Unknown, "the first dump is still to come"),
        Freshness::NoBackup => (ConditionStatus::False, "there is no backup although one was due"),
        Freshness::Suspended => (ConditionStatus::Unknown, "suspended: backups still expire"),
    };
    let was_fresh = find(&status.conditions, ScheduleCondition::Fresh).is_some_and(Condition::is_true);
    if matches!(reported, Reported::Shortly) && holds == ConditionStatus::False && was_fresh {
        return;
    }
    let fresh = Condition::new(ScheduleCondition::Fresh, holds, reason, message);
    set(&mut status.conditions, fresh.observed(generation), now);
}

/// The condition Ready; `None` leaves it as it is.
fn ready(status: &BackupScheduleStatus, reported: &Reported) -> Option<Condition> {
    if let Some(failure) = &status.last_failure
        && status.consecutive_failures.unwrap_or_default() > 0
    {
        return Some(Condition::new(ScheduleCondition::Ready, false, failure.reason.clone(), failure.message.clone()));
    }
    let why = match reported {
        Reported::Plan(why) => *why,
        Reported::CreationFailed(trouble) => {
            let message = cut(&trouble.message, MESSAGE_LIMIT).to_owned();
            return Some(Condition::new(ScheduleCondition::Ready, false, trouble.reason, message));
        }
        // It was refused, failed or suspended until now, or has no Ready yet.
        Reported::Nothing | Reported::Shortly => match find(&status.conditions, ScheduleCondition::Ready) {
            Some(ready) if ready.is_true() && ready.reason != "Suspended" => return None,
            _ => WaitReason::NotDue,
        },
    };
    let reason: &'static str = why.into();
    let (reason, message) = match why {
        WaitReason::NotDue => ("Scheduled", "the next dump is at status.nextRunTime"),
        WaitReason::Running => ("Dumping", "a dump runs"),
        WaitReason::Suspended => (reason, "spec.suspend is true: no dumps, and the backups still expire"),
        WaitReason::RestoreInProgress => (reason, "a restore has claimed this database; dumps go on after it"),
        WaitReason::BudgetReached => {
            (reason, "due; waiting for its turn (maxConcurrentDumps, --max-dumps, --jobs-per-minute)")
        }
        WaitReason::JobSuspended => {
            (reason, "its Job is suspended, by Kueue or a person; it waits until it is resumed")
        }
        WaitReason::Retrying => (reason, "the last dump failed; it is tried again soon"),
        WaitReason::DeadlineMissed => (reason, "the slot passed startingDeadlineSeconds ago; the next one runs"),
    };
    Some(Condition::new(ScheduleCondition::Ready, true, reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::jobs::JobIndex;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn job(tenants: usize, suspended: bool) -> Arc<JobEntry> {
        let runs: Vec<Value> =
            (0..tenants).map(|n| json!({"schedule": "s", "uid": format!("u{n}"), "run": "r"})).collect();
        let object = json!({
            "metadata": {
                "name": "j", "namespace": "n", "uid": "j",
                "annotations": {"sennight.dev/runs": serde_json::to_string(&runs).unwrap()}
            },
            "spec": {"suspend": suspended, "template": {}}
        });
        let mut index = JobIndex::default();
        index.record(&serde_json::from_value(object).unwrap());
        index.of_schedule("u0").remove(0)
    }

    #[test]
    fn fifty_tenants_of_a_job_that_takes_long_are_not_fifty_writes() {
        let run = |run: &str| Run { schedule: "s".to_owned(), uid: "u0".to_owned(), run: run.to_owned() };
        let slot = run("20261122T020000Z-a1");
        let cases = [
            ("alone, just begun", 1, false, false, false),
            ("alone, for long", 1, false, true, true),
            ("in a batch, for long", 50, false, true, false),
            ("in a batch, suspended just now", 50, true, false, false),
            ("in a batch, suspended for long", 50, true, true, true),
        ];
        for (case, tenants, suspended, long, wanted) in cases {
            assert_eq!(is_worth_a_write(&slot, &job(tenants, suspended), long), wanted, "{case}");
        }
        assert!(is_worth_a_write(&run("manual-now"), &job(50, false), false), "a person waits");
    }

    #[test]
    fn i8_a_tenant_whose_catch_up_is_on_its_way_is_not_told_stale_and_one_that_waits_is() {
        let object: BackupSchedule = serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "s", "namespace": "n"},
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                "database": {"serverRef": {"name": "pg"}, "name": "d"}, "storageRef": {"name": "b"}
            }
        }))
        .unwrap();
        let fresh = |before: Freshness, reported: &Reported, now: Freshness| {
            let mut status = BackupScheduleStatus::default();
            write(&object, &mut status, &Reported::Plan(WaitReason::NotDue), before, Utc::now());
            write(&object, &mut status, reported, now, Utc::now());
            find(&status.conditions, ScheduleCondition::Fresh).unwrap().reason.clone()
        };
        let (good, bad) = (Freshness::BackupIsFresh, Freshness::BackupIsStale);
        assert_eq!(fresh(good, &Reported::Shortly, bad), "BackupIsFresh");
        assert_eq!(fresh(good, &Reported::Plan(WaitReason::BudgetReached), bad), "BackupIsStale");
        assert_eq!(fresh(good, &Reported::Nothing, bad), "BackupIsStale", "its Job takes long");
        assert_eq!(fresh(bad, &Reported::Shortly, good), "BackupIsFresh");
        assert_eq!(fresh(Freshness::AwaitingFirstBackup, &Reported::Shortly, Freshness::NoBackup), "NoBackup");
    }
}
