//! Creates the Job of a batch: drops members that should not run any more, then takes the next free name of the group's
//! chain. A Job that has this name already (another process made it, or an answer was lost) is adopted; members that it
//! does not dump go into the Job after it.

use super::DumpOrder;
use crate::backup::act;
use crate::cache::jobs::{self, ReservedBatch};
use crate::cache::schedule_index::Key;
use crate::context::Context;
use crate::error::ReconcileError;
use crate::runtime::writes::{Created, create_or_adopt};
use crate::worker_job::labels;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::Api;
use sennight_core::backup::RunKey;
use sennight_core::batch::{DueDump, Group, job_name};
use std::collections::HashSet;
use tracing::{info, warn};

/// Names of a chain that are tried in one go: Jobs of other processes that the cache does not have yet.
const MAX_LINKS: usize = 8;

/// Jobs of different groups that are created at the same time. One by one, a slow API server would set the pace instead of
/// `--jobs-per-minute`.
const CONCURRENT_CREATIONS: usize = 8;

/// One schedule's dump in a batch.
pub struct BatchMember {
    /// The queue's entry.
    pub due: DueDump,
    /// What the dump is to do.
    pub order: DumpOrder,
}

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

/// Creates the Jobs of batches that the queue gave out at `decided`.
pub async fn create_all(batches: Vec<ReservedBatch>, decided: DateTime<Utc>, ctx: &Context) {
    let launched = stream::iter(chains(batches)).for_each_concurrent(CONCURRENT_CREATIONS, |chain| async move {
        for ticketed in chain {
            launch(ticketed, decided, ctx).await;
        }
    });
    launched.await;
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
async fn launch(ticketed: ReservedBatch, decided: DateTime<Utc>, ctx: &Context) {
    let ReservedBatch { reservation: ticket, batch } = ticketed;
    let group = batch.group.clone();
    let all: Vec<String> = batch.runs.iter().map(|due| due.uid.clone()).collect();
    let mut members = still_wanted(&group, batch.runs, ctx);
    match create(&group, batch.at_once, decided, &mut members, ctx).await {
        Ok(()) => ctx.dispatch.clear_failure(&group),
        Err(error) => {
            warn!(reason = error.reason(), %error, namespace = group.namespace, "dump Job creation failed; retrying");
            ctx.dispatch.record_failure(&group, error.reason(), error.to_string(), ctx.now());
        }
    }
    ctx.dispatch.finish_batch(&group, &all, members);
    ctx.jobs.unreserve(&group.namespace, &ticket);
}

/// The members whose dump should still run. The schedules of the others are reconciled again.
fn still_wanted(group: &Group, runs: Vec<DueDump>, ctx: &Context) -> Vec<BatchMember> {
    let claimed = ctx.caches.open.claimed_schedules(&group.namespace);
    // A restore may name another schedule of the same database, one that is refused as a duplicate by now.
    let claims = claimed.iter().filter_map(|name| ctx.caches.schedules.get(&Key::new(&group.namespace, name)));
    let databases: HashSet<Box<str>> =
        claims.filter(|row| *row.server == *group.server).map(|row| row.database).collect();
    let mut members = Vec::with_capacity(runs.len());
    for due in runs {
        let order = ctx.dispatch.order(&due.uid).filter(|order| {
            !claimed.contains(&due.schedule)
                && !databases.contains(&*order.database)
                && act::still_valid(order, group, &due, ctx)
                && !has_job(order, &due, ctx)
        });
        match order {
            Some(order) => members.push(BatchMember { due, order }),
            None => ctx.timers.schedules.requeue_now(Key::new(&group.namespace, &due.schedule)),
        }
    }
    members
}

/// Whether a Job runs this dump already, or ended with it and the schedule's status does not say so yet.
fn has_job(order: &DumpOrder, due: &DueDump, ctx: &Context) -> bool {
    ctx.jobs.index().of_schedule(&due.uid).iter().any(|entry| entry.is_running() || entry.decided > order.recorded)
}

/// Creates the Job. Members that got none are left in `members`.
async fn create(
    group: &Group,
    at_once: i64,
    decided: DateTime<Utc>,
    members: &mut Vec<BatchMember>,
    ctx: &Context,
) -> Result<(), ReconcileError> {
    let chain = group.chain();
    let api: Api<Job> = Api::namespaced(ctx.clients.write.clone(), &group.namespace);
    // A foreign Job under our next name is stepped over: its UID continues the chain like any other.
    let mut foreign_uid = None;
    for _ in 0..MAX_LINKS {
        if members.is_empty() {
            return Ok(());
        }
        let after = foreign_uid.take().or_else(|| ctx.jobs.index().chain_end(&group.namespace, &chain));
        let name = job_name(&chain, after.as_deref());
        let next = NextJob { name: &name, after, group, at_once, decided };
        let Some(worker) = act::batch_job(next, members, ctx) else {
            // Their storage or server is gone: their own reconciles report it.
            for member in members.drain(..) {
                ctx.timers.schedules.requeue_now(Key::new(&group.namespace, &member.due.schedule));
            }
            return Ok(());
        };
        let job = worker.build(&ctx.settings.worker.pod_defaults())?;
        let ours = |there: &Job| {
            there.annotations().get(labels::BATCH_KEY) == Some(&chain)
                && there.metadata.owner_references == job.metadata.owner_references
        };
        match create_or_adopt(&api, &job, ours).await? {
            Created::New(job) => {
                ctx.jobs.index().record(&job);
                info!(job = name, namespace = group.namespace, tenants = members.len(), at_once, "dump Job created");
                members.drain(..).for_each(|member| requeue_member(&member, group, &job, ctx));
                return Ok(());
            }
            Created::Adopted(job) => {
                ctx.jobs.index().record(&job);
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
                    requeue_member(member, group, &job, ctx);
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
fn requeue_member(member: &BatchMember, group: &Group, job: &Job, ctx: &Context) {
    let me = Key::new(&group.namespace, &member.due.schedule);
    match member.due.run {
        RunKey::Manual(_) => ctx.timers.schedules.requeue_now(me),
        RunKey::Slot { .. } => {
            let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            // Replaces the time that it was given while it waited in the queue.
            ctx.timers.schedules.schedule(me, ctx.now() + act::recheck_after(jobs::runs(job).len(), suspended, ctx));
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
