//! Sets the gauges of schedules, queues and drills from the caches every [`PERIOD`]. No reconcile keeps a running count, so
//! a crash cannot leave a wrong one.

use crate::cache::jobs::{JobKind, Jobs};
use crate::cache::schedule_index::ScheduleIndex;
use crate::dispatch::Dispatch;
use crate::runtime::clock::Clock;
use crate::runtime::telemetry::{AgeLabel, FreshLabel, Metrics, OverdueLabel};
use crate::server::drill_status::{NO_PLACE, OVERDUE, failing};
use chrono::{DateTime, Utc};
use kube::runtime::reflector::Store;
use sennight_api::conditions::{RequestCondition, ServerCondition, find, is_true};
use sennight_api::restore_status::WaitingOn;
use sennight_api::{BackupStorage, ConditionStatus, DatabaseServer, DatabaseServerStatus, RestoreRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two counts. Scrapes are rarely more frequent.
const PERIOD: Duration = Duration::from_secs(15);

/// What is counted, and where the counts go.
pub struct Gauges {
    /// The gauges.
    pub metrics: Metrics,
    /// The operator's clock.
    pub clock: Clock,
    /// `--max-dumps`.
    pub max_dumps: i32,
    /// Dumps that wait for a Job.
    pub dispatch: Dispatch,
    /// Jobs that run.
    pub jobs: Jobs,
    /// All schedules.
    pub schedules: ScheduleIndex,
    /// All BackupStorages.
    pub storages: Store<BackupStorage>,
    /// All DatabaseServers.
    pub servers: Store<DatabaseServer>,
    /// All RestoreRequests.
    pub requests: Store<RestoreRequest>,
}

impl Gauges {
    /// Counts until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            schedules(&self.schedules, &self.metrics, self.clock.now());
            self.metrics.dumps_limit.set(self.max_dumps.into());
            overdue(&self.storages.state(), &self.metrics);
            queue(&self.requests.state(), &self.metrics);
            self.metrics.dumps_waiting.set(count(self.dispatch.depth().0.iter().sum()));
            drills(&self.servers.state(), &self.metrics, self.clock.now());
            self.metrics.dumps_running.set(self.jobs.running(JobKind::Dump, "", "").total);
            self.metrics.restores_running.set(self.jobs.running(JobKind::Restore, "", "").total);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }
}

fn schedules(schedules: &ScheduleIndex, metrics: &Metrics, now: DateTime<Utc>) {
    let (mut fresh, mut suspicious, mut bytes) = ([0; 3], 0, 0);
    schedules.each(|entry| {
        fresh[entry.fresh as usize] += 1;
        suspicious += i64::from(entry.suspicious);
        bytes += entry.bytes;
    });
    for (label, status) in
        [("True", ConditionStatus::True), ("False", ConditionStatus::False), ("Unknown", ConditionStatus::Unknown)]
    {
        metrics.schedules.get_or_create_owned(&FreshLabel { fresh: label }).set(fresh[status as usize]);
    }
    metrics.suspicious.set(suspicious);
    metrics.stored_bytes.set(bytes);
    let ages = schedules.ages(now);
    for (age, number) in ages.labelled() {
        metrics.backup_ages.get_or_create_owned(&AgeLabel { age }).set(number);
    }
    metrics.oldest_backup.set(ages.oldest.unwrap_or_default().num_seconds());
    metrics.slots_due.set(ages.due);
    metrics.slot_lag.set(ages.lag.unwrap_or_default().num_seconds());
    metrics.failing.set(ages.failing);
}

/// What the storages' last patrols found.
fn overdue(storages: &[Arc<BackupStorage>], metrics: &Metrics) {
    let (mut backups, mut holds, mut uploads) = (0, 0, 0);
    for patrol in storages.iter().filter_map(|storage| storage.status.as_ref()?.patrol.as_ref()) {
        backups += i64::from(patrol.overdue_backups);
        holds += i64::from(patrol.orphaned_holds);
        uploads += i64::from(patrol.orphaned_uploads);
    }
    for (what, number) in [("backup", backups), ("hold", holds), ("upload", uploads)] {
        metrics.overdue.get_or_create_owned(&OverdueLabel { what }).set(number);
    }
}

fn queue(requests: &[Arc<RestoreRequest>], metrics: &Metrics) {
    let queued = |request: &&Arc<RestoreRequest>| {
        request.status.as_ref().is_some_and(|status| status.waiting_on == Some(WaitingOn::Queue))
    };
    metrics.restores_waiting.set(count(requests.iter().filter(queued).count()));
    let owed = |request: &&Arc<RestoreRequest>| {
        request.status.as_ref().is_some_and(|status| is_true(&status.conditions, RequestCondition::RefundDue))
    };
    metrics.refunds_due.set(count(requests.iter().filter(owed).count()));
}

fn drills(servers: &[Arc<DatabaseServer>], metrics: &Metrics, now: DateTime<Utc>) {
    let statuses = || servers.iter().filter_map(|server| server.status.as_ref());
    let drills = || statuses().filter_map(|status| status.drill.as_ref());
    metrics.drills_failing.set(count(drills().map(|drill| failing(&drill.last).len()).sum()));
    let oldest = drills().filter_map(|drill| drill.oldest_proof).min();
    metrics.oldest_proof.set(oldest.map_or(0, |at| (now - at).num_seconds().max(0)));
    let stalled = |status: &&DatabaseServerStatus| {
        let proven = find(&status.conditions, ServerCondition::BackupsProven);
        proven.is_some_and(|c| [NO_PLACE, OVERDUE].contains(&c.reason.as_str()))
    };
    metrics.drills_stalled.set(count(statuses().filter(stalled).count()));
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use sennight_api::BackupSchedule;
    use serde_json::json;

    #[test]
    fn drills_that_fail_or_do_not_keep_up_are_counted() {
        let server = |reason: &str, oldest: Option<&str>| {
            let object = json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "s", "namespace": "n"},
                "spec": {"engine": "PostgreSQL", "host": "db", "dumpCredentialsSecretRef": {"name": "d"}},
                "status": {
                    "conditions": [{"type": "BackupsProven", "status": "False", "reason": reason}],
                    "drill": {"oldestProof": oldest, "last": [{
                        "schedule": "a", "backup": "c", "job": "j", "startedAt": "2026-11-22T00:00:00Z", "proven": false
                    }]}
                }
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let (metrics, _) = Metrics::new();
        let at = "2026-11-23T00:00:00Z".parse().unwrap();
        let servers = [
            server("DrillFailed", Some("2026-11-22T23:59:00Z")),
            server("ProofOverdue", Some("2026-11-22T23:00:00Z")),
            server("NoScratchServer", None),
        ];
        drills(&servers, &metrics, at);
        let counted = (metrics.drills_failing.get(), metrics.drills_stalled.get(), metrics.oldest_proof.get());
        assert_eq!(counted, (3, 2, 3600));
        drills(&[], &metrics, at);
        assert_eq!((metrics.drills_stalled.get(), metrics.oldest_proof.get()), (0, 0));
    }

    #[test]
    fn schedules_are_counted_by_what_conditions_say() {
        let schedule = |name: &str, fresh: &str, ready: &str, bytes: i64| -> BackupSchedule {
            let backup = json!({
                "id": "a", "day": "2026-11-22", "snapshotTime": "2026-11-22T00:00:00Z", "bytes": bytes, "rows": 1,
                "manifestSha256": "x"
            });
            let object = json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule",
                "metadata": {"name": name, "namespace": "n"},
                "spec": {
                    "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}},
                    "database": {"serverRef": {"name": "s"}, "name": "d"}, "storageRef": {"name": "b"}
                },
                "status": {
                    "backups": [backup],
                    "conditions": [
                        {"type": "Fresh", "status": fresh, "reason": "R"},
                        {"type": "Ready", "status": "True", "reason": ready}
                    ]
                }
            });
            serde_json::from_value(object).unwrap()
        };
        let (metrics, registry) = Metrics::new();
        let all = ScheduleIndex::default();
        for object in [
            schedule("a", "True", "Scheduled", 5),
            schedule("b", "True", "BudgetReached", 7),
            schedule("c", "False", "BudgetReached", 1),
        ] {
            all.put(&object, 0, 1);
        }
        schedules(&all, &metrics, "2026-11-23T00:00:00Z".parse().unwrap());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "sennight_schedules{fresh=\"True\"} 2",
            "sennight_schedules{fresh=\"False\"} 1",
            "sennight_schedules{fresh=\"Unknown\"} 0",
            "sennight_stored_bytes 13",
            "sennight_schedules_by_backup_age{age=\"none\"} 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
