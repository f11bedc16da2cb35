//! Controller of DatabaseServer: checks the spec, counts schedules and running dumps, starts restore drills. It never
//! connects to the server and never reads its Secrets: only worker pods do.

mod controller;
pub mod drill;
pub mod drill_status;
pub mod validate;

use crate::cache::jobs::JobKind;
use crate::error::{ReconcileError, ServerFault};
use crate::runtime::informer::{Informer, ReconcileLoop};
use crate::runtime::instrumented::{FailingSince, requeue_after};
use crate::runtime::writes::{FieldManager, apply_status};
use chrono::{DateTime, Utc};
pub use controller::ServerController;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use sennight_api::conditions::{ServerCondition, find, set};
use sennight_api::{Condition, ConditionStatus, DatabaseServer, DatabaseServerStatus};
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
pub async fn run(
    informer: Informer<DatabaseServer>,
    controller: ServerController,
    shared: ReconcileLoop,
    stop: CancellationToken,
) {
    // Before the Jobs are listed the count of running dumps would be 0.
    tokio::select! {
        () = stop.cancelled() => {}
        () = controller.jobs.filled() => informer.run(Arc::new(controller), shared, stop.clone(), reconcile).await,
    }
}

async fn reconcile(server: Arc<DatabaseServer>, controller: Arc<ServerController>) -> Result<Action, ReconcileError> {
    let checked = validate::check(&server.spec);
    let namespace = server.namespace().unwrap_or_default();
    let name = server.name_any();
    let dumping = controller.jobs.running(JobKind::Dump, &namespace, &name).on_server;
    let counts = Counts { schedules: controller.schedules.on_server(&namespace, &name), dumping };
    let mut status = status(&server, &checked, &counts, controller.clock.now());
    let written = server.status.as_ref().and_then(|status| status.active_dumps);
    let interval = controller.storage_interval;
    let changed = written.is_some() && written != status.active_dumps;
    if changed && !controller.count_writes.allow(&server.uid().unwrap_or_default(), interval, controller.clock.now()) {
        status.active_dumps = written;
    }
    let drill = drill::round(&server, &mut status, &controller).await?;
    let api = Api::namespaced(controller.client.clone(), &namespace);
    apply_status(&api, FieldManager::Sennight, &*server, server.status.as_ref(), &status).await?;
    checked?;
    let drill = drill.map(|at| (at - controller.clock.now()).to_std().unwrap_or_default().max(Duration::from_secs(1)));
    Ok(requeue_after(controller.clock, drill.map_or(interval, |drill| drill.min(interval))))
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
