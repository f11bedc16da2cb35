//! What a request has left on its server: a previous database, or what was prepared in vain. By status alone.

use super::job_results::{NewResults, surely_not_swapped};
use super::references::References;
use sennight_api::RestoreRequestStatus;
use sennight_api::conditions::{RequestCondition, find};
use sennight_api::restore_report::JobRecord;
use sennight_core::cleanup;
use sennight_core::names::RestoreStep;

/// Whether nothing is left on the server that Sennight has to drop for this request.
pub fn nothing_left(status: &RestoreRequestStatus) -> bool {
    match status.replaced_database() {
        Some(previous) => {
            let undo = find(&status.conditions, RequestCondition::UndoAvailable);
            previous.dropped_at.is_some() || undo.is_some_and(|c| c.reason == cleanup::UNDONE)
        }
        None => status.dropped_database.is_some() || !prepared_in_vain(status, &Vec::new()),
    }
}

/// Whether a request that is being deleted has prepared something that can still be dropped.
pub fn owes_drop(status: &RestoreRequestStatus, results: &NewResults, references: &References) -> bool {
    references.reachable()
        && status.replaced_database().is_none()
        && status.dropped_database.is_none()
        && prepared_in_vain(status, results)
}

/// Whether a prepared database may exist, and no swap can have made it the live one.
pub fn leftover(status: &RestoreRequestStatus) -> bool {
    // A `prepare` that still runs would create it again; its end brings the next reconcile.
    prepared_in_vain(status, &Vec::new()) && prepare_jobs(status).all(|job| job.outcome.is_some())
}

/// Whether something was or is being prepared, and it is certain that it never became the live database.
fn prepared_in_vain(status: &RestoreRequestStatus, results: &NewResults) -> bool {
    prepare_jobs(status).next().is_some() && surely_not_swapped(status, results)
}

fn prepare_jobs(status: &RestoreRequestStatus) -> impl Iterator<Item = &JobRecord> {
    status.jobs.iter().filter(|job| job.is(RestoreStep::Prepare))
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
