//! What every reconcile may use: clients, settings, the clock, caches, timers, stores. Nothing here decides anything.

use super::authority::Authority;
use super::clients::Clients;
use super::clock::Clock;
use super::delay_queue::DelayQueue;
use super::dispatch::Dispatch;
use super::instrumented::ReconcileMetrics;
use super::jobs::Jobs;
use super::open_requests::OpenRequests;
use super::schedule_index::{Key, ScheduleIndex, WatchedSchedule};
use super::server::Paces;
use super::storage::Patrols;
use super::storage_clients::Stores;
use super::writes::{VerbError, get_opt};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use chrono::{DateTime, TimeDelta, Utc};
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, RestoreRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The caches of our kinds, over all watched namespaces. Never enough for a gate: gates read afresh.
#[derive(Clone)]
pub struct Caches {
    /// BackupStorages.
    pub storages: Store<BackupStorage>,
    /// DatabaseServers.
    pub servers: Store<DatabaseServer>,
    /// BackupSchedules, as rows.
    pub schedules: ScheduleIndex,
    /// RestoreRequests.
    pub requests: Store<RestoreRequest>,
    /// Those of them that are open, by schedule.
    pub open: OpenRequests,
    /// Cancelled one by one as the caches are filled.
    pub(super) filled: [CancellationToken; 4],
}

impl Caches {
    /// Waits until every cache has been filled once. No reconcile begins before: a budget counted over half the
    /// objects would be no budget.
    pub async fn filled(&self) {
        for filled in &self.filled {
            filled.cancelled().await;
        }
    }
}

/// Timers by kind: `timers.schedules.schedule(reference, at)` has that object reconciled at that time.
#[derive(Clone)]
pub struct Timers {
    /// BackupStorages.
    pub storages: DelayQueue<Key>,
    /// DatabaseServers.
    pub servers: DelayQueue<Key>,
    /// BackupSchedules.
    pub schedules: DelayQueue<Key>,
    /// RestoreRequests.
    pub requests: DelayQueue<Key>,
    /// ExportProfiles.
    pub profiles: DelayQueue<Key>,
}

/// What every reconcile gets.
pub struct Context {
    /// Clients; everything that a reconcile asks goes through `clients.write`.
    pub clients: Clients,
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// What time it is.
    pub clock: Clock,
    /// Events, and metrics of reconciles.
    pub observer: ReconcileMetrics,
    /// Metrics of the business.
    pub metrics: Metrics,
    /// Caches.
    pub caches: Caches,
    /// Timers.
    pub timers: Timers,
    /// The operator's own Jobs.
    pub jobs: Jobs,
    /// Dumps that wait for a Job.
    pub dispatch: Dispatch,
    /// Open stores, one a BackupStorage.
    pub stores: Stores,
    /// Walks through BackupStorages that are under way.
    pub patrols: Patrols,
    /// How often servers' counts are written.
    pub paces: Paces,
    /// Whether the gate stands, as last seen. Restores ask afresh.
    pub authority: Authority,
}

impl Context {
    /// Puts a context together; nothing is sent.
    pub fn new(
        clients: Clients,
        settings: Arc<Settings>,
        metrics: Metrics,
        caches: Caches,
        timers: Timers,
        jobs: Jobs,
        clock: Clock,
    ) -> Self {
        let reporter =
            Reporter { controller: "sennight.dev/operator".to_owned(), instance: Some(settings.identity.clone()) };
        let recorder = Recorder::new(clients.write.clone(), reporter);
        Self {
            observer: ReconcileMetrics::new(metrics.clone(), recorder),
            stores: Stores::new(clients.write.clone()),
            patrols: Patrols::default(),
            paces: Paces::default(),
            authority: Authority::default(),
            dispatch: Dispatch::new(&settings.jobs, clock.now()),
            clock,
            clients,
            settings,
            metrics,
            caches,
            timers,
            jobs,
        }
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Another look after so much of the clock's time: kube's own queue sleeps by the wall's.
    pub fn requeue(&self, after: Duration) -> Action {
        Action::requeue(self.clock.real(TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX)))
    }

    /// A BackupSchedule as it is now: the operator keeps rows, no objects.
    pub async fn schedule(&self, namespace: &str, name: &str) -> Result<Option<Arc<BackupSchedule>>, VerbError> {
        let api: Api<WatchedSchedule> = Api::namespaced(self.clients.write.clone(), namespace);
        Ok(get_opt(&api, name).await?.map(|WatchedSchedule(object)| Arc::new(object)))
    }
}
