//! Builds the Job that several dumps share.

use super::queue::{BatchMember, DumpLimits};
use crate::cache::jobs::Run;
use crate::targets;
use crate::worker_job::{WorkerJob, labels};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use sennight_core::batch::Group;
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
/// A dump Job that is about to be created.
pub struct NextJob<'a> {
    /// Name of the Job: follows from the chain and `after`.
    pub name: &'a str,
    /// UID of the Job before it in its group's chain.
    pub after: Option<String>,
    /// Storage, server and credentials that its dumps share.
    pub group: &'a Group,
    /// Dumps that run at once.
    pub at_once: i64,
    /// When the queue gave it out.
    pub decided: DateTime<Utc>,
}

/// The Job of a group's dumps; `None` while what they name is missing.
pub fn batch_job(
    next: NextJob<'_>,
    members: &[BatchMember],
    limits: &DumpLimits,
    longest: Duration,
) -> Option<WorkerJob> {
    let (group, at_once) = (next.group, next.at_once);
    let key = |name: &str| (name.to_owned(), group.namespace.clone());
    let bucket = limits.storages.get(&reference(key(&group.storage)))?;
    let server = limits.servers.get(&reference(key(&group.server)))?;
    let (database, mut mounts) = targets::database(&server, "", &group.secret);
    let (storage, storage_mounts) = targets::storage(&bucket);
    mounts.extend(storage_mounts);
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
