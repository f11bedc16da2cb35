//! Controller of DatabaseServer: checks the spec, counts schedules and running dumps, starts restore drills. It never
//! connects to the server and never reads its Secrets: only worker pods do.

pub mod drill;
pub mod drill_status;
pub mod validate;

use crate::cache::jobs::JobKind;
use crate::context::Context;
use crate::error::{ReconcileError, ServerFault};
use crate::runtime::informer::Informer;
use crate::runtime::instrumented::FailingSince;
use crate::runtime::writes::apply_status;
use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use parking_lot::Mutex;
use sennight_api::conditions::{ServerCondition, find, set};
use sennight_api::{Condition, ConditionStatus, DatabaseServer, DatabaseServerStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl FailingSince for DatabaseServer {
    fn failing_since(&self) -> Option<DateTime<Utc>> {
        let ready = find(&self.status.as_ref()?.conditions, ServerCondition::Ready)?;
        ready.last_transition_time.filter(|_| !ready.is_true())
    }
}

/// Runs the controller until `stop`.
pub async fn run(informer: Informer<DatabaseServer>, ctx: Arc<Context>, stop: CancellationToken) {
    // Before the Jobs are listed the count of running dumps would be 0.
    tokio::select! {
        () = stop.cancelled() => {}
        () = ctx.jobs.filled() => informer.run(ctx.clone(), ctx.shared_loop(), stop.clone(), reconcile).await,
    }
}

async fn reconcile(server: Arc<DatabaseServer>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let checked = validate::check(&server.spec);
    let namespace = server.namespace().unwrap_or_default();
    let name = server.name_any();
    let dumping = ctx.jobs.running(JobKind::Dump, &namespace, &name).on_server;
    let counts = Counts { schedules: ctx.caches.schedules.on_server(&namespace, &name), dumping };
    let mut status = status(&server, &checked, &counts, ctx.now());
    let written = server.status.as_ref().and_then(|status| status.active_dumps);
    let interval = ctx.settings.timing.storage_interval;
    let changed = written.is_some() && written != status.active_dumps;
    if changed && !ctx.count_writes.allow(&server.uid().unwrap_or_default(), interval, ctx.now()) {
        status.active_dumps = written;
    }
    let drill = drill::round(&server, &mut status, &ctx).await?;
    let api = Api::namespaced(ctx.clients.write.clone(), &namespace);
    apply_status(&api, &*server, server.status.as_ref(), &status).await?;
    checked?;
    let drill = drill.map(|at| (at - ctx.now()).to_std().unwrap_or_default().max(Duration::from_secs(1)));
    Ok(ctx.requeue(drill.map_or(interval, |drill| drill.min(interval))))
}

/// When each server's count of running dumps was last written, by UID. The count changes with every Job, and each write
/// starts another reconcile. Without a limit a busy night would cost one write for each Job and server.
#[derive(Debug, Default)]
pub struct CountWrites(Mutex<HashMap<String, DateTime<Utc>>>);

impl CountWrites {
    /// Whether the count may be written now: by default once in a quarter of an hour. Every five minutes would be too often:
    /// for 200 servers and 100,000 tenants in six hours, one write for every seven backups.
    fn allow(&self, uid: &str, interval: Duration, now: DateTime<Utc>) -> bool {
        let pause = TimeDelta::from_std(interval * 3 / 2).unwrap_or_default();
        let mut last = self.0.lock();
        // Also drops the entries of servers that are gone.
        last.retain(|_, at| now - *at < pause);
        if last.contains_key(uid) {
            return false;
        }
        last.insert(uid.to_owned(), now);
        true
    }
}

/// What depends on a server: BackupSchedules, and places of running dump Jobs.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    schedules: i32,
    dumping: i64,
}

/// The new status without the drills. The counts come from caches and may lag.
fn status(
    server: &DatabaseServer,
    checked: &Result<(), ServerFault>,
    counts: &Counts,
    now: DateTime<Utc>,
) -> DatabaseServerStatus {
    let mut status = server.status.clone().unwrap_or_default();
    let ready = match checked {
        Ok(()) => Condition::new(
            ServerCondition::Ready,
            ConditionStatus::True,
            "SpecAccepted",
            "the spec makes sense; every dump tells whether the server can be reached",
        ),
        Err(fault) => Condition::new(ServerCondition::Ready, false, fault.reason(), fault.to_string()),
    };
    set(&mut status.conditions, ready.observed(server.metadata.generation), now);
    status.observed_generation = server.metadata.generation;
    status.active_dumps = i32::try_from(counts.dumping).ok();
    status.schedules = Some(counts.schedules);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server(engine: &str) -> DatabaseServer {
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "DatabaseServer",
            "metadata": {"name": "s", "namespace": "n", "generation": 3},
            "spec": {"engine": engine, "host": "db", "dumpCredentialsSecretRef": {"name": "dump"}}
        }))
        .unwrap()
    }

    #[test]
    fn an_unchanged_server_gets_an_equal_status_however_late_it_is() {
        let mut server = server("PostgreSQL");
        let checked = validate::check(&server.spec);
        let first = status(&server, &checked, &Counts::default(), DateTime::UNIX_EPOCH);
        assert_eq!(first.observed_generation, Some(3));
        server.status = Some(first.clone());
        assert_eq!(status(&server, &checked, &Counts::default(), Utc::now()), first);
        assert_eq!(server.failing_since(), None);
    }

    #[test]
    fn i8_a_servers_count_of_running_dumps_is_written_once_in_a_quarter_of_an_hour_and_one_that_is_gone_is_forgotten() {
        let (limiter, interval) = (CountWrites::default(), Duration::from_mins(10));
        let at = |minute: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let night: Vec<i64> = (0..60).filter(|minute| limiter.allow("a", interval, at(*minute))).collect();
        assert_eq!(night, [0, 15, 30, 45]);
        assert!(limiter.allow("b", interval, at(80)));
        assert_eq!(limiter.0.lock().len(), 1);
    }

    #[test]
    fn a_server_that_cannot_be_dumped_says_so_in_its_condition() {
        let mut server = server("MySQL");
        server.spec.tls = serde_json::from_value(json!({"mode": "Disable", "caSecretRef": {"name": "ca"}})).unwrap();
        let checked = validate::check(&server.spec);
        server.status = Some(status(&server, &checked, &Counts::default(), DateTime::UNIX_EPOCH));
        let ready = find(&server.status.as_ref().unwrap().conditions, ServerCondition::Ready).unwrap();
        assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "TlsDisabled"));
        assert_eq!(server.failing_since(), Some(DateTime::UNIX_EPOCH));
    }
}
