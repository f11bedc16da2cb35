//! What every reconcile gets: clients, settings, clock, caches, timers and open stores. Nothing here decides anything.

use crate::authority::status::Authority;
use crate::cache::jobs::Jobs;
use crate::cache::schedule_index::WatchedSchedule;
use crate::cache::storage_clients::Stores;
use crate::dispatch::Dispatch;
use crate::informers::{Caches, Timers};
use crate::runtime::clients::Clients;
use crate::runtime::clock::Clock;
use crate::runtime::informer::ReconcileLoop;
use crate::runtime::instrumented::ReconcileMetrics;
use crate::runtime::telemetry::Metrics;
use crate::runtime::writes::{VerbError, get_opt};
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use kube::api::Api;
use kube::runtime::events::{Recorder, Reporter};
use sennight_api::BackupSchedule;
use std::sync::Arc;

/// Shared by all controllers of one operator process.
pub struct Context {
    /// Clients. Reconciles read and write through `clients.write` only.
    pub clients: Clients,
    /// The command line, checked.
    pub settings: Arc<Settings>,
    /// The wall clock, or a faster one in `make bench-scale`.
    pub clock: Clock,
    /// Publishes Events and measures reconciles.
    pub reconcile_metrics: ReconcileMetrics,
    /// All other metrics.
    pub metrics: Metrics,
    /// What the watches brought.
    pub caches: Caches,
    /// When objects are reconciled though nothing changed.
    pub timers: Timers,
    /// The operator's own Jobs, and the budgets counted from them.
    pub jobs: Jobs,
    /// Dumps that wait for a Job.
    pub dispatch: Dispatch,
    /// Open S3 clients, one for each BackupStorage.
    pub stores: Arc<Stores>,
    /// Result of the last check of the admission policies. Restores check afresh.
    pub authority: Arc<Authority>,
}

impl Context {
    /// Builds the context; sends no request.
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
            reconcile_metrics: ReconcileMetrics::new(metrics.clone(), recorder),
            stores: Arc::new(Stores::new(clients.write.clone())),
            authority: Arc::default(),
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

    /// What the loops of all kinds share.
    pub fn shared_loop(&self) -> ReconcileLoop {
        ReconcileLoop {
            concurrency: self.settings.concurrency,
            clock: self.clock,
            reconcile_metrics: self.reconcile_metrics.clone(),
            caches: self.caches.filled.clone(),
        }
    }

    /// The time now, by the operator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Reads a BackupSchedule from the API server: the cache keeps only part of each.
    pub async fn schedule(&self, namespace: &str, name: &str) -> Result<Option<Arc<BackupSchedule>>, VerbError> {
        let api: Api<WatchedSchedule> = Api::namespaced(self.clients.write.clone(), namespace);
        Ok(get_opt(&api, name).await?.map(|WatchedSchedule(object)| Arc::new(object)))
    }
}
