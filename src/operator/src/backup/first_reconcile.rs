//! When a BackupSchedule that the watch brings for the first time has to be reconciled, by the object alone. So after a
//! restart a schedule with nothing open costs no request, only a place in the delay queue. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::BackupSchedule;
use sennight_api::conditions::{ScheduleCondition, find};
use sennight_core::names::stable_hash;

/// Reconciles without a time of their own are spread over this many seconds.
const SPREAD: i64 = 1800;
/// Reasons of Ready while a schedule waits for nothing but its next slot.
const IDLE_REASONS: [&str; 3] = ["Scheduled", "DeadlineMissed", "Suspended"];

/// When the first reconcile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstReconcile {
    /// Immediately.
    Now,
    /// At this time.
    At(DateTime<Utc>),
}

/// When to reconcile an object that was not known before.
pub fn first_reconcile(object: &BackupSchedule, now: DateTime<Utc>) -> FirstReconcile {
    if !is_idle(object) {
        return FirstReconcile::Now;
    }
    let soon = now + TimeDelta::seconds(spread_seconds(object));
    let Some(status) = &object.status else { return FirstReconcile::Now };
    let backups = &status.backups;
    if object.spec.suspend || backups.iter().any(|p| p.suspicious || p.held_until.is_some()) {
        // Its backups still expire, or one is held. None of that is a matter of minutes.
        return FirstReconcile::At(soon);
    }
    // Backups that expire before then leave the list with the next run's status.
    status
        .next_run_time
        .map_or(FirstReconcile::Now, |next| if next <= now { FirstReconcile::Now } else { FirstReconcile::At(next) })
}

/// Whether status says that nothing is open: no run, no unanswered trigger, no unseen edit, no failure.
pub fn is_idle(object: &BackupSchedule) -> bool {
    let Some(status) = &object.status else { return false };
    let asked = object.spec.trigger.as_ref().and_then(|trigger| trigger.manual.as_deref());
    let quiet = |ready: &sennight_api::Condition| ready.is_true() && IDLE_REASONS.contains(&ready.reason.as_str());
    object.metadata.deletion_timestamp.is_none()
        && status.observed_generation == object.metadata.generation
        && status.active_job.is_none()
        && status.last_run.as_ref().is_none_or(|run| run.outcome.is_some())
        && (asked.is_none() || asked == status.manual_trigger.as_deref())
        && find(&status.conditions, ScheduleCondition::Ready).is_some_and(quiet)
        && find(&status.conditions, ScheduleCondition::Fresh).is_some()
}

/// A number of seconds below [`SPREAD`] that follows from the object's UID.
pub fn spread_seconds(object: &BackupSchedule) -> i64 {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    i64::from_str_radix(&stable_hash(&["look", uid], 8), 16).unwrap_or_default() % SPREAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn object(change: &Value) -> BackupSchedule {
        let mut object = json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 2},
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                "database": {"serverRef": {"name": "s"}, "name": "d"}, "storageRef": {"name": "b"}
            },
            "status": {
                "observedGeneration": 2, "nextRunTime": "2026-11-23T02:00:00Z",
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Scheduled"},
                    {"type": "Fresh", "status": "True", "reason": "BackupIsFresh"}
                ]
            }
        });
        for (pointer, value) in change.as_object().unwrap() {
            *object.pointer_mut(pointer).unwrap() = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_idle_schedule_waits_for_its_next_slot_and_one_with_something_open_is_reconciled_at_once() {
        let now = at("2026-11-22T12:00:00Z");
        let next = FirstReconcile::At(at("2026-11-23T02:00:00Z"));
        let cases = [
            ("as it should be", json!({}), next),
            ("due meanwhile", json!({"/status/nextRunTime": "2026-11-22T11:59:59Z"}), FirstReconcile::Now),
            ("never reconciled", json!({"/status": null}), FirstReconcile::Now),
            ("edited", json!({"/metadata/generation": 3}), FirstReconcile::Now),
            ("failed", json!({"/status/conditions/0/status": "False"}), FirstReconcile::Now),
            ("held back by a budget", json!({"/status/conditions/0/reason": "BudgetReached"}), FirstReconcile::Now),
            ("no next slot", json!({"/status/nextRunTime": null}), FirstReconcile::Now),
            ("deadline missed", json!({"/status/conditions/0/reason": "DeadlineMissed"}), next),
        ];
        for (case, change, wanted) in cases {
            assert_eq!(first_reconcile(&object(&change), now), wanted, "{case}");
        }
        let mut dumping = object(&json!({}));
        dumping.status.as_mut().unwrap().active_job = Some("j".to_owned());
        assert_eq!(first_reconcile(&dumping, now), FirstReconcile::Now);
        let mut asked = object(&json!({}));
        asked.spec.trigger = serde_json::from_value(json!({"manual": "now"})).unwrap();
        assert_eq!(first_reconcile(&asked, now), FirstReconcile::Now);
        asked.status.as_mut().unwrap().manual_trigger = Some("now".to_owned());
        assert_eq!(first_reconcile(&asked, now), next);
    }

    #[test]
    fn i8_suspended_schedules_are_not_all_reconciled_in_one_moment() {
        let now = at("2026-11-22T12:00:00Z");
        let delays: Vec<_> = (0..1000)
            .map(|n| {
                let change = json!({
                    "/spec/suspend": true, "/metadata/uid": format!("u{n}"), "/status/conditions/0/reason": "Suspended",
                    "/status/nextRunTime": null
                });
                match first_reconcile(&suspended(&change), now) {
                    FirstReconcile::At(at) => (at - now).num_seconds(),
                    FirstReconcile::Now => panic!("at once"),
                }
            })
            .collect();
        assert!(delays.iter().all(|second| (0..SPREAD).contains(second)));
        let most = (0..30).map(|minute| delays.iter().filter(|second| **second / 60 == minute).count()).max();
        assert!(most.unwrap() < 80, "{most:?} of 1,000 in one minute of thirty");
    }

    fn suspended(change: &Value) -> BackupSchedule {
        let mut change = change.clone();
        change.as_object_mut().unwrap().remove("/spec/suspend");
        let mut object = object(&change);
        object.spec.suspend = true;
        object
    }
}
