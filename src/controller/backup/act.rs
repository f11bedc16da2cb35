//! Starting a dump: one Job with a list of tasks, under a name that only this run can have.

use super::BackupError;
use super::validate::Valid;
use crate::api::backup_schedule::LastRun;
use crate::api::{BackupSchedule, BackupScheduleStatus};
use crate::controller::context::Context;
use crate::controller::jobs::{self, Lane, Run};
use crate::controller::targets;
use crate::controller::verbs::{Created, create_or_adopt};
use crate::controller::worker_job::{WorkerJob, mark};
use crate::domain::backup::RunKey;
use crate::domain::job::{DumpTask, Work};
use crate::domain::names::dump_job;
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time that a pod gets beyond its task's own deadline, to start and to clean up.
const POD_OVERHEAD: Duration = Duration::from_mins(5);
/// Longest wait for a table lock.
const LOCK_TIMEOUT_SECONDS: i32 = 30;

/// Starts a run. `Ok(false)` is a full budget: somebody else took the place.
pub async fn start(
    object: &BackupSchedule,
    valid: &Valid,
    key: &RunKey,
    status: &mut BackupScheduleStatus,
    ctx: &Context,
) -> Result<bool, BackupError> {
    let worker = worker(object, valid, key, ctx);
    let (namespace, server) = (worker.namespace.clone(), valid.server.name_any());
    let limits = (i64::from(ctx.settings.max_dumps), i64::from(valid.server.spec.max_concurrent_dumps));
    if !ctx.jobs.reserve(Lane::Dump, &namespace, &server, &worker.name, limits) {
        return Ok(false);
    }
    let job = worker.build(&ctx.settings.worker.pod_defaults())?;
    let wanted = jobs::runs(&job);
    let api: Api<Job> = Api::namespaced(ctx.clients.write.clone(), &namespace);
    let created = create_or_adopt(&api, &job, |there| {
        jobs::runs(there) == wanted && there.metadata.owner_references == job.metadata.owner_references
    })
    .await
    .inspect_err(|_| ctx.jobs.unreserve(&namespace, &worker.name))?;
    let job = match created {
        Created::New(job) | Created::Adopted(job) => job,
        Created::Foreign(_) => {
            ctx.jobs.unreserve(&namespace, &worker.name);
            return Err(BackupError::JobNameTaken { namespace, name: worker.name });
        }
    };
    record(status, valid, key, &job, ctx.now());
    Ok(true)
}

fn worker(object: &BackupSchedule, valid: &Valid, key: &RunKey, ctx: &Context) -> WorkerJob {
    let (spec, server) = (&object.spec, &valid.server);
    let secret = spec.database.credentials_secret_ref.as_ref().unwrap_or(&server.spec.dump_credentials_secret_ref);
    let (database, mut mounts) = targets::database(server, &spec.database.name, &secret.name);
    let (storage, storage_mounts) = targets::storage(&valid.storage);
    mounts.extend(storage_mounts);
    let deadline = ctx.settings.timing.dump_deadline;
    let seconds = |d: Duration| i32::try_from(d.as_secs()).unwrap_or(i32::MAX);
    let task = DumpTask {
        name: object.name_any(),
        identity: targets::identity(object, server),
        database,
        time_zone: spec.time_zone.clone(),
        parallelism: 2,
        lock_timeout_seconds: LOCK_TIMEOUT_SECONDS.min(server.spec.ddl_wait_seconds),
        ddl_wait_seconds: server.spec.ddl_wait_seconds,
        deadline_seconds: seconds(deadline),
        max_bytes_per_second: server.spec.bytes_per_second_of_a_dump(),
        allow_non_transactional: spec.database.allow_non_transactional,
    };
    let (uid, run) = (object.uid().unwrap_or_default(), key.to_string());
    let runs = vec![Run { schedule: object.name_any(), uid: uid.clone(), run: run.clone() }];
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    WorkerJob {
        name: dump_job(&[(&uid, &run)]),
        namespace: object.namespace().unwrap_or_default(),
        // The storage owns it, not the schedule: one Job may carry several schedules' dumps.
        owner: valid.storage.controller_owner_ref(&()).unwrap_or_default(),
        labels: BTreeMap::from([label(mark::LANE, mark::DUMP), label(mark::SERVER, &server.name_any())]),
        annotations: BTreeMap::from([(mark::RUNS.to_owned(), serde_json::to_string(&runs).unwrap_or_default())]),
        work: Work::Dump(vec![task]),
        storage,
        mounts,
        service_account: valid.storage.spec.worker_service_account_name.clone(),
        deadline_seconds: i64::from(seconds(deadline + POD_OVERHEAD)),
    }
}

fn record(status: &mut BackupScheduleStatus, valid: &Valid, key: &RunKey, job: &Job, now: DateTime<Utc>) {
    let (slot, attempt) = match key {
        RunKey::Slot { slot, attempt } => (Some(*slot), *attempt),
        RunKey::Manual(token) => {
            status.manual_trigger = Some(token.clone());
            // A manual run does not stand for a day: what the schedule has run stays known.
            (status.last_run.as_ref().and_then(|run| run.slot), 1)
        }
    };
    let started = job.metadata.creation_timestamp.as_ref().and_then(|t| t.0.to_string().parse().ok());
    status.active_job = Some(job.name_any());
    status.last_run = Some(LastRun {
        key: key.to_string(),
        day: slot.map(|slot| valid.schedule.day(slot)),
        slot,
        job: job.name_any(),
        job_uid: job.uid(),
        attempt: Some(attempt),
        started_at: Some(started.unwrap_or(now)),
        finished_at: None,
        outcome: None,
        retryable: None,
    });
}
