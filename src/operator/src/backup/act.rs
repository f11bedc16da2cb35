//! Queues a schedule's dump, and records a Job's run in status. When a Job is created is in `dispatch`.

use super::controller::BackupController;
use crate::cache::jobs::{JobEntry, Run};
use crate::cache::schedule_index::timetable;
use crate::dispatch::{DumpOrder, QueuedDump};
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sennight_api::backup_schedule::LastRun;
use sennight_api::{BackupSchedule, BackupScheduleStatus};
use sennight_core::backup::RunKey;
use sennight_core::batch::{BatchSharing, DueDump, Group, Priority};

/// The group whose dumps a schedule can share a Job with; `None` while its server is missing.
pub fn group(object: &BackupSchedule, controller: &BackupController) -> Option<Group> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let server = controller.servers.get(&ObjectRef::new(&spec.database.server_ref.name).within(&namespace))?;
    let secret = spec.database.credentials_secret_ref.as_ref().unwrap_or(&server.spec.dump_credentials_secret_ref);
    Some(Group {
        namespace,
        storage: spec.storage_ref.name.clone(),
        server: spec.database.server_ref.name.clone(),
        secret: secret.name.clone(),
    })
}

/// Queues a run that is due since `since`. `None` if its server has just been deleted.
pub fn enqueue(
    object: &BackupSchedule,
    key: &RunKey,
    since: DateTime<Utc>,
    status: &BackupScheduleStatus,
    controller: &BackupController,
) -> Option<QueuedDump> {
    let now = controller.clock.now();
    let bytes = status.backups.first().map(|backup| backup.bytes);
    let failed = status.last_failure.as_ref().map(|failure| failure.reason.as_str());
    let due = DueDump {
        schedule: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        run: key.clone(),
        priority: Priority::of(key, since, now),
        since,
        queued: now,
        bytes,
        sharing: BatchSharing::of(bytes, key, failed),
    };
    let spec = &object.spec;
    let order = DumpOrder {
        generation: object.metadata.generation,
        tenant: spec.tenant.id.clone(),
        database: spec.database.name.clone(),
        time_zone: spec.time_zone.clone(),
        allow_non_transactional: spec.database.allow_non_transactional,
        recorded: status.last_run.as_ref().and_then(|run| run.started_at),
    };
    Some(controller.dispatch.enqueue(&group(object, controller)?, due, order))
}

/// Writes a Job's run into status as begun, without an outcome.
pub fn record(object: &BackupSchedule, status: &mut BackupScheduleStatus, run: &Run, job: &JobEntry) {
    let Ok(key) = run.run.parse::<RunKey>() else { return };
    let (slot, attempt) = match &key {
        RunKey::Slot { slot, attempt } => (Some(*slot), *attempt),
        RunKey::Manual(token) => {
            status.manual_trigger = Some(token.clone());
            // A manual run does not count for a day: the slot that ran last stays known.
            (status.last_run.as_ref().and_then(|run| run.slot), 1)
        }
    };
    let schedule = timetable(object).ok();
    status.active_job = Some(job.name.clone());
    status.last_run = Some(LastRun {
        key: key.to_string(),
        day: slot.zip(schedule).map(|(slot, schedule)| schedule.day(slot)),
        slot,
        job: job.name.clone(),
        job_uid: Some(job.uid.clone()),
        attempt: Some(attempt),
        started_at: job.decided.or(job.created),
        finished_at: None,
        outcome: None,
        retryable: None,
    });
}

/// Whether what was due at `since` may have run while this process did not watch. Then the bucket is asked before it runs
/// again.
pub fn may_have_run_unseen(object: &BackupSchedule, since: DateTime<Utc>, controller: &BackupController) -> bool {
    let job_lifetime = TimeDelta::from_std(controller.job_ttl / 2).unwrap_or(TimeDelta::minutes(30));
    let known = controller.dispatch.is_pending(&object.uid().unwrap_or_default());
    !known && (since < controller.dispatch.watching_since() || controller.clock.now() - since > job_lifetime)
}
