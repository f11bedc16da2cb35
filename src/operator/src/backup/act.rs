//! Queues a schedule's dump, builds the Job that several dumps share, and records a Job's run in status.
//! When a Job is created is in `dispatch`.

use super::{gather, validate};
use crate::cache::jobs::{JobEntry, Run};
use crate::cache::schedule_index::{Key, ScheduleEntry};
use crate::context::Context;
use crate::dispatch::{BatchMember, DumpOrder, NextJob, QueuedDump};
use crate::targets;
use crate::worker_job::{WorkerJob, labels};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use sennight_api::backup_schedule::LastRun;
use sennight_api::{BackupSchedule, BackupScheduleStatus};
use sennight_core::backup::RunKey;
use sennight_core::batch::{BatchSharing, DueDump, Group, Priority};
use sennight_core::manifest::TenantIdentity;
use sennight_protocol::backup::DumpTask;
use sennight_protocol::target::DatabaseTarget;
use sennight_protocol::task::Task;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time that a pod gets beyond its task's deadline, to start and to clean up.
const POD_OVERHEAD: Duration = Duration::from_mins(5);
/// Longest wait for a table lock, in seconds.
const LOCK_TIMEOUT_SECONDS: i32 = 30;
/// A dump in a batch gets the longest dump time divided by this: one that hangs must not delay the others for hours. When it
/// is tried again, it is alone and gets all of it.
const BATCH_DEADLINE_DIVISOR: u32 = 4;
/// The shortest deadline of a dump in a batch.
const MIN_BATCH_DEADLINE: Duration = Duration::from_mins(5);
/// A run that waits or works for more than this many `timing.job_interval` is written to status.
const REPORT_AFTER_INTERVALS: u32 = 4;
/// Schedules in a batch are reconciled this many times later: the Job takes longer, and none of them has news meanwhile.
const BATCH_RECHECK_FACTOR: i32 = 5;

/// How long a run may wait or work before status says so. Most runs have ended by then, and cost one write of status
/// instead of two.
pub fn report_after(ctx: &Context) -> TimeDelta {
    TimeDelta::from_std(ctx.settings.timing.job_interval * REPORT_AFTER_INTERVALS).unwrap_or(TimeDelta::minutes(2))
}

/// Time until a schedule whose run has a Job is reconciled if no event comes. The Job's end brings one. A suspended Job or
/// one of a single tenant has news before its end.
pub fn recheck_after(runs: usize, suspended: bool, ctx: &Context) -> TimeDelta {
    if runs > 1 && !suspended { report_after(ctx) * BATCH_RECHECK_FACTOR } else { report_after(ctx) }
}

/// The group whose dumps a schedule can share a Job with; `None` while its server is missing.
pub fn group(object: &BackupSchedule, ctx: &Context) -> Option<Group> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let server = ctx.caches.servers.get(&ObjectRef::new(&spec.database.server_ref.name).within(&namespace))?;
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
    ctx: &Context,
) -> Option<QueuedDump> {
    let now = ctx.now();
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
    Some(ctx.dispatch.enqueue(&group(object, ctx)?, due, order))
}

/// Whether an order is still what its schedule says, and no rival holds its tenant or database. An edited schedule is
/// reconciled anyway, and queues its dump again.
pub fn still_valid(order: &DumpOrder, group: &Group, due: &DueDump, ctx: &Context) -> bool {
    let references_exist = |entry: &ScheduleEntry| gather::references_exist(entry, ctx);
    let entry = ctx.caches.schedules.get(&Key::new(&group.namespace, &due.schedule));
    entry.is_some_and(|entry| {
        *entry.uid == *due.uid
            && Some(entry.generation) == order.generation
            && !entry.deleting
            && !ctx.caches.schedules.has_holder(&entry, references_exist)
    })
}

/// The Job of a group's dumps; `None` while what they name is missing.
pub fn batch_job(next: NextJob<'_>, members: &[BatchMember], ctx: &Context) -> Option<WorkerJob> {
    let (group, at_once) = (next.group, next.at_once);
    let key = |name: &str| (name.to_owned(), group.namespace.clone());
    let bucket = ctx.caches.storages.get(&reference(key(&group.storage)))?;
    let server = ctx.caches.servers.get(&reference(key(&group.server)))?;
    let (database, mut mounts) = targets::database(&server, "", &group.secret);
    let (storage, storage_mounts) = targets::storage(&bucket);
    mounts.extend(storage_mounts);
    let longest = ctx.settings.timing.dump_deadline;
    let deadline = if members.len() > 1 {
        (longest / BATCH_DEADLINE_DIVISOR).max(MIN_BATCH_DEADLINE.min(longest))
    } else {
        longest
    };
    let task = |member: &BatchMember| {
        let (due, order) = (&member.due, &member.order);
        DumpTask {
            name: due.schedule.clone(),
            identity: TenantIdentity {
                namespace: group.namespace.clone(),
                schedule: due.schedule.clone(),
                schedule_uid: due.uid.clone(),
                tenant: order.tenant.clone(),
                engine: database.engine,
                database: order.database.clone(),
            },
            database: DatabaseTarget { database: order.database.clone(), ..database.clone() },
            time_zone: order.time_zone.clone(),
            parallelism: 2,
            lock_timeout_seconds: LOCK_TIMEOUT_SECONDS.min(server.spec.ddl_wait_seconds),
            ddl_wait_seconds: server.spec.ddl_wait_seconds,
            deadline_seconds: seconds(deadline),
            max_bytes_per_second: server.spec.bytes_per_second_of_a_dump(),
            allow_non_transactional: order.allow_non_transactional,
        }
    };
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    Some(WorkerJob {
        name: next.name.to_owned(),
        namespace: group.namespace.clone(),
        // The storage owns it, not a schedule: one Job has several schedules' dumps.
        owner: bucket.controller_owner_ref(&())?,
        labels: BTreeMap::from([label(labels::JOB_KIND, labels::DUMP), label(labels::SERVER, &group.server)]),
        annotations: annotations(next, members),
        task: Task::Dump(members.iter().map(task).collect()),
        at_once: (members.len() > 1).then_some(at_once),
        storage,
        mounts,
        service_account: bucket.spec.worker_service_account_name.clone(),
        deadline_seconds: i64::from(seconds(longest + POD_OVERHEAD)),
    })
}

fn reference<K: Resource<DynamicType = ()>>((name, namespace): (String, String)) -> ObjectRef<K> {
    ObjectRef::new(&name).within(&namespace)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// Annotations by which the operator finds its Job, and reads back what it runs after a crash.
fn annotations(next: NextJob<'_>, members: &[BatchMember]) -> BTreeMap<String, String> {
    let NextJob { after, group, at_once, decided, .. } = next;
    let run = |member: &BatchMember| Run {
        schedule: member.due.schedule.clone(),
        uid: member.due.uid.clone(),
        run: member.due.run.to_string(),
    };
    let runs: Vec<Run> = members.iter().map(run).collect();
    // Always later than every recorded run, also if the clock was set back since. `job_results::is_unrecorded` compares the
    // two times to tell whether status has this Job's run.
    let recorded =
        members.iter().filter_map(|member| member.order.recorded).max().map(|last| last + TimeDelta::milliseconds(1));
    let decided =
        recorded.map_or(decided, |recorded| recorded.max(decided)).to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut annotations = BTreeMap::from([
        (labels::RUNS.to_owned(), serde_json::to_string(&runs).unwrap_or_default()),
        (labels::STORAGE.to_owned(), group.storage.clone()),
        (labels::CONCURRENCY.to_owned(), at_once.to_string()),
        (labels::BATCH_KEY.to_owned(), group.chain()),
        (labels::DECIDED_AT.to_owned(), decided),
    ]);
    annotations.extend(after.map(|after| (labels::PREVIOUS_JOB.to_owned(), after)));
    annotations
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
    let schedule = validate::timetable(object).ok();
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
pub fn may_have_run_unseen(object: &BackupSchedule, since: DateTime<Utc>, ctx: &Context) -> bool {
    let job_lifetime = TimeDelta::from_std(ctx.settings.worker.ttl / 2).unwrap_or(TimeDelta::minutes(30));
    let known = ctx.dispatch.is_pending(&object.uid().unwrap_or_default());
    !known && (since < ctx.dispatch.watching_since() || ctx.now() - since > job_lifetime)
}
