//! Restore drills of a server's tenants: starts one Job at a time and records its end in the server's status. The schedules
//! read it there and write `provenTime` into their own status. Verdicts and the condition are in `drill_status`.

use super::controller::ServerController;
use super::drill_status::{candidate, judge, keep_count, past, remember, tries, verdict};
use crate::cache::jobs::{self, JobState};
use crate::cache::schedule_index::watched::read_schedule;
use crate::error::ReconcileError;
use crate::runtime::instrumented::cut;
use crate::runtime::key::Key;
use crate::runtime::writes::{Created, create_or_adopt};
use crate::targets;
use crate::worker_job::{WorkerJob, labels};
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use sennight_api::common::LocalRef;
use sennight_api::conditions::set;
use sennight_api::database_server::{DrillRun, DrillStatus};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, DatabaseServerStatus};
use sennight_core::drill::{DrillCandidate, NextDrill, next};
use sennight_core::names::drill_job;
use sennight_protocol::backup::BackupRef;
use sennight_protocol::restore::DrillTask;
use sennight_protocol::task::Task;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a drill that is due cannot be run.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
enum DrillObstacle {
    #[error("the DatabaseServer that spec.drill.serverRef names, or its restoreCredentialsSecretRef, is missing")]
    NoScratchServer,
    #[error("the BackupStorage of the BackupSchedule is missing, or the backup is gone")]
    BackupGone,
}

/// Records a drill that ended, or starts the next one that is due. Gives the time of the next reconcile.
pub async fn round(
    server: &DatabaseServer,
    status: &mut DatabaseServerStatus,
    controller: &ServerController,
) -> Result<Option<DateTime<Utc>>, ReconcileError> {
    let now = controller.clock.now();
    let recheck = now + TimeDelta::from_std(controller.job_interval).unwrap_or(TimeDelta::minutes(1));
    let namespace = server.namespace().unwrap_or_default();
    let mut drills = status.drill.clone().unwrap_or_default();
    if let Some(run) = drills.running.take() {
        let Some(ended) = ended(server, &run, controller).await? else { return Ok(Some(recheck)) };
        controller.schedules_timer.requeue_before(Key::new(&namespace, &ended.schedule), now + TimeDelta::seconds(5));
        report_end(server, &ended, controller).await;
        remember(&mut drills.last, ended);
        write_down(server, status, drills, controller);
        return Ok(Some(now));
    }
    let (drills, candidates) = write_down(server, status, drills, controller);
    let candidate = match next(per_day(server), past(&drills.last), &candidates, now) {
        NextDrill::Later(wake) => return Ok(wake),
        NextDrill::Now(candidate) => candidate,
    };
    let Some(schedule) = read_schedule(&controller.client, &namespace, &candidate.schedule).await? else {
        return Ok(Some(recheck));
    };
    let tries = tries(&drills.last, &candidate, now);
    let worker = match worker(server, &schedule, &candidate, tries, controller) {
        Ok(worker) => worker,
        // The condition BackupsProven says so, and nobody waits for an answer.
        Err(DrillObstacle::NoScratchServer) if candidate.asked.is_none() => return Ok(Some(recheck)),
        Err(obstacle) => {
            let mut drills = drills;
            remember(&mut drills.last, drill_not_started(candidate, &obstacle, now));
            write_down(server, status, drills, controller);
            return Ok(Some(recheck));
        }
    };
    let api: Api<Job> = Api::namespaced(controller.client.clone(), &worker.namespace);
    let job = worker.build(&controller.pod)?;
    let owner = worker.owner.uid.clone();
    let created =
        create_or_adopt(&api, &job, |existing| existing.owner_references().iter().any(|o| o.uid == owner)).await?;
    let (Created::New(job) | Created::Adopted(job)) = created else { return Ok(Some(recheck)) };
    status.drill = Some(DrillStatus { running: Some(running_drill(candidate, &job, now)), ..drills });
    Ok(Some(recheck))
}

fn per_day(server: &DatabaseServer) -> i32 {
    server.spec.drill.as_ref().map_or(0, |drill| drill.per_day)
}

/// Writes the server's drills and the condition BackupsProven into status. Gives the drills and the server's tenants.
fn write_down(
    server: &DatabaseServer,
    status: &mut DatabaseServerStatus,
    mut drills: DrillStatus,
    controller: &ServerController,
) -> (DrillStatus, Vec<DrillCandidate>) {
    let (per_day, now) = (per_day(server), controller.clock.now());
    let namespace = server.namespace().unwrap_or_default();
    let provable = controller.schedules.drill_tenants(&namespace, &server.name_any(), per_day > 0);
    let tenants: Vec<DrillCandidate> = provable.into_iter().map(|tenant| candidate(tenant, &drills.last)).collect();
    keep_count(&mut drills, per_day, &tenants, now);
    let wanted = per_day > 0 || server.spec.drill.as_ref().is_some_and(|drill| drill.server_ref.is_some());
    let no_scratch = wanted && scratch(server, controller).is_none();
    if let Some(condition) = judge(&drills, &tenants, no_scratch, now) {
        set(&mut status.conditions, condition.observed(server.metadata.generation), now);
    }
    if status.drill.is_some() || drills != DrillStatus::default() {
        status.drill = Some(drills.clone());
    }
    (drills, tenants)
}

fn running_drill(candidate: DrillCandidate, job: &Job, now: DateTime<Utc>) -> DrillRun {
    DrillRun {
        schedule: candidate.schedule,
        backup: candidate.backup,
        job: job.name_any(),
        job_uid: job.uid(),
        trigger: candidate.asked,
        started_at: now,
        finished_at: None,
        proven: None,
        reason: None,
        message: None,
    }
}

/// The record of a drill that could not start: it answers whoever asked for it, and the next tenant can have its turn.
fn drill_not_started(candidate: DrillCandidate, obstacle: &DrillObstacle, now: DateTime<Utc>) -> DrillRun {
    let reason: &'static str = obstacle.into();
    DrillRun {
        schedule: candidate.schedule,
        backup: candidate.backup,
        job: String::new(),
        job_uid: None,
        trigger: candidate.asked,
        started_at: now,
        finished_at: Some(now),
        proven: None,
        reason: Some(reason.to_owned()),
        message: Some(obstacle.to_string()),
    }
}

async fn report_end(server: &DatabaseServer, ended: &DrillRun, controller: &ServerController) {
    controller.metrics.drill_ended(ended.proven, ended.reason.as_deref());
    if let (Some(reason), Some(message)) = (&ended.reason, &ended.message) {
        let note = format!("{}, backup {}: {reason}: {message}", ended.schedule, ended.backup);
        // An interrupted drill says nothing about the backup.
        let (type_, event) = match ended.proven {
            Some(_) => (EventType::Warning, "DrillFailed"),
            None => (EventType::Normal, "DrillInterrupted"),
        };
        controller.reconcile_metrics.publish_event(server, type_, event, "Drill", &note).await;
    }
}

/// The running drill with its end; `None` while its Job runs.
async fn ended(
    server: &DatabaseServer,
    run: &DrillRun,
    controller: &ServerController,
) -> Result<Option<DrillRun>, ReconcileError> {
    let namespace = server.namespace().unwrap_or_default();
    let job = controller.jobs.find(&controller.client, &namespace, &run.job).await?;
    if job.as_deref().is_some_and(|job| jobs::state(job) == JobState::Running) {
        return Ok(None);
    }
    let silent = job.as_deref().map_or_else(|| "the Job was deleted before it ended".to_owned(), jobs::failure);
    let schedule = read_schedule(&controller.client, &namespace, &run.schedule).await?;
    let storage = schedule.and_then(|s| storage(&s, controller));
    let report = match (&run.job_uid, &storage) {
        (Some(uid), Some(storage)) => controller.stores.open(storage).await?.report(uid, &run.schedule).await?,
        _ => None,
    };
    let (proven, reason, message) = verdict(report.map(|report| report.outcome), &run.backup, silent);
    Ok(Some(DrillRun {
        finished_at: Some(controller.clock.now()),
        proven,
        reason: reason.map(|r| cut(&r, 128).to_owned()),
        message: message.map(|m| cut(&m, 1000).to_owned()),
        ..run.clone()
    }))
}

/// The server on which scratch databases are created, and the Secret with the credentials for that.
fn scratch(server: &DatabaseServer, controller: &ServerController) -> Option<(Arc<DatabaseServer>, String)> {
    let LocalRef { name } = server.spec.drill.as_ref()?.server_ref.as_ref()?;
    let scratch = controller.servers.get(&ObjectRef::new(name).within(&server.namespace()?))?;
    let secret = scratch.spec.restore_credentials_secret_ref.as_ref()?.name.clone();
    Some((scratch, secret))
}

fn storage(schedule: &BackupSchedule, controller: &ServerController) -> Option<Arc<BackupStorage>> {
    controller.storages.get(&ObjectRef::new(&schedule.spec.storage_ref.name).within(&schedule.namespace()?))
}

/// The drill's Job.
fn worker(
    server: &DatabaseServer,
    schedule: &BackupSchedule,
    candidate: &DrillCandidate,
    tries: usize,
    controller: &ServerController,
) -> Result<WorkerJob, DrillObstacle> {
    let namespace = server.namespace().unwrap_or_default();
    let (scratch, secret) = scratch(server, controller).ok_or(DrillObstacle::NoScratchServer)?;
    let bucket = storage(schedule, controller).ok_or(DrillObstacle::BackupGone)?;
    let backups = schedule.status.as_ref().map(|status| status.backups.as_slice()).unwrap_or_default();
    let backup = backups.iter().find(|p| p.id == candidate.backup).ok_or(DrillObstacle::BackupGone)?;
    let (target, mut mounts) = targets::database(&scratch, &scratch.spec.maintenance_database, &secret);
    let (storage, storage_mounts) = targets::storage(&bucket);
    mounts.extend(storage_mounts);
    let why = candidate.asked.clone().unwrap_or_else(|| controller.clock.now().date_naive().to_string());
    // After an interrupted try the name must differ: that Job may still exist.
    let why = if tries == 0 { why } else { format!("{why}#{tries}") };
    let task = DrillTask {
        name: schedule.name_any(),
        identity: targets::identity(schedule, server),
        backup: BackupRef {
            prefix: backup.prefix.clone().ok_or(DrillObstacle::BackupGone)?,
            id: backup.id.parse().map_err(|_| DrillObstacle::BackupGone)?,
            // The hash makes sure that the worker reads the same manifest that status lists.
            manifest_sha256: Some(backup.manifest_sha256.clone()),
        },
        server: target,
    };
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    Ok(WorkerJob {
        name: drill_job(&candidate.uid, &candidate.backup, &why),
        namespace,
        owner: bucket.controller_owner_ref(&()).ok_or(DrillObstacle::BackupGone)?,
        labels: BTreeMap::from([label(labels::SERVER, &scratch.name_any()), label(labels::STEP, "drill")]),
        annotations: BTreeMap::new(),
        task: Task::Drill(task),
        at_once: None,
        storage,
        mounts,
        service_account: bucket.spec.worker_service_account_name.clone(),
        deadline_seconds: i64::try_from(controller.restore_deadline.as_secs()).unwrap_or(i64::MAX),
    })
}
