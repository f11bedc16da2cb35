//! Creates the Job of a batch: drops members that should not run any more, then takes the next free name of the group's
//! chain. A Job that has this name already (another process made it, or an answer was lost) is adopted; members that it
//! does not dump go into the Job after it.

use super::dump_job::{NextJob, batch_job};
use super::queue::{BatchMember, Dispatch, DumpLimits, DumpOrder};
use super::recheck::recheck_after;
use crate::cache::jobs::{self, Jobs, ReservedBatch};
use crate::cache::open_requests::OpenRequests;
use crate::cache::schedule_index::{ScheduleEntry, ScheduleIndex, references_exist};
use crate::error::ReconcileError;
use crate::runtime::clock::Clock;
use crate::runtime::delay_queue::DelayQueue;
use crate::runtime::instrumented::ReconcileFailure;
use crate::runtime::key::Key;
use crate::runtime::writes::{Created, create_or_adopt};
use crate::worker_job::{PodDefaults, labels};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::batch::v1::Job;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sennight_core::backup::RunKey;
use sennight_core::batch::{DueDump, Group, job_name};
use std::collections::HashSet;
use std::time::Duration;
use tracing::{info, warn};

/// Names of a chain that are tried in one go: Jobs of other processes that the cache does not have yet.
const MAX_LINKS: usize = 8;

/// Jobs of different groups that are created at the same time. One by one, a slow API server would set the pace instead of
/// `--jobs-per-minute`.
const CONCURRENT_CREATIONS: usize = 8;

/// What the creation of dump Jobs needs.
pub struct Launcher {
    /// Creates the Jobs.
    pub client: Client,
    /// The operator's clock.
    pub clock: Clock,
    /// The operator's Jobs: the budgets, and where a group's chain ends.
    pub jobs: Jobs,
    /// Dumps that wait for a Job.
    pub dispatch: Dispatch,
    /// What limits them; has the servers and storages that the Jobs name.
    pub limits: DumpLimits,
    /// The schedules as they are now: an order may be outdated.
    pub schedules: ScheduleIndex,
    /// The restores that have claimed a database.
    pub open: OpenRequests,
    /// Reconciles a member's schedule.
    pub schedules_timer: DelayQueue<Key>,
    /// Longest time for one dump.
    pub dump_deadline: Duration,
    /// Pause between two reconciles while a Job runs.
    pub job_interval: Duration,
    /// What worker pods look like.
    pub pod: PodDefaults,
}

/// Creates the Jobs of batches that the queue gave out at `decided`.
pub async fn create_all(batches: Vec<ReservedBatch>, decided: DateTime<Utc>, launcher: &Launcher) {
    let creations = stream::iter(chains(batches)).for_each_concurrent(CONCURRENT_CREATIONS, |chain| async move {
        for ticketed in chain {
            launch(ticketed, decided, launcher).await;
        }
    });
    creations.await;
}

/// Batches by group, in order: each Job's name comes from the Job before it, so a group's Jobs cannot be made in parallel.
fn chains(batches: Vec<ReservedBatch>) -> Vec<Vec<ReservedBatch>> {
    let mut chains: Vec<Vec<ReservedBatch>> = Vec::new();
    for next in batches {
        match chains.iter_mut().find(|chain| chain.first().is_some_and(|first| first.batch.group == next.batch.group)) {
            Some(chain) => chain.push(next),
            None => chains.push(vec![next]),
        }
    }
    chains
}

/// Creates the Job of one batch. No member is lost: afterwards it is in a Job, back in the queue, or its schedule is
/// reconciled again.
async fn launch(ticketed: ReservedBatch, decided: DateTime<Utc>, launcher: &Launcher) {
    let ReservedBatch { reservation: ticket, batch } = ticketed;
    let group = batch.group.clone();
    let all: Vec<String> = batch.runs.iter().map(|due| due.uid.clone()).collect();
    let mut members = still_wanted(&group, batch.runs, launcher);
    match create(&group, batch.at_once, decided, &mut members, launcher).await {
        Ok(()) => launcher.dispatch.clear_failure(&group),
        Err(error) => {
            warn!(reason = error.reason(), %error, namespace = group.namespace, "dump Job creation failed; retrying");
            launcher.dispatch.record_failure(&group, error.reason(), error.to_string(), launcher.clock.now());
        }
    }
    launcher.dispatch.finish_batch(&group, &all, members);
    launcher.jobs.unreserve(&group.namespace, &ticket);
}

/// The members whose dump should still run. The schedules of the others are reconciled again.
fn still_wanted(group: &Group, runs: Vec<DueDump>, launcher: &Launcher) -> Vec<BatchMember> {
    let claimed = launcher.open.claimed_schedules(&group.namespace);
    // A restore may name another schedule of the same database, one that is refused as a duplicate by now.
    let claims = claimed.iter().filter_map(|name| launcher.schedules.get(&Key::new(&group.namespace, name)));
    let databases: HashSet<Box<str>> =
        claims.filter(|row| *row.server == *group.server).map(|row| row.database).collect();
    let mut members = Vec::with_capacity(runs.len());
    for due in runs {
        let order = launcher.dispatch.order(&due.uid).filter(|order| {
            !claimed.contains(&due.schedule)
                && !databases.contains(&*order.database)
                && still_valid(order, group, &due, launcher)
                && !has_job(order, &due, launcher)
        });
        match order {
            Some(order) => members.push(BatchMember { due, order }),
            None => launcher.schedules_timer.requeue_now(Key::new(&group.namespace, &due.schedule)),
        }
    }
    members
}

/// Whether an order is still what its schedule says, and no rival holds its tenant or database. An edited schedule is
/// reconciled anyway, and queues its dump again.
fn still_valid(order: &DumpOrder, group: &Group, due: &DueDump, launcher: &Launcher) -> bool {
    let exist = |entry: &ScheduleEntry| references_exist(entry, &launcher.limits.storages, &launcher.limits.servers);
    let entry = launcher.schedules.get(&Key::new(&group.namespace, &due.schedule));
    entry.is_some_and(|entry| {
        *entry.uid == *due.uid
            && Some(entry.generation) == order.generation
            && !entry.deleting
            && !launcher.schedules.has_holder(&entry, exist)
    })
}

/// Whether a Job runs this dump already, or ended with it and the schedule's status does not say so yet.
fn has_job(order: &DumpOrder, due: &DueDump, launcher: &Launcher) -> bool {
    launcher.jobs.index().of_schedule(&due.uid).iter().any(|entry| entry.is_running() || entry.decided > order.recorded)
}

/// Creates the Job. Members that got none are left in `members`.
async fn create(
    group: &Group,
    at_once: i64,
    decided: DateTime<Utc>,
    members: &mut Vec<BatchMember>,
    launcher: &Launcher,
) -> Result<(), ReconcileError> {
    let chain = group.chain();
    let api: Api<Job> = Api::namespaced(launcher.client.clone(), &group.namespace);
    // A foreign Job under our next name is stepped over: its UID continues the chain like any other.
    let mut foreign_uid = None;
    for _ in 0..MAX_LINKS {
        if members.is_empty() {
            return Ok(());
        }
        let after = foreign_uid.take().or_else(|| launcher.jobs.index().chain_end(&group.namespace, &chain));
        let name = job_name(&chain, after.as_deref());
        let next = NextJob { name: &name, after, group, at_once, decided };
        let Some(worker) = batch_job(next, members, &launcher.limits, launcher.dump_deadline) else {
            // Their storage or server is gone: their own reconciles report it.
            for member in members.drain(..) {
                launcher.schedules_timer.requeue_now(Key::new(&group.namespace, &member.due.schedule));
            }
            return Ok(());
        };
        let job = worker.build(&launcher.pod)?;
        let ours = |there: &Job| {
            there.annotations().get(labels::BATCH_KEY) == Some(&chain)
                && there.metadata.owner_references == job.metadata.owner_references
        };
        match create_or_adopt(&api, &job, ours).await? {
            Created::New(job) => {
                launcher.jobs.index().record(&job);
                info!(job = name, namespace = group.namespace, tenants = members.len(), at_once, "dump Job created");
                members.drain(..).for_each(|member| requeue_member(&member, group, &job, launcher));
                return Ok(());
            }
            Created::Adopted(job) => {
                launcher.jobs.index().record(&job);
                let there = jobs::runs(&job);
                let (adopted, remaining): (Vec<_>, Vec<_>) = members
                    .drain(..)
                    .partition(|p| there.iter().any(|run| run.uid == p.due.uid && run.run == p.due.run.to_string()));
                info!(
                    job = name,
                    namespace = group.namespace,
                    tenants = adopted.len(),
                    "dump Job existed already; adopted"
                );
                for member in &adopted {
                    requeue_member(member, group, &job, launcher);
                }
                *members = remaining;
            }
            Created::Foreign(job) => {
                warn!(
                    job = name,
                    namespace = group.namespace,
                    "foreign Job has the name of the next dump Job; skipped"
                );
                foreign_uid = job.uid();
            }
        }
    }
    Ok(())
}

/// Reconciles a member's schedule: at once where a person waits for a manual run, else once the Job takes long.
fn requeue_member(member: &BatchMember, group: &Group, job: &Job, launcher: &Launcher) {
    let me = Key::new(&group.namespace, &member.due.schedule);
    match member.due.run {
        RunKey::Manual(_) => launcher.schedules_timer.requeue_now(me),
        RunKey::Slot { .. } => {
            let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            // Replaces the time that it was given while it waited in the queue.
            launcher.schedules_timer.schedule(
                me,
                launcher.clock.now() + recheck_after(jobs::runs(job).len(), suspended, launcher.job_interval),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sennight_core::batch::Batch;

    #[test]
    fn i8_jobs_of_one_group_are_created_one_after_the_other() {
        let batch = |server: &str| {
            let text = |text: &str| text.to_owned();
            let group = Group { namespace: text("n"), storage: text("b"), server: text(server), secret: text("x") };
            Batch { group, runs: vec![], at_once: 1 }
        };
        let batches = ["a", "b", "a", "c", "b"].iter().enumerate();
        let ticketed = |(n, server): (usize, &&str)| ReservedBatch { reservation: n.to_string(), batch: batch(server) };
        let chains = chains(batches.map(ticketed).collect());
        let tickets: Vec<Vec<&str>> =
            chains.iter().map(|chain| chain.iter().map(|next| next.reservation.as_str()).collect()).collect();
        assert_eq!(tickets, [vec!["0", "2"], vec!["1", "4"], vec!["3"]]);
    }
}
