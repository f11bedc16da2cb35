//! Builds the worker's Job of each restore step: its task, mounts, labels and deadline.

use super::job_results;
use super::references::References;
use crate::error::TaskUnavailable;
use crate::settings::Timing;
use crate::targets;
use crate::worker_job::{Mount, WorkerJob, labels};
use chrono::TimeDelta;
use kube::{Resource, ResourceExt};
use sennight_api::{
    BackupSchedule, BackupStorage, DatabaseServer, ExportProfile as ProfileObject, RestoreRequest, RestoreRequestStatus,
};
use sennight_core::gate::Mode;
use sennight_core::names::{RestoreStep, new_database, previous_database, restore_job};
use sennight_core::profile::ExportProfile;
use sennight_core::restore::start_by;
use sennight_core::result::DatabaseNumber;
use sennight_protocol::backup::{BackupRef, DumpTask, SafetyBackupTask};
use sennight_protocol::cutover::CutoverTask;
use sennight_protocol::drop_database::{DatabaseToDrop, DropDatabaseTask, Mark};
use sennight_protocol::export::{ExportTask, LiveAnswer, LiveEntity, LiveIdsTask};
use sennight_protocol::restore::RestoreTask;
use sennight_protocol::task::Task;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest cut-over in seconds. The swap takes a fraction of a second; a late one must not happen.
const CUTOVER_SECONDS: i64 = 300;

/// Longest `recover-cutover` in seconds: it waits for a lock, then for sessions to end.
const RECOVER_SECONDS: i64 = 600;

/// What a step's Job is built from.
#[derive(Clone, Copy)]
pub struct StepInputs<'a> {
    /// The request.
    pub object: &'a RestoreRequest,
    /// Its status, with what this reconcile has learnt.
    pub status: &'a RestoreRequestStatus,
    /// Schedule, storage and server.
    pub references: &'a References,
    /// The ExportProfile of an export.
    pub profile: Option<&'a ProfileObject>,
    /// The pinned backup.
    pub backup: Option<&'a BackupRef>,
    /// Deadlines of Jobs.
    pub timing: &'a Timing,
}

/// The Job of a step. Fails if an object that it needs has been removed.
pub fn worker(inputs: StepInputs<'_>, step: RestoreStep, attempt: i32) -> Result<WorkerJob, TaskUnavailable> {
    let StepInputs { object, status, references, profile, backup, timing } = inputs;
    let References { schedule, storage, server } = references;
    let all = schedule.as_deref().zip(server.as_deref()).zip(storage.as_deref());
    let ((schedule, server), storage) = all.ok_or(TaskUnavailable::ReferenceGone)?;
    let uid = object.uid().unwrap_or_default();
    let backup = || backup.cloned().ok_or(TaskUnavailable::ReferenceGone);
    let (task, database_mounts) = match step {
        RestoreStep::Export => (export(object, status, schedule, server, backup()?, profile)?, Vec::new()),
        RestoreStep::LiveIds => live_ids(object, schedule, server, profile)?,
        RestoreStep::Cutover => {
            let (task, mounts) = cutover(object, status, schedule, server)?;
            (Task::Cutover(task), mounts)
        }
        RestoreStep::RecoverCutover => {
            let (task, mounts) = cutover(object, status, schedule, server)?;
            (Task::RecoverCutover(task), mounts)
        }
        RestoreStep::Preflight if status.undo.is_some() => {
            let (task, mounts) = cutover(object, status, schedule, server)?;
            (Task::PreflightUndo(task), mounts)
        }
        RestoreStep::Preflight => {
            let (task, mounts) = restore(object, schedule, server, backup()?)?;
            (Task::Preflight(task), mounts)
        }
        RestoreStep::Prepare => {
            let (task, mounts) = restore(object, schedule, server, backup()?)?;
            (Task::Prepare(task), mounts)
        }
        RestoreStep::SafetyBackup => safety_backup_task(object, status, schedule, server, timing)?,
        RestoreStep::DropDatabase => drop_database_task(object, status, schedule, server)?,
    };
    let (target, mut mounts) = targets::storage(storage);
    mounts.extend(database_mounts);
    Ok(WorkerJob {
        name: restore_job(&uid, step, attempt),
        namespace: object.namespace().unwrap_or_default(),
        owner: object.controller_owner_ref(&()).unwrap_or_default(),
        labels: labels(&uid, step, server),
        annotations: BTreeMap::from([(labels::REQUEST_NAME.to_owned(), object.name_any())]),
        task,
        at_once: None,
        storage: target,
        mounts,
        service_account: service_account(storage),
        deadline_seconds: deadline(step, timing),
    })
}

fn service_account(storage: &BackupStorage) -> Option<String> {
    storage.spec.worker_service_account_name.clone()
}

/// Labels of a step's Job. Only steps that load or swap databases count in the budget of restores; those that read a live
/// database count as dumps.
fn labels(uid: &str, step: RestoreStep, server: &DatabaseServer) -> BTreeMap<String, String> {
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let mut labels = BTreeMap::from([
        label(labels::SERVER, &server.name_any()),
        label(labels::REQUEST, uid),
        label(labels::STEP, &step.to_string()),
    ]);
    if matches!(step, RestoreStep::Prepare | RestoreStep::Cutover | RestoreStep::RecoverCutover) {
        labels.extend([label(labels::JOB_KIND, labels::RESTORE)]);
    }
    if matches!(step, RestoreStep::SafetyBackup | RestoreStep::LiveIds) {
        labels.extend([label(labels::JOB_KIND, labels::DUMP)]);
    }
    labels
}

/// An export reads the bucket only: it gets no database and no credentials of one.
fn export(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
    backup: BackupRef,
    profile: Option<&ProfileObject>,
) -> Result<Task, TaskUnavailable> {
    let profile = profile.ok_or(TaskUnavailable::ReferenceGone)?;
    Ok(Task::Export(ExportTask {
        name: object.name_any(),
        request_uid: object.uid().unwrap_or_default(),
        request: object.name_any(),
        identity: targets::identity(schedule, server),
        backup,
        profile: serde_json::to_value(&profile.spec)?,
        live: profile.spec.missing_only.then(|| live(status)),
    }))
}

/// The ids of the live database for an export of missing records, or why they could not be listed.
fn live(status: &RestoreRequestStatus) -> LiveAnswer {
    if let Some(live) = &status.live {
        return LiveAnswer::Listed(job_results::live_list(live));
    }
    let step = RestoreStep::LiveIds.to_string();
    let last = status.jobs.iter().filter(|job| job.step == step).max_by_key(|job| job.attempt);
    // The reason, not the message: that may name hosts, and the tenant reads this.
    let why = last.and_then(|job| job.reason.clone()).unwrap_or_else(|| "it was not asked".to_owned());
    LiveAnswer::Unreachable { why }
}

/// Lists the ids of the live database, with the credentials of the dumps.
fn live_ids(
    object: &RestoreRequest,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
    profile: Option<&ProfileObject>,
) -> Result<(Task, Vec<Mount>), TaskUnavailable> {
    let profile = profile.ok_or(TaskUnavailable::ReferenceGone)?;
    let profile = ExportProfile::from(profile.spec.clone());
    let own = schedule.spec.database.credentials_secret_ref.as_ref();
    let secret = own.unwrap_or(&server.spec.dump_credentials_secret_ref);
    let (database, mounts) = targets::database(server, &schedule.spec.database.name, &secret.name);
    let task = LiveIdsTask {
        name: object.name_any(),
        request_uid: object.uid().unwrap_or_default(),
        identity: targets::identity(schedule, server),
        database,
        entities: LiveEntity::of(&profile),
    };
    Ok((Task::LiveIds(task), mounts))
}

fn restore(
    object: &RestoreRequest,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
    backup: BackupRef,
) -> Result<(RestoreTask, Vec<Mount>), TaskUnavailable> {
    let secret = server.spec.restore_credentials_secret_ref.as_ref().ok_or(TaskUnavailable::ReferenceGone)?;
    let (database, mut mounts) = targets::database(server, &schedule.spec.database.name, &secret.name);
    let hooks = targets::hooks(server);
    let hooks_dir = hooks.as_ref().map(|mount| mount.path.clone());
    mounts.extend(hooks);
    let task = RestoreTask {
        name: object.name_any(),
        request_uid: object.uid().unwrap_or_default(),
        identity: targets::identity(schedule, server),
        backup,
        database,
        parallelism: 2,
        headroom_bytes: server.spec.restore_headroom_bytes,
        allow_shared_owners: server.spec.allow_shared_owners.unwrap_or_default(),
        hooks_dir,
    };
    Ok((task, mounts))
}

fn cutover(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
) -> Result<(CutoverTask, Vec<Mount>), TaskUnavailable> {
    let secret = server.spec.restore_credentials_secret_ref.as_ref().ok_or(TaskUnavailable::ReferenceGone)?;
    let live = &schedule.spec.database.name;
    let (database, mounts) = targets::database(server, live, &secret.name);
    let (new_database, live_oid, new_oid) = match (&status.undo, &status.prepared) {
        (Some(undo), _) => (&undo.database, undo.live_oid, undo.previous_oid),
        (None, Some(prepared)) => (&prepared.database, prepared.live_oid, prepared.new_oid),
        (None, None) => return Err(TaskUnavailable::NotPrepared),
    };
    let number = |n: i64| DatabaseNumber::try_from(n).map_err(|_| TaskUnavailable::NotPrepared);
    let uid = object.uid().unwrap_or_default();
    let task = CutoverTask {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        new_database: new_database.clone(),
        previous_database: previous_database(live, &uid),
        live_number: number(live_oid)?,
        new_number: number(new_oid)?,
        undo_of: status.undo.as_ref().map(|undo| undo.request_uid.clone()),
        request_uid: uid,
        database,
        start_by: status.claim.as_ref().map(|claim| {
            let window_end = object.spec.window.as_ref().and_then(|window| window.not_after);
            start_by(claim.at, TimeDelta::seconds(CUTOVER_SECONDS), window_end)
        }),
    };
    Ok((task, mounts))
}

/// The task of the safety backup. The dump role reads the database, as for every dump; the restore role lets it in.
fn safety_backup_task(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
    timing: &Timing,
) -> Result<(Task, Vec<Mount>), TaskUnavailable> {
    let restore = server.spec.restore_credentials_secret_ref.as_ref().ok_or(TaskUnavailable::ReferenceGone)?;
    let previous = status.replaced_database().ok_or(TaskUnavailable::NotPrepared)?;
    let own = schedule.spec.database.credentials_secret_ref.as_ref();
    let dump = own.unwrap_or(&server.spec.dump_credentials_secret_ref);
    let (database, mut mounts) = targets::database(server, &previous.name, &dump.name);
    let (restore_credentials_dir, mount) = targets::restore_credentials(&restore.name);
    mounts.push(mount);
    let deadline = i32::try_from(timing.dump_deadline.as_secs()).unwrap_or(i32::MAX);
    let task = SafetyBackupTask {
        name: object.name_any(),
        request_uid: object.uid().unwrap_or_default(),
        previous_number: previous.oid.try_into().map_err(|_| TaskUnavailable::NotPrepared)?,
        restore_credentials_dir,
        dump: DumpTask {
            name: object.name_any(),
            identity: targets::identity(schedule, server),
            database,
            time_zone: schedule.spec.time_zone.clone(),
            parallelism: 1,
            lock_timeout_seconds: 30,
            ddl_wait_seconds: server.spec.ddl_wait_seconds,
            deadline_seconds: deadline,
            max_bytes_per_second: server.spec.bytes_per_second_of_a_dump(),
            allow_non_transactional: schedule.spec.database.allow_non_transactional,
        },
    };
    Ok((Task::SafetyBackup(task), mounts))
}

/// The task that drops the previous database, or what a failed restore prepared.
fn drop_database_task(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    schedule: &BackupSchedule,
    server: &DatabaseServer,
) -> Result<(Task, Vec<Mount>), TaskUnavailable> {
    let secret = server.spec.restore_credentials_secret_ref.as_ref().ok_or(TaskUnavailable::ReferenceGone)?;
    let live = &schedule.spec.database.name;
    let (database, mounts) = targets::database(server, live, &secret.name);
    let uid = object.uid().unwrap_or_default();
    let (database_to_drop, safety_backup) = match status.replaced_database() {
        Some(previous) => {
            let safety = previous.safety_backup.as_ref().ok_or(TaskUnavailable::NotPrepared)?;
            let backup = BackupRef {
                prefix: safety.prefix.clone(),
                id: safety.id.parse().map_err(|_| TaskUnavailable::NotPrepared)?,
                manifest_sha256: Some(safety.manifest_sha256.clone()),
            };
            let number = previous.oid.try_into().map_err(|_| TaskUnavailable::NotPrepared)?;
            (DatabaseToDrop { name: previous.name, number: Some(number), mark: Mark::Previous }, Some(backup))
        }
        // Without an OID: each attempt at `prepare` made another one. The worker recognises it by its mark.
        None => (DatabaseToDrop { name: new_database(live, &uid), number: None, mark: Mark::Restore }, None),
    };
    let identity = Some(targets::identity(schedule, server));
    let name = object.name_any();
    let task = DropDatabaseTask { name, request_uid: uid, database, database_to_drop, identity, safety_backup };
    Ok((Task::DropDatabase(task), mounts))
}

/// The longest time that the Job of a claim may run, by mode.
pub fn claimed_limit(mode: Mode, timing: &Timing) -> TimeDelta {
    let step = if mode == Mode::CrmExport { RestoreStep::Export } else { RestoreStep::RecoverCutover };
    TimeDelta::try_seconds(deadline(step, timing)).unwrap_or(TimeDelta::days(1))
}

fn deadline(step: RestoreStep, timing: &Timing) -> i64 {
    let seconds = |longest: Duration| i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
    let longest = seconds(timing.restore_deadline);
    match step {
        RestoreStep::Cutover => CUTOVER_SECONDS,
        RestoreStep::RecoverCutover => RECOVER_SECONDS,
        RestoreStep::Preflight | RestoreStep::DropDatabase => longest.min(600),
        RestoreStep::Prepare | RestoreStep::Export | RestoreStep::LiveIds => longest,
        // The dump has a deadline of its own; then it is read back.
        RestoreStep::SafetyBackup => seconds(timing.dump_deadline * 2),
    }
}
