//! After a request's end: the previous database gets a safety backup, is held for an Undo, and is dropped when its time is
//! over; what a failed restore prepared is dropped at once. Decided by `core::cleanup`; one action in each reconcile.

use super::controller::RestoreController;
use super::gather::ObservedRequest;
use super::history::history;
use super::job_creation::{JobCreation, create_job, record};
use super::job_results::{NewResults, step, surely_not_swapped};
use super::undo::undoing;
use crate::cache::jobs::{JobKind, Places};
use crate::error::ReconcileError;
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use kube::runtime::events::EventType;
use sennight_api::conditions::{RequestCondition, find, set};
use sennight_api::restore_report::{HistoryEntry, JobRecord};
use sennight_api::restore_status::PreviousDatabase;
use sennight_api::{Condition, ConditionStatus, RestoreRequest, RestoreRequestStatus};
use sennight_core::cleanup::{self, CleanupAction, CleanupInputs, CleanupPlan, UndoAvailability};
use sennight_core::names::RestoreStep;
use sennight_core::restore::{self, StepState};

/// Does the one cleanup action that is due; gives the time of the next reconcile.
pub async fn round(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    results: &NewResults,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<Option<DateTime<Utc>>, ReconcileError> {
    let now = controller.clock.now();
    let facts = facts(object, status, results, observed, controller);
    let plan = cleanup::decide(&facts, now);
    let mut wake = plan.wake;
    match &plan.action {
        CleanupAction::Nothing => {}
        CleanupAction::Hold(by) => set_held_by(status, Some(by.clone())),
        CleanupAction::Release => set_held_by(status, None),
        CleanupAction::BeginDropping => {
            if let Some(previous) = &mut status.previous_database {
                previous.dropping_since = Some(now);
            }
        }
        CleanupAction::Start(step, attempt) => {
            let started = start(object, status, *step, *attempt, observed, controller).await?;
            let pause = if started { controller.timing.job_interval } else { std::time::Duration::from_secs(10) };
            wake = Some(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1)));
        }
    }
    report_undo(object, status, &plan, now);
    let running = [&facts.safety_backup, &facts.drop_step].iter().any(|step| matches!(step, StepState::Running { .. }));
    let recheck =
        running.then(|| now + TimeDelta::from_std(controller.timing.job_interval).unwrap_or(TimeDelta::minutes(1)));
    Ok([wake, recheck].into_iter().flatten().min())
}

/// Whether nothing is left on the server that Sennight has to drop for this request.
pub fn nothing_left(status: &RestoreRequestStatus) -> bool {
    match &status.previous_database {
        Some(previous) => {
            let undo = find(&status.conditions, RequestCondition::UndoAvailable);
            previous.dropped_at.is_some() || undo.is_some_and(|c| c.reason == cleanup::UNDONE)
        }
        None => status.dropped_database.is_some() || !prepared_in_vain(status, &Vec::new()),
    }
}

fn facts(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    results: &NewResults,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> CleanupInputs {
    let previous = status.previous_database.as_ref();
    let references = observed.schedule.as_deref().zip(observed.server.as_deref()).zip(observed.storage.as_deref());
    let place_free = observed.server.as_ref().is_none_or(|server| {
        let running =
            controller.jobs.running(JobKind::Dump, &object.namespace().unwrap_or_default(), &server.name_any());
        running.total < i64::from(controller.max_dumps)
            && running.on_server < i64::from(server.spec.max_concurrent_dumps)
    });
    CleanupInputs {
        undo_until: previous.map(|k| k.undo_until),
        undoing: undoing(object, &observed.siblings),
        held_by: previous.and_then(|k| k.held_by.clone()),
        safety_backup_ready: previous
            .and_then(|k| k.safety_backup.as_ref())
            .is_some_and(|s| cleanup::safety_backup_counts(s.expires_at, controller.clock.now())),
        safety_backup: step(status, RestoreStep::SafetyBackup, results),
        dropping: previous.is_some_and(|k| k.dropping_since.is_some()),
        drop_step: step(status, RestoreStep::DropDatabase, results),
        dropped: previous.is_some_and(|k| k.dropped_at.is_some()) || status.dropped_database.is_some(),
        leftover: leftover(status, results),
        reachable: references.is_some_and(|((_, server), _)| server.spec.restore_credentials_secret_ref.is_some()),
        slot_free: place_free,
    }
}

/// Whether a request that is being deleted has prepared something that can still be dropped.
pub fn owes_drop(status: &RestoreRequestStatus, results: &NewResults, observed: &ObservedRequest) -> bool {
    let references = observed.schedule.is_some() && observed.storage.is_some();
    let server = observed.server.as_ref().is_some_and(|server| server.spec.restore_credentials_secret_ref.is_some());
    references
        && server
        && status.previous_database.is_none()
        && status.dropped_database.is_none()
        && prepared_in_vain(status, results)
}

/// Whether a prepared database may exist, and no swap can have made it the live one.
fn leftover(status: &RestoreRequestStatus, results: &NewResults) -> bool {
    // A `prepare` that still runs would create it again; its end brings the next reconcile.
    prepared_in_vain(status, results) && prepare_jobs(status).all(|job| job.outcome.is_some())
}

/// Whether something was or is being prepared, and it is certain that it never became the live database.
fn prepared_in_vain(status: &RestoreRequestStatus, results: &NewResults) -> bool {
    prepare_jobs(status).next().is_some() && surely_not_swapped(status, results)
}

fn prepare_jobs(status: &RestoreRequestStatus) -> impl Iterator<Item = &JobRecord> {
    status.jobs.iter().filter(|job| job.is(RestoreStep::Prepare))
}

fn set_held_by(status: &mut RestoreRequestStatus, by: Option<String>) {
    if let Some(previous) = &mut status.previous_database {
        previous.held_by = by;
    }
}

/// Writes the condition UndoAvailable, and a history entry when its reason changes.
fn report_undo(object: &RestoreRequest, status: &mut RestoreRequestStatus, plan: &CleanupPlan, now: DateTime<Utc>) {
    let Some(previous) = &status.previous_database else { return };
    let holds = match plan.undo {
        UndoAvailability::Available => ConditionStatus::True,
        UndoAvailability::Gone => ConditionStatus::False,
        UndoAvailability::Unknown => ConditionStatus::Unknown,
        UndoAvailability::Never => return,
    };
    let message = message(previous, plan);
    let before = find(&status.conditions, RequestCondition::UndoAvailable);
    let turned = before.is_none_or(|c| c.reason != plan.reason);
    let condition = Condition::new(RequestCondition::UndoAvailable, holds, plan.reason, message.clone());
    set(&mut status.conditions, condition.observed(object.metadata.generation), now);
    if turned {
        let event = format!("UndoAvailable{}", plan.reason);
        let message = Some(crate::runtime::instrumented::cut(&message, 500).to_owned());
        history(status, HistoryEntry { time: now, event, message, by: None });
    }
}

fn message(previous: &PreviousDatabase, plan: &CleanupPlan) -> String {
    let time = |t: DateTime<Utc>| t.format("%Y-%m-%d %H:%M UTC");
    let what = match (plan.undo, previous.dropped_at) {
        (_, Some(at)) => format!("the replaced database {} was dropped at {}", previous.name, time(at)),
        (UndoAvailability::Available, None) => {
            format!("the replaced database is kept as {} at least until {}", previous.name, time(previous.undo_until))
        }
        (_, None) => format!("the replaced database {}", previous.name),
    };
    let safety = previous
        .safety_backup
        .as_ref()
        .filter(|_| plan.undo == UndoAvailability::Gone)
        .map(|s| format!("; its safety backup {} is in the bucket until {}", s.prefix, time(s.expires_at)));
    let note = if plan.note.is_empty() { String::new() } else { format!("; {}", plan.note) };
    format!("{what}{note}{}", safety.unwrap_or_default())
}

/// Creates the step's Job and records it. False: no place was free, or a foreign Job has its name.
async fn start(
    object: &RestoreRequest,
    status: &mut RestoreRequestStatus,
    step: RestoreStep,
    attempt: i32,
    observed: &ObservedRequest,
    controller: &RestoreController,
) -> Result<bool, ReconcileError> {
    let worker = super::step_job::worker(object, status, step, attempt, None, observed, &controller.timing)?;
    let (namespace, server) =
        (worker.namespace.clone(), observed.server.as_ref().map(|s| s.name_any()).unwrap_or_default());
    let here = observed.server.as_ref().map_or(1, |s| i64::from(s.spec.max_concurrent_dumps));
    let limits = Places { total: i64::from(controller.max_dumps), on_server: here };
    if step == RestoreStep::SafetyBackup
        && !controller.jobs.reserve(JobKind::Dump, &namespace, &server, &worker.name, limits)
    {
        return Ok(false);
    }
    match create_job(object, &worker, controller).await? {
        JobCreation::Ours(job) => {
            record(status, &job, step, attempt, controller.clock.now());
            Ok(true)
        }
        JobCreation::Foreign { difference } => {
            let plan = restore::job_name_taken(step, &format!("{namespace}/{}", worker.name), &difference);
            controller
                .reconcile_metrics
                .publish_event(object, EventType::Warning, &plan.reason, "Start", &plan.message)
                .await;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(fields: Value) -> RestoreRequestStatus {
        let mut status = json!({
            "phase": "Failed", "finishedAt": "2026-11-22T03:00:00Z",
            "jobs": [{"name": "p", "step": "prepare", "attempt": 1, "outcome": "Failed"}]
        });
        let Value::Object(fields) = fields else { panic!("not fields") };
        status.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(status).unwrap()
    }

    fn previous(dropped: bool) -> Value {
        let at = dropped.then_some("2026-11-25T03:00:00Z");
        json!({"name": "d__old", "oid": 1, "undoUntil": "2026-11-25T03:00:00Z", "droppedAt": at})
    }

    fn undo(status: &str, reason: &str) -> Value {
        json!([{"type": "UndoAvailable", "status": status, "reason": reason}])
    }

    #[test]
    fn a_request_is_done_only_when_nothing_of_it_is_left_to_drop() {
        let claimed = json!({"attempt": 1, "job": "c", "at": "2026-11-22T03:00:00Z"});
        let swapped = json!([
            {"name": "p", "step": "prepare", "attempt": 1, "outcome": "Succeeded"},
            {"name": "c", "step": "cutover", "attempt": 1, "outcome": "Unknown"}
        ]);
        for (fields, done, why) in [
            (json!({}), false, "prepared in vain and not dropped"),
            (json!({"droppedDatabase": {"at": "2026-11-22T03:10:00Z"}}), true, "dropped"),
            (json!({"jobs": []}), true, "nothing was prepared"),
            (json!({"jobs": [{"name": "p", "step": "prepare", "attempt": 1}]}), false, "still being prepared"),
            (json!({"claim": claimed, "jobs": swapped}), true, "nobody knows: nothing is dropped"),
            (
                json!({"previousDatabase": previous(false), "conditions": undo("True", "Kept")}),
                false,
                "it can be undone",
            ),
            (
                json!({"previousDatabase": previous(false), "conditions": undo("False", "Dropping")}),
                false,
                "its drop failed so far",
            ),
            (
                json!({"previousDatabase": previous(false), "conditions": undo("Unknown", "UndoOutcomeUnknown")}),
                false,
                "a person looks",
            ),
            (
                json!({"previousDatabase": previous(false), "conditions": undo("False", "Undone")}),
                true,
                "the live one again",
            ),
            (json!({"previousDatabase": previous(true), "conditions": undo("False", "Dropped")}), true, "dropped"),
        ] {
            assert_eq!(nothing_left(&status(fields)), done, "{why}");
        }
    }
}
