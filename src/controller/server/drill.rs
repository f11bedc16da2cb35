//! Restore drills of a server's tenants: one Job at a time, its end in the server's status; the schedules read it there and
//! write `provenTime` into their own.

use super::ServerError;
use crate::api::common::LocalRef;
use crate::api::conditions::{ServerCondition, set};
use crate::api::database_server::{DrillRun, DrillStatus};
use crate::api::{BackupSchedule, BackupStorage, Condition, ConditionStatus, DatabaseServer, DatabaseServerStatus};
use crate::controller::context::Context;
use crate::controller::fleet::Provable;
use crate::controller::jobs::{self, JobState};
use crate::controller::observed::cut;
use crate::controller::targets;
use crate::controller::verbs::{Created, create_or_adopt};
use crate::controller::worker_job::{WorkerJob, mark};
use crate::domain::drill::{Candidate, Due, next};
use crate::domain::job::{CopyRef, Done, DrillTask, Outcome, Work};
use crate::domain::names::drill_job;
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Drills that a status remembers.
const REMEMBERED: usize = 20;

/// Goes on with the server's drills; when to look again.
pub async fn round(
    server: &DatabaseServer,
    status: &mut DatabaseServerStatus,
    ctx: &Context,
) -> Result<Option<DateTime<Utc>>, ServerError> {
    let now = ctx.now();
    let look = now + TimeDelta::from_std(ctx.settings.timing.job_interval).unwrap_or(TimeDelta::minutes(1));
    let mut drills = status.drill.clone().unwrap_or_default();
    if let Some(run) = drills.running.clone() {
        let Some(ended) = ended(server, &run, ctx).await? else { return Ok(Some(look)) };
        if let (Some(schedule), Some(namespace)) = (Some(&ended.schedule), server.namespace()) {
            ctx.timers.schedules.hasten(ObjectRef::new(schedule).within(&namespace), now + TimeDelta::seconds(5));
        }
        tell(server, &ended, ctx).await;
        drills.running = None;
        remember(&mut drills.last, ended);
        judge(server, status, &drills.last, now);
        status.drill = Some(drills);
        return Ok(Some(now));
    }
    let per_day = server.spec.drill.as_ref().map_or(0, |drill| drill.per_day);
    let last = drills.last.iter().map(|run| run.started_at).max();
    let namespace = server.namespace().unwrap_or_default();
    let provable = ctx.caches.schedules.provable(&namespace, &server.name_any(), per_day > 0);
    let candidates: Vec<Candidate> = provable.into_iter().map(|tenant| candidate(tenant, &drills)).collect();
    let candidate = match next(per_day, last, &candidates, now) {
        Due::Later(wake) => return Ok(wake),
        Due::Now(candidate) => candidate,
    };
    let Some(schedule) = ctx.schedule(&namespace, &candidate.schedule).await? else { return Ok(Some(look)) };
    let Some(worker) = worker(server, &schedule, &candidate, now, ctx) else {
        if candidate.asked.is_some() {
            // Somebody waits for an answer.
            remember(&mut drills.last, impossible(candidate, now));
            judge(server, status, &drills.last, now);
            status.drill = Some(drills);
        }
        return Ok(Some(look));
    };
    let api: Api<Job> = Api::namespaced(ctx.clients.write.clone(), &worker.namespace);
    let job = worker.build(&ctx.settings.worker.pod_defaults())?;
    let owner = worker.owner.uid.clone();
    let made = create_or_adopt(&api, &job, |there| there.owner_references().iter().any(|o| o.uid == owner)).await?;
    let (Created::New(job) | Created::Adopted(job)) = made else { return Ok(Some(look)) };
    drills.running = Some(DrillRun {
        schedule: candidate.schedule,
        recovery_point: candidate.copy,
        job: job.name_any(),
        job_uid: job.uid(),
        trigger: candidate.asked,
        started_at: now,
        finished_at: None,
        proven: None,
        reason: None,
        message: None,
    });
    status.drill = Some(drills);
    Ok(Some(look))
}

fn candidate(tenant: Provable, drills: &DrillStatus) -> Candidate {
    let mine = || drills.last.iter().filter(|run| run.schedule == tenant.schedule);
    let tried = mine().map(|run| run.started_at).max();
    // The server's own list is the first to know of an answer.
    let asked = tenant.wish.filter(|wish| !mine().any(|run| run.trigger.as_ref() == Some(wish)));
    Candidate { asked, tried, schedule: tenant.schedule, uid: tenant.uid, copy: tenant.copy, proven: tenant.proven }
}

/// Keeps the newest; of those that are too many the oldest proven or outdated one goes first, so that no failure is
/// forgotten before a later drill has proven the tenant's copy.
fn remember(last: &mut Vec<DrillRun>, ended: DrillRun) {
    last.insert(0, ended);
    while last.len() > REMEMBERED {
        let settled = |at: &usize| {
            let run = &last[*at];
            run.proven == Some(true) || last[..*at].iter().any(|later| later.schedule == run.schedule)
        };
        let at = (1..last.len()).rev().find(settled).unwrap_or(last.len() - 1);
        last.remove(at);
    }
}

/// The newest drill of each tenant that failed.
pub fn failing(last: &[DrillRun]) -> Vec<&DrillRun> {
    let newest = |at: &usize| !last[..*at].iter().any(|later| later.schedule == last[*at].schedule);
    (0..last.len()).filter(newest).map(|at| &last[at]).filter(|run| run.proven == Some(false)).collect()
}

/// The answer to a wish that cannot be met.
fn impossible(candidate: Candidate, now: DateTime<Utc>) -> DrillRun {
    let message = "the DatabaseServer that spec.drill.serverRef names, its restoreCredentialsSecretRef, or the BackupStorage is missing";
    DrillRun {
        schedule: candidate.schedule,
        recovery_point: candidate.copy,
        job: String::new(),
        job_uid: None,
        trigger: candidate.asked,
        started_at: now,
        finished_at: Some(now),
        proven: Some(false),
        reason: Some("NoScratchServer".to_owned()),
        message: Some(message.to_owned()),
    }
}

fn judge(server: &DatabaseServer, status: &mut DatabaseServerStatus, last: &[DrillRun], now: DateTime<Utc>) {
    let failing = failing(last);
    let condition = match failing.first() {
        None => Condition::new(
            ServerCondition::CopiesProven,
            ConditionStatus::True,
            "DrillsPass",
            "the last drill of every tenant that had one proved its copy",
        ),
        Some(first) => {
            let names: Vec<&str> = failing.iter().take(5).map(|run| run.schedule.as_str()).collect();
            let more = failing.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let why = first.message.as_deref().unwrap_or_default();
            let message = format!("the last drill failed of {}{more}; {}: {why}", names.join(", "), first.schedule);
            Condition::new(ServerCondition::CopiesProven, false, "DrillFailed", cut(&message, 1000).to_owned())
        }
    };
    set(&mut status.conditions, condition.observed(server.metadata.generation), now);
}

async fn tell(server: &DatabaseServer, ended: &DrillRun, ctx: &Context) {
    ctx.metrics.drill_ended(ended.reason.as_deref());
    if let (Some(reason), Some(message)) = (&ended.reason, &ended.message) {
        let note = format!("{}, copy {}: {reason}: {message}", ended.schedule, ended.recovery_point);
        ctx.observer.event(server, EventType::Warning, "DrillFailed", "Drill", &note).await;
    }
}

/// How a drill that began has ended; `None` while it runs.
async fn ended(server: &DatabaseServer, run: &DrillRun, ctx: &Context) -> Result<Option<DrillRun>, ServerError> {
    let namespace = server.namespace().unwrap_or_default();
    let job = ctx.jobs.find(&ctx.clients.write, &namespace, &run.job).await?;
    if job.as_deref().is_some_and(|job| jobs::state(job) == JobState::Running) {
        return Ok(None);
    }
    let silent = job.as_deref().map_or_else(|| "the Job was deleted before it ended".to_owned(), jobs::failure);
    let schedule = ctx.schedule(&namespace, &run.schedule).await?;
    let storage = schedule.and_then(|s| storage(&s, ctx));
    let report = match (&run.job_uid, &storage) {
        (Some(uid), Some(storage)) => ctx.stores.open(storage).await?.report(uid, &run.schedule).await?,
        _ => None,
    };
    let (proven, reason, message) = match report.map(|report| report.outcome) {
        Some(Outcome::Succeeded(Done::Drilled(found))) if found.id.to_string() == run.recovery_point => {
            (true, None, None)
        }
        Some(Outcome::Succeeded(_)) => {
            (false, Some("UnexpectedReport".to_owned()), Some("the Job reported something else".to_owned()))
        }
        Some(Outcome::Failed { reason, message, .. } | Outcome::Unknown { reason, message }) => {
            (false, Some(reason), Some(message))
        }
        None => (false, Some("NoReport".to_owned()), Some(silent)),
    };
    Ok(Some(DrillRun {
        finished_at: Some(ctx.now()),
        proven: Some(proven),
        reason: reason.map(|r| cut(&r, 128).to_owned()),
        message: message.map(|m| cut(&m, 1000).to_owned()),
        ..run.clone()
    }))
}

fn storage(schedule: &BackupSchedule, ctx: &Context) -> Option<Arc<BackupStorage>> {
    ctx.caches.storages.get(&ObjectRef::new(&schedule.spec.storage_ref.name).within(&schedule.namespace()?))
}

/// The drill's Job; `None` while the scratch server, its credentials or the storage are missing.
fn worker(
    server: &DatabaseServer,
    schedule: &BackupSchedule,
    candidate: &Candidate,
    now: DateTime<Utc>,
    ctx: &Context,
) -> Option<WorkerJob> {
    let namespace = server.namespace()?;
    let LocalRef { name: scratch } = server.spec.drill.as_ref()?.server_ref.as_ref()?;
    let scratch = ctx.caches.servers.get(&ObjectRef::new(scratch).within(&namespace))?;
    let secret = scratch.spec.restore_credentials_secret_ref.as_ref()?;
    let bucket = storage(schedule, ctx)?;
    let point = schedule.status.as_ref()?.recovery_points.iter().find(|p| p.id == candidate.copy)?;
    let (target, mut mounts) = targets::database(&scratch, &scratch.spec.maintenance_database, &secret.name);
    let (storage, storage_mounts) = targets::storage(&bucket);
    mounts.extend(storage_mounts);
    let today = now.date_naive().to_string();
    let task = DrillTask {
        name: schedule.name_any(),
        identity: targets::identity(schedule, server),
        copy: CopyRef {
            prefix: point.prefix.clone()?,
            id: point.id.parse().ok()?,
            // A manifest that was put in its place since is another one.
            manifest_sha256: Some(point.manifest_sha256.clone()),
        },
        server: target,
    };
    let label = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    Some(WorkerJob {
        name: drill_job(&candidate.uid, &candidate.copy, candidate.asked.as_ref().unwrap_or(&today)),
        namespace,
        owner: bucket.controller_owner_ref(&())?,
        labels: BTreeMap::from([label(mark::SERVER, &scratch.name_any()), label(mark::STEP, "drill")]),
        annotations: BTreeMap::new(),
        work: Work::Drill(task),
        at_once: None,
        storage,
        mounts,
        service_account: bucket.spec.worker_service_account_name.clone(),
        deadline_seconds: i64::try_from(ctx.settings.timing.restore_deadline.as_secs()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(schedule: &str, proven: bool) -> DrillRun {
        DrillRun {
            schedule: schedule.into(),
            recovery_point: "c".into(),
            job: "j".into(),
            job_uid: None,
            trigger: None,
            started_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            proven: Some(proven),
            reason: (!proven).then(|| "CopyDamaged".into()),
            message: (!proven).then(|| "a frame".into()),
        }
    }

    #[test]
    fn a_failure_is_remembered_until_a_later_drill_of_that_tenant_passes() {
        let mut last = Vec::new();
        remember(&mut last, run("bad", false));
        for n in 0..50 {
            remember(&mut last, run(&format!("good-{n}"), true));
        }
        assert_eq!(last.len(), REMEMBERED);
        assert_eq!(failing(&last).iter().map(|r| r.schedule.as_str()).collect::<Vec<_>>(), ["bad"]);
        remember(&mut last, run("bad", true));
        assert!(failing(&last).is_empty() && last.len() == REMEMBERED);
    }

    #[test]
    fn the_condition_names_who_failed_and_why() {
        let server: DatabaseServer = serde_json::from_value(serde_json::json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"engine": "PostgreSQL", "host": "db", "dumpCredentialsSecretRef": {"name": "dump"}}
        }))
        .unwrap();
        let mut status = DatabaseServerStatus::default();
        judge(&server, &mut status, &[run("a", true), run("b", false)], Utc::now());
        let found = &status.conditions[0];
        assert_eq!((found.type_.as_str(), found.reason.as_str()), ("CopiesProven", "DrillFailed"));
        assert!(found.message.as_deref().is_some_and(|m| m.contains("of b; b: a frame")), "{found:?}");
        judge(&server, &mut status, &[run("b", true), run("b", false)], Utc::now());
        assert!(status.conditions[0].is_true());
    }
}
