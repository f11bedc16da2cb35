//! A batch becomes a Job: whoever should not ride after all is left out, and the Job is created as the next one of its
//! group's chain. A link that is there already tells what somebody else, or this process before an answer was lost, has
//! started; the rest rides in the one after it.

use super::Order;
use crate::backup::act;
use crate::context::Context;
use crate::error::ReconcileError;
use crate::jobs::{self, Ticketed};
use crate::schedule_index::Key;
use crate::worker_job::labels;
use crate::writes::{Created, create_or_adopt};
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

/// Links that are followed in one go: others' Jobs that the cache does not have yet.
const MOST_HOPS: usize = 8;

/// Jobs of different groups that are created at once: one after the other, an API server that takes a second for each would
/// set the pace, not the bucket.
const AT_ONCE: usize = 8;

/// A dump that rides.
pub struct BatchMember {
    /// What was queued.
    pub due: DueDump,
    /// What it is to do.
    pub order: Order,
}

/// A dump Job that is about to be created.
pub struct NextJob<'a> {
    /// Its name.
    pub name: &'a str,
    /// UID of the Job before it in its group's chain.
    pub after: Option<String>,
    /// What its dumps share.
    pub group: &'a Group,
    /// Dumps that run at once.
    pub at_once: i64,
    /// When it was decided on.
    pub decided: DateTime<Utc>,
}

/// Creates the Jobs of batches that were decided on then.
pub async fn all(batches: Vec<Ticketed>, decided: DateTime<Utc>, ctx: &Context) {
    let launched = stream::iter(chains(batches)).for_each_concurrent(AT_ONCE, |chain| async move {
        for ticketed in chain {
            launch(ticketed, decided, ctx).await;
        }
    });
    launched.await;
}

/// Batches of one group in a row of their own: each one's name comes from the Job before it.
fn chains(batches: Vec<Ticketed>) -> Vec<Vec<Ticketed>> {
    let mut chains: Vec<Vec<Ticketed>> = Vec::new();
    for next in batches {
        match chains.iter_mut().find(|chain| chain.first().is_some_and(|first| first.batch.group == next.batch.group)) {
            Some(chain) => chain.push(next),
            None => chains.push(vec![next]),
        }
    }
    chains
}

/// Creates the Job of a batch that was decided on then. Nobody is lost: each passenger is in a Job, back in the queue, or
/// told to look again.
async fn launch(ticketed: Ticketed, decided: DateTime<Utc>, ctx: &Context) {
    let Ticketed { ticket, batch } = ticketed;
    let group = batch.group.clone();
    let all: Vec<String> = batch.runs.iter().map(|due| due.uid.clone()).collect();
    let mut passengers = board(&group, batch.runs, ctx);
    match create(&group, batch.at_once, decided, &mut passengers, ctx).await {
        Ok(()) => ctx.dispatch.no_trouble(&group),
        Err(error) => {
            warn!(reason = error.reason(), %error, namespace = group.namespace, "a dump Job cannot be created; it is tried again");
            ctx.dispatch.trouble(&group, error.reason(), error.to_string(), ctx.now());
        }
    }
    ctx.dispatch.landed(&group, &all, passengers);
    ctx.jobs.unreserve(&group.namespace, &ticket);
}

/// Those who still should ride. The others look again for themselves.
fn board(group: &Group, runs: Vec<DueDump>, ctx: &Context) -> Vec<BatchMember> {
    let claimed = ctx.caches.open.claimed(&group.namespace);
    // A restore may go by the name of another schedule of the same database, one that is refused by now.
    let claims = claimed.iter().filter_map(|name| ctx.caches.schedules.get(&Key::new(&group.namespace, name)));
    let databases: HashSet<Box<str>> =
        claims.filter(|row| *row.server == *group.server).map(|row| row.database).collect();
    let mut passengers = Vec::with_capacity(runs.len());
    for due in runs {
        let order = ctx.dispatch.order(&due.uid).filter(|order| {
            !claimed.contains(&due.schedule)
                && !databases.contains(&*order.database)
                && act::stands(order, group, &due, ctx)
                && !carried(order, &due, ctx)
        });
        match order {
            Some(order) => passengers.push(BatchMember { due, order }),
            None => ctx.timers.schedules.call(Key::new(&group.namespace, &due.schedule)),
        }
    }
    passengers
}

/// Whether a Job has this run already, or has just ended with it and nobody has written that down yet.
fn carried(order: &Order, due: &DueDump, ctx: &Context) -> bool {
    ctx.jobs.cards().carrying(&due.uid).iter().any(|card| card.runs() || card.decided > order.recorded)
}

/// Creates the Job. Whoever got none is left in `passengers`.
async fn create(
    group: &Group,
    at_once: i64,
    decided: DateTime<Utc>,
    passengers: &mut Vec<BatchMember>,
    ctx: &Context,
) -> Result<(), ReconcileError> {
    let chain = group.chain();
    let api: Api<Job> = Api::namespaced(ctx.clients.write.clone(), &group.namespace);
    // A stranger under our next name is stepped over: its UID is a link like any other.
    let mut stranger = None;
    for _ in 0..MOST_HOPS {
        if passengers.is_empty() {
            return Ok(());
        }
        let after = stranger.take().or_else(|| ctx.jobs.cards().head(&group.namespace, &chain));
        let name = job_name(&chain, after.as_deref());
        let next = NextJob { name: &name, after, group, at_once, decided };
        let Some(worker) = act::worker(next, passengers, ctx) else {
            // What they name is gone: their own rounds say so.
            for passenger in passengers.drain(..) {
                ctx.timers.schedules.call(Key::new(&group.namespace, &passenger.due.schedule));
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
                ctx.jobs.cards().note(&job);
                info!(
                    job = name,
                    namespace = group.namespace,
                    tenants = passengers.len(),
                    at_once,
                    "a dump Job was created"
                );
                passengers.drain(..).for_each(|passenger| tell(&passenger, group, &job, ctx));
                return Ok(());
            }
            Created::Adopted(job) => {
                ctx.jobs.cards().note(&job);
                let there = jobs::runs(&job);
                let (riding, rest): (Vec<_>, Vec<_>) = passengers
                    .drain(..)
                    .partition(|p| there.iter().any(|run| run.uid == p.due.uid && run.run == p.due.run.to_string()));
                info!(job = name, namespace = group.namespace, tenants = riding.len(), "a dump Job was there already");
                for passenger in &riding {
                    tell(passenger, group, &job, ctx);
                }
                *passengers = rest;
            }
            Created::Foreign(job) => {
                warn!(
                    job = name,
                    namespace = group.namespace,
                    "a Job under the next dump Job's name is not Sennight's"
                );
                stranger = job.uid();
            }
        }
    }
    Ok(())
}

/// Has a schedule look at its Job: at once where a person waits, else when it takes long.
fn tell(passenger: &BatchMember, group: &Group, job: &Job, ctx: &Context) {
    let me = Key::new(&group.namespace, &passenger.due.schedule);
    match passenger.due.run {
        RunKey::Manual(_) => ctx.timers.schedules.call(me),
        RunKey::Slot { .. } => {
            let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            // In place of the look that it wished for while it waited.
            ctx.timers.schedules.schedule(me, ctx.now() + act::patience(jobs::runs(job).len(), suspended, ctx));
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
        let ticketed = |(n, server): (usize, &&str)| Ticketed { ticket: n.to_string(), batch: batch(server) };
        let chains = chains(batches.map(ticketed).collect());
        let tickets: Vec<Vec<&str>> =
            chains.iter().map(|chain| chain.iter().map(|next| next.ticket.as_str()).collect()).collect();
        assert_eq!(tickets, [vec!["0", "2"], vec!["1", "4"], vec!["3"]]);
    }
}
