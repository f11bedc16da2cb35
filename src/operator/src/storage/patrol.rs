//! Patrol of a BackupStorage: a walk through all its backups that finds or sweeps what should be gone. Decides when it is due,
//! its orders, and which backups are needed beyond their retention. Each reconcile does a bounded part.

use super::controller::StorageController;
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use sennight_api::backup_storage::LifecycleMode;
use sennight_api::convert::created;
use sennight_api::{BackupStorage, RestoreRequest};
use sennight_core::capabilities::Capabilities;
use sennight_core::retention::patrol::{BackupDir, Enforcer, Need, Orders};
use sennight_storage::{Store, StoreError, Tally, Walk};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Pages (of a thousand objects) that one reconcile walks.
const PAGES: usize = 1000;
/// Time that one reconcile walks: it must not delay the storage's status for long.
const PIECE: Duration = Duration::from_mins(1);
/// How long after its creation a BackupStorage releases no orphaned holds. In a cluster that is being rebuilt, the schedules
/// and requests that need them may not exist yet.
const GRACE: TimeDelta = TimeDelta::days(1);

/// Who removes expired backups: the bucket's lifecycle rules, or the operator.
pub fn enforcer(mode: LifecycleMode, capabilities: Capabilities) -> Enforcer {
    match mode {
        LifecycleMode::Sweep => Enforcer::Operator,
        LifecycleMode::Merge if !capabilities.lifecycle => Enforcer::Operator,
        LifecycleMode::Merge | LifecycleMode::Observe => Enforcer::Rules,
    }
}

/// Continues the walk under way, or begins one if it is due. `None` while it goes on or none is due.
pub async fn continue_walk(
    storage: &BackupStorage,
    controller: &StorageController,
    store: &Store,
) -> Option<Result<Tally, StoreError>> {
    let (uid, generation, now) =
        (storage.uid().unwrap_or_default(), storage.metadata.generation, controller.clock.now());
    let orders = orders(storage, store.capabilities(), now);
    // A walk that began for another spec has other orders, and is dropped.
    let under_way = controller.patrols.take(&uid).filter(|(of, _)| *of == generation);
    let mut walk = match under_way {
        Some((_, walk)) => walk,
        None if due(storage, now, controller.patrol_interval) => Walk::new(&orders),
        None => return None,
    };
    let needs = needs(storage, controller);
    let need = |dir: &BackupDir| needs.of(dir);
    let abort = storage.spec.lifecycle.mode != LifecycleMode::Observe;
    let piece = store.patrol(&orders, &need, abort, &mut walk, PAGES);
    let ended = tokio::time::timeout(PIECE, piece).await;
    match ended {
        Ok(Ok(true)) => Some(Ok(walk.tally().clone())),
        Ok(Ok(false)) | Err(_) => {
            controller.patrols.put_back(uid, generation, walk);
            None
        }
        Ok(Err(error)) => {
            controller.patrols.put_back(uid, generation, walk);
            Some(Err(error))
        }
    }
}

fn orders(storage: &BackupStorage, capabilities: Capabilities, now: DateTime<Utc>) -> Orders {
    let created = created(&storage.metadata);
    Orders {
        days: storage.spec.retention.days,
        enforcer: enforcer(storage.spec.lifecycle.mode, capabilities),
        release: storage.spec.lifecycle.mode != LifecycleMode::Observe
            && created.is_some_and(|created| created + GRACE <= now),
        now,
    }
}

fn due(storage: &BackupStorage, now: DateTime<Utc>, interval: Duration) -> bool {
    // A new storage first writes whether it is ready; the walk begins at its second reconcile.
    let Some(status) = storage.status.as_ref().filter(|status| status.last_probe_time.is_some()) else { return false };
    let last = status.patrol.as_ref().map(|patrol| patrol.time);
    let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::hours(1));
    // A clock that was set back must not stop the patrols.
    last.is_none_or(|last| now - last >= interval || last > now)
}

/// Backups that are needed beyond their retention, by schedule and id, all of one namespace.
struct Needs {
    namespace: String,
    backups: HashMap<(String, String), Need>,
}

impl Needs {
    fn of(&self, dir: &BackupDir) -> Need {
        if dir.namespace != self.namespace {
            return Need::NOBODY;
        }
        self.backups.get(&(dir.schedule.clone(), dir.id.to_string())).copied().unwrap_or_default()
    }
}

fn needs(storage: &BackupStorage, controller: &StorageController) -> Needs {
    let namespace = storage.namespace().unwrap_or_default();
    let holds = controller.schedules.last_good_holds(&namespace);
    let requests = controller.requests.state_filter(|r| r.metadata.namespace.as_ref() == Some(&namespace));
    Needs { backups: needed(holds, &requests), namespace }
}

/// `holds`: schedule, id and end of the hold of the backups that `keepLastGood` holds.
fn needed(
    holds: Vec<(String, String, DateTime<Utc>)>,
    requests: &[Arc<RestoreRequest>],
) -> HashMap<(String, String), Need> {
    let mut backups: HashMap<_, Need> = HashMap::new();
    for (schedule, id, until) in holds {
        backups.entry((schedule, id)).or_default().last_good = Some(until);
    }
    for request in requests {
        let Some(status) = request.status.as_ref().filter(|status| status.finished_at.is_none()) else { continue };
        if let Some(point) = &status.backup {
            let key = (request.spec.schedule_ref.name.clone(), point.id.clone());
            backups.entry(key).or_default().request = true;
        }
    }
    backups
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage(mode: &str, patrolled: Option<i64>) -> BackupStorage {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339();
        let patrol = patrolled.map(|time| json!({"time": at(time), "backups": 0}));
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "n", "creationTimestamp": at(1000)},
            "spec": {"bucket": "bucket", "lifecycle": {"mode": mode}}, "status": {"lastProbeTime": at(0), "patrol": patrol}
        }))
        .unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_operator_sweeps_where_it_is_told_to_and_where_the_store_has_no_rules() {
        let with = Capabilities::default();
        let without = Capabilities { lifecycle: false, ..with };
        for (mode, capabilities, wanted) in [
            ("Merge", with, Enforcer::Rules),
            ("Merge", without, Enforcer::Operator),
            ("Observe", with, Enforcer::Rules),
            ("Observe", without, Enforcer::Rules),
            ("Sweep", with, Enforcer::Operator),
            ("Sweep", without, Enforcer::Operator),
        ] {
            let orders = orders(&storage(mode, None), capabilities, at(1000));
            assert_eq!((orders.enforcer, orders.days), (wanted, 7), "{mode} {capabilities:?}");
        }
    }

    #[test]
    fn i5_no_hold_is_given_up_in_a_cluster_that_was_set_up_today_or_where_rules_are_only_observed() {
        let release = |mode, now| orders(&storage(mode, None), Capabilities::default(), at(now)).release;
        assert!(!release("Merge", 1000 + 86_399));
        assert!(release("Merge", 1000 + 86_400) && release("Sweep", 1000 + 86_400));
        assert!(!release("Observe", 1000 + 86_400));
    }

    #[test]
    fn a_patrol_is_due_every_interval_also_when_the_clock_was_set_back() {
        let hour = Duration::from_hours(1);
        assert!(due(&storage("Merge", None), at(0), hour));
        let mut new = storage("Merge", None);
        new.status = None;
        assert!(!due(&new, at(0), hour), "whether it is ready comes first");
        assert!(!due(&storage("Merge", Some(0)), at(3599), hour));
        assert!(due(&storage("Merge", Some(0)), at(3600), hour));
        assert!(due(&storage("Merge", Some(9000)), at(3600), hour));
    }

    #[test]
    fn i5_open_requests_and_last_good_backups_are_needed_and_ended_ones_are_not() {
        let request = |name: &str, id: &str, ended: bool| -> Arc<RestoreRequest> {
            let point = json!({
                "id": id, "prefix": "p/", "day": "2026-11-22", "snapshotTime": at(0).to_rfc3339(), "bytes": 1, "rows": 1,
                "manifestSha256": "x"
            });
            let ended = ended.then(|| at(5).to_rfc3339());
            Arc::new(
                serde_json::from_value(json!({
                    "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest", "metadata": {"name": name},
                    "spec": {
                        "scheduleRef": {"name": "acme"}, "mode": "CrmExport", "date": "2026-11-22",
                        "requester": {"userId": "1"}, "ticket": {"id": "1"}, "reason": "r"
                    },
                    "status": {"backup": point, "finishedAt": ended}
                }))
                .unwrap(),
            )
        };
        let backups = needed(vec![], &[request("a", "one", false), request("b", "two", true)]);
        let key = |id: &str| ("acme".to_owned(), id.to_owned());
        assert_eq!(backups.get(&key("one")), Some(&Need { request: true, last_good: None }));
        assert_eq!(backups.get(&key("two")), None);
    }
}
