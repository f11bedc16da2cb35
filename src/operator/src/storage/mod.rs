//! Controller of BackupStorage: probes the bucket, keeps its lifecycle rules in force, patrols it, and counts its schedules.
//! Deleting a BackupStorage leaves rules and data in the bucket: there is no finalizer.

mod controller;
mod gather;
mod patrol;
mod report;
pub mod validate;

use crate::error::ReconcileError;
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::{FailingSince, pause, requeue_after};
use crate::runtime::telemetry::ReadyLabel;
use crate::runtime::writes::{FieldManager, VerbError, apply_status};
use chrono::{DateTime, TimeDelta, Utc};
pub use controller::StorageController;
use gather::gather;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use sennight_api::conditions::{StorageCondition, is_true, set};
use sennight_api::{BackupStorage, BackupStorageStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The shortest wait for a delayed summary: its time is computed by a clock that may be set.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

impl FailingSince for BackupStorage {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        report::failing_since(self)
    }
}

/// Runs the controller until `stop`.
pub async fn run(
    informer: Informer<BackupStorage>,
    controller: StorageController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    informer.run(Arc::new(controller), shared, stop, reconcile).await;
}

async fn reconcile(storage: Arc<BackupStorage>, controller: Arc<StorageController>) -> Result<Action, ReconcileError> {
    let interval = controller.storage_interval;
    let wait = until_next_probe(&storage, controller.clock.now(), interval);
    if !wait.is_zero() {
        let status = storage.status.clone().unwrap_or_default();
        let delayed = write(&storage, status, &controller).await?;
        return Ok(requeue_after(controller.clock, soonest(wait, delayed, controller.clock.now())));
    }
    let found = gather(&storage, &controller).await;
    let status = report::status(&storage, &found, controller.clock.now());
    let news = report::alarm(&storage, &status);
    let delayed = write(&storage, status, &controller).await?;
    if let Some(alarm) = news {
        let note = alarm.message.unwrap_or_default();
        controller.reconcile_metrics.publish_event(&*storage, EventType::Warning, &alarm.reason, "Patrol", &note).await;
    }
    report::failure(found)?;
    Ok(requeue_after(controller.clock, soonest(interval, delayed, controller.clock.now())))
}

/// Time until the next probe of the bucket; zero is now. A reconcile in between only updates the summary. Otherwise the
/// status that a probe writes would start the next probe.
fn until_next_probe(storage: &BackupStorage, now: DateTime<Utc>, interval: Duration) -> Duration {
    let Some(status) = &storage.status else {
        return Duration::ZERO;
    };
    let Some(last) = status.last_probe_time else {
        return Duration::ZERO;
    };
    if status.observed_generation != storage.metadata.generation {
        return Duration::ZERO;
    }
    let period = match report::failing_since(storage) {
        // The age at the last probe: an age that grew with `now` would postpone the next probe for ever.
        Some(since) => pause(Some(since), last).min(interval),
        None => interval,
    };
    let due = last + TimeDelta::from_std(period).unwrap_or_default();
    (due - now).to_std().unwrap_or_default().min(period)
}

/// Time until the next probe or a delayed summary, whichever comes first.
fn soonest(probe: Duration, delayed: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    delayed.map_or(probe, |at| (at - now).to_std().unwrap_or_default().max(LEAST_PAUSE).min(probe))
}

/// Adds the summary and the condition AuthorityIntact, and writes the status if it changed. Gives the time of a delayed
/// summary.
async fn write(
    storage: &BackupStorage,
    mut status: BackupStorageStatus,
    controller: &StorageController,
) -> Result<Option<DateTime<Utc>>, VerbError> {
    let namespace = storage.namespace().unwrap_or_default();
    let counted = controller.schedules.summary(&namespace, &storage.name_any(), controller.clock.now());
    let (summary, delayed) = report::paced_summary(status.summary.take(), counted);
    status.summary = Some(summary);
    if let Some(intact) = controller.authority.last() {
        let condition = report::authority(&intact).observed(storage.metadata.generation);
        set(&mut status.conditions, condition, controller.clock.now());
    }
    let api = Api::namespaced(controller.client.clone(), &namespace);
    apply_status(&api, FieldManager::Sennight, storage, storage.status.as_ref(), &status).await?;
    count_ready(storage, &status, controller);
    Ok(delayed)
}

fn count_ready(storage: &BackupStorage, status: &BackupStorageStatus, controller: &StorageController) {
    let all = controller.storages.state();
    let ready = all
        .iter()
        .filter(|other| {
            let status = if other.uid() == storage.uid() { Some(status) } else { other.status.as_ref() };
            status.is_some_and(|status| is_true(&status.conditions, StorageCondition::Ready))
        })
        .count();
    for (label, count) in [("True", ready), ("False", all.len() - ready)] {
        let gauge = controller.metrics.storages.get_or_create_owned(&ReadyLabel { ready: label });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage(ready: bool, failing_since: i64, last_probe: i64, observed: i64) -> BackupStorage {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339();
        let status = if ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "n", "generation": 2},
            "spec": {"bucket": "bucket"},
            "status": {"observedGeneration": observed, "lastProbeTime": at(last_probe), "conditions": [
                {"type": "Ready", "status": status, "reason": "R", "lastTransitionTime": at(failing_since)}
            ]}
        }))
        .unwrap()
    }

    #[test]
    fn a_bucket_is_probed_on_every_interval_on_every_change_and_soon_after_a_failure() {
        let cases = [
            ("healthy, just probed", storage(true, 0, 1000, 2), 1001, 599),
            ("healthy, due", storage(true, 0, 1000, 2), 1600, 0),
            ("changed since", storage(true, 0, 1000, 1), 1001, 0),
            ("failed a moment ago", storage(false, 1000, 1000, 2), 1001, 4),
            ("failed a moment ago, due", storage(false, 1000, 1000, 2), 1005, 0),
            ("has failed for a minute", storage(false, 1000, 1060, 2), 1061, 59),
            ("has failed for a minute, due", storage(false, 1000, 1060, 2), 1120, 0),
            ("the clock was set back", storage(true, 0, 9000, 2), 1000, 600),
        ];
        for (case, storage, now, wanted) in cases {
            let now = DateTime::from_timestamp(now, 0).unwrap();
            let wait = until_next_probe(&storage, now, Duration::from_mins(10));
            assert_eq!(wait, Duration::from_secs(wanted), "{case}");
        }
        let mut new = storage(true, 0, 0, 2);
        new.status = None;
        assert_eq!(until_next_probe(&new, Utc::now(), Duration::from_mins(10)), Duration::ZERO);
    }

    #[test]
    fn a_delayed_summary_is_written_at_its_time_and_an_unchanged_one_at_the_next_probe() {
        let now = DateTime::from_timestamp(1000, 0).unwrap();
        let after = |seconds| Some(now + TimeDelta::seconds(seconds));
        let probe = Duration::from_mins(10);
        let cases = [(None, 600), (after(20), 20), (after(900), 600), (after(-5), 1)];
        for (delayed, wanted) in cases {
            assert_eq!(soonest(probe, delayed, now), Duration::from_secs(wanted), "{delayed:?}");
        }
    }
}
