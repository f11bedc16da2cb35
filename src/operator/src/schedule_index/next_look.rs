//! When a BackupSchedule has to be looked at, told from the object alone: after a restart a fleet that is as it should be
//! costs no request and no write, only its place in the heap. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use sennight_api::BackupSchedule;
use sennight_api::conditions::{ScheduleCondition, find};
use sennight_core::names::stable_hash;

/// Looks that have no hour of their own are spread over so many seconds.
const SPREAD: i64 = 1800;
/// Reasons of a Ready that waits for nothing but its next slot.
const QUIET: [&str; 3] = ["Scheduled", "DeadlineMissed", "Suspended"];

/// When to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextLook {
    /// At once.
    Now,
    /// Then.
    At(DateTime<Utc>),
}

/// When to look at an object that was not known before.
pub fn first(object: &BackupSchedule, now: DateTime<Utc>) -> NextLook {
    if !settled(object) {
        return NextLook::Now;
    }
    let soon = now + TimeDelta::seconds(spread(object));
    let Some(status) = &object.status else { return NextLook::Now };
    let points = &status.backups;
    if object.spec.suspend || points.iter().any(|p| p.suspicious || p.held_until.is_some()) {
        // Its backups still expire, or one is kept: that has its own times, and none of them is a matter of minutes.
        return NextLook::At(soon);
    }
    // Backups that expire before then leave the list with the next run's status.
    status.next_run_time.map_or(NextLook::Now, |next| if next <= now { NextLook::Now } else { NextLook::At(next) })
}

/// Whether the last word about this object was that everything is as it should be.
pub fn settled(object: &BackupSchedule) -> bool {
    let Some(status) = &object.status else { return false };
    let asked = object.spec.trigger.as_ref().and_then(|trigger| trigger.manual.as_deref());
    let quiet = |ready: &sennight_api::Condition| ready.is_true() && QUIET.contains(&ready.reason.as_str());
    object.metadata.deletion_timestamp.is_none()
        && status.observed_generation == object.metadata.generation
        && status.active_job.is_none()
        && status.last_run.as_ref().is_none_or(|run| run.outcome.is_some())
        && (asked.is_none() || asked == status.manual_trigger.as_deref())
        && find(&status.conditions, ScheduleCondition::Ready).is_some_and(quiet)
        && find(&status.conditions, ScheduleCondition::Fresh).is_some()
}

/// Seconds of an object's own, the same ones always.
pub fn spread(object: &BackupSchedule) -> i64 {
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
    fn a_fleet_that_is_as_it_should_be_waits_for_its_next_slot_and_whatever_is_open_is_looked_at() {
        let now = at("2026-11-22T12:00:00Z");
        let next = NextLook::At(at("2026-11-23T02:00:00Z"));
        let cases = [
            ("as it should be", json!({}), next),
            ("due meanwhile", json!({"/status/nextRunTime": "2026-11-22T11:59:59Z"}), NextLook::Now),
            ("never looked at", json!({"/status": null}), NextLook::Now),
            ("edited", json!({"/metadata/generation": 3}), NextLook::Now),
            ("failed", json!({"/status/conditions/0/status": "False"}), NextLook::Now),
            ("held back by a budget", json!({"/status/conditions/0/reason": "BudgetReached"}), NextLook::Now),
            ("no next slot", json!({"/status/nextRunTime": null}), NextLook::Now),
            ("deadline missed", json!({"/status/conditions/0/reason": "DeadlineMissed"}), next),
        ];
        for (case, change, wanted) in cases {
            assert_eq!(first(&object(&change), now), wanted, "{case}");
        }
        let mut dumping = object(&json!({}));
        dumping.status.as_mut().unwrap().active_job = Some("j".to_owned());
        assert_eq!(first(&dumping, now), NextLook::Now);
        let mut asked = object(&json!({}));
        asked.spec.trigger = serde_json::from_value(json!({"manual": "now"})).unwrap();
        assert_eq!(first(&asked, now), NextLook::Now);
        asked.status.as_mut().unwrap().manual_trigger = Some("now".to_owned());
        assert_eq!(first(&asked, now), next);
    }

    #[test]
    fn i8_ten_thousand_suspended_ones_are_not_looked_at_in_one_moment() {
        let now = at("2026-11-22T12:00:00Z");
        let looks: Vec<_> = (0..1000)
            .map(|n| {
                let change = json!({
                    "/spec/suspend": true, "/metadata/uid": format!("u{n}"), "/status/conditions/0/reason": "Suspended",
                    "/status/nextRunTime": null
                });
                match first(&suspended(&change), now) {
                    NextLook::At(at) => (at - now).num_seconds(),
                    NextLook::Now => panic!("at once"),
                }
            })
            .collect();
        assert!(looks.iter().all(|second| (0..SPREAD).contains(second)));
        let most = (0..30).map(|minute| looks.iter().filter(|second| **second / 60 == minute).count()).max();
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
