//! A restore step as a worker's Job.

use super::RestoreError;
use super::gather::Seen;
use crate::api::{RestoreRequest, RestoreRequestStatus};
use crate::controller::context::Context;
use crate::controller::targets;
use crate::controller::worker_job::{WorkerJob, mark};
use crate::domain::job::{CopyRef, CutoverTask, ExportTask, RestoreTask, Work};
use crate::domain::names::{RestoreStep, kept_database, restore_job};
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest cut-over: the swap takes a fraction of a second, and a late one must not happen.
const CUTOVER_SECONDS: i64 = 300;

/// The Job of a step.
pub fn worker(
    object: &RestoreRequest,
    status: &RestoreRequestStatus,
    step: RestoreStep,
    attempt: i32,
    copy: CopyRef,
    seen: &Seen,
    ctx: &Context,
) -> Result<WorkerJob, RestoreError> {
    let (Some(schedule), Some(server), Some(storage)) = (&seen.schedule, &seen.server, &seen.storage) else {
        return Err(RestoreError::ReferenceGone);
    };
    let (uid, name) = (object.uid().unwrap_or_default(), object.name_any());
    let namespace = object.namespace().unwrap_or_default();
    let identity = targets::identity(schedule, server);
    let (target, mut mounts) = targets::storage(storage);
    let live = &schedule.spec.database.name;
    let work = if step == RestoreStep::Export {
        // No database, no credentials of one: an export reads the bucket only.
        let profile = seen.profile.as_ref().ok_or(RestoreError::ReferenceGone)?;
        let profile = serde_json::to_value(&profile.spec).map_err(RestoreError::Profile)?;
        Work::Export(ExportTask {
            name: name.clone(),
            request_uid: uid.clone(),
            request: name.clone(),
            identity,
            copy,
            profile,
        })
    } else {
        let secret = server.spec.restore_credentials_secret_ref.as_ref().ok_or(RestoreError::ReferenceGone)?;
        let (database, database_mounts) = targets::database(server, live, &secret.name);
        mounts.extend(database_mounts);
        if step == RestoreStep::Cutover {
            let prepared = status.prepared.as_ref().ok_or(RestoreError::NotPrepared)?;
            let oid = |n: i64| u32::try_from(n).map_err(|_| RestoreError::NotPrepared);
            Work::Cutover(CutoverTask {
                name: name.clone(),
                request_uid: uid.clone(),
                namespace: namespace.clone(),
                new_database: prepared.database.clone(),
                kept_database: kept_database(live, &uid),
                live_oid: oid(prepared.live_oid)?,
                new_oid: oid(prepared.new_oid)?,
                database,
            })
        } else {
            let task = RestoreTask {
                name: name.clone(),
                request_uid: uid.clone(),
                identity,
                copy,
                database,
                parallelism: 2,
                headroom_bytes: server.spec.restore_headroom_bytes,
            };
            if step == RestoreStep::Preflight { Work::Preflight(task) } else { Work::Prepare(task) }
        }
    };
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let mut labels = BTreeMap::from([
        label(mark::SERVER, &server.name_any()),
        label(mark::REQUEST, &uid),
        label(mark::STEP, &step.to_string()),
    ]);
    if matches!(step, RestoreStep::Prepare | RestoreStep::Cutover) {
        labels.extend([label(mark::LANE, mark::RESTORE)]);
    }
    Ok(WorkerJob {
        name: restore_job(&uid, step, attempt),
        namespace,
        owner: object.controller_owner_ref(&()).unwrap_or_default(),
        labels,
        annotations: BTreeMap::from([label(mark::REQUEST_NAME, &name)]),
        work,
        storage: target,
        mounts,
        service_account: storage.spec.worker_service_account_name.clone(),
        deadline_seconds: deadline(step, ctx.settings.timing.restore_deadline),
    })
}

fn deadline(step: RestoreStep, longest: Duration) -> i64 {
    let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
    match step {
        RestoreStep::Cutover => CUTOVER_SECONDS,
        RestoreStep::Preflight => longest.min(600),
        RestoreStep::Prepare | RestoreStep::Export => longest,
    }
}
