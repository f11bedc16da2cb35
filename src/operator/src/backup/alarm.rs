//! The shrink alarm and `retention.keepLastGood` of a schedule: applies the rules of `core::alarm` to its backups, in status
//! and in the bucket. Neither ever prevents a dump.

use super::controller::BackupController;
use crate::runtime::instrumented::cut;
use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::events::EventType;
use sennight_api::alarm::Alarm;
use sennight_api::conditions::{ScheduleCondition, set};
use sennight_api::{BackupSchedule, BackupScheduleStatus, BackupStorage, Condition};
use sennight_core::alarm::{self, BackupSize, Keep, Limits, Shrunk};
use sennight_core::retention::expires_at;
use sennight_protocol::backup::BackupRef;
use sennight_storage::{CatalogueError, HeldBackup, HoldError, Store};

/// Longest message that the schema takes.
const MESSAGE_LIMIT: usize = 2000;
/// When a hold or release that failed is tried again.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Why the last good backup could not be held or released.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Open(#[from] crate::cache::storage_clients::OpenError),
    #[error(transparent)]
    Backup(#[from] CatalogueError),
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error(transparent)]
    Name(#[from] sennight_core::names::NameError),
}

impl KeepError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Open(error) => error.reason(),
            Self::Backup(error) => error.reason(),
            Self::Hold(error) => error.reason(),
            Self::Name(_) => "BadName",
        }
    }
}

fn sizes(status: &BackupScheduleStatus) -> Vec<BackupSize> {
    let backup = |p: &sennight_api::backup_schedule::Backup| BackupSize {
        id: p.id.clone(),
        snapshot_time: p.snapshot_time,
        rows: p.rows,
        tables: p.tables,
        expires: p.expires_at,
        held_until: p.held_until,
    };
    status.backups.iter().map(backup).collect()
}

fn limits(spec: &Alarm) -> Limits {
    Limits { rows_percent: spec.rows_percent, tables_percent: spec.tables_percent, accepted: spec.accept.clone() }
}

/// Marks the suspicious backups in status. Gives a verdict for each backup, in the order of the list.
pub fn mark_suspicious(spec: &Alarm, status: &mut BackupScheduleStatus) -> Vec<Option<Shrunk>> {
    let verdicts = alarm::judge(&sizes(status), &limits(spec));
    for (backup, verdict) in status.backups.iter_mut().zip(&verdicts) {
        backup.suspicious = verdict.is_some();
    }
    verdicts
}

/// Writes the condition Suspicious, once there is a backup.
pub fn condition(object: &BackupSchedule, status: &mut BackupScheduleStatus, now: DateTime<Utc>) {
    let verdicts = alarm::judge(&sizes(status), &limits(&object.spec.alarm));
    let condition = match verdicts.first() {
        None => return,
        Some(None) => {
            let message = "the newest backup is not much smaller than the last good one before it";
            Condition::new(ScheduleCondition::Suspicious, false, "NothingUnusual", message)
        }
        Some(Some(shrunk)) => {
            let message = shrunk.to_string();
            Condition::new(ScheduleCondition::Suspicious, true, shrunk.reason(), cut(&message, MESSAGE_LIMIT))
        }
    };
    set(&mut status.conditions, condition.observed(object.metadata.generation), now);
}

/// When the last good backup has to be held or released next; `None` if never.
pub fn wake(spec: &Alarm, status: &BackupScheduleStatus, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let backups = sizes(status);
    let wake = alarm::keep_wake(&backups, &alarm::judge(&backups, &limits(spec)))?;
    // A time that has passed was tried in this reconcile.
    Some(if wake <= now { now + RETRY_AFTER } else { wake })
}

/// Holds the last good backup before it expires, and releases it when it is not needed. A failure becomes an Event and is
/// tried again.
pub async fn keep_last_good(
    object: &BackupSchedule,
    storage: &BackupStorage,
    held: &[String],
    verdicts: &[Option<Shrunk>],
    status: &mut BackupScheduleStatus,
    controller: &BackupController,
) {
    let steps = alarm::keep(&sizes(status), verdicts, storage.spec.retention.keep_last_good, controller.clock.now());
    for step in steps {
        if let Err(error) = apply(&step, storage, held, status, controller).await {
            let note = format!("the last good backup could not be kept or let go, it is tried again: {error}");
            controller
                .reconcile_metrics
                .publish_event(object, EventType::Warning, error.reason(), "KeepLastGood", &note)
                .await;
        }
    }
}

async fn apply(
    step: &Keep,
    storage: &BackupStorage,
    held: &[String],
    status: &mut BackupScheduleStatus,
    controller: &BackupController,
) -> Result<(), KeepError> {
    let (Keep::Hold { id, .. } | Keep::Release { id }) = step;
    let Some(listed) = status.backups.iter_mut().find(|listed| listed.id == *id) else { return Ok(()) };
    let backup = BackupRef {
        prefix: listed.prefix.clone().unwrap_or_default(),
        id: listed.id.parse()?,
        manifest_sha256: Some(listed.manifest_sha256.clone()),
    };
    let store = controller.stores.open(storage).await?;
    match step {
        Keep::Hold { until, .. } => {
            let held = hold(&store, &backup, storage.spec.retention.days, *until, controller.clock.now()).await?;
            listed.prefix = Some(held.backup.prefix);
            listed.held_until = Some(*until);
        }
        Keep::Release { .. } => {
            // A RestoreRequest that holds it too releases it at its own end.
            if !held.contains(id) {
                release(&store, &backup).await?;
            }
            listed.held_until = None;
        }
    }
    Ok(())
}

async fn hold(
    store: &Store,
    backup: &BackupRef,
    days: i32,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<HeldBackup, KeepError> {
    let open = store.open(backup, None).await?;
    let expires = expires_at(open.manifest.started_at, days);
    Ok(store.hold(&open, expires, until, now).await?)
}

async fn release(store: &Store, backup: &BackupRef) -> Result<(), KeepError> {
    match store.open(backup, None).await {
        Ok(open) => Ok(store.release(&open).await?),
        // Gone already.
        Err(CatalogueError::BackupGone { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_api::conditions::find;
    use serde_json::json;

    fn status(rows: &[i64]) -> BackupScheduleStatus {
        let backup = |(day, rows): (usize, &i64)| {
            let day = day + 1;
            json!({
                "id": format!("202611{day:02}T020000Z-0000000a"), "day": format!("2026-11-{day:02}"), "bytes": 1,
                "snapshotTime": format!("2026-11-{day:02}T02:00:00Z"), "rows": rows, "tables": 3, "manifestSha256": "x"
            })
        };
        let backups: Vec<_> = rows.iter().enumerate().map(backup).rev().collect();
        serde_json::from_value(json!({"backups": backups})).unwrap()
    }

    fn schedule(alarm: &serde_json::Value) -> BackupSchedule {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupSchedule", "metadata": {"name": "s", "namespace": "n"},
            "spec": {
                "tenant": {"id": "t", "owner": "1", "plan": {"name": "free"}}, "alarm": alarm,
                "database": {"serverRef": {"name": "s"}, "name": "d"}, "storageRef": {"name": "b"}
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_shrunk_backup_is_marked_and_reported_with_the_way_out_and_one_that_was_accepted_is_not() {
        for (alarm, marked, reason) in [
            (json!({}), true, "RowsFell"),
            (json!({"rowsPercent": 95}), false, "NothingUnusual"),
            (json!({"accept": "20261102T020000Z-0000000a"}), false, "NothingUnusual"),
        ] {
            let schedule = schedule(&alarm);
            let mut status = status(&[1000, 100]);
            mark_suspicious(&schedule.spec.alarm, &mut status);
            condition(&schedule, &mut status, Utc::now());
            let marks: Vec<bool> = status.backups.iter().map(|p| p.suspicious).collect();
            let said = find(&status.conditions, ScheduleCondition::Suspicious).unwrap();
            assert_eq!((marks, said.reason.as_str()), (vec![marked, false], reason), "{alarm}");
            let message = said.message.clone().unwrap();
            assert_eq!(message.contains("spec.alarm.accept to 20261102T020000Z-0000000a"), marked, "{message}");
        }
    }
}
